//! Whether this process was started by another one of ours, which looks after it.
//!
//! Owns how that is known; refuses to act on it.

use std::env;

use rustix::process::{Pid, getppid};

/// The variable that holds the process id of a launcher whose children end with it.
pub const PARENT_VARIABLE: &str = "PIPELINE_PARENT";

/// The variable that holds the process id of a launcher that reads marks before lines (see
/// [`lines`](crate::lines)).
pub const MARKS_VARIABLE: &str = "PIPELINE_MARKS";

/// The variable by which a launcher says where a worker keeps its diary (see [`diary`](crate::diary)). No
/// flag: a program in a worker's place may have been written before there was one.
pub const DIARY_VARIABLE: &str = "PIPELINE_DIARY";

/// Whether whoever reads what this process writes to stderr reads marks before lines.
pub fn reads_marks() -> bool {
    is_parent(env::var(MARKS_VARIABLE).ok().and_then(|pid| pid.parse().ok()))
}

/// The process id of the launcher that the environment names, whether it is there or not.
pub fn launcher() -> Option<i32> {
    env::var(PARENT_VARIABLE).ok().and_then(|pid| pid.parse().ok())
}

/// Whether this process was started by a launcher, which looks after it.
pub fn has_launcher() -> bool {
    is_parent(launcher())
}

fn is_parent(pid: Option<i32>) -> bool {
    pid.is_some() && pid == getppid().map(Pid::as_raw_nonzero).map(i32::from)
}
