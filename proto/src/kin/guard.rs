//! A small process that watches another one, and ends what that has left if it is killed.
//!
//! Owns the mark by which it knows what belongs to the other; refuses to act as long as the other
//! lives. It is this program again, with the one argument [`ARGUMENT`].
//!
//! Whoever is killed with SIGKILL can end nothing any more, and what its programs have started
//! belongs to nobody then: it is known by the environment that it was started with.

#[cfg(feature = "cli")]
mod stand;

use std::{
    io,
    process::{Child, Command, Stdio},
};

use process_wrap::std::{CommandWrap, CommandWrapper, ProcessSession};
use rustix::process::Pid;

use crate::this_program;

#[cfg(feature = "cli")]
pub use stand::stand_if_asked;

/// How this program is asked to stand guard.
pub const ARGUMENT: &str = "guard";
/// The variable by which everything that belongs to a guarded process is known.
pub const VARIABLE: &str = "PIPELINE_GUARDED";

/// A guard over this process; it leaves when this is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    // Its standard input ends when this process does.
    child: Child,
    value: String,
}

impl Guard {
    /// Has this program started once more, as a guard over this process.
    pub(super) fn post() -> io::Result<Self> {
        let chance = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let value = format!("{}-{chance:016x}", std::process::id());
        let mut command = this_program::command()?;
        command
            .arg(ARGUMENT)
            .env(VARIABLE, &value)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        in_own_session(&mut command)?;
        Ok(Self { child: command.spawn()?, value })
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What [`VARIABLE`] is for everything that belongs to this process.
    pub(super) fn value(&self) -> &str {
        &self.value
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have been killed by someone else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has a command start as the leader of a session, which has no terminal.
pub(super) fn in_own_session(command: &mut Command) -> io::Result<()> {
    // Nothing but what it does to a command is wanted of the wrapper.
    ProcessSession.pre_spawn(command, &CommandWrap::from(Command::new("")))
}
