//! Where two sequences of sums differ.
//!
//! Owns the search for the place at which they agree again; refuses to know what the sums are of.

use std::collections::HashMap;

/// So many in a row have to agree before two sequences are taken to be in step again.
const AGREEING: usize = 3;
/// How far it is looked for that place closely, and how far at all.
const NEAR: usize = 16;
const FAR: usize = 100_000;

/// One difference. Indices count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// What was recorded here is not there.
    Missing { recorded: usize },
    /// What is there was not recorded here.
    Added { found: usize },
    /// Something else is there.
    Changed { recorded: usize, found: usize },
}

/// All differences, from the first on.
pub(super) fn compare(recorded: &[u32], found: &[u32]) -> Vec<Change> {
    let same_end =
        recorded.iter().rev().zip(found.iter().rev()).take_while(|(a, b)| a == b).count();
    let same_start = recorded.iter().zip(found).take_while(|(a, b)| a == b).count();
    // What starts and ends alike may share a part of both, as in a doubled line.
    let same_end = same_end.min(recorded.len().min(found.len()) - same_start);
    let recorded = &recorded[..recorded.len() - same_end];
    let found = &found[..found.len() - same_end];
    let (mut i, mut j, mut changes) = (same_start, same_start, Vec::new());
    while i < recorded.len() || j < found.len() {
        if i < recorded.len() && recorded.get(i) == found.get(j) {
            (i, j) = (i + 1, j + 1);
            continue;
        }
        let (lost, new) = in_step_again(&recorded[i..], &found[j..]);
        let both = lost.min(new);
        let changed = (0..both).map(|k| Change::Changed { recorded: i + k, found: j + k });
        changes.extend(changed);
        changes.extend((both..lost).map(|k| Change::Missing { recorded: i + k }));
        changes.extend((both..new).map(|k| Change::Added { found: j + k }));
        (i, j) = (i + lost, j + new);
    }
    changes
}

/// How many to leave out on each side until both agree.
fn in_step_again(recorded: &[u32], found: &[u32]) -> (usize, usize) {
    for sum in 1..=NEAR {
        // The most alike first: an edited line rather than a lost and an added one.
        let mut splits: Vec<usize> = (0..=sum).collect();
        splits.sort_by_key(|lost| lost.abs_diff(sum - lost));
        for lost in splits {
            if agree(recorded, found, lost, sum - lost) {
                return (lost, sum - lost);
            }
        }
    }
    let mut first = HashMap::new();
    for (lost, sum) in recorded.iter().enumerate().take(FAR) {
        first.entry(*sum).or_insert(lost);
    }
    let candidates = found.iter().enumerate().take(FAR).filter_map(|(new, sum)| {
        first
            .get(sum)
            .map(|lost| (*lost, new))
            .filter(|(lost, new)| agree(recorded, found, *lost, *new))
    });
    candidates.min_by_key(|(lost, new)| lost + new).unwrap_or((recorded.len(), found.len()))
}

fn agree(recorded: &[u32], found: &[u32], lost: usize, new: usize) -> bool {
    let (Some(recorded), Some(found)) = (recorded.get(lost..), found.get(new..)) else {
        return false;
    };
    let count = AGREEING.min(recorded.len()).min(found.len());
    let both_end = recorded.is_empty() && found.is_empty();
    both_end || (count > 0 && recorded[..count] == found[..count])
}

#[cfg(test)]
mod tests {
    use super::*;
    use Change::{Added, Changed, Missing};

    fn told(recorded: &str, found: &str) -> Vec<Change> {
        let sums = |text: &str| text.bytes().map(u32::from).collect::<Vec<_>>();
        compare(&sums(recorded), &sums(found))
    }

    #[test]
    fn each_kind_of_difference_is_found_at_its_place() {
        assert_eq!(told("abcdef", "abcdef"), []);
        assert_eq!(told("abcdef", "abdef"), [Missing { recorded: 2 }]);
        assert_eq!(told("abcdef", "abccdef"), [Added { found: 3 }]);
        assert_eq!(told("abcdef", "abXdef"), [Changed { recorded: 2, found: 2 }]);
        assert_eq!(told("abc", "ab"), [Missing { recorded: 2 }]);
        assert_eq!(told("abc", "abcX"), [Added { found: 3 }]);
        assert_eq!(told("ab", ""), [Missing { recorded: 0 }, Missing { recorded: 1 }]);
        assert_eq!(told("", "a"), [Added { found: 0 }]);
    }

    #[test]
    fn several_differences_are_told_apart() {
        assert_eq!(
            told("abcdefghijklmnop", "abdefgXijklmmnopY"),
            [
                Missing { recorded: 2 },
                Changed { recorded: 7, found: 6 },
                Added { found: 12 },
                Added { found: 16 }
            ]
        );
    }

    #[test]
    fn a_long_gap_is_a_gap_and_nothing_alike_is_a_change_of_everything() {
        let recorded: Vec<u32> = (0..5_000).collect();
        let found: Vec<u32> = (0..100).chain(3_000..4_000).chain(4_001..5_000).collect();
        let changes = compare(&recorded, &found);
        assert_eq!(changes.len(), 2_901);
        assert!(changes.iter().all(|change| matches!(change, Missing { .. })));
        let other: Vec<u32> = (10_000..15_000).collect();
        assert!(compare(&recorded, &other).iter().all(|c| matches!(c, Changed { .. })));
    }
}
