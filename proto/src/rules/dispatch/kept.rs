//! Parcels that have been executed and are not committed.
//!
//! Owns them, and finds those that a commit settles by the ranges of units that it made longer, so
//! that nothing is looked at twice, however many holes there are. Refuses to know what becomes of
//! them.

use std::{collections::BTreeMap, ops::Range};

use super::sent::Sent;
use crate::{ranges::RangeSet, role::LinkId, unit::UnitId, units::Units};

#[derive(Debug, Default)]
pub(super) struct KeptParcels {
    // By a number of its own.
    parcels: BTreeMap<u64, Kept>,
    // The ranges of units that are not committed, by their first and the number of the parcel; with
    // their end.
    open: BTreeMap<(UnitId, u64), UnitId>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    link: LinkId,
    sent: Sent,
    // How many of its ranges are not committed.
    open: usize,
}

/// The units of the source that values belong to, as ranges; neighbours in one.
fn roots(units: &Units) -> Vec<Range<UnitId>> {
    let mut ranges: Vec<Range<UnitId>> = Vec::new();
    for roots in units.spans().iter().map(|span| span.roots()) {
        match ranges.last_mut() {
            Some(last) if roots.start >= last.start && roots.start <= last.end => {
                last.end = last.end.max(roots.end);
            }
            _ => ranges.push(roots),
        }
    }
    ranges
}

impl KeptParcels {
    pub fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Bytes of their values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps what a worker has executed, of which not all is `committed`.
    pub fn push(&mut self, link: LinkId, sent: Sent, committed: &RangeSet) {
        let number = self.next;
        self.next += 1;
        self.bytes += sent.units.bytes();
        let mut open = 0;
        for Range { start, end } in roots(&sent.units) {
            if committed.contains_range(start..end) {
                continue;
            }
            // The longer one, if two begin with the same unit.
            let known = self.open.entry((start, number)).or_insert_with(|| {
                open += 1;
                end
            });
            *known = end.max(*known);
        }
        self.parcels.insert(number, Kept { link, sent, open });
    }

    /// What a worker has executed.
    pub fn take_of(&mut self, link: LinkId) -> Vec<Sent> {
        self.take(|kept| kept.link == link)
    }

    /// What a worker has executed, but for copies of what another one has or had.
    pub fn take_own_of(&mut self, link: LinkId) -> Vec<Sent> {
        self.take(|kept| kept.link == link && !kept.sent.holding.is_copy())
    }

    fn take(&mut self, wanted: impl Fn(&Kept) -> bool) -> Vec<Sent> {
        let numbers = self.parcels.iter().filter(|(_, kept)| wanted(kept));
        let numbers: Vec<u64> = numbers.map(|(number, _)| *number).collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    fn remove(&mut self, number: u64) -> Option<Sent> {
        let kept = self.parcels.remove(&number)?;
        self.bytes -= kept.sent.units.bytes();
        if kept.open > 0 {
            for range in roots(&kept.sent.units) {
                self.open.remove(&(range.start, number));
            }
        }
        Some(kept.sent)
    }

    /// Which of these roots it has.
    pub fn among(&self, roots: &RangeSet) -> RangeSet {
        let open = self.open.iter().map(|((start, _), end)| *start..*end);
        let mut found = RangeSet::new();
        open.filter(|range| roots.intersects(range.clone()))
            .for_each(|range| _ = found.insert(range));
        found
    }

    /// Gives up what is committed by now; `news` are the ranges of `committed` that have grown.
    pub fn settle(&mut self, committed: &RangeSet, news: &[Range<UnitId>]) -> Vec<Sent> {
        let mut settled = Vec::new();
        for range in news {
            let begun = self.open.range((range.start, 0)..(range.end, 0));
            let whole = begun.filter(|((start, _), end)| committed.contains_range(*start..**end));
            let keys: Vec<(UnitId, u64)> = whole.map(|(key, _)| *key).collect();
            for key in keys {
                self.open.remove(&key);
                let (_, number) = key;
                let Some(kept) = self.parcels.get_mut(&number) else { continue };
                kept.open -= 1;
                if kept.open == 0 {
                    settled.extend(self.remove(number));
                }
            }
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rules::dispatch::sent::FRESH, time::Time, units::Units};

    fn sent(first: UnitId, count: u32) -> Sent {
        let units = Units::from_source(first, vec![0; count as usize], (1..=count).collect());
        Sent::then(Time::default(), units, FRESH)
    }

    #[test]
    fn a_commit_settles_what_lies_wholly_below_the_watermark_or_in_a_range_above() {
        let mut kept = KeptParcels::default();
        for first in [0, 10, 20, 30] {
            kept.push(1, sent(first, 10), &RangeSet::new());
        }
        let firsts = |settled: Vec<Sent>| -> Vec<UnitId> {
            settled.iter().map(|sent| sent.units.spans()[0].first).collect()
        };
        let mut committed = RangeSet::from_parts(15, [(19, 31)]);
        let all: Vec<_> = committed.iter().collect();
        assert_eq!(firsts(kept.settle(&committed, &all)), [0, 20]);
        let grown = committed.insert(15..17);
        assert!(firsts(kept.settle(&committed, &[grown])).is_empty());
        let grown = committed.insert(17..19);
        assert_eq!(firsts(kept.settle(&committed, &[grown])), [10]);
        assert_eq!(firsts(kept.take_of(1)), [30]);
        assert!(kept.is_empty());
    }

    #[test]
    fn a_parcel_of_several_ranges_goes_with_the_last_of_them_wherever_the_watermark_is() {
        let mut kept = KeptParcels::default();
        let mut several = sent(3, 2);
        several.units.append(&sent(8, 2).units);
        several.units.append(&sent(1, 1).units);
        let mut committed = RangeSet::from_parts(0, [(3, 5)]);
        kept.push(1, several, &committed);
        for (range, settled) in [(2..3, 0), (8..10, 0), (20..30, 0), (1..2, 1)] {
            let grown = committed.insert(range);
            assert_eq!(kept.settle(&committed, &[grown]).len(), settled);
        }
        assert_eq!((kept.is_empty(), kept.bytes(), kept.open.len()), (true, 0, 0));
    }

    #[test]
    fn what_is_taken_leaves_nothing_behind() {
        let mut kept = KeptParcels::default();
        kept.push(1, sent(3, 2), &RangeSet::new());
        kept.push(2, sent(3, 2), &RangeSet::new());
        assert_eq!(kept.take_of(1).len(), 1);
        let mut committed = RangeSet::new();
        let grown = committed.insert(0..9);
        assert_eq!(kept.settle(&committed, &[grown]).len(), 1);
        assert_eq!((kept.is_empty(), kept.bytes(), kept.open.len()), (true, 0, 0));
    }
}
