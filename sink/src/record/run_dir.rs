//! The run directory: what outlives the sink.
//!
//! Owns the lock, the small database of facts about the run, the checkpoints, and the names that
//! files have here: those of anybody else in the folder are left alone. Refuses to know what leads
//! to a checkpoint. Outcomes themselves are in the commit log until a checkpoint covers
//! them, and in the outputs afterwards.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use proto::{
    diary, durable,
    frame::RunId,
    net::lock::{Lock, LockError},
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    ledger::checkpoint::Checkpoint,
    names::{DATABASE, LOCK, SEGMENT, WAITING, is_own_name},
    output::{
        claim::Claim,
        error::OutputError,
        made::{self, Made},
    },
    report::{
        manifest,
        summary::{OutputFacts, Summary},
    },
};

/// The summary of a finished run.
const SUMMARY: &str = "summary";
/// The draft of an output that is to take its name, and the name.
const SWAP: &str = "swap";
/// The format of the facts, which the database keeps as its `user_version`. 0: from before formats
/// were numbered, and the same as 1. From 2 on outcomes may wait in files of their own.
const FORMAT: i64 = 2;

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
    /// It holds files of somebody else's, with names that a run needs.
    #[error("{} holds a `{name}` that no run has made, so nothing is written there: give the run a folder of its own", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The file.
        name: String,
    },
    /// The list of what was made can't be used.
    #[error("cannot use {}", path.display())]
    Made {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of dead letters can't be replaced.
    #[error(transparent)]
    Letters(#[from] OutputError),
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
    /// A newer version has written it.
    #[error("{} is in format {found}, and this version reads formats up to {FORMAT}: go on with the version that began the run, or start over", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
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

/// An open run directory; nobody else has it.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    database: Connection,
    made: Made,
    _lock: Lock,
}

/// A file of somebody else's, in a folder that is no run directory yet, that the sink would write
/// over, or a worker to, which only does so once there is a run.
fn in_the_way(folder: &Path) -> Option<String> {
    if folder.join(DATABASE).exists() {
        return None;
    }
    let sinks = |name: &str| {
        ["manifest.", SEGMENT, WAITING].iter().any(|beginning| name.starts_with(beginning))
            || name == diary::SINK_FILE
            || diary::worker_of(name).is_some()
    };
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.find(|name| is_own_name(OsStr::new(name)) && sinks(name))
}

/// Opens the database of a run that was begun before.
///
/// # Errors
/// [`RunDirError`] when it is somebody else's or a newer version's; nothing is changed then.
fn open_existing(folder: &Path, file: &Path) -> Result<Connection, RunDirError> {
    let failed = |source| RunDirError::Database { path: file.into(), source };
    let database = Connection::open(file).map_err(failed)?;
    if is_foreign(&database).map_err(failed)? {
        return Err(RunDirError::Foreign { path: folder.into(), name: DATABASE.into() });
    }
    match format_of(&database).map_err(failed)? {
        found if found > FORMAT => Err(RunDirError::Format { path: file.into(), found }),
        _ => Ok(database),
    }
}

/// Whether a database has tables, but none of a run.
fn is_foreign(database: &Connection) -> rusqlite::Result<bool> {
    let query = "SELECT count(*), coalesce(sum(name = 'fact'), 0) FROM sqlite_master";
    let (all, ours): (i64, i64) =
        database.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(all > 0 && ours == 0)
}

fn format_of(database: &Connection) -> rusqlite::Result<i64> {
    database.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Makes the table of facts, if it is not there.
fn set_up(database: &Connection) -> rusqlite::Result<()> {
    database.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE IF NOT EXISTS fact (key TEXT PRIMARY KEY, value BLOB NOT NULL);",
    )?;
    if format_of(database)? < FORMAT {
        database.pragma_update(None, "user_version", FORMAT)?;
    }
    Ok(())
}

/// A fact of a run that another process has, as far as that has recorded it.
///
/// # Errors
/// [`RunDirError`] when the database fails or holds something else under that key.
pub fn fact_of_others<T: for<'a> Deserialize<'a>>(
    path: &Path,
    key: &str,
) -> Result<Option<T>, RunDirError> {
    let file = path.join(DATABASE);
    let failed = |source| RunDirError::Database { path: file.clone(), source };
    let database = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY);
    read_fact(&database.map_err(failed)?, &file, key)
}

