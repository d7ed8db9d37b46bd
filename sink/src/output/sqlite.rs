//! A SQLite database: the table `results`, a row a result.
//!
//! Owns the tables and the transaction, which holds all that was written since the last sync, and
//! the state that the owner wants committed with it. Refuses to be two files: the write-ahead log,
//! which lets others read during the run, is folded in and given up at the end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::unit::Step;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::jsonl::round_ms;
use super::tail::require_folder;
use super::{Mark, Output, OutputError, Row};
use crate::config::OutputSpec;
use crate::walk::{Scalar, append_json, scalar};

/// How long another program's lock on the database is waited for before that is an error.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How many pages (of 4 KiB) of one transaction are kept in memory before they go to the log.
const CACHE_PAGES: i64 = 2000;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS results (
        id INTEGER NOT NULL,
        path TEXT NOT NULL,
        value,
        stage TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        worker TEXT NOT NULL,
        ms REAL NOT NULL
    );
    CREATE TABLE IF NOT EXISTS pipeline_state (key TEXT PRIMARY KEY, value BLOB NOT NULL);
";

const INSERT: &str = "INSERT INTO results (rowid, id, path, value, stage, attempt, worker, ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const RECORD: &str = "INSERT INTO pipeline_state (key, value) VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// See the module.
pub(super) struct Sqlite {
    path: PathBuf,
    connection: Connection,
    in_transaction: bool,
    /// The last row's number; rows are numbered from 1 without gaps.
    rows: u64,
    /// Set by the first error of the database: what the transaction holds is unknown then.
    broken: bool,
    child_indices: String,
    json: Vec<u8>,
}

impl Sqlite {
    pub(super) fn open(path: &Path, resume: Option<Mark>) -> Result<Self, OutputError> {
        require_folder(path)?;
        let failed = database_error(path);
        let mut flags = OpenFlags::default();
        // An empty database in the place of a lost one would only hide the loss.
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, resume.as_ref().is_none_or(|mark| mark.rows == 0));
        let connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
        prepare(&connection, resume.is_none()).map_err(&failed)?;
        let rows = connection
            .query_row("SELECT coalesce(max(rowid), 0) FROM results", [], |row| {
                row.get::<_, i64>(0)
            })
            .map_err(&failed)?;
        let mut sqlite = Sqlite {
            path: path.to_owned(),
            connection,
            in_transaction: false,
            rows: rows.unsigned_abs(),
            broken: false,
            child_indices: String::new(),
            json: Vec::new(),
        };
        if let Some(mark) = resume {
            sqlite.rewind(&mark)?;
            sqlite.commit()?;
        }
        Ok(sqlite)
    }

    fn begin(&mut self) -> Result<(), OutputError> {
        if self.broken {
            return Err(OutputError::Broken { path: self.path.clone() });
        }
        if !self.in_transaction {
            let begun = self.connection.execute_batch("BEGIN IMMEDIATE");
            self.database(begun)?;
            self.in_transaction = true;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), OutputError> {
        if self.broken {
            return Err(OutputError::Broken { path: self.path.clone() });
        }
        if self.in_transaction {
            let committed = self.connection.execute_batch("COMMIT");
            self.database(committed)?;
            self.in_transaction = false;
        }
        Ok(())
    }

    fn database<T>(&mut self, result: rusqlite::Result<T>) -> Result<T, OutputError> {
        result.map_err(|source| {
            self.broken = true;
            database_error(&self.path)(source)
        })
    }

    fn insert(&mut self, row: &Row<'_>, value: ToSqlOutput<'_>) -> rusqlite::Result<()> {
        let mut insert = self.connection.prepare_cached(INSERT)?;
        insert.execute(params![
            signed(self.rows + 1)?,
            signed(row.id)?,
            self.child_indices,
            value,
            row.stage,
            row.attempt,
            row.worker,
            round_ms(row.ms)
        ])?;
        Ok(())
    }
}

