//! Why outcomes can't be recorded.

use std::io;

use thiserror::Error;

use super::{log::LogError, retry::RetryError, run_dir::RunDirError};
use crate::{
    ledger::error::LedgerError, output::error::OutputError, report::manifest::ManifestError,
    waiting::fault::WaitingError,
};

/// Why outcomes can't be recorded.
#[derive(Debug, Error)]
pub enum RecordError {
    /// An output can't be opened or written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// An outcome can't be taken in.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What waits for an earlier outcome can't be kept on disk, or be read from there.
    #[error(transparent)]
    Waiting(#[from] WaitingError),
    /// The log can't be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The run directory can't be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// The manifest can't be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The run directory belongs to a sink that writes something else.
    #[error(
        "the run directory holds a run whose sink has another output, order, fields or aggregates"
    )]
    OtherConfig,
    /// What was written before could not be made safe.
    #[error("what was recorded before could not be made safe")]
    NotSafe,
    /// What has failed can't be put back.
    #[error(transparent)]
    Retry(#[from] RetryError),
    /// The outcomes that are kept for clients can't be read or written.
    #[error("cannot keep outcomes for clients: {0}")]
    Outcomes(#[from] rusqlite::Error),
    /// No thread could be made.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    /// The summary could not be told.
    #[error("{0}")]
    Told(String),
}
