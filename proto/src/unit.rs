//! A unit's identity: its place in the source and, once a stage has expanded it, its path.

use serde::{Deserialize, Serialize};

/// A unit's place in the source, counted from 0.
pub type UnitId = u64;

/// One expansion on the way from the source to an output: which run of which worker made
/// several outputs of one input, and which of them this is.
///
/// The execution is a nonce of that one run, so that outputs of two runs over the same input are
/// never mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Step {
    /// The nonce of the run that expanded the unit.
    pub execution: u64,
    /// Which output of that run, from 0.
    pub index: u32,
    /// How many outputs that run gave.
    pub of: u32,
}

/// The expansions of a unit, outermost first; empty for a unit that no stage has expanded.
pub type Path = Vec<Step>;
