//! Where results and dead letters are written, and which files a run may write to.
//!
//! How each result is recorded exactly once across the sink's own death: append,
//! [`Output::sync`], record the mark with the watermark; on the next start, open with that mark, which
//! takes back whatever was written after it.
//!
//! - [`contract`]: what every output promises: [`Output`], [`Row`], [`Mark`]
//! - [`open`], here: the right kind of output for what was asked for
//! - `jsonl`, `csv` (with `columns`), `sqlite` (with `tables`): the kinds
//! - `rows`: what `jsonl` and `csv` have in common; a new kind of file is a `RowFormat`
//! - `tail`: a file that only grows at its end; what `rows` and [`dead`] are made of
//! - [`unsynced`]: a file whose sync is somebody else's to make
//! - [`dead`]: the file of dead letters
//! - [`moved`]: parts of a file that are moved to where they belong
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
pub mod moved;
mod rows;
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
};

use std::{io, path::PathBuf};

use proto::streams;

use self::{claim::Claim, csv::Csv, jsonl::Jsonl, sqlite::Sqlite};
use crate::config::{Field, OutputSpec, SinkConfig};

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
            Box::new(Jsonl::stdout(fields))
        }
        OutputSpec::Jsonl(path) => Box::new(Jsonl::open(path, fields, resume, claim)?),
        OutputSpec::Csv(path) => Box::new(Csv::open(path, fields, resume, claim)?),
        OutputSpec::Sqlite(path) => Box::new(Sqlite::open(path, &fields, resume, claim)?),
    })
}

/// How many bytes of an output that has come so far stand before its first row.
pub(crate) fn header_bytes(mark: &Mark) -> u64 {
    mark.columns.as_ref().map_or(0, csv::header_bytes)
}
