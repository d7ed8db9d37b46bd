//! The exit codes of `pipeline`, all in one place.
//!
//! Owns the numbers and what they mean; refuses to decide which one a run has earned. Those from
//! 64 on are the ones of `sysexits.h`.

/// Every unit came out as a result or was filtered.
pub const COMPLETE: i32 = 0;
/// The run is complete, and some of its units are dead-lettered.
pub const DEAD: i32 = 1;
/// Wrong flags.
pub const USAGE: i32 = 64;
/// There is no such run, or it has no manifest yet.
pub const NO_INPUT: i32 = 66;
/// A stage's function cannot work on this machine.
pub const UNFIT: i32 = 69;
/// A process that the run cannot do without has ended, or workers die without getting anywhere.
pub const LOST: i32 = 70;
/// The operating system refused a process, a thread, a socket or a folder.
pub const SYSTEM: i32 = 71;
/// The source could not be read to its end, or an output could not be written.
pub const INPUT_OUTPUT: i32 = 74;
/// Stopped before the end of the source; what had begun is finished and recorded.
pub const DRAINED: i32 = 75;
/// The topology, or its key file, is not fit for use.
pub const TOPOLOGY: i32 = 78;
/// Stopped at once by a second Ctrl-C.
pub const INTERRUPTED: i32 = proto::process::INTERRUPTED;
