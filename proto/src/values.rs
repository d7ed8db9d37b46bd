//! Encoded values one after the other, and where each one ends.
//!
//! Owns the memory of values on their way through a process: they are written once, or stay in
//! the frame that they came in, and from then on are cut and kept without a copy. Refuses to know
//! whose values they are.
#![expect(
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "ends were found by walking the payload, and indices come from spans that were counted"
)]

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use crate::{
    units::UnitsError,
    value::{plain_len, value_len},
};

/// A cut of shared values that is smaller than this part of the whole gets its own memory, so
/// that a few values never keep many others alive.
const SHARED_PART: usize = 4;

/// Values in order.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    /// Still growing.
    Own { payload: Vec<u8>, ends: Vec<u32> },
    /// A range of values that others may look at as well.
    Shared { block: Arc<Block>, range: Range<usize> },
}

#[derive(Debug)]
pub(crate) struct Block {
    payload: Bytes,
    ends: Vec<u32>,
}

impl Default for Values {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new())
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.payload() == other.payload()
            && self.len() == other.len()
            && self.iter(0..self.len()).eq(other.iter(0..other.len()))
    }
}

impl Eq for Values {}

impl Values {
    /// `ends` tells where in `payload` each value ends.
    pub(crate) fn new(payload: Vec<u8>, ends: Vec<u32>) -> Self {
        Self::Own { payload, ends }
    }

    /// Finds the ends of exactly `announced` values.
    pub(crate) fn check(payload: Bytes, announced: u64) -> Result<Self, UnitsError> {
        // Each value has a byte at least: nobody makes this process take memory by a mere number.
        let mut ends = Vec::with_capacity(payload.len().min(announced as usize));
        let mut at = 0;
        while at < payload.len() && (ends.len() as u64) < announced {
            // Values often are as long as the one before. To look how many are, and then to write
            // down where they end, is faster than to wait for each length before the next value
            // can be looked at.
            let len = value_len(&payload[at..])?;
            let alike = payload[at..]
                .chunks_exact(len)
                .take((announced - ends.len() as u64) as usize)
                .take_while(|value| plain_len(value[0]) == len)
                .count()
                .max(1);
            ends.extend((1..=alike).map(|values| (at + values * len) as u32));
            at += alike * len;
        }
        if at < payload.len() || (ends.len() as u64) < announced {
            let found = ends.len() as u64 + u64::from(at < payload.len());
            return Err(UnitsError::Count { announced, found });
        }
        let range = 0..ends.len();
        Ok(Self::Shared { block: Arc::new(Block { payload, ends }), range })
    }

    pub(crate) fn share(&mut self) {
        if let Self::Own { payload, ends } = self {
            let (payload, ends) = (std::mem::take(payload).into(), std::mem::take(ends));
            let range = 0..ends.len();
            *self = Self::Shared { block: Arc::new(Block { payload, ends }), range };
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends().len()
    }

    /// All of them, one after the other.
    pub(crate) fn payload(&self) -> &[u8] {
        self.get(0..self.len())
    }

    /// The bytes of some of them.
    pub(crate) fn get(&self, indices: Range<usize>) -> &[u8] {
        let (start, end) = (self.start(indices.start), self.start(indices.end));
        match self {
            Self::Own { payload, .. } => &payload[start..end],
            Self::Shared { block, .. } => &block.payload[start..end],
        }
    }

    /// Some of them, one by one.
    pub(crate) fn iter(&self, indices: Range<usize>) -> ValueIter<'_> {
        let start = self.start(indices.start);
        let payload = match self {
            Self::Own { payload, .. } => &payload[..],
            Self::Shared { block, .. } => &block.payload,
        };
        ValueIter { payload, start, ends: self.ends()[indices].iter() }
    }

    /// How many from `from` on fit both limits; at least one if there is any.
    pub(crate) fn fitting(&self, from: usize, units_max: usize, bytes_max: usize) -> usize {
        let limit = self.start(from).saturating_add(bytes_max).min(u32::MAX as usize) as u32;
        let until = from.saturating_add(units_max.max(1)).min(self.len());
        let by_bytes = self.ends()[from..until].partition_point(|end| *end <= limit);
        by_bytes.max(1).min(until - from)
    }

    pub(crate) fn slice(&self, indices: Range<usize>) -> Self {
        if let Self::Shared { block, range } = self
            && self.get(indices.clone()).len() * SHARED_PART >= block.payload.len()
            && indices.len() * SHARED_PART >= block.ends.len()
        {
            let range = range.start + indices.start..range.start + indices.end;
            return Self::Shared { block: block.clone(), range };
        }
        let start = self.start(indices.start) as u32;
        let payload = self.get(indices.clone()).to_vec();
        let ends = self.ends()[indices].iter().map(|end| end - start).collect();
        Self::Own { payload, ends }
    }

    pub(crate) fn push(&mut self, value: &[u8]) {
        let (payload, ends) = self.own();
        payload.extend_from_slice(value);
        ends.push(payload.len() as u32);
    }

    /// Appends what lies in `payload`, which begins at `start` as `more` counts.
    pub(crate) fn extend(&mut self, more: &[u8], more_ends: &[u32], start: u32) {
        let (payload, ends) = self.own();
        let base = payload.len() as u32;
        payload.extend_from_slice(more);
        ends.extend(more_ends.iter().map(|end| base + (end - start)));
    }

