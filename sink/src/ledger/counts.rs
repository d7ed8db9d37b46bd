//! How many units came out how.

use serde::{Deserialize, Serialize};

/// How many units came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Units with one output or more.
    pub results: u64,
    /// Outputs.
    pub outputs: u64,
    /// Units without output.
    pub filtered: u64,
    /// Units that failed for good.
    pub dead: u64,
}
