//! Rows for the tests of each output.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use proto::value::from_json;

use super::{
    claim::Claim,
    contract::{Output, Row},
    made::Made,
};

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
