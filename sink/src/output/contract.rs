//! What every output promises: one trait, and its vocabulary.
//!
//! Owns a row, a mark (how far an output has come), and what an output is asked for. Refuses to
//! decide when something is durable: it syncs when told, and says how far that reached.

use proto::{unit::Step, units::ValueIter};
use serde::{Deserialize, Serialize};

use super::{columns::Columns, error::OutputError, tail::Tail, unsynced::Unsynced};
use crate::report::manifest::follow::{Followed, Follower};

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

    /// Takes back everything after `to`.
    ///
    /// # Errors
    /// [`OutputError::Shorter`] when the output has not come that far, [`OutputError::NotAFile`]
    /// when it has left already.
    fn rewind(&mut self, to: &Mark) -> Result<(), OutputError>;

    /// The last sync, after which the output is left in the form in which it is kept.
    ///
    /// # Errors
    /// Those of [`sync`](Output::sync).
    fn finish(&mut self) -> Result<Mark, OutputError> {
        self.sync()
    }

    /// The file or stream that rows are appended to; none for a database.
    fn tail(&mut self) -> Option<&mut Tail> {
        None
    }
}

/// What follows for all outputs from what each of them is.
impl dyn Output {
    /// Whether a [`sync`](Output::sync) costs so little, and what was written after it is taken back
    /// so surely, that results are as safe here as in a log.
    pub fn can_be_the_log(&mut self) -> bool {
        self.tail().is_some_and(|tail| tail.is_file())
    }

    /// As [`sync`](Output::sync), but leaves the sync itself to the caller, before whose end
    /// [`mark`](Output::mark) may not be recorded; none if there is nothing to be synced.
    ///
    /// # Errors
    /// As [`sync`](Output::sync).
    pub fn unsynced(&mut self) -> Result<Option<Unsynced>, OutputError> {
        match self.tail() {
            Some(tail) => tail.unsynced(),
            None => self.sync().map(|_| None),
        }
    }

    /// Lets the follower that `start` gives go along with what is written, if nothing is yet and
    /// this output is a file.
    pub fn follow(&mut self, start: &dyn Fn() -> Option<Follower>) {
        if let Some(tail) = self.tail() {
            tail.follow(start);
        }
    }

    /// What a follower says of everything that was written, once that is flushed; none if nobody
    /// followed all of it.
    pub fn followed(&mut self) -> Option<Followed> {
        self.tail()?.followed()
    }

    /// How far the output has come, before the rows of a unit that has several. Until
    /// `end_unit` they stay in memory, so that every output can
    /// [`rewind`](Output::rewind) to before them.
    pub fn begin_unit(&mut self) -> Mark {
        if let Some(tail) = self.tail() {
            tail.begin_unit();
        }
        self.mark()
    }

    /// The rows of the unit are there, or taken back.
    ///
    /// # Errors
    /// [`OutputError::Write`], [`OutputError::Closed`].
    pub fn end_unit(&mut self) -> Result<(), OutputError> {
        self.tail().map_or(Ok(()), Tail::end_unit)
    }
}
