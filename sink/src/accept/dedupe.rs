//! Which outcomes are new: dedupe by unit id, and the trees of units that became several.
//!
//! Owns the set of accepted units; refuses everything that follows from acceptance. An outcome is
//! accepted once, whoever sends it and however often: a late one of a worker that was given up
//! is as welcome as any.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use proto::{
    frame::{Dead, Results},
    ranges::RangeSet,
    rules::{
        expansion::{Expansion, Leaves, Run},
        outbox::timing_part,
    },
    unit::{Step, UnitId},
    units::{Span, Units},
};

use super::entry::{Batch, Entry, Expanded, Origin, Outcome, Outputs};

/// What leaves of a tree hold that lie in a row.
#[derive(Debug, Clone)]
enum Branch {
    /// Values: those from a place in a batch on.
    Values(u32, Arc<Batch>),
    Filtered(u32),
    Dead(Arc<(Origin, Dead)>),
}

impl Run for Branch {
    fn skip(&self, count: u32) -> Self {
        match self {
            Self::Values(from, batch) => Self::Values(from.saturating_add(count), batch.clone()),
            other => other.clone(),
        }
    }
}

/// Values that came in one frame.
#[derive(Clone, Copy)]
struct Came<'a> {
    units: &'a Units,
    timing: &'a [(u32, u32)],
    origin: &'a Origin,
}

