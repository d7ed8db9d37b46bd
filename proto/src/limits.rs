//! Every limit of the runtime, with its default. Names bear their unit.
//!
//! Owns the numbers; refuses behaviour.

use serde::{Deserialize, Serialize};

/// How often a failed unit is tried again.
pub const RETRIES: u32 = 2;
/// Milliseconds before the first retry; doubled for each further one, up to [`BACKOFF_MS_MAX`].
pub const BACKOFF_MS: u64 = 100;
/// The longest pause before a retry.
pub const BACKOFF_MS_MAX: u64 = 30_000;
/// Deaths of workers that execute one unit alone before the unit is dead-lettered.
pub const CRASH_LIMIT: u32 = 3;

/// The most that `frame_bytes_max` can be: a worker listens before it is told the run's limit.
pub const FRAME_BYTES_CEILING: u64 = 256 << 20;

/// The most that `parcel_units_max` can be: a frame with more units is refused whole.
pub const PARCEL_UNITS_CEILING: u32 = 1 << 20;

/// The most units that one worker may have open at once.
pub const CONCURRENCY_CEILING: u32 = 1 << 16;

/// The most expansions on the way to one output: one a stage.
pub const PATH_STEPS_MAX: usize = 128;

/// The limits of one run; the same on every process of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Units that the ventilator may have sent and the sink not yet committed.
    pub window_units_max: u64,
    /// Bytes of values that one process keeps in memory for peers: unsent, or sent and not committed.
    pub window_bytes_max: u64,
    /// Units in one parcel. No more than [`PARCEL_UNITS_CEILING`].
    pub parcel_units_max: u32,
    /// Bytes of values in one parcel, unless a single unit is larger.
    pub parcel_bytes_max: u64,
    /// Bytes of one frame, checked before it is allocated; the largest value is a little smaller.
    /// No more than [`FRAME_BYTES_CEILING`].
    pub frame_bytes_max: u64,
    /// Outputs of one unit in one stage.
    pub expansion_units_max: u32,
    /// Units that all senders together may have sent to a worker that has not processed them.
    pub intake_units_max: u64,
    /// The same in bytes of values.
    pub intake_bytes_max: u64,
    /// Service time in milliseconds that a parcel of many units grows towards.
    pub parcel_target_ms: u64,
    /// Milliseconds between heartbeats on an idle link.
    pub heartbeat_interval_ms: u64,
    /// Milliseconds of silence after which a peer is given up.
    pub liveness_ms: u64,
    /// Peers that a process accepts.
    pub peers_max: u32,
    /// Bytes of outcomes that wait at the sink for an earlier one, in memory and on disk.
    pub waiting_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window_units_max: 1 << 19,
            window_bytes_max: 16 << 20,
            parcel_units_max: 32 << 10,
            parcel_bytes_max: 256 << 10,
            frame_bytes_max: 64 << 20,
            expansion_units_max: 1 << 20,
            intake_units_max: 64 << 10,
            intake_bytes_max: 4 << 20,
            parcel_target_ms: 24,
            heartbeat_interval_ms: 500,
            liveness_ms: 5_000,
            peers_max: 1_024,
            waiting_bytes_max: 1 << 30,
        }
    }
}
