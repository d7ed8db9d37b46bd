//! A SQLite database: the table `results`, a row a result.
//!
//! Owns the transaction, which holds all that was written since the last sync; the tables are
//! [`tables`]'. Refuses to be two files: the write-ahead log, which lets others read during the run,
//! is folded in and given up at the end.
#![cfg_attr(not(test), expect(clippy::expect_used, reason = "a text takes every character"))]

use std::path::{Path, PathBuf};

use proto::unit::Step;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags};

use super::claim::Claim;
use super::contract::{Mark, Output, Row};
use super::error::OutputError;
use super::jsonl::{NIL, round_ms};
use super::tables::{self, Column};
use super::tail::require_folder;
use crate::config::Field;
use crate::walk::{Scalar, append_json, scalar};

/// See the module.
pub(super) struct Sqlite {
    path: PathBuf,
    connection: Connection,
    in_transaction: bool,
    /// The last row's number; rows are numbered from 1 without gaps.
    rows: u64,
    /// Set by the first error of the database: what the transaction holds is unknown then.
    broken: bool,
    columns: Vec<Column>,
    insertion: String,
    scratch: Scratch,
}

/// What a row is put together in, kept for its memory.
#[derive(Default)]
struct Scratch {
    child_indices: String,
    value: Vec<u8>,
    input: Vec<u8>,
}

impl Sqlite {
    pub(super) fn open(
        path: &Path,
        fields: &[Field],
        resume: Option<Mark>,
        claim: &Claim,
    ) -> Result<Self, OutputError> {
        require_folder(path)?;
        if let Ok(data) = std::fs::metadata(path) {
            claim.spare(path, &data)?;
        }
        let failed = database_error(path);
        let mut flags = OpenFlags::default();
        // An empty database in the place of a lost one would only hide the loss.
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, resume.as_ref().is_none_or(|mark| mark.rows == 0));
        let connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
        let columns = tables::columns(fields);
        tables::prepare(&connection, path, resume.as_ref(), &columns, claim)?;
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
            insertion: tables::insertion(&columns),
            columns,
            scratch: Scratch::default(),
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

    /// Adds a row; an error of the row itself leaves none.
    fn insert(&mut self, row: &Row<'_>) -> Result<(), OutputError> {
        let failed = database_error(&self.path);
        let Scratch { child_indices, value, input } = &mut self.scratch;
        append_indices(row.path, child_indices);
        value.clear();
        input.clear();
        let value = column(row.id, row.value, value)?;
        let input = column(row.id, row.input.unwrap_or(&[NIL]), input)?;
        let mut insert = self.connection.prepare_cached(&self.insertion).map_err(&failed)?;
        insert.raw_bind_parameter(1, signed(self.rows + 1).map_err(&failed)?).map_err(&failed)?;
        for (column, place) in self.columns.iter().zip(2..) {
            let bound = match column {
                Column::Path => insert.raw_bind_parameter(place, child_indices.as_str()),
                Column::Field(Field::Id) => {
                    insert.raw_bind_parameter(place, signed(row.id).map_err(&failed)?)
                }
                Column::Field(Field::Input) => insert.raw_bind_parameter(place, &input),
                Column::Field(Field::Value) => insert.raw_bind_parameter(place, &value),
                Column::Field(Field::Stage) => insert.raw_bind_parameter(place, row.stage),
                Column::Field(Field::Attempt) => insert.raw_bind_parameter(place, row.attempt),
                Column::Field(Field::Worker) => insert.raw_bind_parameter(place, row.worker),
                Column::Field(Field::Ms) => insert.raw_bind_parameter(place, round_ms(row.ms)),
            };
            bound.map_err(&failed)?;
        }
        insert.raw_execute().map(drop).map_err(&failed)
    }
}

