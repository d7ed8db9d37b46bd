//! Units that became several: when is all of one of them here?
//!
//! Owns an and/or tree a unit. A node is a unit or one output on the way; it is complete when
//! *one* execution of it has all of its children, or when it has an outcome itself. The first
//! complete tree is the unit's outcome, whole; what other executions brought is dropped. Counts
//! are explicit, so nothing is guessed from checksums. Outputs that come together are kept
//! together, so that a million of them take a few nodes. Refuses values: it holds them, unread.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::{collections::BTreeMap, ops::Range};

use crate::unit::Step;

/// The outcomes of consecutive outputs.
pub trait Run {
    /// The same without the first `count` of them.
    fn skip(&self, count: u32) -> Self;
}

/// What is known of one node.
#[derive(Debug, Clone)]
enum Node<T> {
    /// Nothing complete yet: children by execution.
    Open(BTreeMap<u64, Branch<T>>),
    /// A leaf's outcome, or those of several in a row.
    Leaf(T),
    /// All outputs of one execution.
    Whole(Vec<Child<T>>),
}

/// A node that stands for `count` outputs from `first` on; only leaves stand for several.
#[derive(Debug, Clone)]
struct Child<T> {
    first: u32,
    count: u32,
    node: Node<T>,
}

#[derive(Debug, Clone)]
struct Branch<T> {
    of: u32,
    complete: u32,
    // By the first index of each.
    children: BTreeMap<u32, Child<T>>,
}

/// Outcomes of a complete tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaves<T> {
    /// The indices that lead to the first of them.
    pub indices: Vec<u32>,
    /// How many outputs they are, each one's last index one more than the one's before.
    pub count: u32,
    /// Their outcomes.
    pub outcome: T,
}

/// The outcome of one unit that was expanded, as far as it is known.
#[derive(Debug, Clone)]
pub struct Expansion<T> {
    root: Node<T>,
}

impl<T> Default for Expansion<T> {
    fn default() -> Self {
        Self { root: Node::Open(BTreeMap::new()) }
    }
}

impl<T: Run> Expansion<T> {
    /// Takes the outcomes of `count` outputs in, the first of them at `path`; how many were new.
    /// Without a path it is the unit's own outcome.
    pub fn insert(&mut self, path: &[Step], count: u32, outcome: T) -> u32 {
        match path.iter().all(|step| step.index < step.of) {
            true => self.root.insert(path, count, outcome),
            false => 0,
        }
    }

    /// Whether one complete tree is here.
    pub fn is_complete(&self) -> bool {
        self.root.is_complete()
    }

    /// The outcomes of the complete tree in the order of the outputs.
    pub fn into_leaves(self) -> Vec<Leaves<T>> {
        let mut leaves = Vec::new();
        self.root.collect(1, &mut Vec::new(), &mut leaves);
        leaves
    }
}

impl<T: Run> Node<T> {
    fn is_complete(&self) -> bool {
        !matches!(self, Self::Open(_))
    }

    fn insert(&mut self, path: &[Step], count: u32, outcome: T) -> u32 {
        let Self::Open(branches) = self else { return 0 };
        let Some((step, rest)) = path.split_first() else {
            *self = Self::Leaf(outcome);
            return 1;
        };
        let branch = branches.entry(step.execution).or_insert_with(|| Branch {
            of: step.of,
            complete: 0,
            children: BTreeMap::new(),
        });
        if branch.of != step.of {
            return 0;
        }
        let new = match rest {
            [] => branch.insert(step.index..step.index.saturating_add(count), outcome),
            _ => branch.insert_below(step.index, rest, count, outcome),
        };
        if branch.complete == branch.of {
            *self = Self::Whole(std::mem::take(&mut branch.children).into_values().collect());
        }
        new
    }

    fn collect(self, count: u32, at: &mut Vec<u32>, leaves: &mut Vec<Leaves<T>>) {
        match self {
            Self::Open(_) => {}
            Self::Leaf(outcome) => leaves.push(Leaves { indices: at.clone(), count, outcome }),
            Self::Whole(children) => {
                for child in children {
                    at.push(child.first);
                    child.node.collect(child.count, at, leaves);
                    at.pop();
                }
            }
        }
    }
}

