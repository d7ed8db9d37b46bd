//! A lock that a process holds as long as it lives.
//!
//! Owns a locked file, and who is said in it to hold it. The kernel drops it when the process ends,
//! however it ends, so a lock is never stale. Its name may be that of a file of somebody else: only a
//! file with the mark of a lock is ever written or removed, and one with any other content is refused.

use std::{
    fmt::{self, Display, Formatter},
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use super::endpoint::IPC_PATH_BYTES_MAX;
use crate::{kin, launcher::has_launcher};

/// Why a lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{holder} holds {}", path.display())]
    Held {
        /// The file.
        path: PathBuf,
        /// Who.
        holder: Holder,
    },
    /// It is a file of somebody else's.
    #[error("{} is there already and no lock of a pipeline: it is left as it is; choose another name, or move it away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be made.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What stands in a lock's file, so that nobody's own file of that name is taken for one.
const MARK: &str = "a lock of a pipeline\n";
/// Who holds a lock, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its process id and its command line.
    pub process: Option<(u32, String)>,
    /// For how long.
    pub since: Option<Duration>,
    /// Whether a launcher had started it, and looks after it.
    pub launched: bool,
}

/// How long the processes of a launcher that was killed may take to end.
pub const PREDECESSORS_END: Duration = Duration::from_secs(3);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// A command line is shown up to here.
const COMMAND_CHARS_MAX: usize = 160;
const LAUNCHED: &str = "launched";

impl Holder {
    /// What this process writes into its locks: its id, its command, who looks after it.
    fn line() -> String {
        let command = fs::read("/proc/self/cmdline").unwrap_or_default();
        let command =
            String::from_utf8_lossy(&command).trim_end_matches('\0').replace(['\0', '\n'], " ");
        let command: String = command.chars().take(COMMAND_CHARS_MAX).collect();
        let by = if has_launcher() { LAUNCHED } else { "" };
        format!("{}\n{command}\n{by}\n", std::process::id())
    }

    /// Whether it lets go by itself within a moment. A process that was killed while it started another
    /// one has its locks held by that until its program begins; and who has just taken a lock has
    /// not said yet who it is, or lost with the machine's power what it had said.
    pub fn is_gone(&self) -> bool {
        self.process.as_ref().is_none_or(|(pid, _)| !kin::lives(*pid))
    }

    /// The same of one whose launcher may have been killed, and that ends with it.
    pub fn ends_soon(&self) -> bool {
        self.launched || self.is_gone()
    }

    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut lines = text.strip_prefix(MARK).unwrap_or_default().lines();
        let pid = lines.next().and_then(|pid| pid.parse().ok());
        let process = pid.zip(lines.next().map(str::to_owned));
        let taken = fs::metadata(path).and_then(|data| data.modified()).ok();
        let since = taken.and_then(|at| SystemTime::now().duration_since(at).ok());
        Self { process, since, launched: lines.next() == Some(LAUNCHED) }
    }
}

impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some((pid, command)) = &self.process else { return f.write_str("another process") };
        if self.is_gone() {
            f.write_str("what was started by ")?;
        }
        write!(f, "process {pid} (`{command}`), since ")?;
        match self.since.map_or(0, |since| since.as_secs()) {
            seconds @ 0..120 => write!(f, "{seconds} s,"),
            seconds @ 120..7_200 => write!(f, "{} min,", seconds / 60),
            seconds => write!(f, "{} h,", seconds / 3_600),
        }
    }
}

/// A lock that is held; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    origin: Origin,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone leaves it to whatever this process has just started, until that is another
        // program.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Who made a lock's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// This process, or one like it.
    Pipeline,
    /// Nobody knows: it was there, and empty.
    Unknown,
}

