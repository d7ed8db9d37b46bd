//! Waiting for what must happen, with a deadline.
//!
//! Owns the only sleep of the harness. A scenario never sleeps and hopes: it says what it waits
//! for, and fails with these words when the deadline is over.

use std::thread;
use std::time::{Duration, Instant};

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
