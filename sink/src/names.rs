//! The names that files have in a run directory.
//!
//! Owns which names are the run's own, so that files of anybody else's are left alone; opens nothing.

use std::ffi::OsStr;

use proto::{diary, service::QUEUE_SEGMENT};

/// The file that holds the facts of a run.
pub const DATABASE: &str = "run.sqlite";
/// What is locked as long as a sink has the run.
pub const LOCK: &str = "sink.lock";
/// The list of what the run has made elsewhere.
pub const MADE: &str = "made";
/// The proof at the end of a run.
pub const MANIFEST: &str = "manifest.json";
/// What it is written as, until it is whole.
pub const MANIFEST_DRAFT: &str = "manifest.json.new";
/// How the run went on over time, as its launcher has seen it.
pub const HISTORY: &str = "history.json";
/// What it is written as, until it is whole.
pub const HISTORY_DRAFT: &str = "history.json.new";
/// The sums of the output's lines.
pub const OUTPUT_SUMS: &str = "manifest.output.sums";
/// Those of the dead letters.
pub const DEAD_SUMS: &str = "manifest.dead.sums";
/// Segments of the commit log begin with this, and a number follows.
pub const SEGMENT: &str = "log-";

/// Outcomes that wait for an earlier one lie in files that begin with this, and a number follows.
pub const WAITING: &str = "waiting-";

/// The outcomes of a service that nobody has fetched.
pub const OUTCOMES: &str = "outcomes.sqlite";

/// The dead letters of a service that has no other place for them. What a run writes is listed in `made`.
pub const LETTERS: &str = "dead.jsonl";

/// Whether a run keeps a file of this name in its directory: the sink, the ventilator, a worker or
/// the launcher.
pub fn is_own_name(name: &OsStr) -> bool {
    const NAMES: [&str; 20] = [
        DATABASE,
        "run.sqlite-wal",
        "run.sqlite-shm",
        "run.sqlite-journal",
        LOCK,
        MADE,
        MANIFEST,
        MANIFEST_DRAFT,
        OUTPUT_SUMS,
        DEAD_SUMS,
        diary::SINK_FILE,
        diary::VENTILATOR_FILE,
        "stdin",
        "stdin.ended",
        "up.lock",
        "ventilator.lock",
        "topology.json",
        "topology.json.new",
        HISTORY,
        HISTORY_DRAFT,
    ];
    let Some(name) = name.to_str() else { return false };
    let is_number = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
    let is_numbered = |beginning| name.strip_prefix(beginning).is_some_and(is_number);
    NAMES.contains(&name)
        || [SEGMENT, WAITING, QUEUE_SEGMENT].into_iter().any(is_numbered)
        || diary::worker_of(name).is_some()
        || name
            .strip_prefix(OUTCOMES)
            .is_some_and(|rest| ["", "-wal", "-shm", "-journal"].contains(&rest))
}
