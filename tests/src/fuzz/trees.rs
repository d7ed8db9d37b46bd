//! Units that became several.

use std::collections::BTreeMap;

use proto::rules::expansion::Expansion;
use proto::unit::Step;

use super::script::{Script, about, note};

/// The outcomes that were taken in, by path, as a list that is searched anew each time.
type Known = BTreeMap<Vec<(u64, u32, u32)>, u32>;

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
        if unit.insert(&path, number) {
            known.insert(
                path.iter().map(|step| (step.execution, step.index, step.of)).collect(),
                number,
            );
        }
        assert_eq!(unit.is_complete(), is_whole(&known, &mut Vec::new()), "{known:?}");
        note(&mut seen, about(known.len() as u64) << 8 | path.len() as u64);
    }
    if !unit.is_complete() {
        assert!(unit.into_leaves().is_empty());
        return seen;
    }
    assert!(!unit.insert(&path(script), 0), "nothing is added to what is complete");
    let leaves = unit.into_leaves();
    assert!(leaves.is_sorted_by(|a, b| a.0 < b.0), "leaves are in order, and none comes twice");
    for (indices, number) in leaves {
        let from = known.iter().find(|(_, known)| **known == number).expect("it was taken in").0;
        assert!(from.iter().map(|step| step.1).eq(indices), "its place is its own");
    }
    seen
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
