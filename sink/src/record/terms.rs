//! What a recorder may write to, and whom it tells.

use std::path::PathBuf;

use proto::limits::Limits;

use crate::{
    outcomes::Retention,
    output::{claim::Claim, error::OutputError, tail::require_folder},
    report::{joblog::JobLogSpec, summary::Summary},
};

/// Called with the summary when the run is over, and whether it stopped early.
pub type Told = Box<dyn FnMut(&Summary, bool) -> Result<(), String> + Send>;

/// What a recorder may write to, and whom it tells.
pub struct Terms {
    /// How much may wait for an earlier outcome.
    pub room: Room,
    /// Which files it may write to. What a run directory knows is added to it.
    pub claim: Claim,
    /// Where the summary goes as JSON, if anywhere.
    pub summary: Option<PathBuf>,
    /// Where a line for each unit goes, if anywhere.
    pub joblog: Option<JobLogSpec>,
    /// Of a service: how long outcomes are kept for its clients.
    pub retention: Option<Retention>,
    /// Who is told at the end.
    pub told: Told,
}

/// How much may wait for an earlier outcome.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// In memory, in bytes; what is more goes to disk.
    pub memory_bytes_max: u64,
    /// In all. Nobody is kept to it here: the source is slowed before.
    pub waiting_bytes_max: u64,
}

impl Room {
    /// What a run's limits allow.
    pub fn of(limits: &Limits) -> Self {
        Self {
            // The other half is for what is on its way to the recorder.
            memory_bytes_max: limits.window_bytes_max / 2,
            waiting_bytes_max: limits.waiting_bytes_max,
        }
    }
}

impl Terms {
    /// A summary that could not be written is found out before the run.
    pub(super) fn check(&self) -> Result<(), OutputError> {
        if let Some(JobLogSpec { path, .. }) = &self.joblog {
            require_folder(path)?;
        }
        let Some(path) = &self.summary else { return Ok(()) };
        require_folder(path)?;
        self.claim.look(path, b"").map(drop)
    }
}
