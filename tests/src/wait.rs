//! Waiting for what must happen, with a deadline.
//!
//! Owns the only sleep of the harness. A scenario never sleeps and hopes: it says what it waits
//! for, and fails with these words when the deadline is over.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Longer than anything here takes, on a machine that others use too.
pub const PATIENCE: Duration = Duration::from_secs(60);

const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Waits until `condition` gives something, at most [`PATIENCE`].
///
/// # Panics
/// When the deadline is over, with `what`.
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, condition)
}

/// Waits until `condition` gives something, at most `deadline`.
///
/// # Panics
/// When the deadline is over, with `what`.
pub fn within<T>(deadline: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

/// Lets `pause` pass between two faults, unless `over` ends it early. For scenarios whose subject
/// is a fault every so often, never to wait for something to have happened.
pub fn pace(pause: Duration, mut over: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < pause && !over() {
        thread::sleep(POLL_INTERVAL);
    }
}

/// What is seen of the files below a folder: it changes when any of them does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traces {
    /// The sum of their lengths.
    pub bytes: u64,
    files: u64,
    newest: Option<SystemTime>,
}

/// How the files below `folder` are now; to see whether a run gets on, whatever it writes.
pub fn traces_of(folder: &Path) -> Traces {
    let mut traces = Traces::default();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                folders.push(entry.path());
            }
            traces.bytes += if data.is_file() { data.len() } else { 0 };
            traces.files += 1;
            traces.newest = traces.newest.max(data.modified().ok());
        }
    }
    traces
}

/// Whether it becomes so before the deadline.
pub fn is_soon(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() >= deadline {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
}
