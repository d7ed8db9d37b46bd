//! Where a measurement happens: a private folder, a key, addresses, and processes of this program.
//!
//! Owns how they are started and that none outlives the measurement; refuses to know what they do.

use std::{
    env, fs,
    io::{self, Read, Seek},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{self, Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use proto::{
    net::{
        endpoint::{Endpoint, INBOX_PORTS},
        key::Key,
    },
    process::PARENT_VARIABLE,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Failure, Transport};

const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A folder that is removed at the end.
pub struct Site {
    folder: TempDir,
    program: PathBuf,
}

impl Site {
    /// Makes a folder, below `place` where one is given.
    ///
    /// # Errors
    /// [`Failure`] when there is no room for it.
    pub fn new(place: Option<&Path>) -> Result<Self, Failure> {
        let base = place.map_or_else(env::temp_dir, Path::to_path_buf);
        let made = tempfile::Builder::new().prefix("pipeline-bench-").tempdir_in(&base);
        let folder = made.map_err(|source| Failure::file(&base, source))?;
        let program =
            env::current_exe().map_err(|source| Failure::file("/proc/self/exe", source))?;
        Ok(Self { folder, program })
    }

    /// The path of something in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the folder.
    ///
    /// # Errors
    /// [`Failure`] when it can't be written.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        fs::write(&path, content).map_err(|source| Failure::file(&path, source))?;
        Ok(path)
    }

    /// An address that nobody uses at this moment. A bare socket has no other way to be told one
    /// that its peers know too.
    ///
    /// # Errors
    /// [`Failure`] when no port is free.
    pub fn endpoint(&self, transport: Transport, name: &str) -> Result<Endpoint, Failure> {
        if transport == Transport::Ipc {
            return Ok(Endpoint::Ipc(self.path(name)));
        }
        let count = u64::from(INBOX_PORTS.end() - INBOX_PORTS.start()) + 1;
        for _ in 0..100 {
            let chance = getrandom::u64().unwrap_or_else(|_| process::id().into());
            let port = INBOX_PORTS.start() + (chance % count) as u16;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Ok(Endpoint::Tcp { host: "127.0.0.1".into(), port });
            }
        }
        Err(Failure::Ports)
    }

    /// The key file of this measurement, not the user's.
    ///
    /// # Errors
    /// [`Failure`] when it can't be made.
    pub fn key(&self) -> Result<PathBuf, Failure> {
        let path = self.path("key");
        Key::read_or_make(&path).map_err(Failure::Key)?;
        Ok(path)
    }

    /// This program, to be started with the arguments that follow.
    pub fn this_program(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env(PARENT_VARIABLE, process::id().to_string());
        command
    }

    /// Starts a command that reads nothing, and whose prints are kept.
    ///
    /// # Errors
    /// [`Failure`] when it can't be started.
    pub fn start(&self, name: &str, mut command: Command) -> Result<Process, Failure> {
        let failed = |source| Failure::Start { name: name.into(), source };
        let stdout = tempfile::tempfile_in(self.folder.path()).map_err(failed)?;
        let kept = stdout.try_clone().map_err(failed)?;
        command.stdin(Stdio::null()).stdout(kept);
        self.spawn(name, command, stdout).map_err(failed)
    }

    /// Starts a command that is talked with.
    ///
    /// # Errors
    /// [`Failure`] when it can't be started.
    pub fn start_piped(
        &self,
        name: &str,
        mut command: Command,
    ) -> Result<(Process, ChildStdin, ChildStdout), Failure> {
        let failed = |source| Failure::Start { name: name.into(), source };
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let nothing = tempfile::tempfile_in(self.folder.path()).map_err(failed)?;
        let mut process = self.spawn(name, command, nothing).map_err(failed)?;
        match (process.child.stdin.take(), process.child.stdout.take()) {
            (Some(input), Some(output)) => Ok((process, input, output)),
            _ => Err(failed(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn spawn(&self, name: &str, mut command: Command, stdout: fs::File) -> io::Result<Process> {
        let stderr = tempfile::tempfile_in(self.folder.path())?;
        let child = command.stderr(stderr.try_clone()?).spawn()?;
        Ok(Process { name: name.into(), child, stdout, stderr, status: None, dismissed: false })
    }
}

/// A process of a measurement. It never outlives its owner.
pub struct Process {
    name: String,
    child: Child,
    stdout: fs::File,
    stderr: fs::File,
    status: Option<ExitStatus>,
    dismissed: bool,
}

impl Process {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, if it runs.
    pub fn signal(&mut self, signal: Signal) {
        if let Ok(None) = self.poll() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// Asks it to leave, if it runs: from then on it may end by the signal itself, or as drained.
    ///
    /// # Errors
    /// [`Failure`] with its last words when it has ended badly before.
    pub fn dismiss(&mut self) -> Result<(), Failure> {
        if !self.has_ended()? {
            self.dismissed = true;
            self.signal(Signal::TERM);
        }
        Ok(())
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it has printed on its standard output.
    ///
    /// # Errors
    /// [`Failure`] when that can't be read.
    pub fn printed(&mut self) -> Result<String, Failure> {
        read_all(&mut self.stdout).map_err(|source| Failure::file(&self.name, source))
    }

    /// Whether it has ended well.
    ///
    /// # Errors
    /// [`Failure`] with its last words when it has ended otherwise.
    pub fn has_ended(&mut self) -> Result<bool, Failure> {
        let status = self.poll().map_err(|source| Failure::file(&self.name, source))?;
        match status {
            None => Ok(false),
            Some(status) if status.success() || self.dismissed => Ok(true),
            Some(status) => Err(Failure::Ended {
                name: self.name.clone(),
                status,
                words: read_all(&mut self.stderr).unwrap_or_default(),
            }),
        }
    }

    fn poll(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until all have ended well; one that ends otherwise fails the measurement at once.
///
/// # Errors
/// [`Failure`] of the first that ended otherwise.
pub fn all_end<'a>(processes: impl IntoIterator<Item = &'a mut Process>) -> Result<(), Failure> {
    let mut all: Vec<_> = processes.into_iter().collect();
    loop {
        let mut running = false;
        for process in &mut all {
            running |= !process.has_ended()?;
        }
        if !running {
            return Ok(());
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Waits until one has ended well, while none of the others may end badly.
///
/// # Errors
/// [`Failure`] of the first that ended otherwise.
pub fn ends_before<'a>(
    one: &mut Process,
    others: impl IntoIterator<Item = &'a mut Process>,
) -> Result<(), Failure> {
    let mut others: Vec<_> = others.into_iter().collect();
    while !one.has_ended()? {
        for other in &mut others {
            other.has_ended()?;
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

fn read_all(file: &mut fs::File) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}