impl Lock {
    /// Takes the lock of `path`, a file made for nothing else, once a holder that has ended
    /// already has let go.
    ///
    /// # Errors
    /// [`LockError`] when another process holds it, somebody else's file is there, or it can't be
    /// made.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        Self::take_after(path, Holder::is_gone)
    }

    /// Takes the lock of `path` if nobody holds it, dead or alive.
    ///
    /// # Errors
    /// As with [`Lock::take`]; at once.
    pub fn take_if_free(path: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.into(), source };
        loop {
            let (mut file, new) = open(path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Its holder may have removed it meanwhile: then it is not the lock any more.
                Ok(()) if !is_at(&file, path).map_err(io)? => {}
                Ok(()) => {
                    let origin = origin(&mut file, new, path)?;
                    if origin == Origin::Pipeline {
                        // For people; a full disk is no reason not to have the lock.
                        let _ = mark(&mut file);
                    }
                    return Ok(Self { file, path: path.into(), origin });
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(LockError::Held { path: path.into(), holder: Holder::read(path) });
                }
                Err(errno) => return Err(io(errno.into())),
            }
        }
    }

    /// Takes the lock of `path`; a holder whose launcher was killed ends with that, but not in the
    /// same instant.
    ///
    /// # Errors
    /// As with [`Lock::take`]; at once when somebody holds it who means to.
    pub fn inherit(path: &Path) -> Result<Self, LockError> {
        Self::take_after(path, Holder::ends_soon)
    }

    fn take_after(path: &Path, ends: impl Fn(&Holder) -> bool) -> Result<Self, LockError> {
        let start = Instant::now();
        loop {
            match Self::take_if_free(path) {
                Err(LockError::Held { holder, .. })
                    if ends(&holder) && start.elapsed() < PREDECESSORS_END =>
                {
                    thread::sleep(LOOK_INTERVAL);
                }
                taken => return taken,
            }
        }
    }

    /// Lets go, and takes the file away, unless somebody else may have made it.
    pub fn remove(self) {
        if self.origin == Origin::Pipeline {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The file, and whether it was made here. What is no file may not be opened: a pipe would wait.
fn open(path: &Path) -> Result<(File, bool), LockError> {
    let io = |source| LockError::Io { path: path.into(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().create_new(true).open(path) {
        Ok(file) => return Ok((file, true)),
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
        Err(_) => {}
    }
    match fs::metadata(path) {
        Ok(data) if !data.is_file() => return Err(LockError::Foreign { path: path.into() }),
        _ => {}
    }
    // Made in case its holder has just removed it.
    options.create(true).truncate(false).open(path).map(|file| (file, false)).map_err(io)
}

/// Whether a lock's file says who has held it: that is written by who holds it, so one that can be
/// taken then has no holder any more.
pub fn has_had_holder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| data.is_file())
        && Holder::read(path).process.is_some()
}

/// Whether a lock is held now. It is asked without a trace: who takes it meanwhile gets it a moment later.
pub fn is_held(path: &Path) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|data| data.is_file());
    let Some(file) = is_file.then(|| File::open(path).ok()).flatten() else { return false };
    let asked = flock(&file, FlockOperation::NonBlockingLockShared);
    let _ = flock(&file, FlockOperation::Unlock);
    asked == Err(rustix::io::Errno::WOULDBLOCK)
}

/// Writes the mark, and who holds the lock.
fn mark(file: &mut File) -> io::Result<()> {
    file.rewind()?;
    file.write_all(format!("{MARK}{}", Holder::line()).as_bytes())?;
    let end = file.stream_position()?;
    file.set_len(end)
}

fn origin(file: &mut File, new: bool, path: &Path) -> Result<Origin, LockError> {
    if new {
        return Ok(Origin::Pipeline);
    }
    let mut content = Vec::new();
    file.take(MARK.len() as u64)
        .read_to_end(&mut content)
        .map_err(|source| LockError::Io { path: path.into(), source })?;
    // A kill, or a loss of power, may have left a part of the mark, or the room for it.
    let is_room = || content.iter().zip(MARK.bytes()).all(|(byte, mark)| [0, mark].contains(byte));
    match content.as_slice() {
        content if !content.is_empty() && MARK.as_bytes().starts_with(content) => {
            Ok(Origin::Pipeline)
        }
        _ if is_room() => Ok(Origin::Unknown),
        _ => Err(LockError::Foreign { path: path.into() }),
    }
}

/// What stands in the way of a socket.
#[derive(Debug, Error)]
pub enum Obstacle {
    /// There is no folder for it.
    #[error("there is no folder {}; make it first", folder.display())]
    NoFolder {
        /// What should be one.
        folder: PathBuf,
    },
    /// With its folders the path does not fit a socket's address, and peers are told all of it.
    #[error(
        "with its folders that path has {len} bytes, a Unix socket's path can have {IPC_PATH_BYTES_MAX}; choose another place"
    )]
    Long {
        /// The length of the absolute path in bytes.
        len: usize,
    },
    /// Something that is no socket.
    #[error("there is {what} of that name already, which is left as it is; choose another name")]
    NoSocket {
        /// What it is.
        what: &'static str,
    },
    /// Somebody listens there.
    #[error("another process listens there")]
    Live,
    /// It can't be looked at.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Makes sure that a socket could be at `path`, and be found by processes in other folders.
