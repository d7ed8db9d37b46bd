//! A lock that a process holds as long as it lives.
//!
//! Owns a locked file, and who is said in it to hold it. The kernel drops it when the process ends, however it
//! ends, so a lock is never stale.

use std::{
    fmt::{self, Display, Formatter},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use crate::process::has_launcher;

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
    /// The file can't be made.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

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

    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut lines = text.lines();
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
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of `path`, a file made for nothing else.
    ///
    /// # Errors
    /// [`LockError`] when another process holds it, or the file can't be made.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.into(), source };
        loop {
            let mut options = OpenOptions::new();
            let file = options.create(true).truncate(false).write(true).open(path).map_err(io)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Its holder may have removed it meanwhile: then it is not the lock any more.
                Ok(()) if !is_at(&file, path).map_err(io)? => {}
                Ok(()) => {
                    // For people; a full disk is no reason not to have the lock.
                    let _ =
                        file.set_len(0).and_then(|()| (&file).write_all(Holder::line().as_bytes()));
                    return Ok(Self { _file: file, path: path.into() });
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(LockError::Held { path: path.into(), holder: Holder::read(path) });
                }
                Err(errno) => return Err(io(errno.into())),
            }
        }
    }

    /// The same; a holder whose launcher was killed ends with that, but not in the same instant.
    ///
    /// # Errors
    /// As with [`Lock::take`]; at once when somebody holds it who means to.
    pub fn inherit(path: &Path) -> Result<Self, LockError> {
        let start = Instant::now();
        loop {
            match Self::take(path) {
                Err(LockError::Held { holder, .. })
                    if holder.launched && start.elapsed() < PREDECESSORS_END =>
                {
                    thread::sleep(LOOK_INTERVAL);
                }
                taken => return taken,
            }
        }
    }

    /// Lets go, and takes the file away.
    pub fn remove(self) {
        let _ = fs::remove_file(&self.path);
    }
}

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
        if ours && let Ok(lock) = Lock::take(&path) {
            let _ = fs::remove_file(path.with_extension(""));
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
    use super::*;

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
        for name in ["v.worker-1", "v.worker-2", "v.worker-3", "w.worker-1"] {
            fs::write(path(name), "").unwrap();
            let lock = File::create(path(&format!("{name}.lock"))).unwrap();
            lock.set_modified(SystemTime::now() - 2 * STALE_AFTER).unwrap();
        }
        let _held = Lock::take(&path("v.worker-2.lock")).unwrap();
        let young = File::create(path("v.worker-3.lock")).unwrap();
        young.set_modified(SystemTime::now()).unwrap();
        remove_stale_sockets(&path("v.worker-"));
        let left = |name: &str| (path(name).exists(), path(&format!("{name}.lock")).exists());
        assert_eq!(left("v.worker-1"), (false, false));
        for name in ["v.worker-2", "v.worker-3", "w.worker-1"] {
            assert_eq!(left(name), (true, true), "{name}");
        }
    }
}
