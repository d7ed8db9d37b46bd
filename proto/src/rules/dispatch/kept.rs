//! Parcels that have been executed and are not committed.
//!
//! Owns them by their first unit, so that a commit looks only at those that it may settle. Refuses
//! to know what becomes of them.

use std::collections::BTreeMap;

use super::Sent;
use crate::{ranges::RangeSet, role::LinkId, unit::UnitId};

#[derive(Debug, Default)]
pub(super) struct Kept {
    // By the first unit's root; the number tells parcels over one root apart.
    parcels: BTreeMap<(UnitId, u64), (LinkId, Sent)>,
    next: u64,
}

impl Kept {
    pub fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Keeps what a worker has executed.
    pub fn push(&mut self, link: LinkId, sent: Sent) {
        let root = sent.units.spans().first().map_or(0, |span| span.first);
        self.parcels.insert((root, self.next), (link, sent));
        self.next += 1;
    }

    /// What a worker has executed.
    pub fn take_of(&mut self, link: LinkId) -> Vec<Sent> {
        let theirs = self.parcels.iter().filter(|(_, (owner, _))| *owner == link);
        let keys = theirs.map(|(key, _)| *key).collect();
        self.take(keys)
    }

    /// Gives up what is committed.
    pub fn settle(&mut self, committed: &RangeSet) -> Vec<Sent> {
        let mut settled = Vec::new();
        let below = (committed.watermark() > 0).then_some((0, committed.watermark()));
        for (start, end) in below.into_iter().chain(committed.above()) {
            let begun = self.parcels.range((start, 0)..(end, 0));
            let whole = begun.filter(|(_, (_, sent))| sent.units.all_in(committed));
            let keys = whole.map(|(key, _)| *key).collect();
            settled.extend(self.take(keys));
        }
        settled
    }

    fn take(&mut self, keys: Vec<(UnitId, u64)>) -> Vec<Sent> {
        keys.iter().filter_map(|key| self.parcels.remove(key)).map(|(_, sent)| sent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rules::dispatch::FRESH, time::Time, units::Units};

    fn sent(first: UnitId, count: u32) -> Sent {
        let units = Units::from_source(first, vec![0; count as usize], (1..=count).collect());
        let at = Time::default();
        Sent { units, history: FRESH, at, retracted: false, copy: false, copied: false }
    }

    #[test]
    fn a_commit_settles_what_lies_wholly_below_the_watermark_or_in_a_range_above() {
        let mut kept = Kept::default();
        for first in [0, 10, 20, 30] {
            kept.push(1, sent(first, 10));
        }
        let firsts = |settled: Vec<Sent>| -> Vec<UnitId> {
            settled.iter().map(|sent| sent.units.spans()[0].first).collect()
        };
        let committed = RangeSet::from_parts(15, [(19, 31)]);
        assert_eq!(firsts(kept.settle(&committed)), [0, 20]);
        assert_eq!(firsts(kept.take_of(1)), [10, 30]);
        assert!(kept.is_empty());
    }
}