/// What a node of a tree takes beside values, with its place in the tree.
const NODE_BYTES: u64 = 160;

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
        let came = Came { units: &units, timing: &timing, origin: &origin };
        let mut entries = Vec::new();
        let mut at = 0;
        let mut spans = units.spans();
        while let Some(span) = spans.first() {
            let same = |other: &&Span| !other.path.is_empty() && other.first == span.first;
            // Outputs of one unit that came together are kept together.
            let (these, rest) = spans.split_at(spans.iter().take_while(same).count().max(1));
            spans = rest;
            let count: usize = these.iter().map(|span| span.count as usize).sum();
            let indices = at..at + count;
            at = indices.end;
            if span.roots().end > end {
                continue;
            }
            if span.path.is_empty() {
                self.take_whole(span, indices.start, came, &mut entries);
            } else {
                self.take_outputs(these, indices, came, &mut entries);
            }
        }
        for span in filtered.into_iter().filter(|span| span.roots().end <= end) {
            self.take_filtered(&span, stage, &mut entries);
        }
        for dead in dead.into_iter().filter(|dead| dead.root < end) {
            let (root, path) = (dead.root, dead.path.clone());
            let branch = Branch::Dead(Arc::new((origin.clone(), dead)));
            self.take_branch(root, &path, 1, branch, &mut entries);
        }
        entries
    }

    /// Units that gave one value each.
    fn take_whole(
        &mut self,
        span: &Span,
        from: usize,
        Came { units, timing, origin }: Came<'_>,
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
            let branch = Branch::Filtered(stage);
            return self.take_branch(span.first, &span.path, span.count, branch, entries);
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

    /// Outputs of one unit, which are its own spans.
    fn take_outputs(
        &mut self,
        spans: &[Span],
        indices: Range<usize>,
        Came { units, timing, origin }: Came<'_>,
        entries: &mut Vec<Entry>,
    ) {
        let timing = timing_part(timing, indices.start, indices.len());
        let batch = Arc::new(Batch::new(origin.clone(), units.slice(indices), &timing));
        let mut at = 0;
        for span in spans {
            let branch = Branch::Values(at, batch.clone());
            at += span.count;
            self.take_branch(span.first, &span.path, span.count, branch, entries);
        }
    }

    /// Outcomes of a unit that became several, or that alone died.
    fn take_branch(
        &mut self,
        root: UnitId,
        path: &[Step],
        count: u32,
        branch: Branch,
        entries: &mut Vec<Entry>,
    ) {
        if self.accepted.contains(root) {
            self.duplicates += u64::from(count);
            return;
        }
        let bytes = match &branch {
            Branch::Values(from, batch) => {
                let (from, count) = (*from as usize, count as usize);
                (batch.units.values(from..from + count).len() + count * size_of::<u32>()) as u64
            }
            _ => 0,
        };
        let tree = self.open.entry(root).or_default();
        let new = tree.insert(path, count, branch);
        self.duplicates += u64::from(count.saturating_sub(new));
        if new == 0 {
            return;
        }
        let complete = tree.is_complete();
        self.open_bytes += bytes + NODE_BYTES;
        *self.held_bytes.entry(root).or_default() += bytes + NODE_BYTES;
        if complete && let Some(tree) = self.open.remove(&root) {
            self.open_bytes -= self.held_bytes.remove(&root).unwrap_or_default();
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
fn outcome_of(leaves: Vec<Leaves<Branch>>) -> Outcome {
    let (mut runs, mut filtered) = (Vec::new(), 0);
    let (mut batches, mut known) = (Vec::new(), HashMap::new());
    for Leaves { indices, count, outcome } in leaves {
        match outcome {
            Branch::Values(from, batch) => {
                let next = batches.len() as u32;
                let place = *known.entry(Arc::as_ptr(&batch)).or_insert(next);
                if place == next {
                    batches.push(batch);
                }
                runs.push(Outputs { indices, batch: place, from, count });
            }
            Branch::Filtered(stage) => filtered = filtered.max(stage),
            Branch::Dead(dead) => {
                let (origin, dead) = Arc::unwrap_or_clone(dead);
                return Outcome::Dead { origin, dead };
            }
        }
    }
    if runs.is_empty() {
        return Outcome::Filtered(filtered);
    }
    let batches = batches.into_iter().map(Arc::unwrap_or_clone).collect();
    Outcome::Expanded(Expanded::new(runs, batches))
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
            Outcome::Expanded(outputs) => {
                let values: Vec<_> = outputs.leaves().map(|leaf| leaf.value[0]).collect();
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

    /// A million outputs of one unit, in parcels as a worker sends them.
    #[test]
    fn outputs_that_come_as_spans_take_little_more_than_their_values() {
        let of = 1 << 20;
        let mut accept = Accept::default();
        let parcel = 32 << 10;
        let mut entries = Vec::new();
        for index in (0..of).step_by(parcel) {
            let path = vec![Step { execution: 1, index, of }];
            let span = Span { first: 3, count: parcel as u32, path };
            let ends = (1..=parcel as u32).map(|end| 2 * end).collect();
            let mut units = Units::from_outputs(vec![span], [0xcc, 7].repeat(parcel), ends);
            units.share();
            let timing = vec![(parcel as u32, 5)];
            let results = Results { units, timing, ..Results::default() };
            assert!(accept.open_bytes() < 8 * u64::from(of), "{}", accept.open_bytes());
            entries = accept.take(results, &worker(), 100);
        }
        assert_eq!((accept.open_bytes(), accept.duplicates()), (0, 0));
        assert!(entries[0].bytes() < 8 * u64::from(of), "{}", entries[0].bytes());
        let Outcome::Expanded(outputs) = &entries[0].outcome else { panic!("{entries:?}") };
        assert_eq!(outputs.len(), u64::from(of));
        let all = outputs.leaves().zip(0..).all(|(leaf, index)| {
            leaf.value == [0xcc, 7] && leaf.us == 5 && leaf.indices().eq([index])
        });
        assert!(all);
    }

    #[test]
    fn every_output_keeps_its_own_time_and_worker_wherever_it_came_from() {
        let mut accept = Accept::default();
        let of = 4;
        let part = |index: u32, values: &[u8], timing: &[(u32, u32)]| {
            let mut units = Units::new();
            for (value, index) in values.iter().zip(index..) {
                units.push(Span::one(3, vec![Step { execution: 1, index, of }]), &[*value]);
            }
            // A unit beside it, with a time of its own.
            units.push(Span::one(9, vec![]), &[99]);
            let timing = timing.iter().copied().chain([(1, 77)]).collect();
            Results { units, timing, ..Results::default() }
        };
        accept.take(part(2, &[12, 13], &[(1, 3), (1, 4)]), &"b".into(), 100);
        let entries = accept.take(part(0, &[10, 11, 42], &[(2, 1), (1, 9)]), &"a".into(), 100);
        let Outcome::Expanded(outputs) = &entries[0].outcome else { panic!("{entries:?}") };
        let found: Vec<_> =
            outputs.leaves().map(|leaf| (leaf.value[0], leaf.us, &*leaf.origin.worker)).collect();
        assert_eq!(found, [(10, 1, "a"), (11, 1, "a"), (12, 3, "b"), (13, 4, "b")]);
        assert_eq!(accept.duplicates(), 2, "one output, and unit 9");
    }
}
