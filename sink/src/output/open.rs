//! Opens the right kind of output.
//!
//! Owns the way from what was asked for to an output that takes rows; to add a kind of output is to
//! name it here.

use std::{io, path::PathBuf};

use proto::streams;

use super::{
    claim::Claim,
    contract::{Mark, Output},
    csv::Csv,
    error::OutputError,
    jsonl::Jsonl,
    sqlite::Sqlite,
};
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
