//! Whether this process has what it takes to run at all: a stack, memory to address, threads.
//!
//! Owns the look at it before anything is begun: libzmq and the standard library end the process
//! with SIGABRT where they get no thread or no memory, and nobody learns why. Refuses to count what
//! the work itself will need.

use std::{
    fmt, io,
    sync::{Mutex, PoisonError},
    thread,
};

use rustix::process::{Resource, getrlimit};
use thiserror::Error;

use crate::files::{self, FilesError};

/// The least that the main thread gets along with.
const STACK_BYTES_MIN: u64 = 256 << 10;
/// Threads of a process: libzmq's, which have the stack that the system grants, and its own.
const FOREIGN_THREADS: usize = 3;
const OWN_THREADS: usize = 9;
/// The threads that a process needs.
pub const THREADS: usize = FOREIGN_THREADS + OWN_THREADS;
/// What a thread gets where the system grants any stack.
const STACK_BYTES: usize = 8 << 20;
/// What a program and its libraries take beside the stacks. Where there is less, it is not tried: the
/// first allocation that fails ends a process before it can say why.
const PROGRAM_BYTES: u64 = 64 << 20;
/// What the standard library gives its threads.
const OWN_STACK_BYTES: usize = 2 << 20;

/// Why this process can't run.
#[derive(Debug, Error)]
pub enum FootingError {
    /// The stack is too small.
    #[error(
        "the stack may have {limit} KiB (`ulimit -s`), and {needed} KiB are needed: raise the limit"
    )]
    Stack {
        /// KiB that it may have.
        limit: u64,
        /// KiB that are needed.
        needed: u64,
    },
    /// Too few files may be open.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Not enough threads can be had.
    #[error(
        "cannot have the {needed} threads that this process needs: {source}; {limits} may be too low, or the system's limit for this service or container (`TasksMax`, `--pids-limit`)"
    )]
    Threads {
        /// How many are needed.
        needed: usize,
        /// What the system says.
        source: io::Error,
        /// The limits that may be the cause.
        limits: Limits,
    },
}

/// The limits that decide how many threads there can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits(Vec<(&'static str, u64)>);

impl Limits {
    fn now() -> Self {
        let kib = [("-v", Resource::As), ("-d", Resource::Data), ("-s", Resource::Stack)];
        let kib = kib.into_iter().filter_map(|(flag, resource)| {
            getrlimit(resource).current.map(|bytes| (flag, bytes >> 10))
        });
        let threads = getrlimit(Resource::Nproc).current.map(|count| ("-u", count));
        Self(kib.chain(threads).collect())
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (flag, limit)) in self.0.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}`ulimit {flag}` ({limit})")?;
        }
        if self.0.is_empty() { write!(f, "a limit") } else { Ok(()) }
    }
}

/// Whether the main thread has room; to be asked first of all.
///
/// # Errors
/// [`FootingError::Stack`] when it has too little.
pub fn check_stack() -> Result<(), FootingError> {
    match getrlimit(Resource::Stack).current {
        Some(limit) if limit < STACK_BYTES_MIN => {
            Err(FootingError::Stack { limit: limit >> 10, needed: STACK_BYTES_MIN >> 10 })
        }
        _ => Ok(()),
    }
}

/// What every role needs: raises the limit of open files, and sees to the threads.
///
/// # Errors
/// [`FootingError::Files`] and [`FootingError::Threads`].
pub fn find() -> Result<(), FootingError> {
    files::raise_limit()?;
    check_threads()
}

/// Whether all threads of a process can be had at once, tried out in a fraction of a millisecond.
///
/// # Errors
/// [`FootingError::Threads`] when they can't.
pub fn check_threads() -> Result<(), FootingError> {
    let granted = getrlimit(Resource::Stack).current.map_or(STACK_BYTES, saturated);
    let sizes = [granted; FOREIGN_THREADS].into_iter().chain([OWN_STACK_BYTES; OWN_THREADS]);
    let stacks = sizes.clone().fold(0, usize::saturating_add) as u64;
    let addresses = getrlimit(Resource::As).current.unwrap_or(u64::MAX);
    let threads = if addresses < stacks.saturating_add(PROGRAM_BYTES) {
        Err(io::ErrorKind::OutOfMemory.into())
    } else {
        have_threads(sizes)
    };
    threads.map_err(|source| FootingError::Threads {
        needed: THREADS,
        source,
        limits: Limits::now(),
    })
}

fn saturated(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Has threads with such stacks, all at once, for a moment.
fn have_threads(sizes: impl Iterator<Item = usize>) -> io::Result<()> {
    let gate = Mutex::new(());
    let wait = || drop(gate.lock().unwrap_or_else(PoisonError::into_inner));
    thread::scope(|scope| {
        let _shut = gate.lock().unwrap_or_else(PoisonError::into_inner);
        for size in sizes {
            thread::Builder::new().stack_size(size).spawn_scoped(scope, wait)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_process_stands_and_one_without_room_for_its_threads_is_told_the_limits() {
        check_stack().unwrap();
        check_threads().unwrap();
        let source = have_threads([1 << 20, 1 << 60].into_iter()).unwrap_err();
        let limits = Limits(vec![("-v", 60_000), ("-u", 20)]);
        let told = FootingError::Threads { needed: 12, source, limits }.to_string();
        assert!(told.contains("`ulimit -v` (60000), `ulimit -u` (20) may be too low"), "{told}");
        assert_eq!(Limits(Vec::new()).to_string(), "a limit");
    }
}
