//! Units that became several.

use std::collections::BTreeMap;

use proto::rules::expansion::{Expansion, Run};
use proto::unit::Step;

use super::script::{Script, about, note};

/// The outcome of an output: that of the first of its run, and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number(u32, u32);

impl Run for Number {
    fn skip(&self, count: u32) -> Self {
        Self(self.0, self.1 + count)
    }
}

/// The outcomes that were taken in, by path, as a list that is searched anew each time.
type Known = BTreeMap<Vec<(u64, u32, u32)>, Number>;

/// Any outcomes in any order, against the definition: a node is whole when it has an outcome
/// itself, or when one execution of it has all of its children.
pub fn expansion(data: &[u8]) -> u64 {
    let script = &mut Script::new(data);
    let mut unit = Expansion::default();
    let mut known = Known::new();
    let mut seen = 0;
    let mut number = 0;
    while !script.is_over() && !unit.is_complete() {
        let path = path(script);
        number += 1;
        let count = match path.last() {
            Some(step) => 1 + script.below(3).min(step.of.saturating_sub(step.index).into()) as u32,
            None => 1,
        };
        let new = unit.insert(&path, count, Number(number, 0));
        assert_eq!(new, take_in(&mut known, &path, count, number), "{known:?}");
        assert_eq!(unit.is_complete(), is_whole(&known, &mut Vec::new()), "{known:?}");
        note(&mut seen, about(known.len() as u64) << 8 | path.len() as u64);
    }
    if !unit.is_complete() {
        assert!(unit.into_leaves().is_empty());
        return seen;
    }
    assert_eq!(unit.insert(&path(script), 1, Number(0, 0)), 0, "nothing comes after that");
    let mut last = None;
    for leaves in unit.into_leaves() {
        for offset in 0..leaves.count {
            let mut indices = leaves.indices.clone();
            indices.last_mut().into_iter().for_each(|index| *index += offset);
            let outcome = leaves.outcome.skip(offset);
            let from = known.iter().find(|(_, known)| **known == outcome);
            let from = from.expect("it was taken in").0;
            assert!(from.iter().map(|step| step.1).eq(indices.clone()), "its place is its own");
            assert!(last < Some(indices.clone()), "in order, and none comes twice");
            last = Some(indices);
        }
    }
    seen
}

/// Takes outcomes in one by one, as the tree does in runs; how many were new.
fn take_in(known: &mut Known, path: &[Step], count: u32, number: u32) -> u32 {
    let places: Vec<(u64, u32, u32)> =
        path.iter().map(|step| (step.execution, step.index, step.of)).collect();
    let mut new = 0;
    for offset in 0..count {
        let mut place = places.clone();
        place.last_mut().into_iter().for_each(|step| step.1 = step.1.saturating_add(offset));
        let fits = place.iter().all(|(_, index, of)| index < of);
        // The first one of an execution says how many outputs it gave.
        let agrees = known.keys().all(|other| agree(other, &place));
        let complete = (0..place.len()).any(|len| is_whole(known, &mut place[..len].to_vec()));
        let here = is_whole(known, &mut place.clone());
        if fits && agrees && !complete && !here {
            known.insert(place, Number(number, offset));
            new += 1;
        }
    }
    new
}

/// Whether two outputs tell the same number of outputs of the executions that they have in common.
fn agree(one: &[(u64, u32, u32)], other: &[(u64, u32, u32)]) -> bool {
    for (a, b) in one.iter().zip(other) {
        if (a.0, a.1, a.2) == (b.0, b.1, b.2) {
            continue;
        }
        return a.0 != b.0 || a.2 == b.2;
    }
    true
}

fn path(script: &mut Script<'_>) -> Vec<Step> {
    (0..script.below(4))
        .map(|_| match script.below(16) {
            0 => {
                Step { execution: script.number(), index: script.number32(), of: script.number32() }
            }
            _ => {
                let of = 1 + script.below(3) as u32;
                let index = script.below(of.into()) as u32;
                // All runs of one execution tell the same number of outputs, but for liars.
                Step { execution: 10 * u64::from(of) + script.below(2), index, of }
            }
        })
        .collect()
}

fn is_whole(known: &Known, at: &mut Vec<(u64, u32, u32)>) -> bool {
    if known.contains_key(at) {
        return true;
    }
    let below = known.keys().filter(|path| path.len() > at.len() && path.starts_with(at));
    let mut executions: Vec<(u64, u32)> =
        below.map(|path| (path[at.len()].0, path[at.len()].2)).collect();
    executions.sort_unstable();
    executions.dedup();
    executions.into_iter().any(|(execution, of)| {
        of <= 64
            && (0..of).all(|index| {
                at.push((execution, index, of));
                let whole = is_whole(known, at);
                at.pop();
                whole
            })
    })
}
