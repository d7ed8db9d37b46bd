//! The commit log: what has been accepted and is not yet covered by a checkpoint.
//!
//! Owns which log of the run directory it is; its form is [`proto::log`]'s.

pub use proto::log::*;

use crate::names::SEGMENT;

/// The sink's log.
pub const COMMIT_LOG: Kind = Kind { name: "commit log", prefix: SEGMENT, magic: b"pipelog" };