impl Output for Sqlite {
    fn write(&mut self, row: &Row<'_>) -> Result<(), OutputError> {
        signed(row.id).map_err(|_| OutputError::Id { id: row.id })?;
        self.begin()?;
        if let Err(error) = self.insert(row) {
            self.broken = !error.is_the_rows_fault();
            return Err(error);
        }
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

    fn finish(&mut self) -> Result<Mark, OutputError> {
        let mark = self.sync()?;
        tables::leave(&self.connection);
        Ok(mark)
    }
}

fn database_error(path: &Path) -> impl Fn(rusqlite::Error) -> OutputError {
    move |source| OutputError::Database { path: path.to_owned(), source }
}

/// SQLite's integers end at 2^63 - 1.
fn signed(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A scalar as SQLite's own type, anything else (and integers beyond its 64 bits) as JSON text.
fn column<'a>(
    id: u64,
    value: &'a [u8],
    json: &'a mut Vec<u8>,
) -> Result<ToSqlOutput<'a>, OutputError> {
    Ok(match scalar(value) {
        Scalar::Nil => ToSqlOutput::from(rusqlite::types::Null),
        Scalar::Bool(flag) => ToSqlOutput::from(flag),
        Scalar::Float(float) => ToSqlOutput::from(float),
        Scalar::Text(text) => ToSqlOutput::from(text),
        Scalar::Int(number) if i64::try_from(number).is_ok() => {
            ToSqlOutput::from(i64::try_from(number).unwrap_or_default())
        }
        Scalar::Int(_) | Scalar::Other => {
            append_json(value, json).map_err(|source| OutputError::Value { id, source })?;
            let json: &'a [u8] = json;
            ToSqlOutput::Borrowed(ValueRef::Text(json))
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
    use crate::output::claim::Existing;

    use super::super::test_rows::{claim, pack, row, write_all};
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
        let mut output = Sqlite::open(&path, &[], None, &claim(&folder)).unwrap();
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

    /// All rows as text, the columns in their order.
    fn rows(path: &Path) -> Vec<String> {
        let reader = Connection::open(path).unwrap();
        let mut select = reader.prepare("SELECT * FROM results ORDER BY rowid").unwrap();
        let names: Vec<String> = select.column_names().map(str::to_owned).collect();
        let mut found = vec![names.join("|")];
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cell = |index| match row.get_ref(index).unwrap() {
                ValueRef::Null => "null".to_owned(),
                ValueRef::Integer(integer) => integer.to_string(),
                ValueRef::Real(real) => real.to_string(),
                other => other.as_str().unwrap().to_owned(),
            };
            found.push((0..names.len()).map(cell).collect::<Vec<_>>().join("|"));
        }
        found
    }

    fn expanded(value: &[u8]) -> Row<'_> {
        const PATH: &[Step] =
            &[Step { execution: 9, index: 0, of: 5 }, Step { execution: 9, index: 3, of: 5 }];
        Row { path: PATH, attempt: 2, ..row(7, value) }
    }

    /// SQLite outputs follow `fields`: without them a row holds what is the same in every run, so
    /// that two runs, whatever happened in them, have the same rows.
    #[test]
    fn without_fields_a_row_holds_nothing_that_differs_from_run_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let value = pack("1");
        let mut tables = Vec::new();
        for (name, attempt, worker) in [("a.db", 1, "w1"), ("b.db", 3, "w2")] {
            let path = folder.path().join(name);
            let mut output = Sqlite::open(&path, &[], None, &claim(&folder)).unwrap();
            output
                .write(&Row { attempt, worker, ms: f64::from(attempt), ..expanded(&value) })
                .unwrap();
            output.write(&Row { attempt, worker, ..row(8, &value) }).unwrap();
            output.finish().unwrap();
            tables.push(rows(&path));
        }
        assert_eq!(tables[0], ["id|path|value", "7|0.3|1", "8||1"]);
        assert_eq!(tables[0], tables[1]);
    }

    /// SQLite outputs follow `fields`: the columns are those that are asked for, in their order.
    #[test]
    fn the_columns_are_the_asked_fields_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let fields = [
            Field::Value,
            Field::Worker,
            Field::Id,
            Field::Ms,
            Field::Input,
            Field::Stage,
            Field::Attempt,
        ];
        let mut output = Sqlite::open(&path, &fields, None, &claim(&folder)).unwrap();
        let value = pack(r#"{"a":[1]}"#);
        output.write(&expanded(&value)).unwrap();
        output.write(&Row { input: None, ..row(8, &value) }).unwrap();
        output.finish().unwrap();
        assert_eq!(
            rows(&path),
            [
                "value|worker|id|ms|input|stage|attempt",
                r#"{"a":[1]}|w1|7|0.123|42|square|2"#,
                r#"{"a":[1]}|w1|8|0.123|null|square|1"#,
            ]
        );
    }

