//! What every process of a pipeline does at its start, when its `main` says so.
//!
//! Owns the log on stderr, the signals, and the tie to the process that started it; refuses to
//! do any of it unasked.

use std::{
    io::{self, IsTerminal},
    process::{ExitCode, exit},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use tracing_subscriber::EnvFilter;

use crate::net::driver::Handle;

/// The variable that holds the process id of a launcher whose children end with it.
pub const PARENT_VARIABLE: &str = "PIPELINE_PARENT";
/// The variable that sets what is logged, as in `PIPELINE_LOG=debug`.
pub const LOG_VARIABLE: &str = "PIPELINE_LOG";
/// The exit code of a process whose key can't be used.
pub const NO_KEY: u8 = 78;
/// The exit code after a second Ctrl-C.
pub const INTERRUPTED: i32 = 130;

/// Logs to stderr: warnings and errors, unless `PIPELINE_LOG` asks for more.
pub fn start_log() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("warn"));
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time();
    // A program that embeds this crate may have its own subscriber; then that one is used.
    let _ = format.try_init();
}

/// Ends this process when the launcher that started it ends, however that happens.
pub fn end_with_parent() {
    let Some(parent) = std::env::var(PARENT_VARIABLE).ok().and_then(|pid| pid.parse().ok()) else {
        return;
    };
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // The launcher may have ended before the line above.
    if getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(parent)
        && i32::from(getpid().as_raw_nonzero()) != parent
    {
        exit(INTERRUPTED);
    }
}

/// Drains on the first Ctrl-C or SIGTERM, ends at once on the second.
pub fn drain_on_signals<R: Send + 'static>(handle: Handle<R>) {
    let asked = AtomicBool::new(false);
    let installed = ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::AcqRel) {
            exit(INTERRUPTED);
        }
        handle.drain();
    });
    if let Err(error) = installed {
        tracing::warn!(%error, "signals end this process at once");
    }
}

/// An exit code for `main`; codes beyond a byte become 255.
pub fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// A name for a process that was not given one: what it is, and its process id.
pub fn default_name(role: &str) -> String {
    format!("{role}-{}", std::process::id())
}
