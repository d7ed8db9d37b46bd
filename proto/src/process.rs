//! What every process of a pipeline does at its start, when its `main` says so.
//!
//! Owns the memory that is kept for reuse, what a launcher hands over, the tie to the process that started
//! it, its last words, and codes and names of processes; refuses to do any of it unasked. Flags, log and
//! signals are `cli`'s.

use std::{
    borrow::Cow,
    env,
    ffi::OsStr,
    fmt::Display,
    fs,
    hint::black_box,
    io,
    path::{Path, PathBuf},
    process::{ExitCode, exit},
};

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::launcher::launcher;
pub use crate::launcher::{
    DIARY_VARIABLE, MARKS_VARIABLE, PARENT_VARIABLE, has_launcher, reads_marks,
};

/// The variable that sets what is logged, as in `PIPELINE_LOG=debug`.
pub const LOG_VARIABLE: &str = "PIPELINE_LOG";
/// The exit code of a process whose key can't be used.
pub const NO_KEY: u8 = 78;
/// The exit code of a process that may not have what it needs: files, threads, a stack.
pub const NO_ROOM: u8 = 71;
/// The exit code of a process that can't read what its launcher has written for it.
pub const NO_SETUP: u8 = 71;
/// The exit code after a second Ctrl-C.
pub const INTERRUPTED: i32 = 130;

/// Says why a program, `who`, ends. Nobody may be left to read it; that is no reason to end
/// otherwise.
pub fn complain(who: &str, problem: &dyn Display) {
    #[cfg(feature = "cli")]
    crate::telling::tell(crate::telling::Level::Error, who, &problem.to_string());
    #[cfg(not(feature = "cli"))]
    let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("{who}: {problem}\n"));
}

/// The name that this program was started by.
pub(crate) fn own_name() -> String {
    let program = env::args_os().next().map(PathBuf::from);
    let name = program.as_deref().and_then(Path::file_name).map(OsStr::to_string_lossy);
    name.map_or_else(|| "pipeline".into(), Cow::into_owned)
}

/// Ends this process when the launcher that started it ends, however that happens.
pub fn end_with_parent() {
    let Some(parent) = launcher() else { return };
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // The launcher may have ended before the line above.
    if getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(parent)
        && i32::from(getpid().as_raw_nonzero()) != parent
    {
        complain(
            &own_name(),
            &format_args!(
                "the launcher that {PARENT_VARIABLE} names, process {parent}, is not there; unset the variable if there is none"
            ),
        );
        exit(INTERRUPTED);
    }
}

/// Why what a launcher has written is not had.
#[derive(Debug, Error)]
#[error("cannot read {}, which the launcher wrote for this process: {source}", path.display())]
pub struct SetupError {
    path: PathBuf,
    source: io::Error,
}

/// Reads what a launcher has written for this process to be.
///
/// # Errors
/// [`SetupError`] when it can't be read, or is not whole.
pub fn read_setup<T: DeserializeOwned>(path: &Path) -> Result<T, SetupError> {
    let read = fs::read(path).and_then(|text| Ok(serde_json::from_slice(&text)?));
    read.map_err(|source| SetupError { path: path.into(), source })
}

/// Blocks of memory up to this size are kept for the next one of their kind.
const REUSED_BYTES: usize = 8 << 20;

/// Keeps memory that frames and values leave behind for those that follow.
///
/// glibc maps a block that it holds for large and gives it back to the system when it is freed, so
/// that each frame of a megabyte costs hundreds of page faults. What it holds for large follows the
/// largest block that was freed (`M_MMAP_THRESHOLD` in mallopt(3)), and twice that is what a heap
/// may keep unused. With another allocator this does nothing.
pub fn keep_memory() {
    // Nothing of it is touched, so this is no memory either.
    drop(black_box(Vec::<u8>::with_capacity(REUSED_BYTES)));
}

/// An exit code for `main`; codes beyond a byte become 255.
pub fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// A name for a process that was not given one: what it is, and its process id.
pub fn default_name(role: &str) -> String {
    format!("{role}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Page faults of this thread.
    fn faults() -> u64 {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        after_name.split_whitespace().nth(7).unwrap().parse().unwrap()
    }

    #[test]
    fn memory_that_was_used_once_is_used_again_without_a_page_fault() {
        keep_memory();
        let use_blocks = || {
            let blocks: Vec<Vec<u8>> = (1..=4).map(|byte| vec![byte; 2 << 20]).collect();
            drop(black_box(blocks));
        };
        use_blocks();
        let before = faults();
        use_blocks();
        let pages = (8 << 20) / 4096;
        assert!(faults() - before < pages / 8, "{} of {pages}", faults() - before);
    }
}