impl<T: Run> Branch<T> {
    /// Outcomes of consecutive outputs: those that have none yet.
    fn insert(&mut self, indices: Range<u32>, outcome: T) -> u32 {
        let Range { start, end } = indices.start..indices.end.min(self.of);
        let mut free = Vec::new();
        let mut at = start;
        let before = self.children.range(..start).next_back();
        let inside = self.children.range(start..end);
        for child in before.into_iter().chain(inside).map(|(_, child)| child) {
            if child.first > at {
                free.push(at..child.first);
            }
            // What became several there has an outcome itself now.
            if child.first >= start && !child.node.is_complete() {
                free.push(child.first..child.first.saturating_add(1));
            }
            at = at.max(child.first.saturating_add(child.count));
        }
        if at < end {
            free.push(at..end);
        }
        let mut new = 0u32;
        for Range { start: first, end } in free {
            let count = end.saturating_sub(first);
            let node = Node::Leaf(outcome.skip(first.saturating_sub(start)));
            self.children.insert(first, Child { first, count, node });
            new = new.saturating_add(count);
        }
        self.complete = self.complete.saturating_add(new);
        new
    }

    /// Outcomes of what one of the outputs became.
    fn insert_below(&mut self, index: u32, path: &[Step], count: u32, outcome: T) -> u32 {
        let before = self.children.range(..=index).next_back();
        let before = before.filter(|(_, child)| index.saturating_sub(child.first) < child.count);
        let first = before.map_or(index, |(first, _)| *first);
        let child = self.children.entry(first).or_insert_with(|| Child {
            first,
            count: 1,
            node: Node::Open(BTreeMap::new()),
        });
        let new = child.node.insert(path, count, outcome);
        if new > 0 && child.node.is_complete() {
            self.complete = self.complete.saturating_add(1);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each output's outcome is the next letter.
    impl Run for char {
        fn skip(&self, count: u32) -> Self {
            char::from_u32(u32::from(*self) + count).unwrap()
        }
    }

    impl Run for &str {
        fn skip(&self, _: u32) -> Self {
            self
        }
    }

    /// The indices of each output, and its outcome.
    fn leaves<T: Run>(unit: Expansion<T>) -> Vec<(Vec<u32>, T)> {
        let each = |leaves: Leaves<T>| {
            let one = move |offset| {
                let mut indices = leaves.indices.clone();
                if let Some(last) = indices.last_mut() {
                    *last += offset;
                }
                (indices, leaves.outcome.skip(offset))
            };
            (0..leaves.count).map(one).collect::<Vec<_>>()
        };
        unit.into_leaves().into_iter().flat_map(each).collect()
    }

    fn step(execution: u64, index: u32, of: u32) -> Step {
        Step { execution, index, of }
    }

    #[test]
    fn a_unit_is_complete_when_one_execution_has_all_its_outputs() {
        let mut unit = Expansion::default();
        assert_eq!(unit.insert(&[step(1, 0, 2)], 1, 'a'), 1);
        assert_eq!(unit.insert(&[step(2, 1, 2)], 1, 'B'), 1);
        assert!(!unit.is_complete());
        assert_eq!(unit.insert(&[step(1, 1, 2)], 1, 'b'), 1);
        assert!(unit.is_complete());
        assert_eq!(leaves(unit), [(vec![0], 'a'), (vec![1], 'b')]);
    }

    #[test]
    fn outputs_of_two_executions_are_never_mixed_even_if_their_counts_differ() {
        let mut unit = Expansion::default();
        unit.insert(&[step(1, 0, 2)], 1, 'a');
        unit.insert(&[step(2, 0, 3)], 1, 'A');
        unit.insert(&[step(2, 1, 3)], 1, 'B');
        assert!(!unit.is_complete());
        unit.insert(&[step(2, 2, 3)], 1, 'C');
        let all: String = leaves(unit).into_iter().map(|(_, leaf)| leaf).collect();
        assert_eq!(all, "ABC");
    }

    #[test]
    fn an_output_that_comes_twice_counts_once() {
        let mut unit = Expansion::default();
        assert_eq!(unit.insert(&[step(1, 0, 2)], 1, 'a'), 1);
        assert_eq!(unit.insert(&[step(1, 0, 2)], 1, 'a'), 0);
        assert!(!unit.is_complete());
    }

    #[test]
    fn a_late_output_changes_nothing() {
        let mut unit = Expansion::default();
        unit.insert(&[], 1, 'x');
        assert_eq!(unit.insert(&[step(1, 0, 1)], 1, 'y'), 0);
        assert_eq!(leaves(unit), [(vec![], 'x')]);
    }

    #[test]
    fn expansions_of_expansions_complete_from_below() {
        let mut unit = Expansion::default();
        unit.insert(&[step(1, 1, 2), step(9, 0, 2)], 1, "b0");
        unit.insert(&[step(1, 0, 2)], 1, "a");
        unit.insert(&[step(1, 1, 2), step(8, 1, 2)], 1, "B1");
        assert!(!unit.is_complete());
        unit.insert(&[step(1, 1, 2), step(9, 1, 2)], 1, "b1");
        assert_eq!(leaves(unit), [(vec![0], "a"), (vec![1, 0], "b0"), (vec![1, 1], "b1")]);
    }

    #[test]
    fn a_lying_peer_cannot_complete_a_unit_with_an_index_outside() {
        let mut unit = Expansion::default();
        assert_eq!(unit.insert(&[step(1, 5, 2)], 1, 'a'), 0);
        unit.insert(&[step(1, 0, 2)], 1, 'a');
        assert_eq!(unit.insert(&[step(1, 1, 1)], 1, 'b'), 0);
        assert!(!unit.is_complete());
    }

    #[test]
    fn outputs_that_come_together_stay_together_and_overlaps_count_once() {
        let mut unit = Expansion::default();
        assert_eq!(unit.insert(&[step(1, 2, 9)], 3, 'c'), 3);
        assert_eq!(unit.insert(&[step(1, 6, 9)], 1, 'g'), 1);
        assert_eq!(unit.insert(&[step(1, 3, 9)], 5, 'D'), 2, "5 and 7");
        assert_eq!(unit.insert(&[step(1, 4, 9)], 1, 'X'), 0);
        assert_eq!(unit.insert(&[step(1, 0, 9)], 9, 'a'), 3, "0, 1 and 8");
        let runs: Vec<_> = unit.clone().into_leaves();
        assert!(unit.is_complete() && runs.len() < 9, "{runs:?}");
        let all: String = leaves(unit).into_iter().map(|(_, leaf)| leaf).collect();
        assert_eq!(all, "abcdeFgHi");
    }

    #[test]
    fn an_output_in_a_run_that_had_become_several_has_its_own_outcome() {
        let mut unit = Expansion::default();
        unit.insert(&[step(1, 1, 3), step(7, 0, 2)], 1, 'x');
        assert_eq!(unit.insert(&[step(1, 0, 3)], 3, 'a'), 3);
        assert_eq!(unit.insert(&[step(1, 1, 3), step(7, 1, 2)], 1, 'y'), 0);
        assert_eq!(leaves(unit).len(), 3);
        let mut unit = Expansion::default();
        unit.insert(&[step(1, 0, 3)], 2, 'a');
        assert_eq!(unit.insert(&[step(1, 1, 3), step(7, 0, 1)], 1, 'x'), 0, "it is complete");
        assert_eq!(unit.insert(&[step(1, 2, 3), step(7, 0, 2)], 2, 'x'), 2);
        let all: String = leaves(unit).into_iter().map(|(_, leaf)| leaf).collect();
        assert_eq!(all, "abxy");
    }

    #[test]
    fn a_run_beyond_the_end_of_its_execution_is_cut() {
        let mut unit = Expansion::default();
        assert_eq!(unit.insert(&[step(1, 1, 3)], u32::MAX, 'b'), 2);
        assert!(!unit.is_complete());
        assert_eq!(unit.insert(&[step(1, 0, 3)], 1, 'a'), 1);
        assert!(unit.is_complete());
    }
}
