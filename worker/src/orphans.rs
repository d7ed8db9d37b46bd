//! Units of the source whose sender was lost while the function worked on them.
//!
//! Owns which of them are worked on, and which are done: their outcomes are kept here until they are committed, so
//! a ventilator that was started anew, knows nothing of them and sends them again is told that they are done. A unit
//! may take days. Refuses units between stages: what comes before them, executed again, may give others.

use std::{collections::BTreeMap, ops::Range};

use proto::{frame::Failed, ranges::RangeSet, unit::UnitId, units::Units};

use crate::request::Ticket;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    working: BTreeMap<Ticket, Vec<Range<UnitId>>>,
    done: RangeSet,
}

impl Orphans {
    /// The sender of these is lost, while the executor has them.
    pub fn adopt(&mut self, ticket: Ticket, units: Vec<Range<UnitId>>) {
        self.working.insert(ticket, units);
    }

    /// The executor has done so many of the first of a parcel, but for those that failed: only their sender would
    /// have been told.
    pub fn finished(&mut self, ticket: Ticket, units: usize, failed: &[Failed]) {
        let roots = self.working.remove(&ticket).into_iter().flatten().flatten().take(units);
        for (index, root) in roots.enumerate() {
            if failed.iter().all(|failed| failed.index as usize != index) {
                self.done.insert(root..root + 1);
            }
        }
    }

    /// Whether any of these is worked on: it may be done in a moment.
    pub fn are_worked_on(&self, units: &Units) -> bool {
        let meet = |a: &Range<UnitId>, b: &Range<UnitId>| a.start < b.end && b.start < a.end;
        !self.working.is_empty()
            && roots(units).iter().any(|a| self.working.values().flatten().any(|b| meet(a, b)))
    }

    /// The units that have still to be executed, and the place of each in the parcel if some have not.
    pub fn spare(&self, units: Units) -> (Units, Option<Vec<u32>>) {
        if self.done.is_empty() {
            return (units, None);
        }
        let roots = roots(&units);
        if !roots.iter().any(|range| self.done.intersects(range.clone())) {
            return (units, None);
        }
        let left = (0..).zip(roots.into_iter().flatten());
        let left = left.filter(|(_, root)| !self.done.contains(*root));
        let places = left.map(|(place, _)| place).collect();
        (units.without(&self.done), Some(places))
    }

    /// What is committed is sent by nobody any more.
    pub fn forget(&mut self, committed: &RangeSet) {
        if !self.done.is_empty() {
            committed.common(&self.done).iter().for_each(|range| self.done.remove(range));
        }
    }

    /// All of this belongs to another run.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Which units of the source these are, in their order; none if they come from a stage.
pub(crate) fn roots(units: &Units) -> Vec<Range<UnitId>> {
    match units.spans() {
        spans if spans.iter().all(|span| span.path.is_empty()) => {
            spans.iter().map(|span| span.roots()).collect()
        }
        _ => Vec::new(),
    }
}