    #[test]
    fn rows_appear_at_the_sync_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut output = Sqlite::open(&path, &[], None, &claim(&folder)).unwrap();
        write_all(&mut output, 0, &["1", "2"]);
        assert_eq!(ids(&path), [0; 0]);
        assert_eq!(output.sync().unwrap().rows, 2);
        assert_eq!(ids(&path), [0, 1]);
        // The process dies with a transaction open.
        write_all(&mut output, 2, &["3"]);
        drop(output);
        assert_eq!(ids(&path), [0, 1]);
    }

    #[test]
    fn a_restart_takes_back_the_rows_after_the_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut output = Sqlite::open(&path, &[], None, &claim(&folder)).unwrap();
        write_all(&mut output, 0, &["1", "2"]);
        let mark = output.sync().unwrap();
        write_all(&mut output, 2, &["3"]);
        output.sync().unwrap();
        drop(output);
        let mut output = Sqlite::open(&path, &[], Some(mark.clone()), &claim(&folder)).unwrap();
        assert_eq!(output.mark(), mark);
        write_all(&mut output, 5, &["3"]);
        output.sync().unwrap();
        assert_eq!(ids(&path), [0, 1, 5]);
        let ahead = Mark { rows: 4, ..mark };
        let error = Sqlite::open(&path, &[], Some(ahead), &claim(&folder)).err().unwrap();
        assert!(matches!(error, OutputError::Shorter { found: 3, recorded: 4, .. }));
    }

    #[test]
    fn a_new_run_drops_the_results_of_the_one_before_and_keeps_other_tables() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut output = Sqlite::open(&path, &[], None, &claim(&folder)).unwrap();
        write_all(&mut output, 0, &["1"]);
        output.finish().unwrap();
        drop(output);
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE mine (a)").unwrap();
        let claim = claim(&folder);
        claim.made.as_ref().unwrap().note_run(7).unwrap();
        let output = Sqlite::open(&path, &[], None, &Claim { run: 8, ..claim }).unwrap();
        assert_eq!(output.mark(), Mark::default());
        assert!(other.table_exists(None, "mine").unwrap());
    }

    /// No harm: a table of somebody else's is refused with nothing changed in its database, and
    /// replaced only if its user gives it up; the journal stays as it was.
    #[test]
    fn a_table_that_no_run_of_ours_made_stays_as_it_is() {
        for table in ["results", "Results", "pipeline_state"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.db");
            let theirs = Connection::open(&path).unwrap();
            theirs.pragma_update(None, "journal_mode", "TRUNCATE").unwrap();
            theirs.execute_batch(&format!("CREATE TABLE {table} (a); CREATE TABLE b (c)")).unwrap();
            drop(theirs);
            let before = std::fs::read(&path).unwrap();
            let resumes = Mark { rows: 3, ..Mark::default() };
            for mark in [None, Some(Mark::default()), Some(resumes)] {
                assert!(Sqlite::open(&path, &[], mark, &claim(&folder)).is_err());
                assert!(std::fs::read(&path).unwrap() == before, "{table}");
            }
            let over = Claim { existing: Existing::Overwrite, run: 9, ..Claim::default() };
            let mut output = Sqlite::open(&path, &[], None, &over).unwrap();
            write_all(&mut output, 0, &["1"]);
            output.finish().unwrap();
            assert_eq!(rows(&path), ["id|path|value", "0||1"]);
            assert!(Connection::open(&path).unwrap().table_exists(None, "b").unwrap());
        }
    }

    #[test]
    fn a_database_that_had_a_write_ahead_log_has_one_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let theirs = Connection::open(&path).unwrap();
        theirs.pragma_update(None, "journal_mode", "WAL").unwrap();
        theirs.execute_batch("CREATE TABLE b (c)").unwrap();
        drop(theirs);
        let mut output = Sqlite::open(&path, &[], None, &claim(&folder)).unwrap();
        write_all(&mut output, 0, &["1"]);
        output.finish().unwrap();
        drop(output);
        let reader = Connection::open(&path).unwrap();
        let mode: String = reader.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }

    #[test]
    fn the_finished_database_is_a_single_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut output =
            Sqlite::open(&folder.path().join("a.db"), &[], None, &claim(&folder)).unwrap();
        write_all(&mut output, 0, &["1"]);
        output.finish().unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 2, "the database, and the list");
    }

    #[test]
    fn a_lost_database_is_not_made_anew_on_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mark = Mark { rows: 1, ..Mark::default() };
        assert!(Sqlite::open(&path, &[], Some(mark), &claim(&folder)).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_database_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        std::fs::write(&path, "this is some text and no database at all").unwrap();
        let error = Sqlite::open(&path, &[], None, &claim(&folder)).err().unwrap();
        assert!(error.to_string().contains("a.db"), "{error}");
    }

    #[test]
    fn an_id_beyond_sqlites_integers_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut output =
            Sqlite::open(&folder.path().join("a.db"), &[], None, &claim(&folder)).unwrap();
        let error = output.write(&row(u64::MAX, &[1])).unwrap_err();
        assert!(error.is_the_rows_fault());
        output.write(&row(1, &[1])).unwrap();
        assert_eq!(output.sync().unwrap().rows, 1);
    }
}
