//! Parcels that have been executed and are not committed.
//!
//! Owns them by their first unit, so that a commit looks only at those that it may settle. Refuses
//! to know what becomes of them.

use std::{collections::BTreeMap, ops::Range};

use super::sent::Sent;
use crate::{ranges::RangeSet, role::LinkId, unit::UnitId};

#[derive(Debug, Default)]
pub(super) struct KeptParcels {
    // By the first unit's root; the number tells parcels over one root apart.
    parcels: BTreeMap<(UnitId, u64), (LinkId, Sent)>,
    next: u64,
    bytes: usize,
}

impl KeptParcels {
    pub fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Bytes of their values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps what a worker has executed.
    pub fn push(&mut self, link: LinkId, sent: Sent) {
        let root = sent.units.spans().first().map_or(0, |span| span.first);
        self.bytes += sent.units.bytes();
        self.parcels.insert((root, self.next), (link, sent));
        self.next += 1;
    }

    /// What a worker has executed.
    pub fn take_of(&mut self, link: LinkId) -> Vec<Sent> {
        let theirs = self.parcels.iter().filter(|(_, (owner, _))| *owner == link);
        let keys = theirs.map(|(key, _)| *key).collect();
        self.take(keys)
    }

    /// What a worker has executed, but for copies of what another one has or had.
    pub fn take_own_of(&mut self, link: LinkId) -> Vec<Sent> {
        let own = self
            .parcels
            .iter()
            .filter(|(_, (owner, sent))| *owner == link && !sent.holding.is_copy());
        let keys = own.map(|(key, _)| *key).collect();
        self.take(keys)
    }

    /// Gives up what is committed by now; `news` are the ranges of `committed` that have grown, so
    /// nothing is looked at twice. A parcel whose units lie in several ranges goes at the latest
    /// when all of them are below the watermark.
    pub fn settle(&mut self, committed: &RangeSet, news: &[Range<UnitId>]) -> Vec<Sent> {
        let mut settled = Vec::new();
        for range in news {
            let begun = self.parcels.range((range.start, 0)..(range.end, 0));
            let whole = begun.filter(|(_, (_, sent))| sent.units.all_in(committed));
            let keys = whole.map(|(key, _)| *key).collect();
            settled.extend(self.take(keys));
        }
        settled
    }

    fn take(&mut self, keys: Vec<(UnitId, u64)>) -> Vec<Sent> {
        let taken = keys.iter().filter_map(|key| self.parcels.remove(key));
        let taken: Vec<Sent> = taken.map(|(_, sent)| sent).collect();
        self.bytes -= taken.iter().map(|sent| sent.units.bytes()).sum::<usize>();
        taken
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
            kept.push(1, sent(first, 10));
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
    fn a_parcel_of_several_ranges_goes_when_the_watermark_has_passed_all_of_them() {
        let mut kept = KeptParcels::default();
        let mut several = sent(0, 2);
        several.units.append(&sent(8, 2).units);
        kept.push(1, several);
        let mut committed = RangeSet::new();
        for (range, settled) in [(0..2, 0), (8..10, 0), (2..8, 1)] {
            let grown = committed.insert(range);
            assert_eq!(kept.settle(&committed, &[grown]).len(), settled);
        }
    }
}
