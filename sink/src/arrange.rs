//! Puts what was committed in any order into the order in which it is written.
//!
//! Owns the entries that wait for an earlier one, and their number in units and bytes. Refuses to
//! bound them: the ventilator's window does, since it sends nothing at or beyond the watermark plus
//! the window. Knows no clock, no disk, and not what an entry is.

use std::collections::{BTreeMap, VecDeque};

use thiserror::Error;

use crate::order::Order;

/// Why an entry is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ArrangeError {
    /// It covers no unit at all, or ids beyond the largest.
    #[error("{count} units from unit {first} on are no range of units")]
    NoRange {
        /// The first unit.
        first: u64,
        /// How many units.
        count: u64,
    },
    /// It covers a unit that an earlier entry covered: what dedupe is there to prevent.
    #[error("the {count} units from unit {first} on were in part arranged before")]
    Overlap {
        /// The first unit.
        first: u64,
        /// How many units.
        count: u64,
    },
}

/// Entries that cover ranges of units each, given in any order, released in the asked one.
///
/// An entry covers the units from `first` to `first + count - 1`. In input order every unit must be
/// covered some time, also those that end without a result (filtered, dead): the rest waits for it.
///
/// ```
/// use sink::arrange::Arrange;
/// use sink::Order;
///
/// let mut arrange = Arrange::new(Order::Input, 0);
/// arrange.push(2, 1, 10, "c").unwrap();
/// assert_eq!(arrange.pop(), None);
/// arrange.push(0, 2, 20, "ab").unwrap();
/// assert_eq!(arrange.pop(), Some((0, 2, "ab")));
/// assert_eq!(arrange.pop(), Some((2, 1, "c")));
/// assert_eq!(arrange.watermark(), 3);
/// ```
#[derive(Debug)]
pub struct Arrange<T> {
    waiting: Waiting<T>,
    /// All units below have been released (input order only).
    watermark: u64,
    units: u64,
    bytes: u64,
}

#[derive(Debug)]
enum Waiting<T> {
    /// By first unit.
    Input(BTreeMap<u64, Held<T>>),
    Completion(VecDeque<(u64, Held<T>)>),
}

#[derive(Debug)]
struct Held<T> {
    count: u64,
    bytes: u64,
    item: T,
}

impl<T> Arrange<T> {
    /// Nothing waits, and all units below `watermark` have been released before.
    pub fn new(order: Order, watermark: u64) -> Self {
        Arrange {
            waiting: match order {
                Order::Input => Waiting::Input(BTreeMap::new()),
                Order::Completion => Waiting::Completion(VecDeque::new()),
            },
            watermark,
            units: 0,
            bytes: 0,
        }
    }

    /// Takes the outcome of the `count` units from `first` on; `bytes` is what keeping it costs.
    ///
    /// # Errors
    /// [`ArrangeError`]; nothing is changed then. Overlaps are found in input order only: in
    /// completion order nothing is remembered that they could be compared with.
    pub fn push(
        &mut self,
        first: u64,
        count: u64,
        bytes: u64,
        item: T,
    ) -> Result<(), ArrangeError> {
        let end = first
            .checked_add(count)
            .filter(|end| *end > first)
            .ok_or(ArrangeError::NoRange { first, count })?;
        let entry = Held { count, bytes, item };
        match &mut self.waiting {
            Waiting::Completion(queue) => queue.push_back((first, entry)),
            Waiting::Input(entries) => {
                let before = entries.range(..end).next_back();
                let covered = before.map_or(0, |(start, entry)| start + entry.count);
                if first < self.watermark.max(covered) {
                    return Err(ArrangeError::Overlap { first, count });
                }
                entries.insert(first, entry);
            }
        }
        self.units += count;
        self.bytes += bytes;
        Ok(())
    }

    /// The next entry, as (first unit, count, item); `None` when none is due yet.
    pub fn pop(&mut self) -> Option<(u64, u64, T)> {
        let (first, entry) = match &mut self.waiting {
            Waiting::Completion(queue) => queue.pop_front()?,
            Waiting::Input(entries) => {
                let next = entries.first_entry()?;
                if *next.key() != self.watermark {
                    return None;
                }
                let (first, entry) = next.remove_entry();
                self.watermark = first + entry.count;
                (first, entry)
            }
        };
        self.units -= entry.count;
        self.bytes -= entry.bytes;
        Some((first, entry.count, entry.item))
    }

    /// The next entry, whether or not one before it is still missing.
    pub fn pop_held(&mut self) -> Option<(u64, u64, T)> {
        if let Waiting::Input(entries) = &self.waiting {
            self.watermark = *entries.first_key_value()?.0;
        }
        self.pop()
    }

    /// What is kept elsewhere and comes before all that is held is released, up to unit `end`
    /// (input order only).
    pub fn pass(&mut self, end: u64) {
        if let Waiting::Input(_) = self.waiting {
            self.watermark = self.watermark.max(end);
        }
    }

