//! What can go wrong with the files of outcomes that wait.
//!
//! Owns the reasons, in words for whoever reads them; refuses to decide what follows.

use std::io;

use thiserror::Error;

use super::record::FORMAT;

/// Why outcomes can't wait on disk.
#[derive(Debug, Error)]
#[error("cannot {action} {file}, where outcomes wait for an earlier one")]
pub struct WaitingError {
    /// What was tried.
    pub(super) action: &'static str,
    /// The file; for one without a name its folder.
    pub(super) file: String,
    /// Why.
    pub(super) source: RunFault,
}

/// What is wrong with the file of a run.
#[derive(Debug, Error)]
pub enum RunFault {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another version has written it.
    #[error(
        "it is in format {0}, and this version reads format {FORMAT}: go on with the version that began the run, or start over"
    )]
    Format(u8),
    /// No version of this program has written it.
    #[error("it was not written by this run: put back what was there, or start over")]
    Foreign,
    /// It holds less than was recorded.
    #[error(
        "it holds {found} bytes, but {recorded} were recorded: put back what was there, or start over"
    )]
    Shorter {
        /// How many there are.
        found: u64,
        /// How many were recorded.
        recorded: u64,
    },
    /// Its bytes are not those that were written.
    #[error("it is damaged at byte {0}: put back what was there, or start over")]
    Damaged(u64),
}
