//! What each client is told of outcomes, in frames that are not too large.
//!
//! Owns the form in which outcomes leave; refuses to know who waits for them.

#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "the last of a list that has one")
)]

use std::{collections::BTreeMap, ops::Range};

use proto::{
    role::LinkId,
    service::{Outcomes, RANGES_MAX},
    unit::{Step, UnitId},
    units::Span,
};

use crate::accept::entry::{Entry, Outcome};

/// Bytes of values after which a frame is full.
const FRAME_BYTES: usize = 256 << 10;
/// Units after which it is full.
const FRAME_UNITS: usize = 32 << 10;

/// What is to be told to clients.
#[derive(Debug, Default)]
pub struct Answers {
    told: BTreeMap<LinkId, Vec<Outcomes>>,
}

impl Answers {
    /// A client is told what became of these units, which lie within an entry.
    pub fn tell(&mut self, link: LinkId, entry: &Entry, units: Range<UnitId>) {
        let told = self.told.entry(link).or_default();
        let first = entry.first;
        match &entry.outcome {
            Outcome::Values { units: values, .. } => {
                for unit in units {
                    let Ok(index) = usize::try_from(unit - first) else { continue };
                    if index < values.len() {
                        room_in(told).units.push(Span::one(unit, Vec::new()), values.value(index));
                    }
                }
            }
            Outcome::Expanded(outputs) => {
                let of = u32::try_from(outputs.len()).unwrap_or(u32::MAX);
                for (index, leaf) in (0..of).zip(outputs.leaves()) {
                    // Which run of the function it was is nobody's business any more.
                    let step = Step { execution: 0, index, of };
                    room_in(told).units.push(Span::one(first, vec![step]), leaf.value);
                }
            }
            Outcome::Filtered(_) => {
                let mut at = units.start;
                while at < units.end {
                    let count = u32::try_from(units.end - at).unwrap_or(u32::MAX).min(1 << 20);
                    room_in(told).filtered.push(Span { first: at, count, path: Vec::new() });
                    at += u64::from(count);
                }
            }
            Outcome::Dead { dead, .. } => room_in(told).dead.push(dead.clone()),
        }
    }

    /// A client is told that these are not kept any more.
    pub fn expired(&mut self, link: LinkId, units: Range<UnitId>) {
        room_in(self.told.entry(link).or_default()).expired.push((units.start, units.end));
    }

    /// All of it.
    pub fn take(&mut self) -> Vec<(LinkId, Outcomes)> {
        let told = std::mem::take(&mut self.told).into_iter();
        told.flat_map(|(link, frames)| frames.into_iter().map(move |frame| (link, frame))).collect()
    }
}

/// A frame that has room for one more.
fn room_in(frames: &mut Vec<Outcomes>) -> &mut Outcomes {
    let is_full = |last: &Outcomes| {
        let dead: usize = last.dead.iter().map(|dead| dead.input.len() + dead.error.len()).sum();
        last.units.bytes() + dead >= FRAME_BYTES
            || last.units.len() >= FRAME_UNITS
            || [last.filtered.len(), last.dead.len(), last.expired.len()]
                .into_iter()
                .any(|parts| parts >= RANGES_MAX / 2)
    };
    if frames.last().is_none_or(is_full) {
        frames.push(Outcomes::default());
    }
    let last = frames.len() - 1;
    &mut frames[last]
}
