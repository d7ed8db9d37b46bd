//! The run directory: what outlives the sink.
//!
//! Owns the lock, the small database of facts about the run, and the checkpoints; refuses to
//! know what leads to one. Outcomes themselves are in the commit log until a checkpoint covers
//! them, and in the outputs afterwards.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use proto::{
    durable,
    frame::RunId,
    net::lock::{Lock, LockError},
};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Aggregates, Mark, flow::Flow, ledger::Counts};

/// The file that holds the facts of a run.
pub const DATABASE: &str = "run.sqlite";

/// Why a run directory can't be used.
#[derive(Debug, Error)]
pub enum RunDirError {
    /// It can't be made.
    #[error("cannot make the run directory {}", path.display())]
    Create {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another sink has it.
    #[error("the run directory is in use: {0}")]
    Locked(#[from] LockError),
    /// Its database can't be used.
    #[error("cannot use {}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// What it holds cannot be understood.
    #[error("{} holds a `{key}` that this version cannot read", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Which fact.
        key: String,
    },
}

/// Everything that the outputs hold, and from where on the log has the rest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The first segment of the log that is not covered.
    pub segment: u64,
    /// The units that are covered: ranges, end exclusive.
    pub covered: Vec<(u64, u64)>,
    /// In input order: all units below are written.
    pub watermark: u64,
    /// How many came out how.
    pub counts: Counts,
    /// How far units got.
    #[serde(default)]
    pub flow: Flow,
    /// How far the output has come.
    pub output: Option<Mark>,
    /// How far the dead letters have come.
    pub dead: Mark,
    /// The aggregates.
    pub aggregates: Aggregates,
    /// Service times in microseconds and how many units had each.
    pub service: Vec<(u64, u64)>,
    /// A digest of the sink's configuration.
    pub config: String,
    /// Units of a finished run are tried again; what they give is written last.
    #[serde(default)]
    pub late: bool,
}

/// An open run directory; nobody else has it.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    database: Connection,
    _lock: Lock,
}

