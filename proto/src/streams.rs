//! Which of the standard streams this process was given.
//!
//! Owns the one moment at which that can be seen: Rust's own start-up puts `/dev/null` in the place
//! of a stream that is closed, so that no file gets its number; from then on it looks as if someone
//! had wanted everything that is written there to be lost. Refuses to read or write.

use std::sync::atomic::{AtomicU8, Ordering};

use rustix::{
    fs::{OFlags, fcntl_getfl},
    stdio::{stdin, stdout},
};
use thiserror::Error;

/// Why a standard stream is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StreamsError {
    /// Nothing can be read.
    #[error(
        "standard input is closed, or not open for reading; give the source something to read, or `< /dev/null` if it shall be empty"
    )]
    Input,
    /// Nothing can be written.
    #[error(
        "standard output is closed, or not open for writing; redirect it to a file, or to /dev/null if nobody wants it"
    )]
    Output,
}

const NO_INPUT: u8 = 1;
const NO_OUTPUT: u8 = 2;

static MISSING: AtomicU8 = AtomicU8::new(0);

ctor::declarative::ctor! {
    /// Before the start-up of Rust: two system calls, and no part of the standard library that
    /// could need it.
    #[ctor(unsafe)]
    fn look() {
        let unfit = |flags: rustix::io::Result<OFlags>, other: OFlags| {
            flags.map_or(true, |flags| flags & OFlags::RWMODE == other)
        };
        let mut missing = 0;
        if unfit(fcntl_getfl(stdin()), OFlags::WRONLY) {
            missing |= NO_INPUT;
        }
        if unfit(fcntl_getfl(stdout()), OFlags::RDONLY) {
            missing |= NO_OUTPUT;
        }
        MISSING.store(missing, Ordering::Relaxed);
    }
}

/// Whether standard input could be read when this process was started.
///
/// # Errors
/// [`StreamsError::Input`] when not.
pub fn has_input() -> Result<(), StreamsError> {
    has(NO_INPUT, StreamsError::Input)
}

/// Whether standard output could be written to when this process was started.
///
/// # Errors
/// [`StreamsError::Output`] when not.
pub fn has_output() -> Result<(), StreamsError> {
    has(NO_OUTPUT, StreamsError::Output)
}

fn has(missing: u8, error: StreamsError) -> Result<(), StreamsError> {
    match MISSING.load(Ordering::Relaxed) & missing {
        0 => Ok(()),
        _ => Err(error),
    }
}
