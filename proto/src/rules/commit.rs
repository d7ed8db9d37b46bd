//! What the sink has committed, as another process knows it.
//!
//! Owns the merge of successive reports; refuses to let knowledge shrink: a report that comes
//! late, twice or shortened takes nothing back.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::ops::Range;

use crate::{
    frame::{COMMIT_RANGES_MAX, Commit},
    ranges::RangeSet,
    unit::UnitId,
};

/// The committed units, and how far the ventilator may go.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    set: RangeSet,
    news: Vec<Range<UnitId>>,
    horizon: UnitId,
    complete: bool,
}

impl Committed {
    /// Takes a report in; whether it brought anything new.
    pub fn apply(&mut self, commit: &Commit) -> bool {
        let told = std::iter::once((0, commit.watermark)).chain(commit.above.iter().copied());
        // Most of a report is known from the one before, and both are in order: so one walk over
        // what is known finds nearly all of it.
        let mut fresh = Vec::new();
        let mut known = self.set.iter().peekable();
        for (start, end) in told {
            while known.next_if(|range| range.end < end).is_some() {}
            let found = known.peek().is_some_and(|range| range.start <= start);
            if !found && !self.set.contains_range(start..end) {
                fresh.push(start..end);
            }
        }
        drop(known);
        self.news.clear();
        self.news.extend(fresh.into_iter().map(|range| self.set.insert(range)));
        let news = commit.horizon > self.horizon || (commit.complete && !self.complete);
        self.horizon = self.horizon.max(commit.horizon);
        self.complete |= commit.complete;
        news || !self.news.is_empty()
    }

    /// The ranges of the set that the last report has made, or made longer.
    pub fn news(&self) -> &[Range<UnitId>] {
        &self.news
    }

    /// The committed units.
    pub fn set(&self) -> &RangeSet {
        &self.set
    }

    /// No unit at or beyond it may be sent.
    pub fn horizon(&self) -> UnitId {
        self.horizon
    }

    /// Whether the sink has closed its outputs.
    pub fn complete(&self) -> bool {
        self.complete
    }

    /// The report that tells others what is known here.
    pub fn report(&self) -> Commit {
        report(&self.set, self.horizon, self.complete)
    }
}

/// A report of `set`.
pub fn report(set: &RangeSet, horizon: UnitId, complete: bool) -> Commit {
    let above = set.above().take(COMMIT_RANGES_MAX).collect();
    Commit { watermark: set.watermark(), above, horizon, complete }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_report_takes_nothing_back() {
        let mut known = Committed::default();
        let newer = Commit { watermark: 9, above: vec![(11, 12)], horizon: 99, complete: false };
        assert!(known.apply(&newer));
        assert!(!known.apply(&Commit { watermark: 3, horizon: 50, ..Commit::default() }));
        assert_eq!(known.report(), newer);
    }

    #[test]
    fn news_are_the_whole_ranges_that_have_grown() {
        let mut known = Committed::default();
        let report = |watermark, above: &[_]| Commit {
            watermark,
            above: above.to_vec(),
            ..Commit::default()
        };
        known.apply(&report(9, &[(11, 12), (20, 22), (30, 31)]));
        assert_eq!(known.news(), [0..9, 11..12, 20..22, 30..31]);
        assert!(known.apply(&report(9, &[(11, 14), (20, 22), (30, 31), (40, 41)])));
        assert_eq!(known.news(), [11..14, 40..41]);
        assert!(known.apply(&report(11, &[(20, 22), (22, 24)])));
        assert_eq!(known.news(), [0..14, 20..24]);
        assert!(!known.apply(&report(11, &[(40, 41), (12, 13)])), "in whatever order");
        assert_eq!(known.news(), []);
    }
}
