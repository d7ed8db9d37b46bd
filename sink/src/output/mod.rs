//! Where results are written: one trait, and what opens the right kind of it.
//!
//! Owns the vocabulary of outputs: a row, a mark (how far an output has come), what can go wrong.
//! Refuses to decide when something is durable: it syncs when told, and says how far that reached.
//! How each result is recorded exactly once across the sink's own death: append, [`Output::sync`],
//! record the mark with the watermark; on the next start, open with that mark, which takes back
//! whatever was written after it.

mod csv;
mod jsonl;
mod sqlite;
mod tables;
mod tail;

use std::io;
use std::path::PathBuf;

use proto::streams;
use proto::unit::Step;
use proto::units::ValueIter;
use proto::value::TranslateError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::claim::Claim;
use crate::config::{Field, OutputSpec, SinkConfig};
use crate::manifest::{Followed, Follower};
use crate::secure::Unsynced;

pub use self::csv::Columns;
pub(crate) use self::tail::{Tail, require_folder};

/// One result and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The unit's place in the source.
    pub id: u64,
    /// The expansions on the way to this result; empty for most.
    pub path: &'a [Step],
    /// The result: one MessagePack value.
    pub value: &'a [u8],
    /// What the source gave, as MessagePack; none where it was not kept.
    pub input: Option<&'a [u8]>,
    /// The stage that gave the result.
    pub stage: &'a str,
    /// Which try it was, from 1.
    pub attempt: u32,
    /// The worker that gave it.
    pub worker: &'a str,
    /// The milliseconds it took there.
    pub ms: f64,
}

/// How far an output has come: what to record together with the watermark.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// The length of the file in bytes; 0 for a database.
    pub bytes: u64,
    /// How many rows there are.
    pub rows: u64,
    /// The header of a csv file; none elsewhere.
    pub columns: Option<Columns>,
}

/// Why an output could not be opened, written or made durable.
///
/// After [`OutputError::Write`], [`OutputError::Sync`] and [`OutputError::Database`] nobody knows
/// what the file holds beyond the last mark: end the process; the next one opens with the mark.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The folder that shall hold the file does not exist.
    #[error("there is no folder {} for {}", folder.display(), path.display())]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// The missing folder.
        folder: PathBuf,
    },
    /// The file can't be opened or created.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else's file is there.
    #[error("{} is there already, and no run of this one's directory has made it: give another name, move it away, or say --overwrite", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else's tables are there.
    #[error("{} has a table `{table}` already that no run of this one's directory has made: give another name, or say --overwrite", path.display())]
    TableExists {
        /// The database.
        path: PathBuf,
        /// The table.
        table: &'static str,
    },
    /// The rows that were recorded are in another database.
    #[error("{} is not the database that this run has written: put that back, or start over", path.display())]
    OtherDatabase {
        /// The database.
        path: PathBuf,
    },
    /// It is a file that the run reads.
    #[error("{} is the same file as {what}, which it would write over: give it another name", path.display())]
    Spared {
        /// The file.
        path: PathBuf,
        /// What else it is.
        what: String,
    },
    /// Another process writes it.
    #[error("{} is being written by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The output holds less than the mark says, so it is not the one that the mark belongs to.
    #[error("{} holds {found} {unit}, but {recorded} were recorded: it was changed from outside; put it back, or start over", path.display())]
    Shorter {
        /// The file.
        path: PathBuf,
        /// What is counted: `bytes` or `rows`.
        unit: &'static str,
        /// How many there are.
        found: u64,
        /// How many the mark says.
        recorded: u64,
    },
    /// The file was removed or replaced from outside.
    #[error("{} is gone or was replaced, with {recorded} bytes that were recorded: put it back, or start over", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
        /// How many bytes had been written.
        recorded: u64,
    },
    /// The file was cut or written to from outside while this process wrote it.
    #[error("{} holds {found} bytes instead of {recorded}: someone else has written to it", path.display())]
    Disturbed {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// How many bytes had been written.
        recorded: u64,
    },
    /// What has already left for a pipe or a terminal can't be taken back.
    #[error("{} is no file, what was written to it cannot be taken back", path.display())]
    NotAFile {
        /// The output.
        path: PathBuf,
    },
    /// A write failed, for example because the disk is full.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The disk did not confirm what was written. Asking again would get a false yes.
    #[error("cannot make {} durable", path.display())]
    Sync {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// An earlier write or sync failed; nothing is tried after that.
    #[error("{} is not written any more, since an earlier write failed", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// The reader has gone (`| head`): a reason to end quietly.
    #[error("the reader of the output has closed it")]
    Closed,
    /// The result has no JSON form. Nothing of this row was written.
    #[error("the result of unit {id} cannot be written as JSON")]
    Value {
        /// The unit.
        id: u64,
        /// Why not.
        source: TranslateError,
    },
    /// A csv result has a field for which the header has no column. Nothing of this row was written.
    #[error(
        "the result of unit {id} has the field `{key}`, for which the csv header has no column"
    )]
    UnknownColumn {
        /// The unit.
        id: u64,
        /// The field.
        key: String,
    },
    /// A csv result is no map, though the first one was. Nothing of this row was written.
    #[error("the result of unit {id} has no fields, but the csv header names some")]
    NoFields {
        /// The unit.
        id: u64,
    },
    /// SQLite's integers end before this id. Nothing of this row was written.
    #[error("the id of unit {id} is beyond SQLite's integers")]
    Id {
        /// The unit.
        id: u64,
    },
    /// SQLite refused.
    #[error("cannot write the database {}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