///
/// # Errors
/// [`Obstacle`] otherwise.
pub fn has_place(path: &Path) -> Result<(), Obstacle> {
    let absolute = std::path::absolute(path)?;
    let len = absolute.as_os_str().len();
    if len > IPC_PATH_BYTES_MAX {
        return Err(Obstacle::Long { len });
    }
    match absolute.parent() {
        Some(folder) if !folder.is_dir() => Err(Obstacle::NoFolder { folder: folder.into() }),
        _ => Ok(()),
    }
}

/// Makes sure that nothing but a socket that nobody listens at would make room for one at `path`.
///
/// # Errors
/// [`Obstacle`] otherwise.
pub fn make_way(path: &Path) -> Result<(), Obstacle> {
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?.file_type(),
    };
    let what = match kind {
        kind if kind.is_socket() => {
            return match UnixStream::connect(path) {
                Ok(_) => Err(Obstacle::Live),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                // It went away meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                // A socket of another kind: someone else's.
                Err(error) if error.raw_os_error() == Some(EPROTOTYPE) => Err(Obstacle::Live),
                Err(error) => Err(error.into()),
            };
        }
        kind if kind.is_file() => "a file",
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a link",
        kind if kind.is_fifo() => "a pipe",
        _ => "a device",
    };
    Err(Obstacle::NoSocket { what })
}

