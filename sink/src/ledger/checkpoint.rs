//! Everything that the outputs hold at one moment.
//!
//! Owns the form in which that is kept, in the run directory and in the log; refuses to know what
//! leads to a checkpoint. A ledger gives one (`Ledger::snapshot`), and goes on from one.

use serde::{Deserialize, Serialize};

use super::{again::Again, counts::Counts, flow::Flow};
use crate::{aggregate::Aggregates, output::contract::Mark, waiting::runs::RunMark};

/// Everything that the outputs hold, and from where on the log has the rest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The first segment of the log that is not covered.
    pub segment: u64,
    /// The units that are covered: ranges, end exclusive.
    pub covered: Vec<(u64, u64)>,
    /// In input order: all units below are written.
    pub watermark: u64,
    /// How many came out how.
    pub counts: Counts,
    /// How far units got.
    #[serde(default)]
    pub flow: Flow,
    /// How far the output has come.
    pub output: Option<Mark>,
    /// How far the dead letters have come.
    pub dead: Mark,
    /// The aggregates.
    pub aggregates: Aggregates,
    /// Service times in microseconds and how many units had each.
    pub service: Vec<(u64, u64)>,
    /// A digest of the sink's configuration.
    pub config: String,
    /// Where outcomes wait on disk: only in a checkpoint of the run directory.
    #[serde(default)]
    pub runs: Vec<RunMark>,
    /// Units of a finished run are tried again; what they give is written last.
    #[serde(default)]
    pub late: bool,
    /// What is known of these.
    #[serde(default)]
    pub again: Again,
}
