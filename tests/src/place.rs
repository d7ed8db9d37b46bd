//! Where a scenario happens: a folder, a key and addresses of its own.
//!
//! Owns what keeps scenarios apart, and apart from the user: nothing reads the user's key, and no
//! two scenarios share a port, however many run at once.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::process::{Ended, Process};
use crate::programs;

/// Below the ports that the programs choose for themselves, and below those of the system.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

/// What processes of a scenario talk over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Encrypted, with the scenario's own key.
    Tcp,
    /// Sockets in the scenario's folder.
    Ipc,
}

/// A folder that is removed at the end, and the addresses that were taken.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    started: AtomicUsize,
    ports: Mutex<Vec<File>>,
}

impl Place {
    /// A new, empty one.
    ///
    /// # Panics
    /// When there is no room for it.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("pl-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        Place { folder, started: AtomicUsize::new(0), ports: Mutex::new(Vec::new()) }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder behind when this place ends, for someone to look at.
    pub fn keep(&mut self) -> &Path {
        self.folder.disable_cleanup(true);
        self.folder.path()
    }

    /// The path of something in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into it.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("the scenario's folder can be written");
        path
    }

    /// Where the processes of this place keep their key.
    pub fn config(&self) -> PathBuf {
        self.path("config")
    }

    /// An endpoint that nobody else uses as long as this place lasts.
    ///
    /// # Panics
    /// When no port is free.
    pub fn endpoint(&self, transport: Transport, name: &str) -> String {
        match transport {
            Transport::Ipc => format!("ipc://{}", self.path(name).display()),
            Transport::Tcp => format!("tcp://127.0.0.1:{}", self.port()),
        }
    }

    /// A command in this place: its folder, its key, and nothing of the user's.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(self.folder.path())
            .env("XDG_CONFIG_HOME", self.config())
            // Where runs are listed, and private folders lie.
            .env("XDG_STATE_HOME", self.config().join("state"))
            // Empty: the user's own is not looked in either.
            .env("XDG_RUNTIME_DIR", "")
            .env_remove("PIPELINE_KEY")
            .env_remove("PIPELINE_PARENT")
            .env_remove("PIPELINE_COLOR")
            .env_remove("PIPELINE_LOG_FORMAT")
            .env("PIPELINE_LOG", "info")
            .env("COLUMNS", "100");
        command
    }

    /// Starts one of the programs.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(&self, program: &str, args: &[&str]) -> Process {
        let mut command = self.command(programs::program(program));
        command.args(args);
        self.start_command(program, command)
    }

    /// Starts any command; what it prints is kept under `name`.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start_command(&self, name: &str, command: Command) -> Process {
        self.start_with(name, command, Stdio::null())
    }

    /// As [`Place::start_command`], with something on standard input.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start_with(&self, name: &str, command: Command, input: Stdio) -> Process {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        Process::start_with(command, input, self.path(&format!("{name}-{number}")))
    }

    /// Runs one of the programs to its end.
    ///
    /// # Panics
    /// When it can't be started, or does not end.
    pub fn run(&self, program: &str, args: &[&str]) -> Ended {
        self.start(program, args).ends()
    }

    /// A port with a locked file for it, so that scenarios of other processes keep off too.
    fn port(&self) -> u16 {
        let folder = std::env::temp_dir().join("pipeline-test-ports");
        fs::create_dir_all(&folder).expect("a folder for locks can be made");
        let count = u64::from(PORTS.end - PORTS.start);
        let first = RandomState::new().hash_one(self.folder.path()) % count;
        for step in 0..count {
            let port = PORTS.start + ((first + step) % count) as u16;
            let lock = File::create(folder.join(port.to_string())).expect("a lock can be made");
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
                && TcpListener::bind(("127.0.0.1", port)).is_ok()
            {
                self.ports.lock().expect("no thread panics with it").push(lock);
                return port;
            }
        }
        panic!("no port is free");
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}
