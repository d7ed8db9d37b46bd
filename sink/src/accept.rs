//! Which outcomes are new: dedupe by unit id, and the trees of units that became several.
//!
//! Owns the set of accepted units; refuses everything that follows from acceptance. An outcome is
//! accepted once, whoever sends it and however often: a late one of a worker that was given up
//! is as welcome as any.

use std::{collections::BTreeMap, sync::Arc};

use proto::{
    frame::{Dead, Results},
    ranges::RangeSet,
    rules::{expansion::Expansion, outbox::timing_part},
    unit::{Path, UnitId},
    units::{Span, Units},
};

use crate::entry::{Entry, Leaf, Origin, Outcome};

/// What one leaf of a tree holds.
#[derive(Debug, Clone)]
enum Branch {
    Value { origin: Origin, value: Vec<u8>, us: u32 },
    Filtered(u32),
    Dead(Origin, Box<Dead>),
}

/// The accepted units.
#[derive(Debug, Default)]
pub struct Accept {
    accepted: RangeSet,
    open: BTreeMap<UnitId, Expansion<Branch>>,
    held_bytes: BTreeMap<UnitId, u64>,
    open_bytes: u64,
    duplicates: u64,
}

impl Accept {
    /// Everything in `accepted` has been accepted before.
    pub fn new(accepted: RangeSet) -> Self {
        Self { accepted, ..Self::default() }
    }

    /// Outcomes that came again, in units or outputs.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Memory that units take of which not all outputs are here.
    pub fn open_bytes(&self) -> u64 {
        self.open_bytes
    }

    /// The outcomes that are new, none of units at or beyond `end`.
    pub fn take(&mut self, results: Results, worker: &Arc<str>, end: UnitId) -> Vec<Entry> {
        let Results { stage, attempt, units, filtered, dead, timing, .. } = results;
        let origin = Origin { stage, attempt, worker: worker.to_string() };
        let mut entries = Vec::new();
        let mut at = 0;
        for span in units.spans() {
            let indices = at..at + span.count as usize;
            at = indices.end;
            if span.roots().end > end {
                continue;
            }
            if span.path.is_empty() {
                self.take_whole(span, indices.start, &units, &timing, &origin, &mut entries);
            } else {
                for (offset, index) in indices.enumerate() {
                    let (root, path) = span.unit(offset as u32);
                    let us = timing_part(&timing, index, 1).first().map_or(0, |(_, us)| *us);
                    let value = units.value(index).to_vec();
                    let branch = Branch::Value { origin: origin.clone(), value, us };
                    self.take_branch(root, &path, branch, &mut entries);
                }
            }
        }
        for span in filtered.into_iter().filter(|span| span.roots().end <= end) {
            self.take_filtered(&span, stage, &mut entries);
        }
        for dead in dead.into_iter().filter(|dead| dead.root < end) {
            let (root, path) = (dead.root, dead.path.clone());
            let branch = Branch::Dead(origin.clone(), Box::new(dead));
            self.take_branch(root, &path, branch, &mut entries);
        }
        entries
    }

    /// Units that gave one value each.
    fn take_whole(
        &mut self,
        span: &Span,
        from: usize,
        units: &Units,
        timing: &[(u32, u32)],
        origin: &Origin,
        entries: &mut Vec<Entry>,
    ) {
        let gaps = self.accepted.gaps(span.roots());
        let new: u64 = gaps.iter().map(|gap| gap.end - gap.start).sum();
        self.duplicates += u64::from(span.count) - new;
        for gap in gaps {
            let start = from + (gap.start - span.first) as usize;
            let count = (gap.end - gap.start) as usize;
            let outcome = Outcome::Values {
                origin: origin.clone(),
                units: units.slice(start..start + count),
                timing: timing_part(timing, start, count),
            };
            self.accept(gap.start, count as u64);
            entries.push(Entry { first: gap.start, count: count as u64, outcome });
        }
    }

    fn take_filtered(&mut self, span: &Span, stage: u32, entries: &mut Vec<Entry>) {
        if !span.path.is_empty() {
            for offset in 0..span.count {
                let (root, path) = span.unit(offset);
                self.take_branch(root, &path, Branch::Filtered(stage), entries);
            }
            return;
        }
        let gaps = self.accepted.gaps(span.roots());
        let new: u64 = gaps.iter().map(|gap| gap.end - gap.start).sum();
        self.duplicates += u64::from(span.count) - new;
        for gap in gaps {
            let count = gap.end - gap.start;
            self.accept(gap.start, count);
            entries.push(Entry { first: gap.start, count, outcome: Outcome::Filtered(stage) });
        }
    }

    /// One outcome of a unit that became several, or that alone died.
    fn take_branch(&mut self, root: UnitId, path: &Path, branch: Branch, entries: &mut Vec<Entry>) {
        if self.accepted.contains(root) {
            self.duplicates += 1;
            return;
        }
        let bytes = match &branch {
            Branch::Value { value, .. } => value.len() as u64 + 160,
            _ => 160,
        };
        let tree = self.open.entry(root).or_default();
        if !tree.insert(path, branch) {
            self.duplicates += 1;
            return;
        }
        self.open_bytes += bytes;
        *self.held_bytes.entry(root).or_default() += bytes;
        if tree.is_complete()
            && let Some(tree) = self.open.get(&root).cloned()
        {
            let outcome = outcome_of(tree.into_leaves());
            self.accept(root, 1);
            entries.push(Entry { first: root, count: 1, outcome });
        }
    }

