//! `--fresh`: a run directory is emptied before a run begins.
//!
//! Owns the decision what may be removed: the files that a run keeps there under names of its own,
//! and no others. What is in them is the roles' business.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use proto::net::lock::{Lock, LockError, is_held};
use sink::{
    figures::counted,
    ledger::checkpoint::Checkpoint,
    made::{self, Made},
    names::{DATABASE, is_own_name},
    run_dir::RunDir,
};
use thiserror::Error;

use super::record::Record;
use crate::logs;

/// What a launcher locks in its run directory.
const LOCK: &str = "up.lock";
/// The folder in it for what its processes say.
pub const LOGS: &str = "logs";

/// Claims a run directory for this launcher, as long as what is returned lives.
///
/// # Errors
/// [`LockError`] when another one has it, or the folder can't be used.
pub fn claim(path: &Path) -> Result<Lock, LockError> {
    let lock = path.join(LOCK);
    fs::create_dir_all(path).map_err(|source| LockError::Io { path: path.into(), source })?;
    Lock::take(&lock)
}

/// Whether a launcher has the run of this directory now. Nothing is written there, and who claims it at the
/// same moment gets it.
pub fn is_in_use(path: &Path) -> bool {
    is_held(&path.join(LOCK))
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
    let units = counted(units, ["unit", "units"]);
    Some(format!("the run in {}, with at least {units} committed", path.display()))
}

/// The summary of the run in a directory as JSON, if it is finished.
pub fn summary(path: &Path) -> Option<Vec<u8>> {
    let summary = RunDir::open(path).ok()?.summary().ok()??;
    serde_json::to_vec_pretty(&summary).ok()
}

/// Removes a run from its directory, and that too if nothing else is in it; one that is not there, or
/// empty, is fine. The list of what the run made outside stays, since the next one may replace that.
///
/// # Errors
/// [`ForgetError`] when it holds a run that goes on, or anything else.
pub fn forget(path: &Path) -> Result<(), ForgetError> {
    let path_buf = || path.to_path_buf();
    let remove = |source| ForgetError::Remove { path: path_buf(), source };
    if is_empty(path).map_err(remove)? {
        return logs::forget(path).map_err(remove);
    }
    if !is_run(path) {
        return Err(ForgetError::Foreign { path: path_buf() });
    }
    let _lock = Lock::take(&path.join("sink.lock"))
        .map_err(|source| ForgetError::InUse { path: path_buf(), source })?;
    let keeps_list = Made::open(path).is_ok_and(|made| !made.is_empty());
    // Last what tells that it is a run directory: a kill on the way leaves one that can be removed.
    let mut names: Vec<_> = fs::read_dir(path)
        .map_err(remove)?
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| is_own_name(name) && !(keeps_list && name == made::FILE))
        .collect();
    names.sort_by_key(|name| name == DATABASE);
    logs::forget(path).map_err(remove)?;
    for name in names {
        match fs::remove_file(path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(remove(error)),
            _ => {}
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(remove(error)),
        _ => Ok(()),
    }
}

/// Whether there is nothing here but what a launcher puts into its run directory before it is one.
///
/// # Errors
/// When that can't be told.
pub fn is_empty(path: &Path) -> io::Result<bool> {
    let is_ours = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|it| it.file_name() == LOCK || it.file_name() == LOGS)
    };
    match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        entries => Ok(entries?.all(is_ours)),
    }
}

/// Whether a run was begun here. A list of what earlier ones made is what `--fresh` left.
pub fn is_run(path: &Path) -> bool {
    path.join(DATABASE).is_file()
        || Record::read(path).is_ok_and(|record| record.is_some())
        || path.join(made::FILE).is_file()
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
        // No harm: what the run did not make is not removed with it.
        assert_eq!(fs::read(path.join("thesis.tex")).unwrap(), b"years");
        fs::remove_file(path.join("thesis.tex")).unwrap();
        fs::write(path.join(DATABASE), "").unwrap();
        fs::write(path.join("diary-worker-square-1"), "").unwrap();
        assert!(forget(&path).is_ok());
        assert!(!path.exists());
    }

    /// No harm: a folder is not taken for a run directory since a file in it is called like a run's.
    #[test]
    fn a_users_folder_with_a_topology_json_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("topology.json"), "{\"type\":\"Topology\"}").unwrap();
        assert!(matches!(forget(&path), Err(ForgetError::Foreign { .. })));
        assert!(path.join("topology.json").exists());
    }

    #[test]
    fn what_a_run_made_is_known_to_the_next_one_in_its_directory() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out.jsonl");
        fs::write(&output, "1\n").unwrap();
        let data = fs::metadata(&output).unwrap();
        let path = folder.path().join("run");
        let run = RunDir::open(&path).unwrap();
        run.made().note(made::Identity::of(&data)).unwrap();
        run.record("plan", &1).unwrap();
        drop(run);
        for _ in 0..2 {
            forget(&path).unwrap();
            assert!(describe(&path).is_none());
            assert!(RunDir::open(&path).unwrap().made().owns(&data));
        }
    }
}
