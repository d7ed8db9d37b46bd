//! A unit's identity: its place in the source and, once a stage has expanded it, its path.

use std::fmt;

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

/// A unit's name: its place in the source, then `.` and the index for each expansion, as in `17.3.0`.
#[derive(Debug, Clone)]
pub struct UnitName<I>(pub UnitId, pub I);

impl<I: Iterator<Item = u32> + Clone> fmt::Display for UnitName<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        self.1.clone().try_for_each(|index| write!(f, ".{index}"))
    }
}
