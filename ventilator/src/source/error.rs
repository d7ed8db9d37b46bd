//! Why a source can't be read.

use std::{io, path::PathBuf};

use thiserror::Error;

use super::digests::Difference;

/// Why a source can't be read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// There is nothing to read.
    #[error("clients submit the units of a service, so there is no source to read")]
    Service,
    /// The file can't be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line can't be understood.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A value is too large to travel.
    #[error("value {index} of those read last is {bytes} bytes long, more than a frame can carry")]
    Large {
        /// Which of the values that were read last, from 0.
        index: u64,
        /// Its length.
        bytes: u64,
    },
    /// It is not the source that this run has read before.
    #[error("the content of the source has changed: {} {difference}", path.display())]
    Changed {
        /// The file, or the pattern.
        path: PathBuf,
        /// In which way.
        difference: Difference,
    },
    /// The pattern of a `files` source is none.
    #[error("`{pattern}` is not a pattern: {problem}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        problem: String,
    },
}