    fn accept(&mut self, first: UnitId, count: u64) {
        self.accepted.insert(first..first + count);
        // What other executions brought of these units is of no use any more.
        let gone: Vec<UnitId> =
            self.open.range(first..first + count).map(|(root, _)| *root).collect();
        for root in gone {
            self.open.remove(&root);
            self.open_bytes -= self.held_bytes.remove(&root).unwrap_or_default();
        }
    }
}

/// The outcome of a unit from those of its outputs: dead if one of them is, filtered if all are.
fn outcome_of(leaves: Vec<(Vec<u32>, Branch)>) -> Outcome {
    let (mut values, mut filtered) = (Vec::new(), 0);
    for (indices, branch) in leaves {
        match branch {
            Branch::Value { origin, value, us } => values.push(Leaf { indices, origin, value, us }),
            Branch::Filtered(stage) => filtered = filtered.max(stage),
            Branch::Dead(origin, dead) => return Outcome::Dead { origin, dead: *dead },
        }
    }
    if values.is_empty() { Outcome::Filtered(filtered) } else { Outcome::Expanded(values) }
}

#[cfg(test)]
mod tests {
    use proto::unit::Step;

    use super::*;

    fn values(first: u64, count: u8) -> Results {
        let ends = (1..=u32::from(count)).collect();
        let units = Units::from_source(first, (0..count).collect(), ends);
        Results { units, timing: vec![(count.into(), 5)], ..Results::default() }
    }

    fn worker() -> Arc<str> {
        "w".into()
    }

    fn shape(entries: &[Entry]) -> Vec<(u64, u64)> {
        entries.iter().map(|entry| (entry.first, entry.count)).collect()
    }

    fn child(root: u64, execution: u64, index: u32, of: u32, value: u8) -> Results {
        let mut units = Units::new();
        units.push(Span::one(root, vec![Step { execution, index, of }]), &[value]);
        Results { units, ..Results::default() }
    }

    #[test]
    fn a_unit_is_accepted_once_and_only_the_rest_of_an_overlap() {
        let mut accept = Accept::default();
        assert_eq!(shape(&accept.take(values(5, 3), &worker(), 100)), [(5, 3)]);
        assert_eq!(shape(&accept.take(values(4, 6), &worker(), 100)), [(4, 1), (8, 2)]);
        assert_eq!(accept.duplicates(), 3);
        assert_eq!(accept.take(values(4, 6), &worker(), 100), []);
    }

    #[test]
    fn a_unit_beyond_the_end_is_nobodys() {
        let mut accept = Accept::default();
        assert_eq!(accept.take(values(5, 3), &worker(), 7), []);
    }

    #[test]
    fn an_expanded_unit_waits_for_all_outputs_of_one_execution() {
        let mut accept = Accept::default();
        assert_eq!(accept.take(child(3, 1, 0, 2, 10), &worker(), 100), []);
        assert_eq!(accept.take(child(3, 2, 1, 2, 99), &worker(), 100), []);
        assert!(accept.open_bytes() > 0);
        let entries = accept.take(child(3, 1, 1, 2, 11), &worker(), 100);
        match &entries[0].outcome {
            Outcome::Expanded(leaves) => {
                let values: Vec<_> = leaves.iter().map(|leaf| leaf.value[0]).collect();
                assert_eq!(values, [10, 11]);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(accept.open_bytes(), 0);
        assert_eq!(accept.take(child(3, 2, 0, 2, 98), &worker(), 100), []);
    }

    #[test]
    fn one_dead_output_makes_its_unit_dead_and_all_filtered_make_it_filtered() {
        let mut accept = Accept::default();
        let step = |index| vec![Step { execution: 1, index, of: 2 }];
        let filtered = |root, index| Results {
            stage: 1,
            filtered: vec![Span::one(root, step(index))],
            ..Results::default()
        };
        accept.take(filtered(1, 0), &worker(), 100);
        let entries = accept.take(filtered(1, 1), &worker(), 100);
        assert_eq!(entries[0].outcome, Outcome::Filtered(1));
        accept.take(filtered(2, 0), &worker(), 100);
        let dead = Dead {
            root: 2,
            path: step(1),
            stage: 1,
            input: vec![1],
            error: "e".into(),
            attempts: 3,
            worker: "w".into(),
        };
        let entries =
            accept.take(Results { dead: vec![dead], ..Results::default() }, &worker(), 100);
        assert!(matches!(entries[0].outcome, Outcome::Dead { .. }));
    }

    #[test]
    fn a_late_success_after_a_death_is_a_duplicate() {
        let mut accept = Accept::default();
        let dead = Dead {
            root: 2,
            path: vec![],
            stage: 0,
            input: vec![1],
            error: "e".into(),
            attempts: 3,
            worker: "w".into(),
        };
        accept.take(Results { dead: vec![dead], ..Results::default() }, &worker(), 100);
        assert_eq!(accept.take(values(2, 1), &worker(), 100), []);
        assert_eq!(accept.duplicates(), 1);
    }
}
