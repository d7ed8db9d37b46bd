//! How many files this process may have open, and whether there is room for more.
//!
//! Owns the limit and the headroom below it. A connection takes five descriptors or so of either
//! process, and libzmq does not bear running out where it makes a socket. So lanes are refused, and
//! doors closed, while descriptors for what must not fail are still there; a burst that is faster
//! than that is turned away at the door (`zeromq-src/accept.c`). Refuses to close anything.

use std::{
    fs::{self, File},
    io,
    os::fd::AsRawFd,
    path::Path,
    sync::OnceLock,
};

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use thiserror::Error;

/// More than any run needs, and little enough for programs that close all that they may have open.
const WANTED: u64 = 65_536;
/// What a process needs to do anything at all.
const LEAST: u64 = 128;
/// Descriptors of a process beside its peers', and the headroom that a crowd of peers needs.
const BASE: u64 = 512;
/// Descriptors for a peer: a lane with its monitor, and a connection in each direction, and some
/// for what lingers.
const A_PEER: u64 = 6;
/// Descriptors that are left for what must not fail, at least and at most.
const HEADROOM: (u64, u64) = (32, 4_096);

/// Why there is no room for files.
#[derive(Debug, Error)]
pub enum FilesError {
    /// The limit is too low for what was asked of this process.
    #[error(
        "{needed} files have to be open at once, and the hard limit is {limit}: raise it (`ulimit -Hn {needed}` as root, `LimitNOFILE={needed}` in a systemd unit, `--ulimit nofile={needed}` for a container)"
    )]
    Limit {
        /// How many are needed.
        needed: u64,
        /// How many there may be.
        limit: u64,
    },
    /// Too many are open.
    #[error(
        "no room for one more connection: {open} of {limit} files are open; raise the limit (ulimit -n)"
    )]
    Full {
        /// How many are open.
        open: u64,
        /// How many there may be.
        limit: u64,
    },
}

/// Lets this process open as many files as it will need, if it may.
///
/// For the `main` of a program: a library does not change what its process inherited.
///
/// # Errors
/// [`FilesError::Limit`] when it can't do anything with so few.
pub fn raise_limit() -> Result<(), FilesError> {
    raise_limit_to(LEAST)
}

/// The same for one that talks to so many peers.
///
/// # Errors
/// [`FilesError::Limit`] when that is more than the system grants.
pub fn raise_limit_for(peers: usize) -> Result<(), FilesError> {
    let peers = u64::try_from(peers).unwrap_or(u64::MAX);
    raise_limit_to(peers.saturating_mul(A_PEER).saturating_add(BASE))
}

fn raise_limit_to(needed: u64) -> Result<(), FilesError> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(WANTED.max(needed), |maximum| maximum.min(WANTED.max(needed)));
    if current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum };
        if let Err(errno) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%errno, "the limit of open files stays as it is");
        }
    }
    match limit() {
        limit if limit < needed => Err(FilesError::Limit { needed, limit }),
        _ => Ok(()),
    }
}

/// How many files may be open.
fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn headroom(limit: u64) -> u64 {
    (limit / 4).clamp(HEADROOM.0, HEADROOM.1)
}

/// Whether a descriptor that was just given out tells that few are left: the system gives out the
/// lowest that is free.
pub(crate) fn is_scarce(descriptor: u32) -> bool {
    let limit = limit();
    u64::from(descriptor) >= limit.saturating_sub(headroom(limit))
}

/// Whether there is room again for others to come in: half of the headroom more than is kept.
pub(crate) fn is_roomy() -> bool {
    let limit = limit();
    count_open() < limit.saturating_sub(headroom(limit) * 3 / 2)
}

/// Whether a lane may take some more: half of what is kept from those who come in.
///
/// # Errors
/// [`FilesError::Full`] when too few are left.
pub(crate) fn ask_room() -> Result<(), FilesError> {
    let limit = limit();
    let last = limit.saturating_sub(headroom(limit) / 2);
    if is_free(last) {
        return Ok(());
    }
    // One that came at a peak may have stayed, so that only counting tells.
    let open = count_open();
    if open < last { Ok(()) } else { Err(FilesError::Full { open: open.min(limit), limit }) }
}

/// Whether nothing is open under this number. If so, fewer than that were since it was closed.
fn is_free(number: u64) -> bool {
    static LISTED: OnceLock<bool> = OnceLock::new();
    if *LISTED.get_or_init(|| Path::new("/proc/self/fd").is_dir()) {
        let found = fs::symlink_metadata(format!("/proc/self/fd/{number}"));
        return found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    }
    can_be_taken(number)
}

/// The same by taking it. The system makes room for all numbers below then, and has a process of
/// several threads wait for some milliseconds for that.
fn can_be_taken(number: u64) -> bool {
    static NOTHING: OnceLock<Option<File>> = OnceLock::new();
    let nothing = NOTHING.get_or_init(|| File::open("/dev/null").ok());
    let (Some(nothing), Ok(number)) = (nothing, i32::try_from(number)) else { return false };
    fcntl_dupfd_cloexec(nothing, number).is_ok_and(|taken| taken.as_raw_fd() == number)
}

/// As many as can be when they can't be counted: to look takes a descriptor too.
fn count_open() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(u64::MAX, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_told_with_the_number_that_is_needed() {
        let error = raise_limit_for(usize::MAX / 8).unwrap_err();
        assert!(error.to_string().contains("files have to be open at once"), "{error}");
        raise_limit().unwrap();
        let limit = limit();
        assert!(limit >= LEAST && is_scarce(u32::MAX) == (limit <= u64::from(u32::MAX)));
        ask_room().unwrap();
        assert!(is_roomy());
    }
    #[test]
    fn both_ways_to_ask_for_a_number_agree() {
        let open = File::open("/dev/null").unwrap();
        let number = u64::try_from(open.as_raw_fd()).unwrap();
        assert!(!is_free(number) && !can_be_taken(number));
        assert!(is_free(900) && can_be_taken(900));
    }

    /// Room for as many as there may be is made once there are as many.
    #[test]
    fn to_ask_for_room_makes_none() {
        raise_limit().unwrap();
        ask_room().unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let room = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        let room: u64 = room.trim().parse().unwrap();
        assert!(room <= 4_096, "{room}");
    }
}