impl Output for Sqlite {
    fn write(&mut self, row: &Row<'_>) -> Result<(), OutputError> {
        signed(row.id).map_err(|_| OutputError::Id { id: row.id })?;
        let mut json = std::mem::take(&mut self.json);
        json.clear();
        let value = column(row, &mut json)?;
        self.begin()?;
        append_indices(row.path, &mut self.child_indices);
        let inserted = self.insert(row, value);
        self.json = json;
        self.database(inserted)?;
        self.rows += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<Mark, OutputError> {
        self.commit()?;
        Ok(self.mark())
    }

    fn mark(&self) -> Mark {
        Mark { bytes: 0, rows: self.rows, columns: None }
    }

    fn rewind(&mut self, to: &Mark) -> Result<(), OutputError> {
        if to.rows > self.rows {
            return Err(OutputError::Shorter {
                path: self.path.clone(),
                unit: "rows",
                found: self.rows,
                recorded: to.rows,
            });
        }
        if to.rows < self.rows {
            self.begin()?;
            let deleted = signed(to.rows).and_then(|last| {
                let delete = "DELETE FROM results WHERE rowid > ?1";
                self.connection.execute(delete, [last])
            });
            self.database(deleted)?;
            self.rows = to.rows;
        }
        Ok(())
    }

    fn record_state(&mut self, key: &str, bytes: &[u8]) -> Result<bool, OutputError> {
        self.begin()?;
        let recorded = self
            .connection
            .prepare_cached(RECORD)
            .and_then(|mut record| record.execute(params![key, bytes]));
        self.database(recorded)?;
        Ok(true)
    }

    fn finish(&mut self) -> Result<Mark, OutputError> {
        let mark = self.sync()?;
        // Fails while somebody reads; the results are safe in the log then, and it stays.
        let _ = self.connection.pragma_update(None, "journal_mode", "DELETE");
        Ok(mark)
    }
}

/// The bytes that [`Output::record_state`] kept under `key` in this output; `None` where there are
/// none: another kind of output, no such file, or a file of another origin.
///
/// # Errors
/// [`OutputError::Database`] when the file is there and can't be read as a database.
pub fn stored_state(spec: &OutputSpec, key: &str) -> Result<Option<Vec<u8>>, OutputError> {
    let OutputSpec::Sqlite(path) = spec else {
        return Ok(None);
    };
    if !path.exists() {
        return Ok(None);
    }
    let read = || -> rusqlite::Result<Option<Vec<u8>>> {
        // Not read-only: a log that a killed process left must be folded in.
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        if !connection.table_exists(None, "pipeline_state")? {
            return Ok(None);
        }
        let query = "SELECT value FROM pipeline_state WHERE key = ?1";
        connection.query_row(query, [key], |row| row.get(0)).optional()
    };
    read().map_err(database_error(path))
}

fn prepare(connection: &Connection, anew: bool) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", CACHE_PAGES)?;
    if anew {
        connection.execute_batch(
            "BEGIN IMMEDIATE; DROP TABLE IF EXISTS results;
             DROP TABLE IF EXISTS pipeline_state; COMMIT",
        )?;
    }
    connection.execute_batch(TABLES)
}

fn database_error(path: &Path) -> impl Fn(rusqlite::Error) -> OutputError {
    move |source| OutputError::Database { path: path.to_owned(), source }
}