impl RunDir {
    /// Opens or makes the run directory at `path`.
    ///
    /// # Errors
    /// [`RunDirError`] when it is in use or can't be.
    pub fn open(path: &Path) -> Result<Self, RunDirError> {
        let create = |source| RunDirError::Create { path: path.into(), source };
        fs::create_dir_all(path).map_err(create)?;
        let lock = Lock::take(&path.join("sink.lock"))?;
        let file = path.join(DATABASE);
        let failed = |source| RunDirError::Database { path: file.clone(), source };
        let database = Connection::open(&file).map_err(failed)?;
        database
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 CREATE TABLE IF NOT EXISTS fact (key TEXT PRIMARY KEY, value BLOB NOT NULL);",
            )
            .map_err(failed)?;
        let run_dir = Self { path: path.into(), database, _lock: lock };
        run_dir.finish_letters()?;
        Ok(run_dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A fact, if it is known.
    ///
    /// # Errors
    /// [`RunDirError`] when the database fails or holds something else under that key.
    pub fn fact<T: for<'a> Deserialize<'a>>(&self, key: &str) -> Result<Option<T>, RunDirError> {
        let file = self.path.join(DATABASE);
        let bytes: Option<Vec<u8>> = self
            .database
            .query_row("SELECT value FROM fact WHERE key = ?1", [key], |row| row.get(0))
            .optional()
            .map_err(|source| RunDirError::Database { path: file.clone(), source })?;
        let content = |_| RunDirError::Content { path: file.clone(), key: key.into() };
        bytes.map(|bytes| rmp_serde::from_slice(&bytes).map_err(content)).transpose()
    }

    /// Records a fact; it is safe when this returns.
    ///
    /// # Errors
    /// [`RunDirError`] when the database fails.
    pub fn record(&self, key: &str, value: &impl Serialize) -> Result<(), RunDirError> {
        let path = self.path.join(DATABASE);
        let bytes = rmp_serde::to_vec_named(value)
            .map_err(|_| RunDirError::Content { path: path.clone(), key: key.into() })?;
        self.database
            .execute(
                "INSERT INTO fact (key, value) VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                params![key, bytes],
            )
            .map_err(|source| RunDirError::Database { path, source })?;
        Ok(())
    }

    /// Records several facts at once: after a kill all of them are known, or none.
    ///
    /// # Errors
    /// [`RunDirError`] when the database fails, or what `record` gives; then none is recorded.
    pub fn together(
        &self,
        record: impl FnOnce() -> Result<(), RunDirError>,
    ) -> Result<(), RunDirError> {
        let failed = |source| RunDirError::Database { path: self.path.join(DATABASE), source };
        let transaction = self.database.unchecked_transaction().map_err(failed)?;
        record()?;
        transaction.commit().map_err(failed)
    }

    /// Records a checkpoint of which fewer letters are part, and replaces their file by `text`.
    /// A kill between the two is made good at the next [`RunDir::open`].
    ///
    /// # Errors
    /// [`RunDirError`] when the database or the file can't be written.
    pub fn record_letters(
        &self,
        checkpoint: &Checkpoint,
        file: &Path,
        text: &[u8],
    ) -> Result<(), RunDirError> {
        let failed = |source| RunDirError::Database { path: self.path.join(DATABASE), source };
        self.database.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        self.record("checkpoint", checkpoint)?;
        self.record("finished", &false)?;
        self.record("letters", &(file, String::from_utf8_lossy(text)))?;
        self.database.execute_batch("COMMIT").map_err(failed)?;
        self.finish_letters()
    }

    fn finish_letters(&self) -> Result<(), RunDirError> {
        let Some((file, text)) = self.fact::<(PathBuf, String)>("letters")? else { return Ok(()) };
        let create = |source| RunDirError::Create { path: file.clone(), source };
        if text.is_empty() {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(create(error)),
                _ => {}
            }
        } else {
            durable::replace(&file, text.as_bytes()).map_err(create)?;
        }
        let deleted = self.database.execute("DELETE FROM fact WHERE key = 'letters'", []);
        deleted
            .map(drop)
            .map_err(|source| RunDirError::Database { path: self.path.join(DATABASE), source })
    }

    /// Counts a start of the sink: the run, drawn by `draw` if it has none yet, and the epoch.
    ///
    /// # Errors
    /// [`RunDirError`] when the database fails.
    pub fn start(&self, draw: RunId) -> Result<(RunId, u64), RunDirError> {
        let run = match self.fact("run")? {
            Some(run) => run,
            None => {
                self.record("run", &draw)?;
                draw
            }
        };
        let epoch = self.fact::<u64>("epoch")?.unwrap_or_default() + 1;
        self.record("epoch", &epoch)?;
        Ok((run, epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_keeps_its_name_and_counts_its_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/run");
        assert_eq!(RunDir::open(&path).unwrap().start(7).unwrap(), (7, 1));
        assert_eq!(RunDir::open(&path).unwrap().start(8).unwrap(), (7, 2));
    }

    #[test]
    fn of_facts_that_are_recorded_together_all_are_known_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::open(folder.path()).unwrap();
        let cut_short = run_dir.together(|| {
            run_dir.record("plan", &"a")?;
            Err(RunDirError::Content { path: folder.path().into(), key: "stages".into() })
        });
        assert!(cut_short.is_err());
        assert_eq!(run_dir.fact::<String>("plan").unwrap(), None);
        run_dir.together(|| run_dir.record("plan", &"b")).unwrap();
        assert_eq!(run_dir.fact("plan").unwrap(), Some("b".to_owned()));
    }

    #[test]
    fn two_sinks_cannot_have_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let _first = RunDir::open(folder.path()).unwrap();
        assert!(matches!(RunDir::open(folder.path()), Err(RunDirError::Locked(_))));
    }
}