    /// Appends some of another's values. Shared ones stay where they are if they are the first
    /// here, or follow those that are here in the same memory.
    pub(crate) fn append(&mut self, other: &Self, indices: Range<usize>) {
        if let Self::Shared { block, range } = other {
            let (from, to) = (range.start + indices.start, range.start + indices.end);
            match self {
                Self::Shared { block: known, range }
                    if Arc::ptr_eq(known, block) && range.end == from =>
                {
                    range.end = to;
                    return;
                }
                _ if self.len() == 0 => {
                    *self = Self::Shared { block: block.clone(), range: from..to };
                    return;
                }
                _ => {}
            }
        }
        let start = other.start(indices.start) as u32;
        self.extend(other.get(indices.clone()), &other.ends()[indices], start);
    }

    /// Gets memory of its own where it is a small part of what it keeps alive.
    pub(crate) fn let_go(&mut self) {
        if let Self::Shared { .. } = self {
            *self = self.slice(0..self.len());
        }
    }

    fn ends(&self) -> &[u32] {
        match self {
            Self::Own { ends, .. } => ends,
            Self::Shared { block, range } => &block.ends[range.clone()],
        }
    }

    /// Where the value at `index` starts in its memory.
    fn start(&self, index: usize) -> usize {
        let before = match self {
            Self::Own { ends, .. } => index.checked_sub(1).map(|before| ends[before]),
            Self::Shared { block, range } => {
                (range.start + index).checked_sub(1).map(|before| block.ends[before])
            }
        };
        before.map_or(0, |end| end as usize)
    }

    /// Memory of its own, to be written to.
    fn own(&mut self) -> (&mut Vec<u8>, &mut Vec<u32>) {
        if let Self::Shared { .. } = self {
            let start = self.start(0) as u32;
            let payload = self.payload().to_vec();
            let ends = self.ends().iter().map(|end| end - start).collect();
            *self = Self::Own { payload, ends };
        }
        match self {
            Self::Own { payload, ends } => (payload, ends),
            Self::Shared { .. } => unreachable!("what was shared has just been copied"),
        }
    }
}

/// Values one by one.
#[derive(Debug, Clone)]
pub struct ValueIter<'a> {
    payload: &'a [u8],
    start: usize,
    ends: std::slice::Iter<'a, u32>,
}

impl<'a> Iterator for ValueIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let end = *self.ends.next()? as usize;
        let value = self.payload.get(self.start..end)?;
        self.start = end;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ends.size_hint()
    }
}

impl ExactSizeIterator for ValueIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: u8) -> Values {
        Values::new((0..count).collect(), (1..=u32::from(count)).collect())
    }

    #[test]
    fn the_ends_of_values_are_found_however_alike_they_are() {
        let lengths = [1, 1, 5, 5, 5, 9, 40, 40, 1, 300, 9, 9];
        let mut payload = Vec::new();
        for len in lengths {
            match len {
                1 => payload.push(7),
                5 => payload.extend([0xce, 1, 2, 3, 4]),
                9 => payload.extend([0xcf, 1, 2, 3, 4, 5, 6, 7, 8]),
                _ => crate::value::push_str(&mut payload, &"x".repeat(len)),
            }
        }
        let whole: Bytes = payload.into();
        let values = Values::check(whole.clone(), lengths.len() as u64).unwrap();
        let found: Vec<usize> = values.iter(0..lengths.len()).map(<[u8]>::len).collect();
        assert_eq!(found, [1, 1, 5, 5, 5, 9, 42, 42, 1, 303, 9, 9]);
        for count in [0, 1, 4, 11, 13] {
            assert!(Values::check(whole.clone(), count).is_err(), "{count}");
        }
        for len in 0..whole.len() {
            assert!(Values::check(whole.slice(..len), lengths.len() as u64).is_err(), "{len}");
        }
    }

    #[test]
    fn a_large_cut_shares_the_memory_and_a_small_one_does_not_keep_it_alive() {
        let mut all = values(16);
        all.share();
        let large = all.slice(4..12);
        assert!(matches!(large, Values::Shared { .. }));
        assert_eq!(large, Values::new((4..12).collect(), (1..=8).collect()));
        let small = large.slice(1..3);
        assert!(matches!(small, Values::Own { .. }));
        assert_eq!(small.payload(), [5, 6]);
    }

    #[test]
    fn what_lies_together_is_appended_without_a_copy_and_few_values_let_the_others_go() {
        let mut all = values(16);
        all.share();
        let mut cut = Values::default();
        cut.append(&all, 3..4);
        cut.append(&all, 4..6);
        assert!(matches!(&cut, Values::Shared { range, .. } if *range == (3..6)));
        cut.let_go();
        assert!(matches!(cut, Values::Own { .. }));
        cut.append(&all, 6..7);
        cut.append(&all, 9..10);
        assert_eq!(cut.payload(), [3, 4, 5, 6, 9]);
        assert_eq!(cut.len(), 5);
    }

    #[test]
    fn what_is_appended_to_a_cut_leaves_the_others_as_they_were() {
        let mut all = values(8);
        all.share();
        let mut cut = all.slice(2..6);
        cut.append(&all, 6..8);
        cut.push(&[9]);
        assert_eq!(cut.payload(), [2, 3, 4, 5, 6, 7, 9]);
        assert_eq!(cut.iter(3..7).map(|value| value[0]).collect::<Vec<_>>(), [5, 6, 7, 9]);
        assert_eq!(all, values(8));
    }
}
