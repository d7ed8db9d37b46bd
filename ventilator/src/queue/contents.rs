//! What a queue holds, as it grows and as it is read from its store again.
//!
//! Owns what follows from a record, whoever has it: the units in their order, the tickets of the clients, the
//! keys, and what of each segment is needed. Refuses to know what is committed.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use proto::{
    ranges::RangeSet,
    service::{IdRange, Ticketed},
    unit::UnitId,
};

use super::{
    numbers::Numbers,
    order::{Order, Place, Run, Treatment},
    record::Head,
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub order: Order,
    pub numbers: Numbers,
    /// Ids below this one were given.
    pub next: UnitId,
    /// What of each segment is not committed.
    pub live: BTreeMap<u64, RangeSet>,
    /// By key, and the key of each.
    pub unique: HashMap<String, UnitId>,
    pub keys: BTreeMap<UnitId, String>,
}

/// What the records of a store tell besides.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub contents: Contents,
    /// The ids that the store knows.
    pub known: RangeSet,
    pub cancelled: Vec<IdRange>,
}

impl Contents {
    /// Consecutive units are in the store from now on, at that place, and wait behind all others.
    pub fn enter(
        &mut self,
        first: UnitId,
        count: u64,
        (place, bytes): (Place, u64),
        treatment: Treatment,
    ) {
        self.next = self.next.max(first + count);
        self.live.entry(place.segment).or_default().insert(first..first + count);
        if let Some(key) = &treatment.unique {
            // One of before that nobody joins any more may have been moved behind.
            let newest = self.unique.entry(key.clone()).or_insert(first);
            *newest = first.max(*newest);
            self.keys.insert(first, key.clone());
        }
        let turn = self.order.draw();
        self.order.add(first, Run { count, place, bytes, treatment, turn });
    }

    /// Nobody joins these units any more.
    pub fn free_keys(&mut self, units: Range<UnitId>) {
        let known: Vec<UnitId> = self.keys.range(units).map(|(unit, _)| *unit).collect();
        for unit in known {
            if let Some(key) = self.keys.remove(&unit)
                && self.unique.get(&key) == Some(&unit)
            {
                self.unique.remove(&key);
            }
        }
    }

    /// Which of these units several clients may have, by a key.
    pub fn joinable(&self, units: &RangeSet) -> RangeSet {
        let mut found = RangeSet::new();
        for range in units.iter() {
            self.keys.range(range).for_each(|(unit, _)| _ = found.insert(*unit..unit + 1));
        }
        for range in self.numbers.tickets_by_key() {
            found.insert(range);
        }
        found
    }
}

impl Replay {
    /// Takes a record in, whose values lie at that place.
    pub fn take(&mut self, head: Head, place: Place, values: &[u8]) {
        let at = (place, values.len() as u64);
        match head {
            Head::Numbers(numbers) => self.contents.numbers = numbers,
            Head::Next(next) => self.contents.next = self.contents.next.max(next),
            Head::Accepted { of, first, treatment } => {
                let mut ticket = first;
                for (client, number, count) in of {
                    self.contents.numbers.give(&client, Ticketed { number, count, ticket });
                    ticket += count;
                }
                self.enter(first, ticket - first, at, treatment);
            }
            Head::Moved { first, count, treatment } => self.enter(first, count, at, treatment),
            Head::Joined { client, number, ticket } => {
                self.contents.numbers.give(&client, Ticketed { number, count: 1, ticket });
            }
            Head::Cancelled(ranges) => {
                let live = self.contents.live.entry(place.segment).or_default();
                ranges.iter().for_each(|(start, end)| _ = live.insert(*start..*end));
                self.cancelled.extend(ranges);
            }
        }
    }

    fn enter(&mut self, first: UnitId, count: u64, at: (Place, u64), treatment: Treatment) {
        self.known.insert(first..first + count);
        // A kill while a segment was moved leaves its units twice; either will do.
        for twice in self.contents.order.within(first..first + count) {
            self.contents.order.take(twice);
        }
        self.contents.enter(first, count, at, treatment);
    }
}
