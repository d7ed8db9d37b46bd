//! What the sink asks of its recorder, and what comes back.
//!
//! Owns the words between the two, and the exit codes that a run ends with; refuses to do any of it.

use std::time::Duration;

use proto::{
    frame::{Failing, PeerId, Tally},
    role::LinkId,
    service::{IdRange, Outcomes},
    turned_away::TurnedAway,
};

use crate::accept::entry::Entry;

/// What the sink asks for.
#[derive(Debug)]
pub enum Request {
    /// Record these outcomes; answered with [`Reply::Recorded`] once they are safe.
    Record {
        /// Counted from 0.
        number: u64,
        /// The outcomes, none of a unit that was recorded before.
        entries: Vec<Entry>,
        /// Outcomes that came more than once, since this sink started.
        duplicates: u64,
    },
    /// Make those batches safe too that wait for an earlier outcome: it is late.
    LogWaiting,
    /// A run of this plan has begun, or goes on: a ventilator has said Hello. Answered with
    /// [`Reply::Begun`] once that is safe; until then the ventilator hears nothing.
    Begin {
        /// Which start of a ventilator it is.
        ventilator: PeerId,
        /// Units that are committed at this moment.
        committed: u64,
        /// The digest of source and stages.
        plan: String,
        /// The names of the stages.
        stages: Vec<String>,
        /// How far beyond the watermark units may be sent, at most.
        window_units: u64,
    },
    /// Everything is recorded: write all of it out, and close the outputs.
    Close {
        /// How many units there were, unless the run only pauses.
        units: Option<u64>,
    },
    /// A client waits for the outcomes of these units.
    Await {
        /// Its session.
        link: LinkId,
        /// Which units.
        units: Vec<IdRange>,
    },
    /// A client has the outcomes of these units.
    Fetched(Vec<IdRange>),
    /// A client is gone.
    ClientLeft(LinkId),
    /// Time has passed: what was kept long enough may go.
    Expire,
    /// The run is over: tell people about it.
    Conclude(Box<Conclusion>),
}

/// What only the network knows of a run that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Conclusion {
    /// Units that the source gave.
    pub units: u64,
    /// Units committed since this sink started.
    pub committed_here: u64,
    /// The run stopped before the end of its source.
    pub drained: bool,
    /// Outcomes that came more than once.
    pub duplicates: u64,
    /// The most separate ranges of committed units that there were at once.
    pub ranges_max: u64,
    /// From the first Hello of a ventilator to the last commit.
    pub elapsed: Duration,
    /// What the sink has turned away.
    pub turned_away: TurnedAway,
    /// What the ventilator knows; none if it was lost at the end.
    pub tally: Option<Tally>,
}

/// What comes back.
#[derive(Debug)]
pub enum Reply {
    /// It is recorded that the run has begun, or goes on.
    Begun,
    /// Batches are safe.
    Recorded {
        /// The last of them.
        number: u64,
        /// Those before it that are not: they wait for an earlier outcome.
        waiting: Vec<u64>,
        /// What recorded outcomes take that wait for an earlier one, in memory and on disk.
        waiting_bytes: u64,
        /// Units dead-lettered so far.
        dead: u64,
    },
    /// The outputs are closed.
    Closed,
    /// People have been told; the summary as JSON.
    Concluded(String),
    /// In this stage every unit has failed since this sink began, or none does so any more.
    Failing(Option<Failing>),
    /// A client is told what became of units. All of that is safe.
    Outcomes(LinkId, Box<Outcomes>),
    /// So many outcomes are kept for clients, and take so many bytes.
    Kept(u64, u64),
    /// The reader of the output has gone.
    ReaderGone,
    /// Recording has failed, and cannot be tried again.
    Failed(String),
}

/// Exit codes of a sink.
pub mod exit {
    /// Every unit came out as a result or was filtered.
    pub const COMPLETE: i32 = 0;
    /// Some units are dead-lettered.
    pub const DEAD: i32 = 1;
    /// The output could not be written.
    pub const OUTPUT: i32 = 74;
    /// Stopped before the end of the source; what was begun is committed.
    pub const DRAINED: i32 = 75;
}
