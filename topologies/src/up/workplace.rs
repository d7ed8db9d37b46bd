//! Where the processes of a run meet, and with what each of them is started.
//!
//! Owns the private folder with its sockets and the files that say what each process is to be;
//! refuses to start any.

use std::{
    env, fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{self, Command},
    time::{Duration, SystemTime},
};

use proto::{
    diary,
    kin::guard,
    net::{
        endpoint::Endpoint,
        lock::{Lock, LockError, has_had_holder},
    },
    process::{DIARY_VARIABLE, LOG_VARIABLE, MARKS_VARIABLE, PARENT_VARIABLE},
    telling, this_program,
};
use sink::{
    Spared,
    config::{Field, OutputSpec},
    joblog::JobLogSpec,
};
use thiserror::Error;
use ventilator::source::STREAM_VARIABLE;

use super::{
    children::{Input, Launch, Output},
    http,
    posts::{Post, Posts},
    relay::Writer,
    supply::Supply,
};
use crate::{
    graph,
    topology::{StageSpec, Topology},
};

/// How a private folder's name begins.
const PREFIX: &str = "pipeline-";
/// The longest path that a private folder may lie in: a socket's address has 107 bytes, and the
/// name of a worker's socket below it up to 50.
const BASE_BYTES_MAX: usize = 50;
/// A socket's path has no more bytes.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// What a worker's socket is called has no more bytes, with the slash before it.
pub const WORKER_SOCKET_BYTES_MAX: usize = 30;
/// The file in a private folder that is locked as long as it is in use.
const LOCK: &str = "lock";
/// A folder whose lock says nothing of its holder may be one that was made just now.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// How often a folder is emptied into which somebody puts something.
const REMOVALS_MAX: u32 = 10;

/// Why there is no place to work.
#[derive(Debug, Error)]
pub enum WorkplaceError {
    /// The folder can't be made; what the system says names it.
    #[error(
        "cannot make a folder for the sockets of the run: {0}; set TMPDIR to a folder that is there and can be written to"
    )]
    Folder(io::Error),
    /// A file in it can't be made.
    #[error("cannot make {}: {source}", path.display())]
    Make {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder can't be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What the source reads can't be held.
    #[error("cannot take hold of the source: {0}")]
    Input(io::Error),
    /// This program can't be found to be started again.
    #[error("cannot find this program's own file: {0}")]
    Program(io::Error),
    /// No number could be drawn.
    #[error("cannot draw a random number: {0}")]
    Number(getrandom::Error),
    /// A path is no text, so it can't stand in a file.
    #[error("{} is no place for sockets: its name is not UTF-8", path.display())]
    Name {
        /// The folder.
        path: PathBuf,
    },
}

/// What the roles are told besides the topology.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The key file, absolute: a worker may be started in another folder.
    pub key: Option<PathBuf>,
    /// No encryption over tcp.
    pub insecure: bool,
    /// Where workers on other machines find the ventilator, and at the next port the sink.
    pub bind: Option<Endpoint>,
    /// What outlives sink and ventilator is kept here, absolute; without it nothing is.
    pub run_dir: Option<PathBuf>,
    /// How long what workers work on is waited for once the run was asked to end; otherwise as long as
    /// it takes.
    pub drain_limit: Option<Duration>,
    /// What the processes log, unless their user says it: less where the run is to be quiet.
    pub log: Option<&'static str>,
    /// Where a line for each unit goes, absolute.
    pub joblog: Option<PathBuf>,
    /// The files that the run reads, absolute; none of them is ever written to.
    pub spared: Vec<Spared>,
}

/// A folder for sockets that only this user can enter. It goes when this is dropped; if this process is
/// killed, with the next that is made.
#[derive(Debug)]
pub struct PrivateFolder {
    // Removed when dropped; `_lock` lies in it.
    folder: tempfile::TempDir,
    _lock: Lock,
}