impl OutputError {
    /// Whether only this row could not be written, and the output goes on to work.
    pub fn is_the_rows_fault(&self) -> bool {
        matches!(
            self,
            OutputError::Value { .. }
                | OutputError::UnknownColumn { .. }
                | OutputError::NoFields { .. }
                | OutputError::Id { .. }
        )
    }
}

/// Something that takes results one after the other.
pub trait Output: Send {
    /// Adds one row, whole or (on an error) not at all. It may stay in this process's memory,
    /// up to 256 KiB, until [`flush`](Output::flush) or [`sync`](Output::sync).
    ///
    /// # Errors
    /// [`OutputError`]; see [`OutputError::is_the_rows_fault`].
    fn write(&mut self, row: &Row<'_>) -> Result<(), OutputError>;

    /// Adds a row for each of `values`, the first of them with what `row` says, each of the others
    /// with the next id. On an error the last value that was taken from `values` is the one that
    /// could not be written; those before it are.
    ///
    /// # Errors
    /// As [`write`](Output::write).
    fn write_run(&mut self, row: &Row<'_>, values: &mut ValueIter<'_>) -> Result<(), OutputError> {
        for (id, value) in (row.id..).zip(values) {
            self.write(&Row { id, value, ..*row })?;
        }
        Ok(())
    }

    /// Hands everything to the operating system: it survives this process, but not a power cut.
    /// A database does nothing here: its rows become visible in [`sync`](Output::sync), at once.
    ///
    /// # Errors
    /// [`OutputError::Write`], [`OutputError::Closed`].
    fn flush(&mut self) -> Result<(), OutputError>;

    /// Makes everything durable, and says how far that is.
    ///
    /// # Errors
    /// [`OutputError::Write`], [`OutputError::Sync`], [`OutputError::Database`]; never call it
    /// again after that.
    fn sync(&mut self) -> Result<Mark, OutputError>;

    /// How far the output has come, including what is not durable yet: what the next
    /// [`sync`](Output::sync) will return.
    fn mark(&self) -> Mark;

    /// Whether a [`sync`](Output::sync) costs so little, and what was written after it is taken back
    /// so surely, that results are as safe here as in a log.
    fn can_be_the_log(&self) -> bool {
        false
    }

    /// As [`sync`](Output::sync), but leaves the sync itself to the caller, before whose end
    /// [`mark`](Output::mark) may not be recorded; none if there is nothing to be synced.
    ///
    /// # Errors
    /// As [`sync`](Output::sync).
    fn unsynced(&mut self) -> Result<Option<Unsynced>, OutputError> {
        self.sync().map(|_| None)
    }

    /// Lets the follower that `start` gives go along with what is written, if nothing is yet and
    /// this output is a file.
    fn follow(&mut self, _start: &dyn Fn() -> Option<Follower>) {}

    /// What a follower says of everything that was written, once that is flushed; none if nobody
    /// followed all of it.
    fn followed(&mut self) -> Option<Followed> {
        None
    }

    /// Takes back everything after `to`.
    ///
    /// # Errors
    /// [`OutputError::Shorter`] when the output has not come that far, [`OutputError::NotAFile`]
    /// when it has left already.
    fn rewind(&mut self, to: &Mark) -> Result<(), OutputError>;

    /// How far the output has come, before the rows of a unit that has several. Until
    /// [`end_unit`](Output::end_unit) they stay in memory, so that every output can
    /// [`rewind`](Output::rewind) to before them.
    fn begin_unit(&mut self) -> Mark {
        self.mark()
    }

    /// The rows of the unit are there, or taken back.
    ///
    /// # Errors
    /// [`OutputError::Write`], [`OutputError::Closed`].
    fn end_unit(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    /// The last sync, after which the output is left in the form in which it is kept.
    ///
    /// # Errors
    /// Those of [`sync`](Output::sync).
    fn finish(&mut self) -> Result<Mark, OutputError> {
        self.sync()
    }
}

/// Opens an output.
///
/// Without a mark it starts anew, as far as the claim lets it: what this run or the one before it in
/// its directory left there is gone, what is anybody else's stays. With a mark it goes on from
/// there, and what was written after it is taken back. A pipe, a terminal or a device can't take
/// back and so just goes on.
///
/// # Errors
/// [`OutputError::NoFolder`], [`OutputError::Open`], [`OutputError::Database`],
/// [`OutputError::Exists`], [`OutputError::TableExists`], [`OutputError::Spared`], and
/// [`OutputError::Shorter`] when it is not what the mark was made of.
pub fn open(
    spec: &OutputSpec,
    config: &SinkConfig,
    resume: Option<Mark>,
    claim: &Claim,
) -> Result<Box<dyn Output>, OutputError> {
    let fields: Vec<Field> = config.fields.clone();
    Ok(match spec {
        OutputSpec::Stdout => {
            let path = || PathBuf::from("standard output");
            let open =
                |source| OutputError::Open { path: path(), source: io::Error::other(source) };
            streams::has_output().map_err(open)?;
            Box::new(jsonl::Jsonl::stdout(fields))
        }
        OutputSpec::Jsonl(path) => Box::new(jsonl::Jsonl::open(path, fields, resume, claim)?),
        OutputSpec::Csv(path) => Box::new(csv::Csv::open(path, fields, resume, claim)?),
        OutputSpec::Sqlite(path) => Box::new(sqlite::Sqlite::open(path, &fields, resume, claim)?),
    })
}

#[cfg(test)]
pub(crate) mod test_rows {
    //! Rows for the tests of each output.

    use std::path::Path;

    use super::*;
    use crate::made::Made;
    use proto::value::from_json;

    /// What a run with its directory there may write to.
    pub(crate) fn claim(folder: &tempfile::TempDir) -> Claim {
        claim_in(folder.path())
    }

    /// As [`claim`].
    pub(crate) fn claim_in(folder: &Path) -> Claim {
        Claim { made: Some(Made::open(folder).unwrap()), run: 7, ..Claim::default() }
    }

    /// The MessagePack form of a JSON text.
    pub(crate) fn pack(json: &str) -> Vec<u8> {
        let mut value = Vec::new();
        from_json(json.as_bytes(), &mut value).unwrap();
        value
    }

    /// A row with this id and value, and the rest as it often is.
    pub(crate) fn row(id: u64, value: &[u8]) -> Row<'_> {
        Row {
            id,
            path: &[],
            value,
            input: Some(&[0x2a]),
            stage: "square",
            attempt: 1,
            worker: "w1",
            ms: 0.1234,
        }
    }

    /// Writes a result for each of `values`, with ids from `first` on.
    pub(crate) fn write_all(output: &mut dyn Output, first: u64, values: &[&str]) {
        for (id, json) in (first..).zip(values) {
            output.write(&row(id, &pack(json))).unwrap();
        }
    }
}
