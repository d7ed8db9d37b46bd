//! One process under test.
//!
//! Owns its signals, its end and what it printed, which goes to files so that no pipe can fill up.
//! It never outlives its owner, and a scenario that fails shows what it said.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A process that was started, and may have ended.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    ended: Option<ExitStatus>,
}

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
        let name = prints.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (stdout, stderr) = (prints.with_extension("out"), prints.with_extension("err"));
        let file = |path| File::create(path).expect("the scenario's folder can be written");
        let child = command
            .stdin(input)
            .stdout(file(&stdout))
            .stderr(file(&stderr))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Process { name, child, stdout, stderr, ended: None }
    }

    /// What it is called here: how it was started, and as which one of them.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// This side of the pipe to its standard input, if it was started with one; once.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// How it has ended, if it has: its exit code, `None` when a signal ended it.
    pub fn has_ended(&mut self) -> Option<Option<i32>> {
        if self.is_running() { None } else { self.ended.map(|status| status.code()) }
    }

    /// Kills it with SIGKILL, if it still runs, and takes its remains away.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended = Some(self.child.wait().expect("a child can be waited for"));
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops it with SIGSTOP until [`Process::go_on`].
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on with SIGCONT.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether it runs.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn is_running(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
        }
        self.ended.is_none()
    }

    /// Waits until it is set up, its inbox bound, so that what is started next is really later.
    ///
    /// # Panics
    /// When it does not get there, or ends before.
    pub fn is_up(&mut self) {
        let what = format!("{} is up", self.name);
        wait::until(&what, || {
            assert!(self.is_running(), "{what}, but it has ended");
            catches_termination(self.id()).then_some(())
        });
    }

    /// What it has printed to standard error so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
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
        let what = format!("{} ends", self.name);
        wait::within(deadline, &what, || (!self.is_running()).then_some(()));
        let code = self.ended.and_then(|status| status.code());
        Ended { code, stdout: read(&self.stdout), stderr: self.stderr() }
    }

    /// Waits for its own end with exit code 0.
    ///
    /// # Panics
    /// When it does not end so.
    pub fn ends_well(&mut self) -> Ended {
        let ended = self.ends();
        assert_eq!(ended.code, Some(0), "{} has failed", self.name);
        ended
    }

    fn signal(&self, signal: Signal) {
        // A process whose end was seen has no id any more; one that has just ended ignores it.
        if self.ended.is_none()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
        if thread::panicking() {
            let ended = self.ended.map(|status| status.to_string()).unwrap_or_default();
            eprintln!("--- {} ({ended}) ---\n{}", self.name, self.stderr());
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

fn read(path: &PathBuf) -> String {
    let bytes = fs::read(path).expect("what a process prints is kept");
    String::from_utf8_lossy(&bytes).into_owned()
}
