//! Large outcomes whose recording is deferred: they wait for an earlier one, in memory only.
//!
//! Most are written to the output a moment later, when the earlier one has come; to log them as well
//! would write them twice. Owns which batches nobody may answer for yet, and whether to defer is
//! worth it; refuses to log or to write anything.

use std::collections::VecDeque;

use proto::{diary::Event, unit::UnitId};

use crate::accept::entry::Entry;

/// What is logged all the same once so much waits: it would be lost with this process.
const DEFERRED_BYTES_MAX: u64 = 4 << 20;

/// Outcomes that came together, of which some are neither logged nor written.
#[derive(Debug)]
struct Deferral {
    number: u64,
    firsts: Vec<UnitId>,
    bytes: u64,
    events: Vec<Event>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Deferred {
    batches: VecDeque<Deferral>,
    bytes: u64,
    last: u64,
    // Something was settled that nobody has answered for.
    news: bool,
    // An outcome that waits for one that is late: what comes meanwhile is logged.
    held_up: Option<UnitId>,
}

impl Deferred {
    /// Takes note of a batch that is about to be written.
    pub fn add(&mut self, number: u64, entries: &[Entry]) {
        let firsts = entries.iter().map(|entry| entry.first).collect();
        let events = entries.iter().map(Entry::event).collect();
        let bytes = entries.iter().map(Entry::bytes).sum();
        self.batches.push_back(Deferral { number, firsts, bytes, events });
        self.bytes += bytes;
        self.last = number;
    }

    /// Forgets the batches of which nothing waits any more; what the diary is to know of them.
    pub fn settle(&mut self, waits: impl Fn(UnitId) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        self.batches.retain_mut(|batch| {
            batch.firsts.retain(|first| waits(*first));
            if batch.firsts.is_empty() {
                events.append(&mut batch.events);
                self.bytes -= batch.bytes;
                self.news = true;
            }
            !batch.firsts.is_empty()
        });
        events
    }

    /// Forgets all batches, which are logged now; what the diary is to know of them.
    pub fn clear(&mut self) -> Vec<Event> {
        self.settle(|_| false)
    }

    /// Where the outcomes begin that are not logged.
    pub fn firsts(&self) -> impl Iterator<Item = UnitId> {
        self.batches.iter().flat_map(|batch| batch.firsts.iter().copied())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// What is waited for is late: from here on what waits is logged.
    pub fn stop_deferring(&mut self) {
        self.held_up = self.firsts().min().or(self.held_up);
    }

    /// Once the late one has come it is worth deferring again.
    pub fn resume(&mut self, waits: impl Fn(UnitId) -> bool) {
        self.held_up = self.held_up.filter(|first| waits(*first));
    }

    /// Whether what waits is better logged.
    pub fn must_be_logged(&self) -> bool {
        self.held_up.is_some() || self.bytes > DEFERRED_BYTES_MAX
    }

    /// The last batch, and those up to it that can't be answered for; nothing if there is nothing
    /// new to say.
    pub fn answer(&mut self) -> Option<(u64, Vec<u64>)> {
        let waiting = || self.batches.iter().map(|batch| batch.number).collect();
        std::mem::take(&mut self.news).then(|| (self.last, waiting()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::entry::Outcome;

    fn filtered(first: u64) -> Entry {
        Entry { first, count: 1, outcome: Outcome::Filtered(0) }
    }

    #[test]
    fn a_batch_is_answered_for_when_nothing_of_it_waits() {
        let mut deferred = Deferred::default();
        assert_eq!(deferred.answer(), None);
        deferred.add(0, &[filtered(0)]);
        assert_eq!(deferred.settle(|_| false).len(), 1);
        assert_eq!((deferred.answer(), deferred.answer()), (Some((0, vec![])), None));
        deferred.add(1, &[filtered(5), filtered(1)]);
        deferred.add(2, &[filtered(2)]);
        deferred.add(3, &[filtered(7)]);
        assert_eq!(deferred.settle(|first| first >= 5).len(), 1);
        assert_eq!(deferred.answer(), Some((3, vec![1, 3])));
        assert_eq!(deferred.firsts().collect::<Vec<_>>(), [5, 7]);
        assert_eq!((deferred.clear().len(), deferred.is_empty()), (3, true));
        assert_eq!(deferred.answer(), Some((3, vec![])));
    }
}
