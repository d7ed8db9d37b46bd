//! A unit that failed for good, as it is told to the sink, and by it to clients.

use serde::{Deserialize, Serialize};

use crate::unit::{Path, UnitId};

/// A unit that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dead {
    /// Its place in the source.
    pub root: UnitId,
    /// Its expansions.
    pub path: Path,
    /// The stage that failed.
    pub stage: u32,
    /// The value that the stage was given.
    #[serde(with = "serde_bytes")]
    pub input: Vec<u8>,
    /// What the last worker said.
    pub error: String,
    /// How many tries it had.
    pub attempts: u32,
    /// The name of that worker.
    pub worker: String,
}
