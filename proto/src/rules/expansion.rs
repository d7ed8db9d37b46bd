//! Units that became several: when is all of one of them here?
//!
//! Owns an and/or tree a unit. A node is a unit or one output on the way; it is complete when
//! *one* execution of it has all of its children, or when it has an outcome itself. The first
//! complete tree is the unit's outcome, whole; what other executions brought is dropped. Counts
//! are explicit, so nothing is guessed from checksums. Refuses values: it holds them, unread.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::collections::BTreeMap;

use crate::unit::Step;

/// What is known of one node.
#[derive(Debug, Clone)]
enum Node<T> {
    /// Nothing complete yet: children by execution.
    Open(BTreeMap<u64, Branch<T>>),
    /// A leaf's outcome.
    Leaf(T),
    /// All outputs of one execution.
    Whole(BTreeMap<u32, Node<T>>),
}

#[derive(Debug, Clone)]
struct Branch<T> {
    of: u32,
    complete: u32,
    children: BTreeMap<u32, Node<T>>,
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

impl<T> Expansion<T> {
    /// Takes the outcome of the output at `path` in; whether it was new.
    pub fn insert(&mut self, path: &[Step], outcome: T) -> bool {
        self.root.insert(path, outcome)
    }

    /// Whether one complete tree is here.
    pub fn is_complete(&self) -> bool {
        self.root.is_complete()
    }

    /// The leaves of the complete tree in the order of the outputs, each with the indices that
    /// lead to it.
    pub fn into_leaves(self) -> Vec<(Vec<u32>, T)> {
        let mut leaves = Vec::new();
        self.root.collect(&mut Vec::new(), &mut leaves);
        leaves
    }
}

impl<T> Node<T> {
    fn is_complete(&self) -> bool {
        !matches!(self, Self::Open(_))
    }

    fn insert(&mut self, path: &[Step], outcome: T) -> bool {
        let Self::Open(branches) = self else { return false };
        let Some((step, rest)) = path.split_first() else {
            *self = Self::Leaf(outcome);
            return true;
        };
        let branch = branches.entry(step.execution).or_insert_with(|| Branch {
            of: step.of,
            complete: 0,
            children: BTreeMap::new(),
        });
        if branch.of != step.of || step.index >= branch.of {
            return false;
        }
        let child =
            branch.children.entry(step.index).or_insert_with(|| Self::Open(BTreeMap::new()));
        let before = child.is_complete();
        let new = child.insert(rest, outcome);
        if !before && child.is_complete() {
            branch.complete = branch.complete.saturating_add(1);
            if branch.complete == branch.of {
                *self = Self::Whole(std::mem::take(&mut branch.children));
            }
        }
        new
    }

    fn collect(self, at: &mut Vec<u32>, leaves: &mut Vec<(Vec<u32>, T)>) {
        match self {
            Self::Open(_) => {}
            Self::Leaf(outcome) => leaves.push((at.clone(), outcome)),
            Self::Whole(children) => {
                for (index, child) in children {
                    at.push(index);
                    child.collect(at, leaves);
                    at.pop();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(execution: u64, index: u32, of: u32) -> Step {
        Step { execution, index, of }
    }

    #[test]
    fn a_unit_is_complete_when_one_execution_has_all_its_outputs() {
        let mut unit = Expansion::default();
        assert!(unit.insert(&[step(1, 0, 2)], 'a'));
        assert!(unit.insert(&[step(2, 1, 2)], 'B'));
        assert!(!unit.is_complete());
        assert!(unit.insert(&[step(1, 1, 2)], 'b'));
        assert!(unit.is_complete());
        assert_eq!(unit.into_leaves(), [(vec![0], 'a'), (vec![1], 'b')]);
    }

    #[test]
    fn outputs_of_two_executions_are_never_mixed_even_if_their_counts_differ() {
        let mut unit = Expansion::default();
        unit.insert(&[step(1, 0, 2)], 'a');
        unit.insert(&[step(2, 0, 3)], 'A');
        unit.insert(&[step(2, 1, 3)], 'B');
        assert!(!unit.is_complete());
        unit.insert(&[step(2, 2, 3)], 'C');
        let leaves: String = unit.into_leaves().into_iter().map(|(_, leaf)| leaf).collect();
        assert_eq!(leaves, "ABC");
    }

    #[test]
    fn an_output_that_comes_twice_counts_once() {
        let mut unit = Expansion::default();
        assert!(unit.insert(&[step(1, 0, 2)], 'a'));
        assert!(!unit.insert(&[step(1, 0, 2)], 'a'));
        assert!(!unit.is_complete());
    }

    #[test]
    fn a_late_output_changes_nothing() {
        let mut unit = Expansion::default();
        unit.insert(&[], 'x');
        assert!(!unit.insert(&[step(1, 0, 1)], 'y'));
        assert_eq!(unit.into_leaves(), [(vec![], 'x')]);
    }

    #[test]
    fn expansions_of_expansions_complete_from_below() {
        let mut unit = Expansion::default();
        unit.insert(&[step(1, 1, 2), step(9, 0, 2)], "b0");
        unit.insert(&[step(1, 0, 2)], "a");
        unit.insert(&[step(1, 1, 2), step(8, 1, 2)], "B1");
        assert!(!unit.is_complete());
        unit.insert(&[step(1, 1, 2), step(9, 1, 2)], "b1");
        let leaves: Vec<_> = unit.into_leaves();
        assert_eq!(leaves, [(vec![0], "a"), (vec![1, 0], "b0"), (vec![1, 1], "b1")]);
    }

    #[test]
    fn a_lying_peer_cannot_complete_a_unit_with_an_index_outside() {
        let mut unit = Expansion::default();
        assert!(!unit.insert(&[step(1, 5, 2)], 'a'));
        unit.insert(&[step(1, 0, 2)], 'a');
        assert!(!unit.insert(&[step(1, 1, 1)], 'b'));
        assert!(!unit.is_complete());
    }
}