/// SQLite's integers end at 2^63 - 1.
fn signed(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A scalar as SQLite's own type, anything else (and integers beyond its 64 bits) as JSON text.
fn column<'a>(row: &Row<'a>, json: &'a mut Vec<u8>) -> Result<ToSqlOutput<'a>, OutputError> {
    Ok(match scalar(row.value) {
        Scalar::Nil => ToSqlOutput::from(rusqlite::types::Null),
        Scalar::Bool(flag) => ToSqlOutput::from(flag),
        Scalar::Float(float) => ToSqlOutput::from(float),
        Scalar::Text(text) => ToSqlOutput::from(text),
        Scalar::Int(number) if i64::try_from(number).is_ok() => {
            ToSqlOutput::from(i64::try_from(number).unwrap_or_default())
        }
        Scalar::Int(_) | Scalar::Other => {
            append_json(row.value, json)
                .map_err(|source| OutputError::Value { id: row.id, source })?;
            let json: &'a [u8] = json;
            ToSqlOutput::Borrowed(rusqlite::types::ValueRef::Text(json))
        }
    })
}

/// `0.3`: the fourth output of the first output of the unit.
fn append_indices(path: &[Step], text: &mut String) {
    use std::fmt::Write;
    text.clear();
    for (level, step) in path.iter().enumerate() {
        let dot = if level == 0 { "" } else { "." };
        write!(text, "{dot}{}", step.index).expect("a string takes every character");
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_rows::{pack, row, write_all};
    use super::*;

    fn ids(path: &Path) -> Vec<i64> {
        let reader = Connection::open(path).unwrap();
        let mut select = reader.prepare("SELECT id FROM results ORDER BY rowid").unwrap();
        let ids = select.query_map([], |row| row.get(0)).unwrap();
        ids.map(Result::unwrap).collect()
    }

    #[test]
    fn scalars_keep_their_type_and_the_rest_is_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut output = Sqlite::open(&path, None).unwrap();
        write_all(
            &mut output,
            0,
            &["1", "2.5", "\"x\"", "null", "true", "[1,{\"a\":2}]", "18446744073709551615"],
        );
        output.finish().unwrap();
        let reader = Connection::open(&path).unwrap();
        let mut select = reader
            .prepare("SELECT typeof(value) || ' ' || coalesce(value, '') FROM results ORDER BY id")
            .unwrap();
        let found: Vec<String> =
            select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(
            found,
            [
                "integer 1",
                "real 2.5",
                "text x",
                "null ",
                "integer 1",
                "text [1,{\"a\":2}]",
                "text 18446744073709551615"
            ]
        );
    }

    #[test]
    fn a_row_says_where_it_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut output = Sqlite::open(&path, None).unwrap();
        let step = |index| Step { execution: 9, index, of: 5 };
        let value = pack("1");
        let expanded = Row { path: &[step(0), step(3)], attempt: 2, ..row(7, &value) };
        output.write(&expanded).unwrap();
        output.write(&row(8, &value)).unwrap();
        output.sync().unwrap();
        let reader = Connection::open(&path).unwrap();
        let query = "SELECT group_concat(id || '|' || path || '|' || stage || '|' || attempt
            || '|' || worker || '|' || ms, ' ') FROM results";
        let found: String = reader.query_row(query, [], |row| row.get(0)).unwrap();
        assert_eq!(found, "7|0.3|square|2|w1|0.123 8||square|1|w1|0.123");
    }

    #[test]
    fn rows_and_state_appear_together_at_the_sync_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let spec = OutputSpec::Sqlite(path.clone());
        assert_eq!(stored_state(&spec, "watermark").unwrap(), None);
        let mut output = Sqlite::open(&path, None).unwrap();
        write_all(&mut output, 0, &["1", "2"]);
        assert!(output.record_state("watermark", b"two").unwrap());
        assert_eq!(ids(&path), [0; 0]);
        assert_eq!(stored_state(&spec, "watermark").unwrap(), None);
        assert_eq!(output.sync().unwrap().rows, 2);
        assert_eq!(ids(&path), [0, 1]);
        assert_eq!(stored_state(&spec, "watermark").unwrap().unwrap(), b"two");
        // The process dies with a transaction open.
        write_all(&mut output, 2, &["3"]);
        output.record_state("watermark", b"three").unwrap();
        drop(output);
        assert_eq!(ids(&path), [0, 1]);
        assert_eq!(stored_state(&spec, "watermark").unwrap().unwrap(), b"two");
    }

    #[test]
    fn a_restart_takes_back_the_rows_after_the_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut output = Sqlite::open(&path, None).unwrap();
        write_all(&mut output, 0, &["1", "2"]);
        let mark = output.sync().unwrap();
        write_all(&mut output, 2, &["3"]);
        output.sync().unwrap();
        drop(output);
        let mut output = Sqlite::open(&path, Some(mark.clone())).unwrap();
        assert_eq!(output.mark(), mark);
        write_all(&mut output, 5, &["3"]);
        output.sync().unwrap();
        assert_eq!(ids(&path), [0, 1, 5]);
        let ahead = Mark { rows: 4, ..mark };
        let error = Sqlite::open(&path, Some(ahead)).err().unwrap();
        assert!(matches!(error, OutputError::Shorter { found: 3, recorded: 4, .. }));
    }

    #[test]
    fn a_new_run_drops_the_old_results_and_keeps_other_tables() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut output = Sqlite::open(&path, None).unwrap();
        write_all(&mut output, 0, &["1"]);
        output.record_state("watermark", b"one").unwrap();
        output.finish().unwrap();
        drop(output);
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE mine (a)").unwrap();
        let output = Sqlite::open(&path, None).unwrap();
        assert_eq!(output.mark(), Mark::default());
        assert_eq!(stored_state(&OutputSpec::Sqlite(path), "watermark").unwrap(), None);
        assert!(other.table_exists(None, "mine").unwrap());
    }

    #[test]
    fn the_finished_database_is_a_single_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Sqlite::open(&folder.path().join("a.db"), None).unwrap();
        write_all(&mut output, 0, &["1"]);
        output.finish().unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_lost_database_is_not_made_anew_on_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mark = Mark { rows: 1, ..Mark::default() };
        assert!(Sqlite::open(&path, Some(mark)).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_database_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        std::fs::write(&path, "this is some text and no database at all").unwrap();
        let error = Sqlite::open(&path, None).err().unwrap();
        assert!(error.to_string().contains("a.db"), "{error}");
    }

    #[test]
    fn an_id_beyond_sqlites_integers_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Sqlite::open(&folder.path().join("a.db"), None).unwrap();
        let error = output.write(&row(u64::MAX, &[1])).unwrap_err();
        assert!(error.is_the_rows_fault());
        output.write(&row(1, &[1])).unwrap();
        assert_eq!(output.sync().unwrap().rows, 1);
    }
}
