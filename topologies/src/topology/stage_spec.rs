//! A stage as a topology has it: what its workers are told, and how they are started here.
//!
//! Owns the description; refuses to check it, which is `check`'s.

use std::path::PathBuf;

use proto::plan::Stage;

/// One stage, and how it is started on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSpec {
    /// What its workers are told; external programs work in the topology's folder.
    pub stage: Stage,
    /// How many workers are started; none only where others can join, at `bind`.
    pub workers: u32,
    /// The user's own worker program, when the function is
    /// [`Own`](proto::plan::Function::Own): an absolute path, or a name on the PATH.
    pub binary: Option<PathBuf>,
}
