//! What is on the sink's disk of outcomes that are kept for clients, beside the outcomes.
//!
//! Owns which of them are gone, as far as that was written down, and since when each is there; what was
//! not written down is lost with the sink, so outcomes are kept again that somebody has. Refuses to know
//! who asks for them.

use std::{collections::BTreeMap, time::Duration};

use proto::{ranges::RangeSet, unit::UnitId};

use crate::clock::Moment;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    gone: RangeSet,
    written: RangeSet,
    since: BTreeMap<UnitId, Moment>,
    /// Outcomes that were kept though their clients had them, since a sink had died.
    pub(super) again: u64,
}

impl Shelf {
    /// A sink starts, and finds what was written down.
    pub fn reopen(&mut self) {
        self.again += self.gone.len() - self.written.len();
        self.gone = self.written.clone();
    }

    /// An outcome is not kept any more.
    pub fn take(&mut self, unit: UnitId) {
        self.gone.insert(unit..unit + 1);
    }

    /// Whether it is.
    pub fn keeps(&self, unit: UnitId) -> bool {
        !self.gone.contains(unit)
    }

    /// How many there are.
    pub fn kept(&self) -> u64 {
        (self.since.len() as u64).saturating_sub(self.gone.len())
    }

    /// What is gone is written down.
    pub fn write(&mut self) {
        self.written = self.gone.clone();
    }

    /// An outcome is there.
    pub fn came(&mut self, now: Moment, unit: UnitId) {
        self.since.entry(unit).or_insert(now);
    }

    /// How long it has been there.
    pub fn age(&self, now: Moment, unit: UnitId) -> Option<Duration> {
        Some(now.since(*self.since.get(&unit)?))
    }

    /// Units whose outcomes came so long ago and are kept.
    pub fn older(&self, now: Moment, age: Duration) -> Vec<UnitId> {
        let is_old =
            |(unit, since): &(&UnitId, &Moment)| now.since(**since) >= age && self.keeps(**unit);
        self.since.iter().filter(is_old).map(|(unit, _)| *unit).collect()
    }
}
