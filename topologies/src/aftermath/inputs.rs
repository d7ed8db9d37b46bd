//! Which units were given some input.
//!
//! Owns the search through a run's source; refuses to remember anything: the source is read anew, as
//! the run has read it.

use std::path::{Path, PathBuf};

use proto::value::to_json;
use thiserror::Error;
use ventilator::source::{Chunk, SourceError, SourceSpec, open};

use crate::topology::Topology;

/// So many units are found at most.
pub const FOUND_MAX: usize = 10;
/// Units that are read at a time.
const UNITS_AT_ONCE: usize = 1 << 12;
/// The copy of a standard input in the run directory.
const STDIN_COPY: &str = "stdin";

/// Why no input can be looked for.
#[derive(Debug, Error)]
pub enum InputsError {
    /// It isn't known which topology the run is of.
    #[error("{} is the run of a topology that does not lie beside it; name that: --run-dir FILE.toml", run_dir.display())]
    NoTopology {
        /// The run directory.
        run_dir: PathBuf,
    },
    /// The source is gone, or can't be read.
    #[error("cannot read the source: {0}")]
    Source(#[from] SourceError),
}

/// A unit, and what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its place in the source.
    pub unit: u64,
    /// The value as JSON; of text the text.
    pub input: String,
}

/// The topology of a run, if it lies where it does by default: beside the folder of the run directories.
///
/// # Errors
/// [`InputsError::NoTopology`].
pub fn topology_of(run_dir: &Path) -> Result<Topology, InputsError> {
    let absolute = std::path::absolute(run_dir).unwrap_or_else(|_| run_dir.into());
    let file = absolute.file_name().map(|name| name.to_owned()).and_then(|mut name| {
        name.push(".toml");
        Some(absolute.parent()?.parent()?.join(name))
    });
    let topology = file.and_then(|file| Topology::load(&file, &[]).ok());
    topology.ok_or_else(|| InputsError::NoTopology { run_dir: run_dir.into() })
}

/// The first units whose input is `text`; if there is none, those whose input has it in it.
///
/// # Errors
/// [`InputsError::Source`].
pub fn find(source: &SourceSpec, run_dir: &Path, text: &str) -> Result<Vec<Found>, InputsError> {
    let source = match source {
        // What was typed is gone, its copy is not.
        SourceSpec::Stdin => SourceSpec::Lines { path: run_dir.join(STDIN_COPY) },
        other => other.clone(),
    };
    let mut source = open(&source, None)?;
    let (mut same, mut within) = (Vec::new(), Vec::new());
    let mut unit = 0;
    let mut goes_on = true;
    while goes_on && same.len() < FOUND_MAX {
        let mut chunk = Chunk::default();
        goes_on = source.read(UNITS_AT_ONCE, &mut chunk)?;
        let mut begin = 0;
        for end in chunk.ends {
            let value = chunk.payload.get(begin..end as usize).unwrap_or_default();
            begin = end as usize;
            let input = shown(value);
            if input == text {
                same.push(Found { unit, input });
            } else if within.len() < FOUND_MAX && input.contains(text) {
                within.push(Found { unit, input });
            }
            unit += 1;
        }
    }
    same.truncate(FOUND_MAX);
    Ok(if same.is_empty() { within } else { same })
}

/// A value as people write it.
fn shown(value: &[u8]) -> String {
    let mut json = Vec::new();
    if to_json(value, &mut json).is_err() {
        return String::new();
    }
    match serde_json::from_slice::<String>(&json) {
        Ok(text) => text,
        Err(_) => String::from_utf8_lossy(&json).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(spec: &SourceSpec, text: &str) -> Vec<u64> {
        let found = find(spec, Path::new("/nowhere"), text).unwrap();
        found.iter().map(|found| found.unit).collect()
    }

    #[test]
    fn an_input_is_found_whole_before_it_is_found_within_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, "apple pie\napple\npear\napple\n").unwrap();
        let spec = SourceSpec::Lines { path };
        assert_eq!(units(&spec, "apple"), [1, 3]);
        assert_eq!(units(&spec, "pie"), [0]);
        assert_eq!(units(&spec, "plum"), [0; 0]);
        let range = SourceSpec::Range { from: 1, to: 100_000, step: 1 };
        assert_eq!(units(&range, "70000"), [69_999]);
        assert_eq!(units(&range, "9999").len(), 1);
    }

    #[test]
    fn rows_are_found_by_what_stands_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, "name,age\nAda,36\nBob,7\n").unwrap();
        let spec = SourceSpec::Csv { path, delimiter: None };
        assert_eq!(units(&spec, "Bob"), [1]);
    }
}
