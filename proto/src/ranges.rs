//! A set of unit ids as disjoint, non-adjacent ranges.
//!
//! Owns the arithmetic of ranges; refuses to know what being in the set means. With units
//! committed almost in order it holds a handful of ranges, whatever the number of units.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::{collections::BTreeMap, ops::Range};

use crate::unit::UnitId;

/// A set of ids. All operations take time logarithmic in the number of ranges, and linear only
/// in the ranges that they merge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    // start -> end, exclusive
    ranges: BTreeMap<UnitId, UnitId>,
    // How many ids are in them.
    len: u64,
}

impl RangeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The set of all ids below `watermark` and those in `ranges`.
    pub fn from_parts(
        watermark: UnitId,
        ranges: impl IntoIterator<Item = (UnitId, UnitId)>,
    ) -> Self {
        let mut set = Self::new();
        set.insert(0..watermark);
        for (start, end) in ranges {
            set.insert(start..end);
        }
        set
    }

    /// All ids below it are in the set; it is not.
    pub fn watermark(&self) -> UnitId {
        self.ranges.first_key_value().filter(|(start, _)| **start == 0).map_or(0, |(_, end)| *end)
    }

    /// All ranges, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = Range<UnitId>> + '_ {
        self.ranges.iter().map(|(start, end)| *start..*end)
    }

    /// The ranges that lie above the watermark, lowest first.
    pub fn above(&self) -> impl Iterator<Item = (UnitId, UnitId)> + '_ {
        self.ranges.iter().filter(|(start, _)| **start > 0).map(|(start, end)| (*start, *end))
    }

    /// How many separate ranges.
    pub fn ranges(&self) -> usize {
        self.ranges.len()
    }

    /// How many ids.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether `id` is in the set.
    pub fn contains(&self, id: UnitId) -> bool {
        self.ranges.range(..=id).next_back().is_some_and(|(_, end)| id < *end)
    }

    /// The first id from `id` on that is not in the set.
    pub fn next_missing(&self, id: UnitId) -> UnitId {
        let before = self.ranges.range(..=id).next_back();
        before.map(|(_, end)| *end).filter(|end| id < *end).unwrap_or(id)
    }

    /// Whether every id of `range` is in the set.
    pub fn contains_range(&self, range: Range<UnitId>) -> bool {
        range.is_empty()
            || self
                .ranges
                .range(..=range.start)
                .next_back()
                .is_some_and(|(_, end)| range.end <= *end)
    }

    /// Whether any id of `range` is in the set.
    pub fn intersects(&self, range: Range<UnitId>) -> bool {
        !range.is_empty()
            && self.ranges.range(..range.end).next_back().is_some_and(|(_, end)| *end > range.start)
    }

    /// Adds every id of `range`; adding twice does no harm. Gives the range of the set that they
    /// are part of now.
    pub fn insert(&mut self, range: Range<UnitId>) -> Range<UnitId> {
        if range.is_empty() {
            return range;
        }
        let Range { mut start, mut end } = range;
        while let Some((&s, &e)) = self.ranges.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.take(s, e);
            start = start.min(s);
            end = end.max(e);
        }
        self.put(start, end);
        start..end
    }

    /// Adds every id of `other`.
    pub fn insert_all(&mut self, other: &Self) {
        for (start, end) in &other.ranges {
            self.insert(*start..*end);
        }
    }

    /// Takes every id of `range` out.
    pub fn remove(&mut self, range: Range<UnitId>) {
        if range.is_empty() {
            return;
        }
        while let Some((&s, &e)) = self.ranges.range(..range.end).next_back() {
            if e <= range.start {
                break;
            }
            self.take(s, e);
            if s < range.start {
                self.put(s, range.start);
            }
            if e > range.end {
                self.put(range.end, e);
            }
        }
    }

    fn put(&mut self, start: UnitId, end: UnitId) {
        self.ranges.insert(start, end);
        self.len = self.len.saturating_add(end.saturating_sub(start));
    }

    fn take(&mut self, start: UnitId, end: UnitId) {
        self.ranges.remove(&start);
        self.len = self.len.saturating_sub(end.saturating_sub(start));
    }

    /// The parts of `range` that are in the set, lowest first.
    pub fn within(&self, range: Range<UnitId>) -> Vec<Range<UnitId>> {
        let before = self.ranges.range(..=range.start).next_back().map(|(start, _)| *start);
        let near = self.ranges.range(before.unwrap_or(range.start)..range.end.max(range.start));
        let parts = near.map(|(&start, &end)| start.max(range.start)..end.min(range.end));
        parts.filter(|part| !part.is_empty()).collect()
    }

    /// What of these ids is in the set.
    pub fn common(&self, ids: &Self) -> Self {
        let mut common = Self::new();
        for part in ids.iter().flat_map(|range| self.within(range)) {
            common.insert(part);
        }
        common
    }

    /// The parts of `range` that are not in the set, lowest first.
    pub fn gaps(&self, range: Range<UnitId>) -> Vec<Range<UnitId>> {
        let mut gaps = Vec::new();
        let mut at = range.start;
        let before = self.ranges.range(..=range.start).next_back().map(|(start, _)| *start);
        for (&start, &end) in self.ranges.range(before.unwrap_or(range.start)..range.end) {
            if start > at {
                gaps.push(at..start);
            }
            at = at.max(end);
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn neighbours_merge_and_the_watermark_follows() {
        let mut set = RangeSet::new();
        set.insert(5..7);
        assert_eq!(set.watermark(), 0);
        assert_eq!(set.insert(0..5), 0..7);
        assert_eq!((set.watermark(), set.ranges()), (7, 1));
        set.insert(8..9);
        assert_eq!(set.above().collect::<Vec<_>>(), [(8, 9)]);
        set.insert(7..8);
        assert_eq!((set.watermark(), set.ranges()), (9, 1));
    }

    /// Every operation against a plain set of numbers, over all small ranges.
    #[test]
    fn it_agrees_with_a_plain_set() {
        let mut state = 1u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        for _ in 0..40 {
            let (mut set, mut plain) = (RangeSet::new(), BTreeSet::new());
            for _ in 0..12 {
                let start = next(30);
                let range = start..start + next(8);
                if next(4) == 0 {
                    set.remove(range.clone());
                    for id in range {
                        plain.remove(&id);
                    }
                } else {
                    set.insert(range.clone());
                    plain.extend(range);
                }
                check(&set, &plain);
            }
        }
    }

    fn check(set: &RangeSet, plain: &BTreeSet<u64>) {
        assert_eq!(set.len(), plain.len() as u64);
        assert_eq!(set.watermark(), (0..).find(|id| !plain.contains(id)).unwrap());
        for start in 0..40 {
            assert_eq!(set.contains(start), plain.contains(&start));
            let missing = (start..).find(|id| !plain.contains(id)).unwrap();
            assert_eq!(set.next_missing(start), missing);
            for end in start..40 {
                let missing: Vec<_> = (start..end).filter(|id| !plain.contains(id)).collect();
                let range = start..end;
                assert_eq!(set.contains_range(range.clone()), missing.is_empty());
                assert_eq!(set.intersects(range.clone()), missing.len() < (end - start) as usize);
                let there: Vec<_> = range.clone().filter(|id| plain.contains(id)).collect();
                let within = set.within(range.clone());
                assert!(within.windows(2).all(|pair| pair[0].end < pair[1].start), "{within:?}");
                assert_eq!(within.into_iter().flatten().collect::<Vec<_>>(), there);
                assert_eq!(set.gaps(range).into_iter().flatten().collect::<Vec<_>>(), missing);
            }
        }
    }
}
