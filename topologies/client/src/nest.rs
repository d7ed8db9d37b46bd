//! Where a client's inbox lies, for a service that is reached by `ipc`.
//!
//! Owns a folder that only this user may enter. It is not the service's: a service that is started again has
//! another one, and its old one goes with all that is in it, while its clients stay. What a client that was
//! killed has left goes with the next one that is made: each is locked as long as its client lives.

use std::{
    env, fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process,
};

use proto::net::lock::{Lock, LockError, has_had_holder};

/// How the folders' names begin.
const PREFIX: &str = "pipeline-client-";
/// The file in one that is locked as long as its client lives.
const LOCK: &str = "lock";

/// A folder of a client's own, which goes with it.
#[derive(Debug)]
pub(crate) struct Nest {
    path: PathBuf,
    _lock: Lock,
}

impl Nest {
    /// Makes one; the number is one that no other has.
    ///
    /// # Errors
    /// When the system's folder for temporary files can't be written to.
    pub fn new(number: u64) -> io::Result<Self> {
        let base = env::temp_dir();
        remove_stale(&base);
        let path = base.join(format!("{PREFIX}{}-{number:016x}", process::id()));
        // One that is there already is somebody else's.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let lock = Lock::take(&path.join(LOCK));
        let lock = lock.map_err(|error: LockError| io::Error::other(error.to_string()))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where the inbox is.
    pub fn inbox(&self) -> PathBuf {
        self.path.join("inbox")
    }

    #[cfg(test)]
    fn folder(&self) -> &Path {
        &self.path
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what clients have left that were killed. Another user's can't be looked into.
fn remove_stale(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let lock = entry.path().join(LOCK);
        let is_one = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_one && has_had_holder(&lock) && Lock::take_if_free(&lock).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_nest_is_this_users_alone_and_goes_with_its_client() {
        let number = getrandom::u64().unwrap();
        let nest = Nest::new(number).unwrap();
        let folder = nest.folder().to_owned();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(Nest::new(number).is_err());
        drop(nest);
        assert!(!folder.exists());
    }

    #[test]
    fn what_a_killed_client_has_left_goes_and_what_others_have_stays() {
        let base = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = base.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&path).unwrap();
            path
        };
        let (left, used, foreign) = (folder("left"), folder("used"), folder("foreign"));
        drop(Lock::take(&left.join(LOCK)).unwrap());
        let _held = Lock::take(&used.join(LOCK)).unwrap();
        fs::write(foreign.join("thesis"), "").unwrap();
        remove_stale(base.path());
        assert_eq!([&left, &used, &foreign].map(|path| path.exists()), [false, true, true]);
    }
}
