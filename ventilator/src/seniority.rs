//! Which unit of a service gets on where there is no room.
//!
//! Owns the order in which units were read from the queue: the first of those that are not committed is
//! urgent, and stays so until it is. The oldest that was submitted can't be: it may be delayed, and nobody
//! has it. Refuses to know who has the units.

use std::{collections::VecDeque, ops::Range};

use proto::{ranges::RangeSet, unit::UnitId, units::Span};

/// With fewer ranges nothing is gained by looking through them.
const RANGES_MIN: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Seniority {
    // In the order in which they were read; what is committed goes once it is first, or one of many.
    read: VecDeque<Range<UnitId>>,
    // With so many ranges those are looked through that are not first.
    crowded: usize,
}

impl Seniority {
    /// These were read next.
    pub fn read(&mut self, spans: &[Span], committed: &RangeSet) {
        for span in spans {
            let roots = span.roots();
            match self.read.back_mut() {
                Some(last) if last.end == roots.start => last.end = roots.end,
                _ => self.read.push_back(roots),
            }
        }
        if self.read.len() > self.crowded.max(RANGES_MIN) {
            self.read.retain(|range| !committed.contains_range(range.clone()));
            self.crowded = 2 * self.read.len();
        }
    }

    /// The first that was read and is not committed.
    pub fn urgent(&mut self, committed: &RangeSet) -> Option<UnitId> {
        loop {
            let first = self.read.front_mut()?;
            first.start = committed.next_missing(first.start);
            if !first.is_empty() {
                return Some(first.start);
            }
            self.read.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::units::Units;

    use super::*;

    fn spans(first: UnitId, count: u8) -> Vec<Span> {
        let ends: Vec<u32> = (1..=count.into()).collect();
        Units::from_source(first, vec![0; count.into()], ends).spans().to_vec()
    }

    #[test]
    fn the_first_that_was_read_is_urgent_until_it_is_committed() {
        let (mut seniority, mut committed) = (Seniority::default(), RangeSet::new());
        assert_eq!(seniority.urgent(&committed), None);
        seniority.read(&spans(7, 2), &committed);
        seniority.read(&spans(9, 1), &committed);
        seniority.read(&spans(2, 1), &committed);
        assert_eq!(seniority.urgent(&committed), Some(7));
        for (unit, next) in [(8, Some(7)), (2, Some(7)), (7, Some(9)), (9, None)] {
            committed.insert(unit..unit + 1);
            assert_eq!(seniority.urgent(&committed), next, "once {unit} is committed");
        }
    }

    #[test]
    fn behind_one_that_takes_long_nothing_grows() {
        let (mut seniority, mut committed) = (Seniority::default(), RangeSet::new());
        seniority.read(&spans(0, 1), &committed);
        for unit in 0..100_000 {
            let unit = 300_000 - 2 * unit;
            seniority.read(&spans(unit, 1), &committed);
            committed.insert(unit..unit + 1);
        }
        assert_eq!(seniority.urgent(&committed), Some(0));
        assert!(seniority.read.len() <= RANGES_MIN + 1, "{}", seniority.read.len());
    }
}
