//! The tables of a topology.
//!
//! Owns their names, and the way to the keys of each, which are in `keys.rs`; refuses values.

use std::fmt;

use super::keys::{self, Key};

/// A table of a topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// What stands before the first table.
    Top,
    /// `[source]`.
    Source,
    /// One `[[stage]]`.
    Stage,
    /// `[sink]`.
    Sink,
    /// `[limits]`.
    Limits,
}

/// The keys by which a stage names its function; exactly one stands in each.
pub(super) const FUNCTION_KEYS: &[&str] =
    &["run", "exec", "pipe", "binary", "python", "python_file", "call"];

impl Section {
    /// Every section that has keys of its own.
    pub(super) const ALL: [Self; 5] =
        [Self::Top, Self::Source, Self::Stage, Self::Sink, Self::Limits];

    /// The names of the keys that may stand in this table.
    pub fn keys(self) -> Vec<String> {
        keys::of(self).into_iter().map(|key| key.name.into_owned()).collect()
    }

    /// The key of that name, if it may stand in this table.
    pub fn key(self, name: &str) -> Option<Key> {
        keys::of(self).into_iter().find(|key| key.name == name)
    }

    /// The other tables in which `key` may stand.
    pub(super) fn elsewhere(self, key: &str) -> Vec<Self> {
        Self::ALL
            .into_iter()
            .filter(|&other| other != self && other.keys().iter().any(|known| known == key))
            .collect()
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Top => "the top level",
            Self::Source => "[source]",
            Self::Stage => "[[stage]]",
            Self::Sink => "[sink]",
            Self::Limits => "[limits]",
        })
    }
}
