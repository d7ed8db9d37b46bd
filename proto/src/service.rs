//! What clients of a service say and are told: units that come one by one, and outcomes that go back.
//!
//! Owns the content of the frames between a client, the ventilator, which takes its units in, and the
//! sink, which has their outcomes; refuses to decide anything. A unit that was accepted has a ticket,
//! which is its id; who was accepted what is remembered by the client's name and its own numbering
//! (`Submit::units` begins with the client's number, not with an id).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    dead::Dead,
    limits::Limits,
    unit::UnitId,
    units::{Span, Units},
    value::value_len,
};

/// Units or tickets: the first, and the end, which is not among them.
pub type IdRange = (u64, u64);

/// The most ranges in one frame of a client, and the most answers in one to a client.
pub const RANGES_MAX: usize = 4_096;
/// The highest priority; 0 is the lowest, and what units have that ask for none.
pub const PRIORITY_MAX: u8 = 9;
/// The longest key by which units are joined, in bytes.
pub const UNIQUE_BYTES_MAX: usize = 1_024;
/// In a run directory, segments of what a service has accepted begin with this, and a number follows.
pub const QUEUE_SEGMENT: &str = "queue-";
/// The largest value of a unit, in bytes: a larger one would not fit a frame with what travels along.
pub const VALUE_BYTES_MAX: usize = 20 << 20;

/// A client's answer to its Hello, by the ventilator of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// Where the sink listens.
    pub sink: Vec<String>,
    /// The limits of the run.
    pub limits: Limits,
    /// There is a stage that has had no worker for a while: nothing that is submitted is worked on.
    pub vacant: bool,
}

/// How units are to be treated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Units of a higher priority are sent first; at most [`PRIORITY_MAX`].
    pub priority: u8,
    /// Milliseconds from now before which they are not sent.
    pub delay_ms: u64,
    /// Milliseconds from now after which they are dead if they have not been sent.
    pub ttl_ms: Option<u64>,
    /// A unit that is not committed and has the same key is the same unit. Only with one unit.
    pub unique: Option<String>,
    /// A unit that was submitted with the same key is the same unit, also when it is committed, as long
    /// as clients are remembered. Only with one unit.
    pub once: Option<String>,
}

/// Units of a client, for the ventilator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submit {
    /// The client knows the tickets of all its units below this number; they need not be remembered.
    pub known: u64,
    /// How they are to be treated.
    pub terms: Terms,
    /// Their values; where units have ids, these have the client's own numbers, one after the other.
    pub units: Units,
}

/// Consecutive units of a client have consecutive tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticketed {
    /// The client's number of the first.
    pub number: u64,
    /// How many.
    pub count: u64,
    /// The ticket of the first.
    pub ticket: UnitId,
}

/// Units of a client that are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declined {
    /// The client's number of the first.
    pub number: u64,
    /// How many.
    pub count: u64,
    /// Why not.
    pub reason: Reason,
}

/// Why units are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reason {
    /// The service is asked to end.
    #[error("the service is stopping and takes no more units")]
    Draining,
    /// One is larger than [`VALUE_BYTES_MAX`].
    #[error("a value is too large: a unit may have {} MiB", VALUE_BYTES_MAX >> 20)]
    Large,
    /// The client's numbers are of units whose tickets it has said to know.
    #[error("these numbers were used before")]
    Used,
    /// It could not be written down; the service ends.
    #[error("the service cannot write its queue")]
    Failed,
}

/// What became of units, for a client that waits for them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Those that gave values: a unit with one has an empty path, one with several a path of one step.
    pub units: Units,
    /// Those that gave none.
    pub filtered: Vec<Span>,
    /// Those that failed for good.
    pub dead: Vec<Dead>,
    /// Those whose outcome is not kept any more: it was fetched, or nobody did in time.
    pub expired: Vec<IdRange>,
    /// No such unit was ever accepted; told by the ventilator only.
    pub unknown: Vec<IdRange>,
}

impl Outcomes {
    /// Whether nothing is told.
    pub fn is_empty(&self) -> bool {
        let Self { units, filtered, dead, expired, unknown } = self;
        units.is_empty()
            && filtered.is_empty()
            && dead.is_empty()
            && expired.is_empty()
            && unknown.is_empty()
    }
}

/// Outputs of a unit that is still worked on: a look ahead at what its outcome will be. Nothing depends on
/// them: they are neither recorded nor told again, and what counts is the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which unit.
    pub unit: UnitId,
    /// The place of the first of them among the unit's outputs.
    pub index: u32,
    /// The outputs, MessagePack one behind the other.
    pub values: Bytes,
}

impl Part {
    /// Each output; what is no MessagePack, and what is behind it, is none.
    pub fn outputs(&self) -> impl Iterator<Item = Bytes> {
        let mut rest = self.values.clone();
        std::iter::from_fn(move || {
            let len = value_len(&rest).ok().filter(|len| *len > 0)?;
            Some(rest.split_to(len))
        })
    }
}

/// What became of the wish that a unit be not worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Which unit.
    pub ticket: UnitId,
    /// What came of it.
    pub state: CancelState,
}

/// See [`Cancelled`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelState {
    /// It is dead, and nobody works on it; unless a worker that was lost had finished it, or one had before
    /// the ventilator was started the last time, which its outcome tells then.
    Cancelled,
    /// A worker has begun it, and finishes it.
    Begun,
    /// It has its outcome, or there is no such unit.
    Over,
}

/// What a service has, for observers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Clients that are there.
    pub clients: u32,
    /// Units that are accepted, and that no worker has begun as far as the ventilator knows.
    pub queued: u64,
    /// Bytes of the values of units that are accepted and not committed.
    pub queued_bytes: u64,
    /// Outcomes that are kept for whoever fetches them.
    pub kept: u64,
    /// Bytes that they take.
    pub kept_bytes: u64,
    /// For how many milliseconds the oldest of them has waited that may be sent now; nil if none waits.
    pub oldest_ms: Option<u64>,
}
