//! What the sink has committed, as another process knows it.
//!
//! Owns the merge of successive reports; refuses to let knowledge shrink: a report that comes
//! late, twice or shortened takes nothing back.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::{
    frame::{COMMIT_RANGES_MAX, Commit},
    ranges::RangeSet,
    unit::UnitId,
};

/// The committed units, and how far the ventilator may go.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    set: RangeSet,
    horizon: UnitId,
    complete: bool,
}

impl Committed {
    /// Takes a report in; whether it brought anything new.
    pub fn apply(&mut self, commit: &Commit) -> bool {
        let mut news = commit.horizon > self.horizon || (commit.complete && !self.complete);
        let below = (0, commit.watermark);
        for (start, end) in std::iter::once(below).chain(commit.above.iter().copied()) {
            // Most of a report is known from the one before.
            if !self.set.contains_range(start..end) {
                self.set.insert(start..end);
                news = true;
            }
        }
        self.horizon = self.horizon.max(commit.horizon);
        self.complete |= commit.complete;
        news
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
}
