//! Units of the source whose sender was lost while the function worked on them.
//!
//! Owns which of them are done: their outcomes are kept here until they are committed, so a ventilator that was
//! started anew, knows nothing of them and sends them again is told that they are done. A unit may take days.
//! Refuses units between stages: what comes before them, executed again, may give others.

use proto::{
    frame::Failed,
    ranges::RangeSet,
    units::{Span, Units},
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    done: RangeSet,
}

impl Orphans {
    /// The first units of a parcel are done, but for those that failed: only their sender would have been told.
    pub fn finished(&mut self, spans: &[Span], units: usize, failed: &[Failed]) {
        if !are_of_source(spans) {
            return;
        }
        let roots = spans.iter().flat_map(Span::roots).take(units);
        for (index, root) in roots.enumerate() {
            if failed.iter().all(|failed| failed.index as usize != index) {
                self.done.insert(root..root + 1);
            }
        }
    }

    /// The units that have still to be executed, and the place of each in the parcel if some have not.
    pub fn spare(&self, units: Units) -> (Units, Option<Vec<u32>>) {
        let is_any = |span: &Span| self.done.intersects(span.roots());
        if self.done.is_empty()
            || !are_of_source(units.spans())
            || !units.spans().iter().any(is_any)
        {
            return (units, None);
        }
        let roots = units.spans().iter().flat_map(Span::roots);
        let left = (0..).zip(roots).filter(|(_, root)| !self.done.contains(*root));
        let places = left.map(|(place, _)| place).collect();
        (units.without(&self.done), Some(places))
    }

    /// What is committed is sent by nobody any more.
    pub fn forget(&mut self, committed: &RangeSet) {
        if !self.done.is_empty() {
            committed.common(&self.done).iter().for_each(|range| self.done.remove(range));
        }
    }

    /// What is done belongs to another run.
    pub fn clear(&mut self) {
        self.done = RangeSet::new();
    }
}

/// Whether these are units of the source.
fn are_of_source(spans: &[Span]) -> bool {
    spans.iter().all(|span| span.path.is_empty())
}

/// Whether any of these units is one of those.
pub(crate) fn overlap(some: &[Span], others: &[Span]) -> bool {
    some.iter().any(|one| others.iter().any(|other| one.overlaps(other)))
}
