//! Where results and dead letters are written, and which files a run may write to.
//!
//! How each result is recorded exactly once across the sink's own death: append,
//! [`Output::sync`], record the mark with the watermark; on the next start, open with that mark, which
//! takes back whatever was written after it.
//!
//! - [`contract`]: what every output promises: [`Output`], [`Row`], [`Mark`]
//! - `open`: the right kind of output for what was asked for
//! - `jsonl`, `csv` (with `columns`), `sqlite` (with `tables`): the kinds
//! - `tail`: a file that only grows at its end; what `jsonl`, `csv` and [`dead`] are made of
//! - [`unsynced`]: a file whose sync is somebody else's to make
//! - [`dead`]: the file of dead letters
//! - [`claim`], [`made`]: which files a run may write to, and which it has made
//! - [`error`]: what can go wrong

pub mod claim;
mod columns;
pub mod contract;
mod csv;
pub mod dead;
pub mod error;
mod jsonl;
pub mod made;
mod open;
mod sqlite;
mod tables;
pub(crate) mod tail;
#[cfg(test)]
pub(crate) mod test_rows;
pub mod unsynced;

pub use self::{
    columns::Columns,
    contract::{Mark, Output, Row},
    error::OutputError,
    open::open,
};
