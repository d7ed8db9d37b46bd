//! One process that was started to be looked at.
//!
//! Owns its end, and what it printed, which goes to files so that no pipe can fill up. It never outlives
//! its owner. Refuses to judge how it ended.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// Where standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Printed {
    /// To a file, for [`Process::stdout`].
    Kept,
    /// To whoever takes it with [`Process::take_output`].
    Piped,
}

/// A process that was started, and may have ended.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    ended: Option<ExitStatus>,
}

/// How often, and after which pause, a program is started that somebody else still writes to.
const BUSY_TRIES: u32 = 500;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// A program that was copied just now may be held for writing by a child of another thread that is between
/// its fork and its exec.
fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut spawned = command.spawn();
    for _ in 0..BUSY_TRIES {
        match &spawned {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(BUSY_PAUSE);
            }
            _ => break,
        }
        spawned = command.spawn();
    }
    spawned
}

impl Process {
    /// Starts `command`; what it prints goes to `prints` with the endings `out` and `err`, and the name
    /// of that is what the process is called.
    ///
    /// # Errors
    /// When it can't be started, or the files can't be made.
    pub fn start(mut command: Command, prints: &Path, printed: Printed) -> io::Result<Self> {
        let name = prints.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let [stdout, stderr] = ["out", "err"].map(|ending| prints.with_extension(ending));
        command.stderr(File::create(&stderr)?);
        match printed {
            Printed::Kept => command.stdout(File::create(&stdout)?),
            Printed::Piped => command.stdout(Stdio::piped()),
        };
        Ok(Self { name, child: spawn(&mut command)?, stdout, stderr, ended: None })
    }

    /// What it is called here.
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

    /// This side of the pipe from its standard output, if it was started with one; once.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// When the system refuses to say.
    pub fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Sends it a signal. One that has ended ignores it.
    pub fn signal(&self, signal: Signal) {
        // A process whose end was seen has no id any more.
        if self.ended.is_none() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// Kills it with SIGKILL, if it still runs, and takes its remains away.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.signal(Signal::KILL);
        self.ended = Some(self.child.wait()?);
        Ok(())
    }

    /// What it has printed to standard output so far, if that is kept.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn stdout(&self) -> io::Result<String> {
        read(&self.stdout)
    }

    /// What it has printed to standard error so far.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn stderr(&self) -> io::Result<String> {
        read(&self.stderr)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn read(path: &Path) -> io::Result<String> {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
