//! What is listed of a run, as long as its launcher lives.
//!
//! Owns the two files of a run, `ID.json` and the lock `ID.lock` that its launcher holds, and that an
//! entry whose launcher was killed goes with whoever finds it. Refuses to know how far a run has got:
//! that is asked of its launcher.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proto::net::lock::{Lock, LockError, has_had_holder};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::folder;

/// The version of what stands in an entry.
const VERSION: u32 = 1;
/// The endings of its two files.
const ENTRY: &str = "json";
const LOCK: &str = "lock";
/// A longer file is no entry.
const ENTRY_BYTES_MAX: u64 = 64 << 10;
/// How many numbers are tried until one is free.
const TRIES_MAX: u32 = 16;
/// A lock that says nothing of its holder may be one that was made just now.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// A run that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    version: u32,
    /// By what it is told from all others.
    pub id: String,
    /// The launcher's process id.
    pub pid: u32,
    /// What its topology calls it.
    pub name: String,
    /// The topology, absolute.
    pub topology: PathBuf,
    /// Where the run is kept, absolute; none if it is not.
    pub run_dir: Option<PathBuf>,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// Where its launcher listens: a Unix socket.
    pub socket: PathBuf,
    /// Where its page is, without what admits to it.
    #[serde(default)]
    pub page: Option<String>,
    /// Where its clients find it, if it is a service.
    #[serde(default)]
    pub service: Option<String>,
}

/// What a run is listed with.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What its topology calls it.
    pub name: String,
    /// The topology.
    pub topology: PathBuf,
    /// Where the run is kept, if it is.
    pub run_dir: Option<PathBuf>,
    /// Where its page is, if it has one, without what admits to it.
    pub page: Option<String>,
    /// Where its clients find it, if it is a service.
    pub service: Option<String>,
}

/// Why a run is not listed.
#[derive(Debug, Error)]
pub enum EntryError {
    /// There is no folder for it.
    #[error("there is no folder that only this user may enter: set XDG_RUNTIME_DIR or HOME")]
    NoFolder,
    /// No number could be had.
    #[error("cannot draw a number for the run: {0}")]
    Number(getrandom::Error),
    /// The entry can't be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The entry can't be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A run that is listed, until this is dropped.
#[derive(Debug)]
pub struct Listed {
    path: PathBuf,
    lock: Option<Lock>,
}

impl Listed {
    /// Lists a run of this process, whose launcher listens at `socket`.
    ///
    /// # Errors
    /// [`EntryError`] when there is no place for it.
    pub fn add(facts: &Facts, socket: &Path) -> Result<Self, EntryError> {
        Self::add_in(&folder::make().ok_or(EntryError::NoFolder)?, facts, socket)
    }

    fn add_in(folder: &Path, facts: &Facts, socket: &Path) -> Result<Self, EntryError> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.into());
        let (id, lock) = free_number(folder)?;
        let path = folder.join(&id).with_extension(ENTRY);
        let listed = Self { path, lock: Some(lock) };
        let entry = Entry {
            version: VERSION,
            id,
            pid: process::id(),
            name: facts.name.clone(),
            topology: absolute(&facts.topology),
            run_dir: facts.run_dir.as_deref().map(absolute),
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            socket: socket.into(),
            page: facts.page.clone(),
            service: facts.service.clone(),
        };
        listed.write(&entry)?;
        Ok(listed)
    }

    /// By what the run is told from all others.
    pub fn id(&self) -> Option<String> {
        Some(self.path.file_stem()?.to_string_lossy().into_owned())
    }

    /// Whole or not at all, for whoever looks at the same moment.
    fn write(&self, entry: &Entry) -> Result<(), EntryError> {
        let draft = self.path.with_extension("new");
        let written = serde_json::to_vec(entry)
            .map_err(io::Error::from)
            .and_then(|json| fs::write(&draft, json))
            .and_then(|()| fs::rename(&draft, &self.path));
        written.map_err(|source| EntryError::Write { path: self.path.clone(), source })
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            remove(&self.path, lock);
        }
    }
}

