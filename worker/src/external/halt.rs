//! Why a program gave no answer, and how that is told.
//!
//! Owns the bounds of an answer and the texts of the failures; refuses to wait or to read.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::program::Program;
use super::{CommandLine, Surroundings};
use crate::Failure;

/// Why a program gave no answer.
#[derive(Debug)]
pub(super) enum Halt {
    /// The time was up.
    TimedOut,
    /// It printed more than it may.
    TooMuch,
    /// It closed its output, and went on.
    Closed,
    /// It ended.
    Ended(ExitStatus),
    /// The system refused something.
    System(io::Error),
}

impl From<rustix::io::Errno> for Halt {
    fn from(error: rustix::io::Errno) -> Self {
        Self::System(error.into())
    }
}

/// How long and how much a program may answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) deadline: Option<Instant>,
    pub(super) bytes_max: usize,
}

impl Bounds {
    /// Whether the time is up.
    pub(super) fn is_over(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() >= end)
    }
}

/// The failure that a program's trouble means. The program is ended by it.
pub(super) fn halted(
    name: &str,
    program: &mut Program,
    halt: Halt,
    bounds: Bounds,
    limit: Option<Duration>,
) -> Failure {
    // Before its last words are read: the last of all come when it is gone.
    let killed = program.kill();
    let what = match halt {
        Halt::TimedOut => {
            format!("took longer than {:?} and was killed", limit.unwrap_or_default())
        }
        Halt::TooMuch => format!("printed more than {} bytes and was killed", bounds.bytes_max),
        Halt::Closed => "closed its input or output without an answer, and was killed".to_owned(),
        Halt::Ended(status) => format!("ended with {status}"),
        Halt::System(error) => format!("cannot be talked to: {error}"),
    };
    if let Err(error) = killed {
        tracing::warn!(program = name, %error, "a program could not be ended");
    }
    let words = program.last_words();
    Failure::new(if words.is_empty() {
        format!("`{name}` {what}")
    } else {
        format!("`{name}` {what}; on stderr: {words}")
    })
}

/// The failure that a program which cannot be started means.
pub(super) fn cannot_start(
    command: &CommandLine,
    surroundings: &Surroundings,
    error: &io::Error,
) -> Failure {
    let name = command.program();
    Failure::new(match &surroundings.directory {
        Some(directory) => format!("cannot start `{name}` in `{directory}`: {error}"),
        None => format!("cannot start `{name}`: {error}"),
    })
}
