//! What can go wrong when outcomes are taken in.
//!
//! Owns nothing but the two places where it can; each tells what it is in its own words.

use thiserror::Error;

use crate::{output::error::OutputError, waiting::fault::WaitingError};

/// Why outcomes can't be taken in. Nothing can be written afterwards.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// An output can't be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// What waits for an earlier outcome can't be kept on disk, or be read from there.
    #[error(transparent)]
    Waiting(#[from] WaitingError),
}
