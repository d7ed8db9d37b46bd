//! What can go wrong with an output.
//!
//! Owns the reasons, in words for whoever reads them, and which of them are a single row's fault; refuses
//! to decide what follows.

use std::{io, path::PathBuf};

use proto::value::TranslateError;
use thiserror::Error;

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