    /// The lowest unit that waits for an earlier one.
    pub fn lowest(&self) -> Option<u64> {
        self.by_unit().next().map(|(first, _)| *first)
    }

    /// Where the highest entries begin that cost at least `bytes` together, or all of them if they
    /// cost less. None where nothing waits.
    pub fn highest(&self, bytes: u64) -> Option<u64> {
        let mut sum = 0;
        let mut from = None;
        for (first, entry) in self.by_unit().rev() {
            from = Some(*first);
            sum += entry.bytes;
            if sum >= bytes {
                break;
            }
        }
        from
    }

    /// What the entries cost that begin with unit `from` or a later one, and wait.
    pub fn bytes_from(&self, from: u64) -> u64 {
        let highest = self.by_unit().rev().take_while(|(first, _)| **first >= from);
        highest.map(|(_, entry)| entry.bytes).sum()
    }

    /// Takes the entries out that begin with unit `from` or a later one, and wait: lowest first, as
    /// (first unit, count, item). They are kept elsewhere from now on.
    pub fn take_from(&mut self, from: u64) -> impl Iterator<Item = (u64, u64, T)> + use<T> {
        let taken = match &mut self.waiting {
            Waiting::Input(entries) => entries.split_off(&from),
            Waiting::Completion(_) => BTreeMap::new(),
        };
        for entry in taken.values() {
            self.units -= entry.count;
            self.bytes -= entry.bytes;
        }
        taken.into_iter().map(|(first, entry)| (first, entry.count, entry.item))
    }

    fn by_unit(&self) -> impl DoubleEndedIterator<Item = (&u64, &Held<T>)> {
        let entries = match &self.waiting {
            Waiting::Input(entries) => Some(entries),
            Waiting::Completion(_) => None,
        };
        entries.into_iter().flatten()
    }

    /// Gives up those entries that wait, and that `keep` refuses (input order only): as (first unit,
    /// count).
    pub fn give_up(&mut self, keep: impl Fn(&T) -> bool) -> Vec<(u64, u64)> {
        let mut gone = Vec::new();
        if let Waiting::Input(entries) = &mut self.waiting {
            entries.retain(|first, entry| {
                let stays = keep(&entry.item);
                if !stays {
                    gone.push((*first, entry.count));
                    self.units -= entry.count;
                    self.bytes -= entry.bytes;
                }
                stays
            });
        }
        gone
    }

    /// What is held, from the lowest unit on (in completion order: as it came), as (first unit,
    /// count, item); for keeping it durably.
    pub fn held(&self) -> impl Iterator<Item = (u64, u64, &T)> {
        let (entries, queue) = match &self.waiting {
            Waiting::Input(entries) => (Some(entries), None),
            Waiting::Completion(queue) => (None, Some(queue)),
        };
        let by_unit = entries.into_iter().flatten();
        let by_time = queue.into_iter().flatten().map(|(first, entry)| (first, entry));
        by_unit.chain(by_time).map(|(first, entry)| (*first, entry.count, &entry.item))
    }

    /// What is held whose first unit is `first`. Finds nothing in completion order, where nothing
    /// waits.
    pub fn waiting_at(&self, first: u64) -> Option<&T> {
        match &self.waiting {
            Waiting::Input(entries) => entries.get(&first).map(|entry| &entry.item),
            Waiting::Completion(_) => None,
        }
    }

    /// Whether an entry that begins with unit `first` would be released at once.
    pub fn would_release(&self, first: u64) -> bool {
        matches!(self.waiting, Waiting::Completion(_)) || first == self.watermark
    }

    /// All units below this one have been released. Stays where it began in completion order.
    pub fn watermark(&self) -> u64 {
        self.watermark
    }

    /// How many units are held.
    pub fn held_units(&self) -> u64 {
        self.units
    }

    /// What they cost, as [`push`](Self::push) was told.
    pub fn held_bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.units == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released(arrange: &mut Arrange<char>) -> String {
        std::iter::from_fn(|| arrange.pop()).map(|(_, _, item)| item).collect()
    }

    #[test]
    fn what_waits_for_nothing_any_more_comes_out_in_its_order() {
        let mut arrange = Arrange::new(Order::Input, 0);
        arrange.push(5, 1, 1, 'b').unwrap();
        arrange.push(2, 2, 1, 'a').unwrap();
        assert_eq!(arrange.pop(), None);
        let held = std::iter::from_fn(|| arrange.pop_held());
        assert_eq!(held.map(|(_, _, item)| item).collect::<String>(), "ab");
        assert!(arrange.is_empty());
    }

