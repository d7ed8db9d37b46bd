//! Where a measurement happens: a private folder, a key, addresses, and processes of this program.
//!
//! Owns how they are started and that none outlives the measurement; refuses to know what they do.

use std::{
    env, fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{self, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
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
use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Failure, Transport,
    process::{self as started, Printed},
};

const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A folder that is removed at the end.
pub struct Site {
    folder: TempDir,
    program: PathBuf,
    started: AtomicUsize,
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
        Ok(Self { folder, program, started: AtomicUsize::new(0) })
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
        command.stdin(Stdio::null());
        self.spawn(name, command, Printed::Kept)
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
        command.stdin(Stdio::piped());
        let mut process = self.spawn(name, command, Printed::Piped)?;
        match (process.started.take_input(), process.started.take_output()) {
            (Some(input), Some(output)) => Ok((process, input, output)),
            _ => Err(not_started(name)(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn spawn(&self, name: &str, command: Command, printed: Printed) -> Result<Process, Failure> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let prints = self.path(&format!("{number}-{name}"));
        let started = started::Process::start(command, &prints, printed);
        let started = started.map_err(not_started(name))?;
        Ok(Process { name: name.into(), started, dismissed: false })
    }
}

fn not_started(name: &str) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure::Start { name: name.into(), source }
}

/// A process of a measurement, which has to end well.
pub struct Process {
    name: String,
    started: started::Process,
    dismissed: bool,
}

impl Process {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.started.id()
    }

    /// Sends it a signal, if it runs.
    pub fn signal(&mut self, signal: Signal) {
        self.started.signal(signal);
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
        let _ = self.started.kill();
    }

    /// What it has printed on its standard output.
    ///
    /// # Errors
    /// [`Failure`] when that can't be read.
    pub fn printed(&mut self) -> Result<String, Failure> {
        self.started.stdout().map_err(|source| Failure::file(&self.name, source))
    }

    /// Whether it has ended well.
    ///
    /// # Errors
    /// [`Failure`] with its last words when it has ended otherwise.
    pub fn has_ended(&mut self) -> Result<bool, Failure> {
        let status = self.started.status().map_err(|source| Failure::file(&self.name, source))?;
        match status {
            None => Ok(false),
            Some(status) if status.success() || self.dismissed => Ok(true),
            Some(status) => Err(Failure::Ended {
                name: self.name.clone(),
                status,
                words: self.started.stderr().unwrap_or_default(),
            }),
        }
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