impl PrivateFolder {
    /// Makes one.
    ///
    /// # Errors
    /// [`WorkplaceError`] when it can't be made, or has no name in UTF-8.
    pub fn make() -> Result<Self, WorkplaceError> {
        let base = base();
        remove_stale(&base);
        let made = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&base);
        let folder = made.map_err(WorkplaceError::Folder)?;
        if folder.path().to_str().is_none() {
            return Err(WorkplaceError::Name { path: folder.path().into() });
        }
        Ok(Self { _lock: Lock::take(&folder.path().join(LOCK))?, folder })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A private folder, and how the processes in it are started.
pub struct Workplace {
    folder: PrivateFolder,
    flags: Flags,
    posts: Posts,
    topology: Topology,
    // By what a guard knows what belongs to this run.
    mark: Option<String>,
    // By what the ventilator knows this launcher.
    pass: u64,
    supply: Supply,
}

impl Workplace {
    /// Makes the folder and writes what the roles are to be.
    ///
    /// # Errors
    /// [`WorkplaceError`] when the folder can't be made or written.
    pub fn prepare(topology: &Topology, flags: Flags) -> Result<Self, WorkplaceError> {
        this_program::command().map_err(WorkplaceError::Program)?;
        let workplace = Self {
            flags,
            posts: Posts::of(topology),
            topology: topology.clone(),
            mark: None,
            pass: getrandom::u64().map_err(WorkplaceError::Number)?,
            supply: Supply::of(&topology.source).map_err(WorkplaceError::Input)?,
            folder: PrivateFolder::make()?,
        };
        workplace.write_setups()?;
        Ok(workplace)
    }

    /// The posts of the run.
    pub fn posts(&self) -> &Posts {
        &self.posts
    }

    /// Has everything that is started from now on bear the mark of a guard.
    pub fn mark(&mut self, mark: String) {
        self.mark = Some(mark);
    }

    /// By what the ventilator knows its launcher: it stands in the private folder alone.
    pub fn pass(&self) -> u64 {
        self.pass
    }

    /// How many processes may take part.
    pub fn peers_max(&self) -> u32 {
        self.topology.limits.peers_max
    }

    /// Where the launcher listens to others of its user.
    pub fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    /// Whether anything is started here that may start something itself.
    pub fn has_programs(&self) -> bool {
        let starts = |spec: &StageSpec| spec.binary.is_some() || spec.stage.function.is_code();
        self.topology.stages.iter().any(starts)
    }

    /// The inbox of a role, or of whoever else works here.
    pub fn endpoint(&self, name: &str) -> Endpoint {
        Endpoint::Ipc(self.folder.path().join(name))
    }

    /// What the sink wrote of a run that is over, as JSON.
    pub fn summary(&self) -> Option<Vec<u8>> {
        fs::read(self.summary_path()).ok()
    }

    fn summary_path(&self) -> PathBuf {
        self.folder.path().join("summary.json")
    }

