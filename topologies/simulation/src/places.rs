//! Which process of a simulated pipeline has which number.

/// The process that reads the source.
pub(super) const VENTILATOR: usize = 0;
/// The process that records.
pub(super) const SINK: usize = 1;
/// The first of the workers.
pub(super) const WORKERS: usize = 2;
