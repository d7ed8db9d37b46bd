//! Where a queue keeps what it has accepted.
//!
//! Owns what can be done with the segments of its log; refuses to know what a record means. A run
//! directory has one (`disk`), and a simulation has one that forgets what was not kept.

use std::{io, path::PathBuf};

use thiserror::Error;

use super::{order::Place, record::Head};

/// Why what was accepted can't be kept or read.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The log fails.
    #[cfg(feature = "cli")]
    #[error(transparent)]
    Log(#[from] proto::log::LogError),
    /// It has less than was accepted.
    #[error("the queue is shorter than what was accepted: somebody has cut it")]
    Short,
    /// Values can't be read.
    #[error("cannot read the queue {}", path.display())]
    Read {
        /// The segment.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Segments of records.
pub trait Store: Send {
    /// Gives each record that is there, in their order, with the place of the values behind its head;
    /// then writing goes on behind them.
    ///
    /// # Errors
    /// [`StoreError`] when they can't be read, or are somebody else's.
    fn replay(&mut self, each: &mut dyn FnMut(Head, Place, &[u8])) -> Result<(), StoreError>;

    /// Appends a record; where its values begin. It is kept after the next [`keep`](Self::keep).
    fn append(&mut self, head: &Head, values: &[u8]) -> Place;

    /// Keeps what was appended: against a kill, or with `safe` against a loss of power too.
    ///
    /// # Errors
    /// [`StoreError`] when the disk is full or fails; the process has to end.
    fn keep(&mut self, safe: Safety) -> Result<(), StoreError>;

    /// Reads so many bytes of values; less where the segment ends.
    ///
    /// # Errors
    /// [`StoreError`] when they can't be read.
    fn read(&mut self, place: Place, bytes: usize) -> Result<Vec<u8>, StoreError>;

    /// The segment that is written.
    fn segment(&self) -> u64;

    /// Whether it is time for the next segment.
    fn is_full(&self) -> bool;

    /// Begins the next segment; everything before is safe then.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be made.
    fn rotate(&mut self) -> Result<(), StoreError>;

    /// What was written of this segment so far is what all need that follow: it does not fill it.
    fn begun(&mut self) {}

    /// The segments before the one that is written, and the bytes of each.
    fn older(&self) -> Vec<(u64, u64)>;

    /// Gives each record of an older segment.
    ///
    /// # Errors
    /// [`StoreError`] when they can't be read.
    fn again(&mut self, segment: u64, each: &mut dyn FnMut(Head, &[u8])) -> Result<(), StoreError>;

    /// Removes a segment.
    fn remove(&mut self, segment: u64);
}

/// Against what something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// A kill of this process.
    Kill,
    /// A loss of power.
    Power,
}