    fn setup_path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).with_extension("json")
    }

    fn write_setups(&self) -> Result<(), WorkplaceError> {
        let topology = &self.topology;
        let carries_input = topology.sink.fields.contains(&Field::Input);
        let sink = sink::run::Setup {
            name: "sink".into(),
            bind: [self.endpoint("sink")].into_iter().chain(self.public_sink()).collect(),
            config: topology.sink.clone(),
            carries_input,
            run_dir: self.flags.run_dir.clone(),
            summary: None,
            joblog: self.flags.joblog.clone().map(|path| JobLogSpec {
                path,
                commands: topology
                    .stages
                    .iter()
                    .map(|spec| graph::function(topology, spec))
                    .collect(),
            }),
            retention: topology.retention.clone(),
            spared: self.flags.spared.clone(),
            limits: topology.limits.clone(),
        };
        let ventilator = ventilator::run::Setup {
            name: "ventilator".into(),
            bind: [self.endpoint("ventilator")]
                .into_iter()
                .chain(self.flags.bind.clone())
                .collect(),
            advertise: Vec::new(),
            sink: self.endpoint("sink"),
            sink_elsewhere: self.public_sink().into_iter().collect(),
            source: topology.source.clone(),
            own_files: topology.source.left_out().to_vec(),
            stages: topology.stages.iter().map(|spec| spec.stage.clone()).collect(),
            carries_input,
            run_dir: self.flags.run_dir.clone(),
            join_at: self.flags.bind.clone(),
            pass: Some(self.pass),
            drain_limit_ms: self.flags.drain_limit.map(|limit| limit.as_millis() as u64),
            limits: topology.limits.clone(),
        };
        self.write("sink", serde_json::to_vec_pretty(&sink))?;
        self.write("ventilator", serde_json::to_vec_pretty(&ventilator))
    }

    /// Where the sink listens for other machines: at the port behind the ventilator's.
    fn public_sink(&self) -> Option<Endpoint> {
        self.beside_bind(|port| port.saturating_add(1))
    }

    fn beside_bind(&self, port: impl FnOnce(u16) -> u16) -> Option<Endpoint> {
        match self.flags.bind.clone()? {
            Endpoint::Tcp { host, port: of_ventilator } => {
                Some(Endpoint::Tcp { host, port: port(of_ventilator) })
            }
            _ => None,
        }
    }

    fn write(&self, name: &str, json: serde_json::Result<Vec<u8>>) -> Result<(), WorkplaceError> {
        let path = self.setup_path(name);
        json.map_err(io::Error::from)
            .and_then(|json| fs::File::create_new(&path)?.write_all(&json))
            .map_err(|source| WorkplaceError::Make { path, source })
    }

    /// How the process of a post is started.
    pub fn order(&self, post: Post) -> Launch {
        match post {
            Post::Sink => self.sink(),
            Post::Ventilator => self.ventilator(),
            Post::Worker { stage, .. } => self.worker(post, &self.topology.stages[stage]),
        }
    }

    fn sink(&self) -> Launch {
        let mut command = self.role("sink");
        command.arg("--setup").arg(self.setup_path("sink"));
        self.secure(&mut command);
        command.arg("--quiet").arg("--summary").arg(self.summary_path());
        let output = match self.topology.sink.output {
            Some(OutputSpec::Stdout) => Output::Inherited,
            _ => Output::Told,
        };
        Launch { command, input: Input::Nothing, output, whose: Writer::Role }
    }

    fn ventilator(&self) -> Launch {
        let mut command = self.role("ventilator");
        command.arg("--setup").arg(self.setup_path("ventilator"));
        self.secure(&mut command);
        match self.supply.id() {
            // What its predecessor has taken of the stream does not come again.
            Some(id) => command.env(STREAM_VARIABLE, id),
            None => command.env_remove(STREAM_VARIABLE),
        };
        let input = self.supply.input();
        Launch { command, input, output: Output::Told, whose: Writer::Role }
    }

    /// A worker, or the user's own program in its place: that one gets the same flags, and what
    /// the topology says in `args` behind `--`.
    fn worker(&self, post: Post, spec: &StageSpec) -> Launch {
        let mut command = match &spec.binary {
            Some(binary) => self.own_program(binary, spec),
            None => self.role("worker"),
        };
        command.arg("--ventilator").arg(self.endpoint("ventilator").to_string());
        command.arg("--stage").arg(&spec.stage.name);
        command.arg("--name").arg(self.posts.name(post));
        if let Some(inbox) = self.beside_bind(|_| 0) {
            // Workers of the stage before may be on other machines.
            command.arg("--bind").arg(inbox.to_string());
        }
        match self.diary(post) {
            Some(path) => command.env(DIARY_VARIABLE, path),
            // That of a worker in whose program this run was started.
            None => command.env_remove(DIARY_VARIABLE),
        };
        self.secure(&mut command);
        if self.flags.insecure {
            // The plan comes through this run's own folder, from the topology that is run here.
            command.arg("--allow-code");
        }
        if spec.binary.is_some() && !spec.stage.args.is_empty() {
            command.arg("--").args(&spec.stage.args);
        }
        let whose = if spec.binary.is_some() { Writer::Program } else { Writer::Role };
        Launch { command, input: Input::Nothing, output: Output::Told, whose }
    }

    /// Where a worker notes what it sends to others, if there are such and the run is kept.
    fn diary(&self, post: Post) -> Option<PathBuf> {
        let Post::Worker { stage, .. } = post else { return None };
        let feeds = stage + 1 < self.topology.stages.len();
        let run_dir = self.flags.run_dir.as_ref().filter(|_| feeds)?;
        Some(run_dir.join(diary::worker_file(&self.posts.name(post))))
    }

    fn own_program(&self, binary: &Path, spec: &StageSpec) -> Command {
        let mut command = Command::new(binary);
        command.envs(&spec.stage.env);
        if let Some(directory) = &spec.stage.directory {
            command.current_dir(directory);
        }
        self.bind_to_this(&mut command);
        command
    }

    /// This program in one of its roles.
    fn role(&self, name: &str) -> Command {
        // It was found when the place was made.
        let mut command =
            this_program::command().unwrap_or_else(|_| Command::new("/proc/self/exe"));
        command.arg(name);
        self.bind_to_this(&mut command);
        command
    }

    fn secure(&self, command: &mut Command) {
        if let Some(key) = &self.flags.key {
            command.arg("--key").arg(key);
        }
        if self.flags.insecure {
            command.arg("--insecure");
        }
    }

    fn bind_to_this(&self, command: &mut Command) {
        if let (Some(log), None) = (self.flags.log, env::var_os(LOG_VARIABLE)) {
            command.env(LOG_VARIABLE, log);
        }
        telling::hand_on(command);
        // What is started by a run and starts another one would find its port taken.
        command.env_remove(http::VARIABLE);
        command.env(PARENT_VARIABLE, process::id().to_string());
        command.env(MARKS_VARIABLE, process::id().to_string());
        if let Some(mark) = &self.mark {
            command.env(guard::VARIABLE, mark);
        }
    }
}

