//! Whether this process was started by another one of ours, which looks after it.
//!
//! Owns how that is known; refuses to act on it.

use std::env;

use rustix::process::{Pid, getppid};

/// The variable that holds the process id of a launcher whose children end with it.
pub const PARENT_VARIABLE: &str = "PIPELINE_PARENT";

/// The process id of the launcher that the environment names, whether it is there or not.
pub fn launcher() -> Option<i32> {
    env::var(PARENT_VARIABLE).ok().and_then(|pid| pid.parse().ok())
}

/// Whether this process was started by a launcher, which looks after it.
pub fn has_launcher() -> bool {
    launcher().is_some() && launcher() == getppid().map(Pid::as_raw_nonzero).map(i32::from)
}