    #[test]
    fn in_input_order_an_entry_waits_for_those_before_it() {
        let mut arrange = Arrange::new(Order::Input, 10);
        arrange.push(15, 1, 1, 'c').unwrap();
        arrange.push(12, 3, 30, 'b').unwrap();
        assert_eq!(released(&mut arrange), "");
        assert_eq!((arrange.held_units(), arrange.held_bytes()), (4, 31));
        let held: Vec<_> = arrange.held().map(|(first, count, _)| (first, count)).collect();
        assert_eq!(held, [(12, 3), (15, 1)]);
        assert!(arrange.would_release(10) && !arrange.would_release(11));
        assert_eq!((arrange.waiting_at(12), arrange.waiting_at(13)), (Some(&'b'), None));
        arrange.push(10, 2, 2, 'a').unwrap();
        assert_eq!(released(&mut arrange), "abc");
        assert_eq!((arrange.held_units(), arrange.held_bytes()), (0, 0));
        assert_eq!(arrange.watermark(), 16);
        assert!(arrange.is_empty());
    }

    #[test]
    fn the_highest_entries_can_be_kept_elsewhere_and_come_back_in_their_place() {
        let mut arrange = Arrange::new(Order::Input, 0);
        for (first, item) in [(2, 'a'), (4, 'b'), (6, 'c'), (8, 'd')] {
            arrange.push(first, 2, 10, item).unwrap();
        }
        assert_eq!(arrange.lowest(), Some(2));
        let beginnings = [0, 10, 11, 25, 40, 99].map(|bytes| arrange.highest(bytes).unwrap());
        assert_eq!(beginnings, [8, 8, 6, 4, 2, 2]);
        assert_eq!((arrange.bytes_from(6), arrange.bytes_from(7)), (20, 10));
        let elsewhere: Vec<_> = arrange.take_from(6).collect();
        assert_eq!(elsewhere, [(6, 2, 'c'), (8, 2, 'd')]);
        assert_eq!((arrange.held_units(), arrange.held_bytes()), (4, 20));
        arrange.push(0, 2, 1, 'z').unwrap();
        assert_eq!(released(&mut arrange), "zab");
        arrange.pass(8);
        assert_eq!((arrange.watermark(), arrange.lowest(), arrange.highest(1)), (8, None, None));
        assert!(arrange.would_release(8) && arrange.push(7, 1, 1, 'x').is_err());
    }

    #[test]
    fn in_completion_order_nothing_waits() {
        let mut arrange = Arrange::new(Order::Completion, 0);
        arrange.push(5, 1, 1, 'x').unwrap();
        arrange.push(0, 3, 1, 'y').unwrap();
        assert_eq!(arrange.held().count(), 2);
        assert_eq!(released(&mut arrange), "xy");
        assert!(arrange.is_empty());
    }

    #[test]
    fn a_unit_that_is_covered_twice_is_refused() {
        let mut arrange = Arrange::new(Order::Input, 4);
        arrange.push(6, 2, 1, 'a').unwrap();
        for (first, count) in [(6, 2), (6, 1), (7, 1), (5, 2), (5, 9), (7, 5), (3, 1), (0, 5)] {
            let refused = arrange.push(first, count, 1, 'x');
            assert_eq!(refused, Err(ArrangeError::Overlap { first, count }));
        }
        arrange.push(8, 1, 1, 'c').unwrap();
        arrange.push(4, 2, 1, 'b').unwrap();
        assert_eq!(arrange.held_units(), 5);
        assert_eq!(released(&mut arrange), "bac");
        assert!(arrange.push(8, 1, 1, 'x').is_err());
    }

    #[test]
    fn what_is_no_range_is_refused() {
        let mut arrange = Arrange::new(Order::Completion, 0);
        for (first, count) in [(3, 0), (u64::MAX, 1), (1, u64::MAX)] {
            let refused = arrange.push(first, count, 1, 'x');
            assert_eq!(refused, Err(ArrangeError::NoRange { first, count }));
        }
    }

    #[test]
    fn any_order_of_arrival_gives_one_order_of_release() {
        // Every stride that has no factor in common with 64 visits every place once.
        for stride in (1..64).step_by(2) {
            let mut arrange = Arrange::new(Order::Input, 0);
            let mut order = Vec::new();
            for step in 0..64 {
                let place = step * stride % 64;
                arrange.push(place * 3, 3, 1, place).unwrap();
                order.extend(std::iter::from_fn(|| arrange.pop()).map(|(_, _, item)| item));
            }
            assert!(order.iter().copied().eq(0..64), "stride {stride}");
        }
    }

    #[test]
    #[ignore = "measures; run with --release --ignored --nocapture"]
    fn how_long_arranging_takes() {
        let mut arrange = Arrange::new(Order::Input, 0);
        let start = std::time::Instant::now();
        for block in 0..20_000u64 {
            for place in (0..100).rev() {
                arrange.push(block * 100 + place, 1, 8, place).unwrap();
            }
            while arrange.pop().is_some() {}
        }
        let ns = start.elapsed().as_nanos() / 2_000_000;
        eprintln!("{ns} ns an entry, 100 waiting");
    }
}