/// Where private folders lie: in the user's runtime directory, or else in `/tmp`.
fn base() -> PathBuf {
    let uid = rustix::process::getuid().as_raw();
    let usable = |path: &PathBuf| {
        path.is_absolute()
            && path.as_os_str().len() <= BASE_BYTES_MAX
            && fs::metadata(path).is_ok_and(|data| data.is_dir() && data.uid() == uid)
            && rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
    };
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(usable);
    runtime.unwrap_or_else(|| {
        let temporary = std::path::absolute(env::temp_dir()).unwrap_or_else(|_| "/tmp".into());
        let short = temporary.as_os_str().len() <= BASE_BYTES_MAX;
        if short { temporary } else { PathBuf::from("/tmp") }
    })
}

/// Removes the private folders that launchers have left which were killed, wherever this process
/// would have its own.
pub fn remove_left() {
    remove_stale(&base());
}

/// A lock that can be taken has no owner any more, once one has stood in it: that is written while it
/// is held.
fn remove_stale(base: &Path) {
    let uid = rustix::process::getuid().as_raw();
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let path = entry.path();
        let lock = path.join(LOCK);
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|data| {
                data.is_dir() && data.uid() == uid && (has_had_holder(&lock) || is_old(&data))
            })
            && lock.is_file();
        if ours && Lock::take_if_free(&lock).is_ok() {
            remove_folder(&path);
        }
    }
}

/// Who is about to end may still put something into it.
fn remove_folder(path: &Path) {
    for _ in 0..REMOVALS_MAX {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            _ => return,
        }
    }
}

fn is_old(data: &fs::Metadata) -> bool {
    let age = data.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age > STALE_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a launcher that was killed has left goes with the next one, however soon that comes; what
    /// is in use, or may be about to be, stays.
    #[test]
    fn only_folders_that_nobody_uses_are_removed() {
        let base = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = base.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&path).unwrap();
            path
        };
        let (left, used, fresh, foreign) =
            (folder("left"), folder("used"), folder("fresh"), folder("foreign"));
        drop(Lock::take(&left.join(LOCK)).unwrap());
        fs::write(left.join("sink.json"), "{}").unwrap();
        let _held = Lock::take(&used.join(LOCK)).unwrap();
        fs::write(fresh.join(LOCK), "").unwrap();
        fs::write(foreign.join("thesis"), "").unwrap();
        remove_stale(base.path());
        let there = [&left, &used, &fresh, &foreign].map(|path| path.exists());
        assert_eq!(there, [false, true, true, true]);
    }
}
