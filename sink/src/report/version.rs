//! A topology that a run was made with.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A topology that some of the units of a run were done with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The first unit that was left or tried again when this version took over; none before a sink
    /// has seen it.
    pub from_unit: Option<u64>,
    /// Units that had their outcome by then, and keep it.
    pub units_before: u64,
    /// Everything in the topology that decides the results.
    pub topology: Value,
}
