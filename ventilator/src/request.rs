//! What a ventilator asks of its source or queue, and of its diary, and what comes back.
//!
//! Owns the words between [`crate::core`] and whoever joins it to the world; refuses to do any of it.

use proto::{
    diary,
    frame::{Code, RunId},
    role::{self, Effect},
    unit::UnitId,
    units::Units,
};

use crate::queue::{Ask, News};

/// What the ventilator asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Go on reading at this unit; those before are committed. Once, before anything is read.
    Seek {
        /// The run that goes on.
        run: RunId,
        /// The unit.
        unit: UnitId,
    },
    /// Read up to so many units.
    Read(u64),
    /// Note what has happened, for those who ask afterwards.
    Note(diary::Event),
    /// Of a service only, which has a queue instead of a source: what the queue shall do.
    Queue(Ask),
}

/// What comes back.
#[derive(Debug)]
pub enum Reply {
    /// Units in order, and whether the source has ended behind them.
    Read {
        /// The units; none only at the end.
        units: Units,
        /// Nothing follows.
        ended: bool,
    },
    /// Like [`Read`](Self::Read), where these units and later ones may name code.
    Named {
        /// The code that is new, or that no unit names any more.
        codes: Vec<Code>,
        /// The units.
        units: Units,
        /// Nothing follows.
        ended: bool,
    },
    /// Of a service: what follows from what its queue was asked.
    Queue(Box<News>),
    /// The source cannot be read further.
    Failed(String),
    /// The source is not the one that the run has read before.
    Changed(String),
}

/// The handling of one event by a ventilator.
pub(crate) type Turn<'a> = role::Turn<'a, Effect<Request>>;
