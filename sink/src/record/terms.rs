//! What a recorder may write to, and whom it tells.

use std::path::PathBuf;

use crate::{
    output::{claim::Claim, error::OutputError, tail::require_folder},
    report::summary::Summary,
};

/// Called with the summary when the run is over, and whether it stopped early.
pub type Told = Box<dyn FnMut(&Summary, bool) -> Result<(), String> + Send>;

/// What a recorder may write to, and whom it tells.
pub struct Terms {
    /// Which files it may write to. What a run directory knows is added to it.
    pub claim: Claim,
    /// Where the summary goes as JSON, if anywhere.
    pub summary: Option<PathBuf>,
    /// Who is told at the end.
    pub told: Told,
}

impl Terms {
    /// A summary that could not be written is found out before the run.
    pub(super) fn check(&self) -> Result<(), OutputError> {
        let Some(path) = &self.summary else { return Ok(()) };
        require_folder(path)?;
        self.claim.look(path, b"").map(drop)
    }
}