fn free_number(folder: &Path) -> Result<(String, Lock), EntryError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let number = getrandom::u32().map_err(EntryError::Number)?;
        let id = format!("{number:08x}");
        match Lock::take_if_free(&folder.join(&id).with_extension(LOCK)) {
            Err(LockError::Held { .. }) if tries < TRIES_MAX => {}
            taken => return Ok((id, taken?)),
        }
    }
}

/// Last the lock: what is locked no more is nobody's.
fn remove(entry: &Path, lock: Lock) {
    for path in [entry, &entry.with_extension("new")] {
        let _ = fs::remove_file(path);
    }
    lock.remove();
}

/// The runs that go on, the oldest first. What launchers have left that were killed is removed.
pub fn all() -> Vec<Entry> {
    let mut all: Vec<Entry> =
        folder::existing().iter().flat_map(|folder| entries(folder)).collect();
    all.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
    all
}

/// Removes what launchers have left that were killed.
pub fn sweep() {
    drop(all());
}

fn entries(folder: &Path) -> Vec<Entry> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let locks = files.filter(|path| path.extension().is_some_and(|ending| ending == LOCK));
    locks.filter_map(|lock| live(&lock)).collect()
}

/// The entry beside a lock whose holder lives.
fn live(lock: &Path) -> Option<Entry> {
    let path = lock.with_extension(ENTRY);
    if !has_had_holder(lock) && !is_old(lock) {
        return None;
    }
    match Lock::take_if_free(lock) {
        Ok(lock) => {
            remove(&path, lock);
            None
        }
        // Held by another one than the launcher it is about to be removed.
        Err(LockError::Held { holder, .. }) => {
            let held_by = holder.process.map(|(pid, _)| pid);
            read(&path).filter(|entry| held_by == Some(entry.pid))
        }
        Err(_) => None,
    }
}

fn read(path: &Path) -> Option<Entry> {
    let data = fs::symlink_metadata(path).ok()?;
    if !data.is_file() || data.len() > ENTRY_BYTES_MAX {
        return None;
    }
    let entry: Entry = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some(entry).filter(|entry| entry.version == VERSION)
}

fn is_old(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|data| data.modified()).ok();
    let age = modified.and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age > STALE_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str) -> Facts {
        let run_dir = Some("/runs/t".into());
        Facts { name: name.into(), topology: "t.toml".into(), run_dir, page: None, service: None }
    }

    fn names(folder: &Path) -> Vec<String> {
        entries(folder).into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn a_run_is_listed_as_long_as_its_launcher_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let listed = Listed::add_in(folder.path(), &facts("one"), Path::new("/s")).unwrap();
        let entry = entries(folder.path()).remove(0);
        assert_eq!((entry.pid, &*entry.name), (process::id(), "one"));
        assert!(entry.topology.is_absolute() && entry.since > 0);
        drop(listed);
        assert_eq!(names(folder.path()), [""; 0]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// What a kill leaves: the files, and nobody who holds the lock.
    #[test]
    fn what_a_killed_launcher_has_left_goes_with_the_next_look() {
        let folder = tempfile::tempdir().unwrap();
        let listed = Listed::add_in(folder.path(), &facts("dead"), Path::new("/s")).unwrap();
        let kept: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        assert_eq!(kept.len(), 2);
        drop(listed);
        for (path, content) in kept {
            fs::write(path, content).unwrap();
        }
        let _other = Listed::add_in(folder.path(), &facts("alive"), Path::new("/s")).unwrap();
        assert_eq!(names(folder.path()), ["alive"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn files_of_somebody_elses_are_neither_listed_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["thesis.lock", "thesis.json", "notes.txt"] {
            fs::write(folder.path().join(name), "years of work").unwrap();
        }
        assert_eq!(names(folder.path()), [""; 0]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
