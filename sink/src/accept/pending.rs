//! Batches of outcomes at the recorder: taken in, and not yet safe.
//!
//! Owns their numbers, what each was sent by and weighs, and since when it waits; refuses to know
//! what makes them safe. The recorder answers for all batches up to a number, but for those of them
//! that wait for an earlier outcome.

use std::{collections::VecDeque, time::Duration};

use proto::{role::LinkId, time::Time, unit::UnitId};

/// A batch that is not safe after so long waits for an outcome that is late.
const LATE: Duration = Duration::from_millis(100);

/// Outcomes that were taken in together.
#[derive(Debug)]
pub struct Recording {
    number: u64,
    since: Time,
    /// Their units: ranges, end exclusive.
    pub ranges: Vec<(UnitId, UnitId)>,
    /// Who sent them.
    pub link: LinkId,
    /// How many units were sent, duplicates included.
    pub units: usize,
    /// What they weigh.
    pub bytes: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Pending {
    batches: VecDeque<Recording>,
    bytes: u64,
    next: u64,
    // The recorder was told that something is late, when this was the next batch.
    told_late: u64,
    // What recorded outcomes take that wait for an earlier one, in memory and on disk.
    waiting_bytes: u64,
}

impl Pending {
    /// A batch of these ranges of units was taken in, which came over `link` and weighs so many units
    /// and bytes; its number.
    pub fn add(
        &mut self,
        now: Time,
        link: LinkId,
        ranges: Vec<(UnitId, UnitId)>,
        (units, bytes): (usize, usize),
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        self.bytes += bytes as u64;
        self.batches.push_back(Recording { number, since: now, ranges, link, units, bytes });
        number
    }

    /// The batches up to a number are safe, but for those that wait: each of them is given away.
    pub fn recorded(&mut self, number: u64, waiting: &[u64], mut safe: impl FnMut(&Recording)) {
        let bytes = &mut self.bytes;
        self.batches.retain(|batch| {
            let stays = batch.number > number || waiting.contains(&batch.number);
            if !stays {
                *bytes -= batch.bytes as u64;
                safe(batch);
            }
            stays
        });
    }

    /// Whether something that came over a link is not safe.
    pub fn has(&self, link: LinkId) -> bool {
        self.batches.iter().any(|batch| batch.link == link)
    }

    /// What the batches weigh, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What they weigh, in units and bytes.
    pub fn weight(&self) -> (usize, usize) {
        let each = self.batches.iter().map(|batch| (batch.units, batch.bytes));
        each.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    }

    /// Recorded outcomes that wait for an earlier one take so much, in memory and on disk.
    pub fn hold(&mut self, waiting_bytes: u64) {
        self.waiting_bytes = waiting_bytes;
    }

    /// What recorded outcomes take that wait for an earlier one, in memory and on disk.
    pub fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    /// When the oldest batch will have waited for too long, unless that was told.
    pub fn late_at(&self) -> Option<Time> {
        let oldest = self.batches.front().filter(|oldest| oldest.number >= self.told_late)?;
        Some(oldest.since + LATE)
    }

    /// Whether something is late that the recorder was not told of; from now on it was.
    pub fn becomes_late(&mut self, now: Time) -> bool {
        let is_late = self.late_at().is_some_and(|late| late <= now);
        if is_late {
            self.told_late = self.next;
        }
        is_late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_given_away_up_to_a_number_but_for_those_that_wait() {
        let mut pending = Pending::default();
        let numbers: Vec<u64> = (0..4)
            .map(|unit| pending.add(Time::default(), 7, vec![(unit, unit + 1)], (1, 10)))
            .collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        let mut recorded = |number, waiting: &[u64]| {
            let mut ranges = Vec::new();
            pending.recorded(number, waiting, |batch| ranges.extend_from_slice(&batch.ranges));
            (ranges, pending.weight(), pending.bytes())
        };
        assert_eq!(recorded(2, &[1]), (vec![(0, 1), (2, 3)], (2, 20), 20));
        assert_eq!(recorded(2, &[]), (vec![(1, 2)], (1, 10), 10));
        assert!(pending.has(7) && !pending.has(8));
    }

    #[test]
    fn what_is_late_is_told_once_and_again_of_what_came_later() {
        let mut pending = Pending::default();
        assert_eq!(pending.late_at(), None);
        pending.add(Time::default(), 7, vec![(5, 6)], (1, 10));
        assert_eq!(pending.late_at(), Some(Time::from_ms(100)));
        assert!(!pending.becomes_late(Time::from_ms(99)));
        assert!(pending.becomes_late(Time::from_ms(100)));
        assert!(!pending.becomes_late(Time::from_ms(500)));
        pending.add(Time::from_ms(500), 7, vec![(7, 8)], (1, 10));
        pending.recorded(0, &[], |_| {});
        assert_eq!(pending.late_at(), Some(Time::from_ms(600)));
    }
}
