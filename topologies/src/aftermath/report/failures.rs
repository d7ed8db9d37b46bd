//! What failed, by kind.
//!
//! Owns what one kind is: an error's first line, whatever numbers stand in it.

use std::{collections::BTreeMap, io, path::Path};

use proto::{
    diary::{self, Event},
    gist::gist,
};
use serde::Serialize;

/// So many kinds are told.
const KINDS_MAX: usize = 30;
/// So many are told apart.
const APART_MAX: usize = 10_000;

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Where, if that is known.
    pub stage: Option<String>,
    /// What they have in common; `#` stands for numbers.
    pub kind: String,
    /// How many.
    pub count: u64,
}

/// What the ventilator has noted: each try that failed in the first stage.
pub(super) fn in_diary(run_dir: &Path) -> io::Result<Vec<Failure>> {
    let notes = diary::read_if_there(&run_dir.join(diary::VENTILATOR_FILE))?;
    let mut kinds = Kinds::default();
    for note in notes.into_iter().flatten() {
        if let Event::Failed { error, .. } = note.event {
            kinds.count(None, &error);
        }
    }
    Ok(kinds.told())
}

/// Of errors, each with its stage; the most frequent first.
pub(super) fn by_kind<'a>(errors: impl Iterator<Item = (Option<String>, &'a str)>) -> Vec<Failure> {
    let mut kinds = Kinds::default();
    errors.for_each(|(stage, error)| kinds.count(stage, error));
    kinds.told()
}

#[derive(Default)]
struct Kinds(BTreeMap<(Option<String>, String), u64>);

impl Kinds {
    fn count(&mut self, stage: Option<String>, error: &str) {
        let key = (stage, kind(error));
        if self.0.len() < APART_MAX || self.0.contains_key(&key) {
            *self.0.entry(key).or_default() += 1;
        }
    }

    fn told(self) -> Vec<Failure> {
        let all = self.0.into_iter();
        let mut told: Vec<Failure> =
            all.map(|((stage, kind), count)| Failure { stage, kind, count }).collect();
        told.sort_by_key(|failure| std::cmp::Reverse(failure.count));
        told.truncate(KINDS_MAX);
        told
    }
}

fn kind(error: &str) -> String {
    let mut kind = String::new();
    for character in gist(error).chars() {
        match character.is_ascii_digit() {
            true if kind.ends_with('#') => {}
            true => kind.push('#'),
            false => kind.push(character),
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_differ_in_numbers_are_of_one_kind() {
        let errors = ["no page 17", "timeout", "no page 9", "no page 10"];
        let told = by_kind(errors.into_iter().map(|error| (None, error)));
        let told: Vec<_> = told.iter().map(|one| (one.kind.as_str(), one.count)).collect();
        assert_eq!(told, [("no page #", 3), ("timeout", 1)]);
    }
}
