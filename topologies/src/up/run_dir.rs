//! `--fresh`: a run directory is emptied before a run begins.
//!
//! Owns the decision what may be removed; what is in a run directory is the roles' business.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use proto::net::lock::{Lock, LockError};
use sink::run_dir::{Checkpoint, DATABASE, RunDir};
use thiserror::Error;

/// What a launcher locks in its run directory.
const LOCK: &str = "up.lock";

/// Claims a run directory for this launcher, as long as what is returned lives.
///
/// # Errors
/// [`LockError`] when another one has it, or the folder can't be used.
pub fn claim(path: &Path) -> Result<Lock, LockError> {
    let lock = path.join(LOCK);
    fs::create_dir_all(path).map_err(|source| LockError::Io { path: path.into(), source })?;
    Lock::take(&lock)
}

/// Why a run could not be forgotten.
#[derive(Debug, Error)]
pub enum ForgetError {
    /// Someone else's files may be in it.
    #[error("{} is no run directory: there is no {DATABASE} in it, so nothing is removed", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// A run goes on there.
    #[error("the run in {} goes on: {source}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who.
        source: LockError,
    },
    /// It can't be removed.
    #[error("cannot remove {}: {source}", path.display())]
    Remove {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a run directory holds, in words; nothing if there is no run in it.
pub fn describe(path: &Path) -> Option<String> {
    if !path.join(DATABASE).is_file() {
        return None;
    }
    let opened = RunDir::open(path).ok()?;
    let checkpoint: Option<Checkpoint> = opened.fact("checkpoint").ok()?;
    let units: u64 = checkpoint
        .iter()
        .flat_map(|checkpoint| &checkpoint.covered)
        .map(|(start, end)| end - start)
        .sum();
    Some(format!("the run in {}, with at least {units} units committed", path.display()))
}

/// Whether a folder is a run directory.
pub fn is_run(path: &Path) -> bool {
    path.join(DATABASE).is_file() || path.join("topology.json").is_file()
}

/// Removes a run directory; one that is not there, or empty, is fine.
///
/// # Errors
/// [`ForgetError`] when it holds a run that goes on, or anything else.
pub fn forget(path: &Path) -> Result<(), ForgetError> {
    let path_buf = || path.to_path_buf();
    let remove = |source| ForgetError::Remove { path: path_buf(), source };
    let others = |entry: io::Result<fs::DirEntry>| !entry.is_ok_and(|it| it.file_name() == LOCK);
    match fs::read_dir(path).map(|mut entries| !entries.any(others)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(remove(error)),
        Ok(true) => return Ok(()),
        Ok(false) => {}
    }
    if !is_run(path) {
        return Err(ForgetError::Foreign { path: path_buf() });
    }
    let _lock = Lock::take(&path.join("sink.lock"))
        .map_err(|source| ForgetError::InUse { path: path_buf(), source })?;
    fs::remove_dir_all(path).map_err(remove)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_directory_that_is_not_in_use_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        assert!(forget(&path).is_ok());
        fs::create_dir(&path).unwrap();
        assert!(forget(&path).is_ok());
        fs::write(path.join("thesis.tex"), "years").unwrap();
        assert!(matches!(forget(&path), Err(ForgetError::Foreign { .. })));
        fs::write(path.join(DATABASE), "").unwrap();
        let lock = Lock::take(&path.join("sink.lock")).unwrap();
        assert!(matches!(forget(&path), Err(ForgetError::InUse { .. })));
        drop(lock);
        assert!(forget(&path).is_ok());
        assert!(!path.exists());
    }
}
