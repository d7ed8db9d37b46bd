//! What the sink has committed: as another process knows it, and as it is told.
//!
//! Owns the two ends of that: the merge of what is heard, and what has still to be said. What is
//! committed only grows, so each `Commit` is a part of it and none takes anything back: one that
//! comes late or twice changes nothing. One that is lost leaves a gap in its session, which ends
//! it, and a session begins with all that there is. So any number of holes may be told, and each
//! of them once. Refuses to know who is told, and when.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::{iter, ops::Range};

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
    urgent: Option<UnitId>,
}

impl Committed {
    /// Takes a part in; whether it brought anything new.
    pub fn apply(&mut self, commit: &Commit) -> bool {
        let told = iter::once((0, commit.watermark)).chain(commit.above.iter().copied());
        self.news.clear();
        for (start, end) in told {
            if !self.set.contains_range(start..end) {
                self.news.push(self.set.insert(start..end));
            }
        }
        let news = commit.horizon > self.horizon || (commit.complete && !self.complete);
        self.horizon = self.horizon.max(commit.horizon);
        self.complete |= commit.complete;
        self.urgent = commit.urgent.or(self.urgent);
        news || !self.news.is_empty()
    }

    /// The ranges of the set that the last part has made, or made longer.
    pub fn news(&self) -> &[Range<UnitId>] {
        &self.news
    }

    /// The committed units.
    pub fn set(&self) -> &RangeSet {
        &self.set
    }

    /// How many units are below the horizon and not committed, as far as is known here, if all
    /// below `next` have been sent.
    pub fn in_flight(&self, next: UnitId) -> u64 {
        next.saturating_sub(self.set.len())
    }

    /// No unit at or beyond it may be sent.
    pub fn horizon(&self) -> UnitId {
        self.horizon
    }

    /// Whether the sink has closed its outputs.
    pub fn complete(&self) -> bool {
        self.complete
    }

    /// The unit that gets on where there is no room.
    pub fn urgent(&self) -> UnitId {
        self.urgent.unwrap_or(self.set.watermark())
    }

    /// It is this one from now on, and not the oldest.
    pub fn urge(&mut self, unit: UnitId) {
        self.urgent = Some(unit);
    }

    /// All that is known here, for one who knows nothing; at least one part.
    pub fn whole(&self) -> Vec<Commit> {
        whole(&self.set, self.horizon, self.complete)
    }
}

/// All of `set`, for one who knows nothing: in the order in which the parts have to be sent, and at
/// least one of them. Only the last one lets anything be sent, so that nobody sends what one of
/// the others would have said to be committed.
pub fn whole(set: &RangeSet, horizon: UnitId, complete: bool) -> Vec<Commit> {
    parts(set.watermark(), set.above().collect(), horizon, complete)
}

fn parts(
    watermark: UnitId,
    above: Vec<(UnitId, UnitId)>,
    horizon: UnitId,
    complete: bool,
) -> Vec<Commit> {
    let mut parts: Vec<Commit> = above
        .chunks(COMMIT_RANGES_MAX)
        .map(|above| Commit { watermark, above: above.to_vec(), ..Commit::default() })
        .collect();
    match parts.last_mut() {
        Some(last) => (last.horizon, last.complete) = (horizon, complete),
        None => parts.push(Commit { watermark, horizon, complete, ..Commit::default() }),
    }
    parts
}

/// What has been committed and not been told yet, to those who were told all before.
#[derive(Debug, Clone, Default)]
pub struct Untold {
    ranges: RangeSet,
}

impl Untold {
    /// These units are committed now; it may be a range of the whole set that has grown.
    pub fn add(&mut self, range: Range<UnitId>) {
        self.ranges.insert(range);
    }

    /// All of it, to be told now: `set` is everything that is committed. At least one part.
    pub fn take(&mut self, set: &RangeSet, horizon: UnitId, complete: bool) -> Vec<Commit> {
        let watermark = set.watermark();
        let ranges = std::mem::take(&mut self.ranges);
        let above = ranges.iter().filter(|range| range.end > watermark);
        parts(watermark, above.map(|range| (range.start, range.end)).collect(), horizon, complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(watermark: UnitId, above: &[(UnitId, UnitId)]) -> Commit {
        Commit { watermark, above: above.to_vec(), ..Commit::default() }
    }

    #[test]
    fn a_late_part_takes_nothing_back() {
        let mut known = Committed::default();
        let newer = Commit { horizon: 99, ..part(9, &[(11, 12)]) };
        assert!(known.apply(&newer));
        assert!(!known.apply(&Commit { watermark: 3, horizon: 50, ..Commit::default() }));
        assert_eq!(known.whole(), [newer]);
    }

    #[test]
    fn what_is_urgent_is_the_oldest_unless_it_is_told_and_stays_so() {
        let mut known = Committed::default();
        known.apply(&part(3, &[]));
        assert_eq!(known.urgent(), 3);
        known.apply(&Commit { urgent: Some(8), ..part(4, &[]) });
        known.apply(&part(6, &[]));
        assert_eq!(known.urgent(), 8);
    }

    #[test]
    fn news_are_the_whole_ranges_that_have_grown() {
        let mut known = Committed::default();
        known.apply(&part(9, &[(11, 12), (20, 22), (30, 31)]));
        assert_eq!(known.news(), [0..9, 11..12, 20..22, 30..31]);
        assert!(known.apply(&part(9, &[(11, 14), (20, 22), (30, 31), (40, 41)])));
        assert_eq!(known.news(), [11..14, 40..41]);
        assert!(known.apply(&part(11, &[(20, 22), (22, 24)])));
        assert_eq!(known.news(), [0..14, 20..24]);
        assert!(!known.apply(&part(11, &[(40, 41), (12, 13)])), "in whatever order");
        assert_eq!(known.news(), []);
    }

    #[test]
    fn any_number_of_holes_is_told_and_nothing_may_be_sent_before_the_last_of_them() {
        let holes = 3 * COMMIT_RANGES_MAX as u64 + 1;
        let set = RangeSet::from_parts(5, (5..5 + holes).map(|n| (2 * n, 2 * n + 1)));
        let parts = whole(&set, 9_999_999, true);
        assert_eq!(parts.len(), 4);
        let mut known = Committed::default();
        for (place, part) in parts.iter().enumerate() {
            assert!(part.above.len() <= COMMIT_RANGES_MAX);
            known.apply(part);
            assert_eq!(known.horizon() > 0 && known.complete(), place == 3);
        }
        assert_eq!(known.set(), &set);
    }

    #[test]
    fn what_is_new_is_told_once_and_what_the_watermark_covers_not_at_all() {
        let (mut set, mut untold) = (RangeSet::new(), Untold::default());
        let mut commit = |range: Range<UnitId>, untold: &mut Untold| {
            untold.add(set.insert(range));
            set.clone()
        };
        commit(0..3, &mut untold);
        let set = commit(5..7, &mut untold);
        assert_eq!(untold.take(&set, 0, false), [part(3, &[(5, 7)])]);
        assert_eq!(untold.take(&set, 0, false), [part(3, &[])]);
        let set = commit(7..9, &mut untold);
        assert_eq!(untold.take(&set, 0, false), [part(3, &[(5, 9)])]);
        commit(20..21, &mut untold);
        let set = commit(3..5, &mut untold);
        assert_eq!(untold.take(&set, 0, false), [part(9, &[(20, 21)])]);
    }
}