/// A datagram socket listens where a stream was wanted.
const EPROTOTYPE: i32 = rustix::io::Errno::PROTOTYPE.raw_os_error();

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((held.dev(), held.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A file without an owner may be one that was made just now.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// Takes away the sockets whose names begin with `prefix`, a path, and the locks beside them,
/// as far as they have no owner any more: those of processes that were killed.
pub fn remove_stale_sockets(prefix: &Path) {
    let (Some(folder), Some(name)) = (prefix.parent(), prefix.file_name()) else { return };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let ours = path.extension().is_some_and(|ending| ending == "lock")
            && entry.file_name().as_encoded_bytes().starts_with(name.as_encoded_bytes())
            && entry.metadata().is_ok_and(|data| data.is_file() && is_old(&data));
        if ours
            && let Ok(lock) = Lock::take_if_free(&path)
            && lock.origin == Origin::Pipeline
        {
            let socket = path.with_extension("");
            if fs::symlink_metadata(&socket).is_ok_and(|data| data.file_type().is_socket()) {
                let _ = fs::remove_file(socket);
            }
            lock.remove();
        }
    }
}

/// Whether something is old enough to have been left behind.
fn is_old(data: &fs::Metadata) -> bool {
    let age = data.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age > STALE_AFTER)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_lock_that_is_let_go_is_free_although_another_process_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        // What a child has between fork and exec.
        let inherited = lock.file.try_clone().unwrap();
        drop(lock);
        assert!(Lock::take_if_free(&path).is_ok());
        drop(inherited);
    }

    #[test]
    fn a_lock_is_held_once_and_free_again_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        let error = Lock::take(&path).unwrap_err();
        let me = format!("process {} (`", std::process::id());
        assert!(error.to_string().starts_with(&me), "{error}");
        assert!(matches!(error, LockError::Held { .. }));
        drop(lock);
        assert!(Lock::take(&path).is_ok());
    }

    /// A launcher that is killed while it starts a process leaves its lock to that until it is another program,
    /// and the same command at once found the run directory in use.
    #[test]
    fn a_lock_of_one_that_has_ended_is_waited_for_and_one_of_the_living_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let ended = format!("{MARK}{dead}\nup\n\n");
        let me = format!("{MARK}{}\nup\n\n", std::process::id());
        let launched = format!("{MARK}{}\nup\n{LAUNCHED}\n", std::process::id());
        for (text, is_gone, ends_soon) in [
            (ended.as_str(), true, true),
            ("", true, true),
            (&MARK[..5], true, true),
            (&me, false, false),
            (&launched, false, true),
        ] {
            fs::write(&path, text).unwrap();
            let holder = Holder::read(&path);
            assert_eq!((holder.is_gone(), holder.ends_soon()), (is_gone, ends_soon), "{text}");
        }
        fs::write(&path, ended).unwrap();
        let held = File::open(&path).unwrap();
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        let error = Lock::take_if_free(&path).unwrap_err();
        assert!(error.to_string().starts_with("what was started by process "), "{error}");
        let (began, begins) = std::sync::mpsc::channel();
        let taken = thread::spawn({
            let path = path.clone();
            move || {
                began.send(()).unwrap();
                Lock::take(&path).map(drop)
            }
        });
        begins.recv().unwrap();
        drop(held);
        taken.join().unwrap().unwrap();
    }

    #[test]
    fn a_lock_that_is_removed_is_free_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        Lock::take(&path).unwrap().remove();
        assert!(!path.exists());
        let again = Lock::take(&path).unwrap();
        assert!(matches!(Lock::take(&path), Err(LockError::Held { .. })));
        drop(again);
    }

    #[test]
    fn only_old_sockets_without_an_owner_are_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let age = |name: &str| {
            let lock = File::options().write(true).open(path(name)).unwrap();
            lock.set_modified(SystemTime::now() - 2 * STALE_AFTER).unwrap();
        };
        for name in ["v.worker-1", "v.worker-2", "v.worker-3", "w.worker-1"] {
            drop(UnixListener::bind(path(name)).unwrap());
            drop(Lock::take(&path(&format!("{name}.lock"))).unwrap());
            age(&format!("{name}.lock"));
        }
        // Files of somebody's that are only called so.
        for name in ["v.worker-4", "v.worker-4.lock", "v.worker-5", "v.worker-6.lock"] {
            fs::write(path(name), "a thesis").unwrap();
        }
        age("v.worker-4.lock");
        age("v.worker-6.lock");
        drop(Lock::take(&path("v.worker-5.lock")).unwrap());
        age("v.worker-5.lock");
        let _held = Lock::take(&path("v.worker-2.lock")).unwrap();
        let young = File::options().write(true).open(path("v.worker-3.lock")).unwrap();
        young.set_modified(SystemTime::now()).unwrap();
        remove_stale_sockets(&path("v.worker-"));
        let left = |name: &str| (path(name).exists(), path(&format!("{name}.lock")).exists());
        assert_eq!(left("v.worker-1"), (false, false));
        for name in ["v.worker-2", "v.worker-3", "v.worker-4", "w.worker-1"] {
            assert_eq!(left(name), (true, true), "{name}");
        }
        assert!(path("v.worker-5").exists(), "it is no socket");
        assert!(path("v.worker-6.lock").exists(), "it is no lock");
    }

    /// No harm: a file that happens to be called like a lock is neither emptied nor removed.
    #[test]
    fn a_users_file_of_a_locks_name_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.lock");
        fs::write(&path, "a thesis").unwrap();
        assert!(matches!(Lock::take(&path), Err(LockError::Foreign { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"a thesis");
        fs::write(&path, "").unwrap();
        Lock::take(&path).unwrap().remove();
        assert_eq!(fs::read(&path).unwrap(), b"");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(Lock::take(&path), Err(LockError::Foreign { .. })));
    }

    /// What a process that was killed left is a lock still, and goes with the next one.
    #[test]
    fn a_lock_that_was_left_behind_is_taken_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.lock");
        drop(Lock::take(&path).unwrap());
        assert!(path.exists());
        Lock::take(&path).unwrap().remove();
        assert!(!path.exists());
        // Half a mark, and the room for one, which is nobody's to remove.
        for (content, stays) in [
            (MARK.as_bytes()[..9].to_vec(), false),
            (vec![0; 30], true),
            (b"a lo\0k".to_vec(), true),
        ] {
            fs::write(&path, content).unwrap();
            Lock::take(&path).unwrap().remove();
            assert_eq!(path.exists(), stays);
        }
    }

    #[test]
    fn a_socket_needs_a_folder_and_a_path_that_fits_with_its_folders() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        assert!(has_place(&folder.path().join("v")).is_ok());
        assert!(has_place(Path::new("v")).is_ok());
        for name in ["missing/v", "file/v"] {
            let placed = has_place(&folder.path().join(name));
            assert!(matches!(placed, Err(Obstacle::NoFolder { .. })), "{name}: {placed:?}");
        }
        let deep = "x".repeat(IPC_PATH_BYTES_MAX - 1);
        assert!(matches!(has_place(Path::new(&deep)), Err(Obstacle::Long { .. })));
    }

    /// No harm: only a socket that nobody listens at makes room for another.
    #[test]
    fn nothing_but_a_dead_socket_makes_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(make_way(&path("none")).is_ok());
        drop(UnixListener::bind(path("dead")).unwrap());
        assert!(make_way(&path("dead")).is_ok());
        let _live = UnixListener::bind(path("live")).unwrap();
        assert!(matches!(make_way(&path("live")), Err(Obstacle::Live)));
        let _other = std::os::unix::net::UnixDatagram::bind(path("datagrams")).unwrap();
        assert!(matches!(make_way(&path("datagrams")), Err(Obstacle::Live)));
        fs::write(path("file"), "x").unwrap();
        fs::create_dir(path("folder")).unwrap();
        std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
        for (name, told) in [("file", "a file"), ("folder", "a folder"), ("link", "a link")] {
            let Err(Obstacle::NoSocket { what }) = make_way(&path(name)) else { panic!("{name}") };
            assert_eq!(what, told);
        }
    }
}
