//! Where a run stands when its sink starts.

use proto::{frame::RunId, ranges::RangeSet};

/// Where a run stands when its sink starts.
#[derive(Debug, Clone, Default)]
pub struct ResumePoint {
    /// The run, drawn at random when it began.
    pub run: RunId,
    /// Counts starts of its sink.
    pub epoch: u64,
    /// What is committed.
    pub committed: RangeSet,
    /// The digest of source and stages, if it has begun.
    pub plan: Option<String>,
    /// How far beyond the watermark the sinks before this one may have let units be sent; none if
    /// that is not known.
    pub window_units: Option<u64>,
    /// Units dead-lettered.
    pub dead: u64,
    /// The sink may die and come back.
    pub durable: bool,
    /// How many units there are, if the source had ended when everything was committed.
    pub units: Option<u64>,
}
