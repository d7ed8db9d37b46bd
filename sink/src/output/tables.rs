//! The tables of a SQLite output: which columns they have, and whose they are.
//!
//! Owns the columns, which follow the asked fields, and the name of the run that made the tables,
//! which is kept in them: a table that no run of this one's directory has made is refused before
//! anything in its database is changed. Refuses to write rows.

use std::path::Path;
use std::time::Duration;

use proto::frame::RunId;
use rusqlite::{Connection, OptionalExtension, params};

use super::claim::{Claim, Existing};
use super::contract::Mark;
use super::error::OutputError;
use crate::config::{Field, Named};

/// How long another program's lock on the database is waited for before that is an error.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How many pages (of 4 KiB) of one transaction are kept in memory before they go to the log.
const CACHE_PAGES: i64 = 2000;

const STATE: &str = "CREATE TABLE pipeline_state (key TEXT PRIMARY KEY, value BLOB NOT NULL)";
const RESULTS: &str = "results";
/// The run that made the tables.
const RUN: &str = "run";
/// How the database kept its journal before, if there was one before.
const JOURNAL: &str = "journal_mode";

/// A column of the table `results`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// What `fields` can ask for.
    Field(Field),
    /// Which output of which output of a unit it is; empty for its only one.
    Path,
}

/// The columns of a run: those that are asked for. Without `fields` they are what is the same
/// whatever happened on the way: the unit, which of its outputs it is, and the value.
pub(super) fn columns(fields: &[Field]) -> Vec<Column> {
    if fields.is_empty() {
        return vec![Column::Field(Field::Id), Column::Path, Column::Field(Field::Value)];
    }
    fields.iter().map(|field| Column::Field(*field)).collect()
}

fn name(column: Column) -> &'static str {
    match column {
        Column::Field(field) => field.name(),
        Column::Path => "path",
    }
}

fn kind(column: Column) -> &'static str {
    match column {
        Column::Field(Field::Id | Field::Attempt) => " INTEGER NOT NULL",
        Column::Field(Field::Stage | Field::Worker) | Column::Path => " TEXT NOT NULL",
        Column::Field(Field::Ms) => " REAL NOT NULL",
        Column::Field(Field::Value | Field::Input) => "",
    }
}

/// Adds a row: its number, then a value a column.
pub(super) fn insertion(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| name(*column)).collect();
    let places: Vec<String> = (0..columns.len()).map(|index| format!("?{}", index + 2)).collect();
    format!(
        "INSERT INTO {RESULTS} (rowid, {}) VALUES (?1, {})",
        names.join(", "),
        places.join(", ")
    )
}

/// What is in a database before this run has changed anything.
struct Found {
    /// One of the tables that this run would make.
    taken: Option<&'static str>,
    /// The run that says it has made them.
    owner: Option<RunId>,
    /// Somebody else has tables here, and keeps the journal so.
    journal: Option<String>,
}

/// Makes the tables ready: anew or, after a mark with rows, as they are.
///
/// # Errors
/// [`OutputError::TableExists`] and [`OutputError::OtherDatabase`], with nothing changed;
/// [`OutputError::Shorter`], [`OutputError::Database`].
pub(super) fn prepare(
    connection: &Connection,
    path: &Path,
    resume: Option<&Mark>,
    columns: &[Column],
    claim: &Claim,
) -> Result<(), OutputError> {
    let failed = |source| OutputError::Database { path: path.to_owned(), source };
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    let found = found(connection).map_err(failed)?;
    let ours = found.owner.is_some_and(|run| claim.owns_run(run));
    let recorded = resume.map_or(0, |mark| mark.rows);
    match found.taken {
        _ if ours => {}
        Some(_) if recorded > 0 => return Err(OutputError::OtherDatabase { path: path.into() }),
        None if recorded > 0 => {
            return Err(OutputError::Shorter {
                path: path.into(),
                unit: "rows",
                found: 0,
                recorded,
            });
        }
        Some(table) if claim.existing == Existing::Keep => {
            return Err(OutputError::TableExists { path: path.into(), table });
        }
        _ => {}
    }
    set_up(connection).map_err(failed)?;
    if recorded == 0 {
        make(connection, columns, &found, claim.run).map_err(failed)
    } else {
        Ok(())
    }
}

fn found(connection: &Connection) -> rusqlite::Result<Found> {
    let is_there = |name: &str| {
        let query = "SELECT count(*) FROM sqlite_master WHERE name = ?1 COLLATE NOCASE";
        connection.query_row(query, [name], |row| row.get::<_, i64>(0)).map(|count| count > 0)
    };
    let (results, state) = (is_there(RESULTS)?, is_there("pipeline_state")?);
    let others: i64 = connection.query_row(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT IN ('results', 'pipeline_state')",
        [],
        |row| row.get(0),
    )?;
    let journal = match (stored(connection, JOURNAL).unwrap_or_default(), others) {
        (Some(mode), _) => Some(mode),
        (None, 0) => None,
        (None, _) => Some(connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?),
    };
    let owner = stored(connection, RUN).unwrap_or_default().and_then(|run| run.parse().ok());
    let taken = if results { Some(RESULTS) } else { state.then_some("pipeline_state") };
    Ok(Found { taken, owner, journal })
}

fn stored(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    let query = "SELECT value FROM pipeline_state WHERE key = ?1";
    connection.query_row(query, [key], |row| row.get(0)).optional()
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", CACHE_PAGES)
}

fn make(
    connection: &Connection,
    columns: &[Column],
    found: &Found,
    run: RunId,
) -> rusqlite::Result<()> {
    let described: Vec<String> =
        columns.iter().map(|column| format!("{}{}", name(*column), kind(*column))).collect();
    let transaction =
        rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(&format!(
        "DROP TABLE IF EXISTS {RESULTS}; DROP TABLE IF EXISTS pipeline_state;
         CREATE TABLE {RESULTS} ({}); {STATE};",
        described.join(", ")
    ))?;
    let record = "INSERT INTO pipeline_state (key, value) VALUES (?1, ?2)";
    transaction.execute(record, params![RUN, run.to_string()])?;
    if let Some(mode) = &found.journal {
        transaction.execute(record, params![JOURNAL, mode])?;
    }
    transaction.commit()
}

/// Leaves the database as a single file, or with the journal that it had before.
pub(super) fn leave(connection: &Connection) {
    let mode = stored(connection, JOURNAL).ok().flatten();
    // Fails while somebody reads; the results are safe in the log then, and it stays.
    let _ = connection.pragma_update(None, "journal_mode", mode.as_deref().unwrap_or("DELETE"));
}
