//! Which unit of a service gets on where there is no room, and how long others have waited.
//!
//! Owns the order in which units were read from the queue: the first of those that are not committed is
//! urgent, and stays so until it is. The oldest that was submitted can't be: it may be delayed, and nobody
//! has it. Refuses to know who has the units.

use std::{collections::VecDeque, ops::Range, time::Duration};

use proto::{ranges::RangeSet, time::Time, unit::UnitId, units::Span};

/// With fewer ranges nothing is gained by looking through them.
const RANGES_MIN: usize = 64;
/// Those that have waited since about the same time may be one range.
const ABOUT: Duration = Duration::from_millis(200);

/// Consecutive units, when they were read, and how long the first of them had waited by then.
#[derive(Debug)]
struct Read {
    units: Range<UnitId>,
    at: Time,
    waited: Duration,
}

impl Read {
    fn waits(&self, now: Time) -> Duration {
        self.waited + now.since(self.at)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Seniority {
    // In the order in which they were read; what is committed goes once it is first, or one of many.
    read: VecDeque<Read>,
    // With so many ranges those are looked through that are not first.
    crowded: usize,
}

impl Seniority {
    /// These are read next, and have waited so long.
    pub fn read(&mut self, at: Time, spans: &[Span], waited: Duration, committed: &RangeSet) {
        for span in spans {
            let units = span.roots();
            match self.read.back_mut() {
                Some(last)
                    if last.units.end == units.start && last.waits(at).abs_diff(waited) < ABOUT =>
                {
                    last.units.end = units.end;
                }
                _ => self.read.push_back(Read { units, at, waited }),
            }
        }
        if self.read.len() > self.crowded.max(RANGES_MIN) {
            self.read.retain(|read| !committed.contains_range(read.units.clone()));
            self.crowded = 2 * self.read.len();
        }
    }

    /// The first that was read and is not committed.
    pub fn urgent(&mut self, committed: &RangeSet) -> Option<UnitId> {
        loop {
            let Read { units, .. } = self.read.front_mut()?;
            units.start = committed.next_missing(units.start);
            if !units.is_empty() {
                return Some(units.start);
            }
            self.read.pop_front();
        }
    }

    /// How long the one has waited that has waited longest of those that are in neither.
    pub fn oldest(&self, now: Time, committed: &RangeSet, begun: &RangeSet) -> Option<Duration> {
        let waits = |read: &&Read| {
            let left = committed.gaps(read.units.clone());
            left.into_iter().any(|range| !begun.contains_range(range))
        };
        self.read.iter().filter(waits).map(|read| read.waits(now)).max()
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
        seniority.read(Time::default(), &spans(7, 2), Duration::ZERO, &committed);
        seniority.read(Time::default(), &spans(9, 1), Duration::ZERO, &committed);
        seniority.read(Time::default(), &spans(2, 1), Duration::ZERO, &committed);
        assert_eq!(seniority.urgent(&committed), Some(7));
        for (unit, next) in [(8, Some(7)), (2, Some(7)), (7, Some(9)), (9, None)] {
            committed.insert(unit..unit + 1);
            assert_eq!(seniority.urgent(&committed), next, "once {unit} is committed");
        }
    }

    #[test]
    fn behind_one_that_takes_long_nothing_grows() {
        let (mut seniority, mut committed) = (Seniority::default(), RangeSet::new());
        seniority.read(Time::default(), &spans(0, 1), Duration::ZERO, &committed);
        for unit in 0..100_000 {
            let unit = 300_000 - 2 * unit;
            seniority.read(Time::default(), &spans(unit, 1), Duration::ZERO, &committed);
            committed.insert(unit..unit + 1);
        }
        assert_eq!(seniority.urgent(&committed), Some(0));
        assert!(seniority.read.len() <= RANGES_MIN + 1, "{}", seniority.read.len());
    }

    #[test]
    fn the_oldest_is_the_one_that_waits_longest_of_those_that_nobody_has_begun() {
        let (mut seniority, mut committed) = (Seniority::default(), RangeSet::new());
        let ms = Duration::from_millis;
        for (at, first, waited) in [(1_000, 0, 0), (1_100, 2, 0), (1_300, 4, 0), (1_300, 9, 5_000)]
        {
            seniority.read(Time::from_ms(at), &spans(first, 2), ms(waited), &committed);
        }
        assert_eq!(seniority.read.len(), 3, "what came at about the same time is one");
        let oldest = |seniority: &Seniority, committed: &_, begun: &_| {
            seniority.oldest(Time::from_ms(2_000), committed, begun)
        };
        let mut begun = RangeSet::new();
        assert_eq!(oldest(&seniority, &committed, &begun), Some(ms(5_700)), "before this start");
        begun.insert(9..11);
        assert_eq!(oldest(&seniority, &committed, &begun), Some(ms(1_000)));
        committed.insert(0..3);
        begun.insert(3..4);
        assert_eq!(oldest(&seniority, &committed, &begun), Some(ms(700)));
        begun.insert(4..6);
        assert_eq!(oldest(&seniority, &committed, &begun), None);
    }
}
