//! What a run directory is for: which topology and which source began it.
//!
//! Owns the comparison of what was begun with what is asked for now; refuses to go on with
//! anything else. Names every difference, so that nobody has to guess why.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use proto::durable;
use proto::frame::RunId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sink::{
    names::DATABASE,
    run_dir::{RunDir, RunDirError},
};
use thiserror::Error;
use ventilator::source::{Depth, SourceError, difference};

use crate::topology::Topology;

/// Its name in the run directory.
const FILE: &str = "topology.json";

/// What began a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Everything in the topology that decides the results.
    pub topology: Value,
}

impl Record {
    /// What began the run in `run_dir`, if one was begun there.
    ///
    /// # Errors
    /// [`io::Error`] when the file is there and no record.
    pub fn read(run_dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(run_dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.and_then(|json| Ok(Some(serde_json::from_slice(&json)?))),
        }
    }

    /// Keeps it, whole or not at all: a launcher that is killed leaves no half of it.
    fn write(&self, run_dir: &Path) -> io::Result<()> {
        durable::replace(&run_dir.join(FILE), &serde_json::to_vec_pretty(self)?)
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Nothing has begun.
    New,
    /// It has begun, and goes on.
    Unfinished,
    /// It is over.
    Finished,
}

/// Why a run can't go on.
#[derive(Debug, Error)]
pub enum RecordError {
    /// Another topology or source.
    #[error("{} holds a run of something else:\n{}use another --run-dir, or --fresh to start over", path.display(), list(differences))]
    Other {
        /// The run directory.
        path: PathBuf,
        /// What differs, a line each.
        differences: Vec<String>,
    },
    /// The source can't be read.
    #[error("cannot read the source: {0}")]
    Source(#[from] SourceError),
    /// The run directory can't be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// The record can't be read or written.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn list(differences: &[String]) -> String {
    differences.iter().map(|difference| format!("  {difference}\n")).collect()
}

/// Whether the run in `path` is one of this topology over this source, and where it stands; a
/// new one is recorded.
///
/// # Errors
/// [`RecordError`] when it is a run of something else, or can't be used.
pub fn check_in(path: &Path, topology: &Topology) -> Result<RunState, RecordError> {
    let asked = Record { topology: topology.canonical() };
    let file = path.join(FILE);
    let failed = |source| RecordError::Io { path: file.clone(), source };
    let Some(begun) = Record::read(path).map_err(failed)? else {
        fs::create_dir_all(path).map_err(failed)?;
        asked.write(path).map_err(failed)?;
        return Ok(RunState::New);
    };
    let mut differences = Vec::new();
    compare("", &begun.topology, &asked.topology, &mut differences);
    if !differences.is_empty() {
        return Err(RecordError::Other { path: path.into(), differences });
    }
    if !path.join(DATABASE).is_file() {
        return Ok(RunState::New);
    }
    let run_dir = RunDir::open(path)?;
    let (finished, run) = (run_dir.fact("finished")?, run_dir.fact::<RunId>("run")?);
    drop(run_dir);
    let finished = finished == Some(true);
    if let Some(changed) = change(path, topology, run, finished)? {
        return Err(RecordError::Other { path: path.into(), differences: vec![changed] });
    }
    Ok(if finished { RunState::Finished } else { RunState::Unfinished })
}

/// In which way the source is not the one that the run has read. As long as the run goes on its
/// ventilator compares the content, while it passes over it; here only what shows at once.
fn change(
    path: &Path,
    topology: &Topology,
    run: Option<RunId>,
    is_finished: bool,
) -> Result<Option<String>, RecordError> {
    let depth = if is_finished { Depth::Content } else { Depth::Length };
    let Some(run) = run else { return Ok(None) };
    let mut source = topology.source.clone();
    source.leave_out([std::path::absolute(path).unwrap_or_else(|_| path.into())]);
    let changed = difference(&source, path, run, depth)?;
    Ok(changed.map(|how| {
        let named = topology.source.named();
        let of = named.map_or(String::new(), |named| topology.shorten(&named));
        format!("the content of the source has changed: {of} {how}")
    }))
}

/// Every place at which two values differ, as `stage.0.args: [] was ["-x"]`.
fn compare(at: &str, before: &Value, now: &Value, differences: &mut Vec<String>) {
    let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    match (before, now) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let of = |map: &serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or(Value::Null)
                };
                compare(&below(key), &of(a), &of(b), differences);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&below(&index.to_string()), a, b, differences);
            }
        }
        (before, now) if before != now => {
            differences.push(format!("{at} is {now}, the run began with {before}"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(folder: &Path, to: u32) -> Topology {
        let text = format!(
            "name = \"t\"\n[source]\nkind = \"range\"\nfrom = 1\nto = {to}\n[[stage]]\nname = \"s\"\nrun = \"echo\"\n"
        );
        Topology::from_text(&text, &folder.join("t.toml"), &[]).unwrap()
    }

    #[test]
    fn the_same_topology_goes_on_and_another_is_told_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        assert_eq!(check_in(&run, &topology(folder.path(), 9)).unwrap(), RunState::New);
        let run_dir = RunDir::open(&run).unwrap();
        drop(run_dir);
        assert_eq!(check_in(&run, &topology(folder.path(), 9)).unwrap(), RunState::Unfinished);
        let error = check_in(&run, &topology(folder.path(), 10)).unwrap_err().to_string();
        assert!(error.contains("source.to is 10, the run began with 9"), "{error}");
        RunDir::open(&run).unwrap().record("finished", &true).unwrap();
        assert_eq!(check_in(&run, &topology(folder.path(), 9)).unwrap(), RunState::Finished);
    }
}
