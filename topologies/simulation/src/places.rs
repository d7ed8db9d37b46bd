//! Which process of a simulated pipeline has which number.

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    Ventilator,
    Sink,
    /// Of this stage.
    Worker(usize),
    /// Of a service, counted from 0.
    Client(usize),
}

/// The process that reads the source.
pub(super) const VENTILATOR: usize = 0;
/// The process that records.
pub(super) const SINK: usize = 1;
/// The first of the workers.
pub(super) const WORKERS: usize = 2;