fn read_fact<T: for<'a> Deserialize<'a>>(
    database: &Connection,
    file: &Path,
    key: &str,
) -> Result<Option<T>, RunDirError> {
    let bytes: Option<Vec<u8>> = database
        .query_row("SELECT value FROM fact WHERE key = ?1", [key], |row| row.get(0))
        .optional()
        .map_err(|source| RunDirError::Database { path: file.into(), source })?;
    let content = |_| RunDirError::Content { path: file.into(), key: key.into() };
    bytes.map(|bytes| rmp_serde::from_slice(&bytes).map_err(content)).transpose()
}

impl RunDir {
    /// Opens or makes the run directory at `path`.
    ///
    /// # Errors
    /// [`RunDirError`] when it is in use or can't be.
    pub fn open(path: &Path) -> Result<Self, RunDirError> {
        let create = |source| RunDirError::Create { path: path.into(), source };
        if let Some(name) = in_the_way(path) {
            return Err(RunDirError::Foreign { path: path.into(), name });
        }
        fs::create_dir_all(path).map_err(create)?;
        let lock = Lock::take(&path.join(LOCK))?;
        let file = path.join(DATABASE);
        let failed = |source| RunDirError::Database { path: file.clone(), source };
        // Before anything is made: a folder that is refused stays as it is.
        let existing = file.is_file().then(|| open_existing(path, &file)).transpose()?;
        let made = Made::open(path)
            .map_err(|source| RunDirError::Made { path: path.join(made::FILE), source })?;
        let database = existing.map_or_else(|| Connection::open(&file), Ok).map_err(failed)?;
        set_up(&database).map_err(failed)?;
        let run_dir = Self { path: path.into(), database, made, _lock: lock };
        run_dir.finish_swap()?;
        run_dir.finish_letters()?;
        Ok(run_dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The list of what runs have made outside it.
    pub fn made(&self) -> &Made {
        &self.made
    }

    /// A fact, if it is known.
    ///
    /// # Errors
    /// [`RunDirError`] when the database fails or holds something else under that key.
    pub fn fact<T: for<'a> Deserialize<'a>>(&self, key: &str) -> Result<Option<T>, RunDirError> {
        read_fact(&self.database, &self.path.join(DATABASE), key)
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

    /// Forgets a fact; that is safe when this returns.
    ///
    /// # Errors
    /// [`RunDirError`] when the database fails.
    pub fn forget(&self, key: &str) -> Result<(), RunDirError> {
        let failed = |source| RunDirError::Database { path: self.path.join(DATABASE), source };
        self.database.execute("DELETE FROM fact WHERE key = ?1", [key]).map(drop).map_err(failed)
    }

    /// Records several facts at once: after a kill all of them are known, or none.
    ///
    /// # Errors
    /// [`RunDirError`] when the database fails, or what `record` gives; then none is recorded.
    pub fn in_one_transaction(
        &self,
        record: impl FnOnce() -> Result<(), RunDirError>,
    ) -> Result<(), RunDirError> {
        let failed = |source| RunDirError::Database { path: self.path.join(DATABASE), source };
        let transaction = self.database.unchecked_transaction().map_err(failed)?;
        record()?;
        transaction.commit().map_err(failed)
    }

    /// Keeps the summary of a run that is complete, before it counts as finished.
    ///
    /// # Errors
    /// [`RunDirError`] when the database fails.
    pub fn record_summary(&self, summary: &Summary) -> Result<(), RunDirError> {
        // As JSON, which says by itself what it is, also to another version.
        self.record(SUMMARY, &serde_json::to_string(summary).unwrap_or_default())
    }

    /// The summary of the run, if it is finished.
    ///
    /// # Errors
    /// [`RunDirError`] when the database fails or holds something else.
    pub fn summary(&self) -> Result<Option<Summary>, RunDirError> {
        if self.fact("finished")? != Some(true) {
            return Ok(None);
        }
        let content =
            || RunDirError::Content { path: self.path.join(DATABASE), key: SUMMARY.into() };
        match self.fact::<String>(SUMMARY)? {
            Some(json) => serde_json::from_str(&json).map(Some).map_err(|_| content()),
            None => self.summary_of_old(),
        }
    }

    /// What is left of the summary of a run of an older version, which did not keep it.
    fn summary_of_old(&self) -> Result<Option<Summary>, RunDirError> {
        let Ok(manifest) = manifest::read(&self.path) else { return Ok(None) };
        let checkpoint: Option<Checkpoint> = self.fact("checkpoint")?;
        let aggregates = checkpoint.map(|checkpoint| checkpoint.aggregates.report());
        let output =
            |facts: manifest::FileFacts| OutputFacts { path: facts.path, bytes: facts.bytes };
        Ok(Some(Summary {
            units_in: manifest.units_in,
            results: manifest.results,
            outputs: manifest.outputs,
            filtered: manifest.filtered,
            dead: manifest.dead,
            attempts: manifest.attempts,
            duplicates_discarded: manifest.duplicates_discarded,
            stages: manifest.stages,
            output: manifest.output.map(output),
            dead_letters: manifest.dead_letters.map(|facts| facts.path),
            aggregates: aggregates
                .filter(|report| report.as_object().is_none_or(|o| !o.is_empty())),
            ..Summary::default()
        }))
    }

    /// Records a checkpoint with which other letters go, and replaces the file of these by theirs; with
    /// a `swap`, also the output (its second) by a draft of it (its first). A kill between the record
    /// and what has to follow is made good at the next [`RunDir::open`].
    ///
    /// # Errors
    /// [`RunDirError`] when the database or the file can't be written.
    pub fn record_letters(
        &self,
        checkpoint: &Checkpoint,
        (file, text): (&Path, &[u8]),
        swap: Option<&(PathBuf, PathBuf)>,
    ) -> Result<(), RunDirError> {
        self.in_one_transaction(|| {
            self.record("checkpoint", checkpoint)?;
            self.record("finished", &false)?;
            self.record("letters", &(file, String::from_utf8_lossy(text)))?;
            swap.map_or(Ok(()), |swap| self.record(SWAP, swap))
        })?;
        self.finish_swap()?;
        self.finish_letters()
    }

    /// The draft of an output takes its name.
    fn finish_swap(&self) -> Result<(), RunDirError> {
        let Some((draft, output)) = self.fact::<(PathBuf, PathBuf)>(SWAP)? else { return Ok(()) };
        let renamed = match fs::rename(&draft, &output) {
            // It has its name already.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.and_then(|()| durable::sync_folder_of(&output)),
        };
        renamed.map_err(|source| OutputError::Open { path: output, source })?;
        self.forget(SWAP)
    }

    fn finish_letters(&self) -> Result<(), RunDirError> {
        let Some((file, text)) = self.fact::<(PathBuf, String)>("letters")? else { return Ok(()) };
        let made = Some(self.made.clone());
        let claim = Claim { made, resumes: true, ..Claim::default() };
        if !text.is_empty() {
            claim.put(&file, text.as_bytes())?;
        } else if let Some(data) = claim.look(&file, b"")? {
            let gone = if data.is_file() { fs::remove_file(&file) } else { Ok(()) };
            gone.map_err(|source| OutputError::Open { path: file, source })?;
        }
        self.forget("letters")
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

    /// No harm: a folder with files of other people's is no run directory, and stays as it is.
    #[test]
    fn a_folder_with_somebody_elses_files_of_its_names_is_refused() {
        for name in [
            "manifest.json",
            "log-00000001",
            "waiting-00000001",
            "diary-sink",
            "diary-worker-square-1",
            DATABASE,
            "sink.lock",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join(name);
            if name == DATABASE {
                let theirs = Connection::open(&file).unwrap();
                theirs.execute_batch("CREATE TABLE mine (a)").unwrap();
            } else {
                fs::write(&file, "a thesis").unwrap();
            }
            let before = fs::read(&file).unwrap();
            let error = RunDir::open(folder.path()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert!(fs::read(&file).unwrap() == before, "{name}");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "a thesis").unwrap();
        RunDir::open(folder.path()).unwrap();
    }

    #[test]
    fn a_run_of_a_newer_version_is_refused_by_name_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(DATABASE);
        RunDir::open(folder.path()).unwrap().record("plan", &"a").unwrap();
        let database = Connection::open(&file).unwrap();
        assert_eq!(format_of(&database).unwrap(), FORMAT);
        // Runs from before formats were numbered are read.
        database.pragma_update(None, "user_version", 0).unwrap();
        drop(database);
        let plan = RunDir::open(folder.path()).unwrap().fact::<String>("plan").unwrap();
        assert_eq!(plan.as_deref(), Some("a"));
        Connection::open(&file).unwrap().pragma_update(None, "user_version", 3).unwrap();
        let before = fs::read(&file).unwrap();
        let refused = RunDir::open(folder.path()).unwrap_err().to_string();
        let told = "is in format 3, and this version reads formats up to 2";
        assert!(refused.contains(DATABASE) && refused.contains(told), "{refused}");
        assert!(fs::read(&file).unwrap() == before);
    }

    #[test]
    fn of_facts_that_are_recorded_together_all_are_known_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::open(folder.path()).unwrap();
        let cut_short = run_dir.in_one_transaction(|| {
            run_dir.record("plan", &"a")?;
            Err(RunDirError::Content { path: folder.path().into(), key: "stages".into() })
        });
        assert!(cut_short.is_err());
        assert_eq!(run_dir.fact::<String>("plan").unwrap(), None);
        run_dir.in_one_transaction(|| run_dir.record("plan", &"b")).unwrap();
        assert_eq!(run_dir.fact("plan").unwrap(), Some("b".to_owned()));
    }

    /// A kill between the transaction and what follows from it.
    #[test]
    fn a_draft_that_counts_takes_its_name_at_the_next_opening() {
        let folder = tempfile::tempdir().unwrap();
        let (draft, output) = (folder.path().join(".out.in-place"), folder.path().join("out"));
        let run = folder.path().join("run");
        fs::write(&draft, "new").unwrap();
        fs::write(&output, "old").unwrap();
        drop(RunDir::open(&run).unwrap());
        assert_eq!(fs::read(&output).unwrap(), b"old", "a draft that does not count");
        RunDir::open(&run).unwrap().record(SWAP, &(&draft, &output)).unwrap();
        for _ in 0..2 {
            drop(RunDir::open(&run).unwrap());
            assert_eq!(fs::read(&output).unwrap(), b"new");
            assert!(!draft.exists());
        }
        // Killed when it had its name, and nobody had noted that.
        RunDir::open(&run).unwrap().record(SWAP, &(&draft, &output)).unwrap();
        assert_eq!(RunDir::open(&run).unwrap().fact::<(PathBuf, PathBuf)>(SWAP).unwrap(), None);
        assert_eq!(fs::read(&output).unwrap(), b"new");
    }

    #[test]
    fn two_sinks_cannot_have_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let _first = RunDir::open(folder.path()).unwrap();
        assert!(matches!(RunDir::open(folder.path()), Err(RunDirError::Locked(_))));
    }
}
