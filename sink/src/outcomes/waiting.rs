//! Who waits for the outcomes of which units.
//!
//! Owns ranges of units with the clients that wait for them; they are cut where that differs. Refuses to know
//! what an outcome is.

use std::{collections::BTreeMap, ops::Range};

use proto::{role::LinkId, unit::UnitId};

/// A range that the same clients wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Awaited {
    end: UnitId,
    by: Vec<LinkId>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Waiting {
    ranges: BTreeMap<UnitId, Awaited>,
}

impl Waiting {
    /// A client waits for these units.
    pub fn add(&mut self, link: LinkId, units: Range<UnitId>) {
        if units.is_empty() {
            return;
        }
        self.cut(units.start);
        self.cut(units.end);
        let mut at = units.start;
        let mut fresh = Vec::new();
        for (start, awaited) in self.ranges.range_mut(units.clone()) {
            if at < *start {
                fresh.push(at..*start);
            }
            if !awaited.by.contains(&link) {
                awaited.by.push(link);
            }
            at = awaited.end;
        }
        if at < units.end {
            fresh.push(at..units.end);
        }
        for range in fresh {
            self.put(range, link);
        }
    }

    /// A range that nobody has waited for; one that continues what the same client waits for is one
    /// with it.
    fn put(&mut self, range: Range<UnitId>, link: LinkId) {
        if let Some((_, before)) = self.ranges.range_mut(..range.start).next_back()
            && before.end == range.start
            && before.by == [link]
        {
            before.end = range.end;
            return;
        }
        self.ranges.insert(range.start, Awaited { end: range.end, by: vec![link] });
    }

    /// Who has waited for any of these units, and for which; nobody does any more.
    pub fn take(&mut self, units: Range<UnitId>) -> Vec<(Range<UnitId>, Vec<LinkId>)> {
        if self.ranges.is_empty() {
            return Vec::new();
        }
        self.cut(units.start);
        self.cut(units.end);
        let starts: Vec<UnitId> = self.ranges.range(units).map(|(start, _)| *start).collect();
        let taken = starts.into_iter().filter_map(|start| {
            let Awaited { end, by } = self.ranges.remove(&start)?;
            Some((start..end, by))
        });
        taken.collect()
    }

    /// A client is gone.
    pub fn leave(&mut self, link: LinkId) {
        self.ranges.retain(|_, awaited| {
            awaited.by.retain(|known| *known != link);
            !awaited.by.is_empty()
        });
    }

    /// Cuts the range that a unit lies within in two.
    fn cut(&mut self, at: UnitId) {
        if let Some((_, awaited)) = self.ranges.range_mut(..at).next_back()
            && awaited.end > at
        {
            let rest = Awaited { end: awaited.end, by: awaited.by.clone() };
            awaited.end = at;
            self.ranges.insert(at, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_several_clients_are_told_apart_where_they_differ() {
        let mut waiting = Waiting::default();
        waiting.add(1, 0..10);
        waiting.add(2, 5..15);
        waiting.add(2, 7..8);
        assert_eq!(waiting.take(3..6), [(3..5, vec![1]), (5..6, vec![1, 2])]);
        assert_eq!(waiting.take(0..20).len(), 5, "cut where that differs");
        assert_eq!(waiting.take(0..20), []);
    }

    #[test]
    fn a_client_that_waits_for_one_after_the_other_takes_the_memory_of_one_range() {
        let mut waiting = Waiting::default();
        (0..1_000).for_each(|unit| waiting.add(1, unit..unit + 1));
        assert_eq!(waiting.ranges.len(), 1);
        waiting.add(2, 1_000..1_001);
        waiting.leave(1);
        assert_eq!(waiting.take(0..2_000), [(1_000..1_001, vec![2])]);
    }
}
