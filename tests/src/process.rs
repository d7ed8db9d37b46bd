//! One process under test.
//!
//! Owns what a scenario expects of it: that it starts, gets up, and ends in time. A scenario that fails
//! shows what it said. How it is started, kept and ended is [`measure::process`]'s.

use std::fs;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use measure::process::{self as started, Printed};
use rustix::process::Signal;

use crate::wait;

/// A process that was started, and may have ended.
#[derive(Debug)]
pub struct Process(started::Process);

/// How a process ended, with all that it printed.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Process {
    /// Starts `command`; what it prints goes to `prints` with the endings `out` and `err`.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(command: Command, prints: PathBuf) -> Self {
        Self::start_with(command, Stdio::null(), prints)
    }

    /// As [`Process::start`], with something on standard input.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start_with(mut command: Command, input: Stdio, prints: PathBuf) -> Self {
        let shown = format!("{command:?}");
        command.stdin(input);
        let started = started::Process::start(command, &prints, Printed::Kept);
        Self(started.unwrap_or_else(|error| panic!("{shown} does not start: {error}")))
    }

    /// What it is called here: how it was started, and as which one of them.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// This side of the pipe to its standard input, if it was started with one; once.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.0.take_input()
    }

    /// How it has ended, if it has: its exit code, `None` when a signal ended it.
    pub fn has_ended(&mut self) -> Option<Option<i32>> {
        self.0.status().expect("a child can be waited for").map(|status| status.code())
    }

    /// Kills it with SIGKILL, if it still runs, and takes its remains away.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        self.0.kill().expect("a child can be waited for");
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.0.signal(Signal::TERM);
    }

    /// Stops it with SIGSTOP until [`Process::go_on`].
    pub fn stop(&self) {
        self.0.signal(Signal::STOP);
    }

    /// Lets it go on with SIGCONT.
    pub fn go_on(&self) {
        self.0.signal(Signal::CONT);
    }

    /// Whether it runs.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn is_running(&mut self) -> bool {
        self.has_ended().is_none()
    }

    /// Waits until it is set up, its inbox bound, so that what is started next is really later.
    ///
    /// # Panics
    /// When it does not get there, or ends before.
    pub fn is_up(&mut self) {
        let what = format!("{} is up", self.name());
        wait::until(&what, || {
            assert!(self.is_running(), "{what}, but it has ended");
            catches_termination(self.id()).then_some(())
        });
    }

    /// What it has printed to standard error so far.
    pub fn stderr(&self) -> String {
        self.0.stderr().expect("what a process prints is kept")
    }

    /// What it has printed to standard output so far.
    pub fn stdout(&self) -> String {
        self.0.stdout().expect("what a process prints is kept")
    }

    /// Waits for its own end, at most [`wait::PATIENCE`].
    ///
    /// # Panics
    /// When it does not end.
    pub fn ends(&mut self) -> Ended {
        self.ends_within(wait::PATIENCE)
    }

    /// Waits for its own end, at most `deadline`.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ends_within(&mut self, deadline: Duration) -> Ended {
        let what = format!("{} ends", self.name());
        let code = wait::within(deadline, &what, || self.has_ended());
        Ended { code, stdout: self.stdout(), stderr: self.stderr() }
    }

    /// Waits for its own end with exit code 0.
    ///
    /// # Panics
    /// When it does not end so.
    pub fn ends_well(&mut self) -> Ended {
        let ended = self.ends();
        assert_eq!(ended.code, Some(0), "{} has failed", self.name());
        ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
        if thread::panicking() {
            let status = self.0.status().ok().flatten();
            let ended = status.map(|status| status.to_string()).unwrap_or_default();
            eprintln!("--- {} ({ended}) ---\n{}", self.name(), self.stderr());
        }
    }
}

/// Whether a process handles SIGTERM, which every role sets up last.
fn catches_termination(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (Signal::TERM.as_raw() - 1)) != 0)
}
