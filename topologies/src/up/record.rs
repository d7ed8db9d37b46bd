//! What a run directory is for: which topology and which source began it.
//!
//! Owns whether a run goes on with what is asked for now, and what has to be recorded for that; refuses
//! to go on with anything else. Names every difference, so that nobody has to guess why.

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
    retry,
    run_dir::{RunDir, RunDirError},
    versions::{self, Version},
};
use thiserror::Error;
use ventilator::source::{
    self, Depth, Difference, Growth, GrowthError, SourceError, SourceSpec, difference,
};

use super::changes::{self, Change, Verdict};
use crate::topology::Topology;

/// Its name in the run directory.
const FILE: &str = "topology.json";

/// What began a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Everything in the topology that decides the results.
    pub topology: Value,
    /// The run was stopped as hopeless, and nobody has gone on with it since.
    #[serde(default, skip_serializing_if = "is_false")]
    pub halted: bool,
}

fn is_false(is: &bool) -> bool {
    !is
}

impl Record {
    fn of(topology: &Topology) -> Self {
        Self { topology: topology.canonical(), halted: false }
    }

    /// Notes that the run in `run_dir` is stopped as hopeless, so that its next start tries again what
    /// has failed.
    ///
    /// # Errors
    /// [`io::Error`] when that can't be kept.
    pub fn note_halted(run_dir: &Path) -> io::Result<()> {
        match Self::read(run_dir)? {
            Some(record) => Self { halted: true, ..record }.write(run_dir),
            None => Ok(()),
        }
    }

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
    #[error("{} holds a run of something else:\n{differences}{way}use another --run-dir, or --fresh to start over", path.display())]
    Other {
        /// The run directory.
        path: PathBuf,
        /// What differs, in lines.
        differences: String,
        /// How it could go on.
        way: String,
    },
    /// A change that was accepted, and with which no run can go on.
    #[error("the run in {} can't go on with what has changed:\n{differences}{why}; use another --run-dir, or --fresh to start over", path.display())]
    Never {
        /// The run directory.
        path: PathBuf,
        /// What differs, in lines.
        differences: String,
        /// Why.
        why: String,
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

fn list(changes: &[Change]) -> String {
    changes.iter().map(|change| format!("  {change}\n")).collect()
}

/// What somebody wants of a run whose topology or source is not what it was any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is refused.
    Refused,
    /// It goes on with a source that has only grown.
    Grown,
    /// It goes on with what is new of both; what has failed is tried again with new code.
    Accepted,
    /// The same, but what has failed is left to whoever asks.
    AcceptedBut,
}

/// Whether the run in `path` is one of this topology over this source, or may go on as one, and where
/// it stands; a new one is recorded.
///
/// # Errors
/// [`RecordError`] when it is a run of something else, or can't be used.
pub fn check_in(
    path: &Path,
    topology: &Topology,
    changed: Changed,
) -> Result<RunState, RecordError> {
    let asked = Record::of(topology);
    let file = path.join(FILE);
    let failed = |source| RecordError::Io { path: file.clone(), source };
    let Some(begun) = Record::read(path).map_err(failed)? else {
        fs::create_dir_all(path).map_err(failed)?;
        asked.write(path).map_err(failed)?;
        return Ok(RunState::New);
    };
    let changes = changes::between(&begun.topology, &asked.topology);
    if changed == Changed::Refused && !changes.is_empty() {
        return Err(refused(path, topology, &changes, None));
    }
    if !path.join(DATABASE).is_file() {
        asked.write(path).map_err(failed)?;
        return Ok(RunState::New);
    }
    let run_dir = RunDir::open(path)?;
    let run = run_dir.fact::<RunId>("run")?;
    let is_finished = run_dir.fact("finished")? == Some(true);
    let growth = match changed {
        Changed::Refused => match change(path, topology, run, is_finished)? {
            Some(how) => return Err(refused(path, topology, &changes, Some(how))),
            None => None,
        },
        _ => accepted(path, topology, run, (&changes, changed))?,
    };
    let grows = growth.is_some() || has(&changes, Verdict::Growth);
    let works = has(&changes, Verdict::Work);
    let revives = begun.halted || works && changed == Changed::Accepted;
    let has_failed = retry::letters(&run_dir).is_ok_and(|(_, letters)| !letters.is_empty());
    let revives = revives && (has_failed || !is_finished);
    if is_finished && !grows && !revives && changed != Changed::AcceptedBut {
        // Nothing is left that a change would be for.
        let ordered = retry::is_revival_ordered(&run_dir)?;
        return Ok(if ordered { RunState::Unfinished } else { RunState::Finished });
    }
    if begun == asked && !grows && !revives {
        return Ok(RunState::Unfinished);
    }
    run_dir.in_one_transaction(|| {
        if !changes.is_empty() {
            run_dir.forget("plan")?;
            note_version(&run_dir, &begun.topology, &asked.topology)?;
        }
        if grows {
            run_dir.forget("units")?;
            run_dir.record("finished", &false)?;
        }
        if revives { retry::order_revival(&run_dir) } else { Ok(()) }
    })?;
    growth.map_or(Ok(()), Growth::accept)?;
    asked.write(path).map_err(failed)?;
    Ok(RunState::Unfinished)
}

fn has(changes: &[Change], verdict: Verdict) -> bool {
    changes.iter().any(|change| change.verdict() == verdict)
}

/// Whether a run can go on with these changes; by what its source has grown.
fn accepted(
    path: &Path,
    topology: &Topology,
    run: Option<RunId>,
    (changes, changed): (&[Change], Changed),
) -> Result<Option<Growth>, RecordError> {
    let never = |change: &Change| {
        match change.verdict() {
        Verdict::Never(why) => Some(why.to_owned()),
        Verdict::Work if changed == Changed::Grown => {
            Some("--continue goes on with a source that has grown, and with nothing else; --accept-change takes other stages too".into())
        }
        _ => None,
    }
    };
    let never = changes.iter().find_map(never);
    let refuse = |why| RecordError::Never { path: path.into(), differences: list(changes), why };
    if let Some(why) = never {
        return Err(refuse(why));
    }
    let Some(run) = run else { return Ok(None) };
    match source::growth(&left_out(path, topology), path, run) {
        Ok(growth) => Ok(growth),
        Err(GrowthError::Source(error)) => Err(error.into()),
        // The same copy is compared with what is given again.
        Err(GrowthError::Stream) if changed != Changed::Grown => Ok(None),
        Err(error) => Err(refuse(format!("the source ({}) {error}", named(topology)))),
    }
}

/// The run goes on with another topology, from a unit on that its sink will know.
fn note_version(run_dir: &RunDir, before: &Value, now: &Value) -> Result<(), RunDirError> {
    let mut versions = versions::read(run_dir)?;
    let version = |topology: &Value, from_unit| Version {
        from_unit,
        units_before: 0,
        topology: topology.clone(),
    };
    if versions.is_empty() {
        versions.push(version(before, Some(0)));
    }
    // One that no sink has seen has done nothing.
    versions.pop_if(|last| last.from_unit.is_none());
    versions.push(version(now, None));
    versions::write(run_dir, &versions)
}

fn refused(
    path: &Path,
    topology: &Topology,
    changes: &[Change],
    content: Option<Difference>,
) -> RecordError {
    let never = changes.iter().find_map(|change| match change.verdict() {
        Verdict::Never(why) => Some(why),
        _ => None,
    });
    let is_growth =
        matches!(content, Some(Difference::Grown { .. } | Difference::MoreFiles { .. }));
    let way = match (never, &content) {
        (Some(why), _) => format!("it can't go on with that: {why}; "),
        (None, Some(_)) if is_growth => "--continue goes on with what is new; ".into(),
        (None, Some(_)) => String::new(),
        (None, None) => {
            "--accept-change goes on with it: results that are there stay, what is left or has failed is done anew; ".into()
        }
    };
    let of = named(topology);
    let content =
        content.map(|how| format!("  the content of the source has changed: {of} {how}\n"));
    let differences = list(changes) + &content.unwrap_or_default();
    RecordError::Other { path: path.into(), differences, way }
}

/// The source without what the run itself writes.
fn left_out(path: &Path, topology: &Topology) -> SourceSpec {
    let mut source = topology.source.clone();
    source.leave_out([std::path::absolute(path).unwrap_or_else(|_| path.into())]);
    source
}

fn named(topology: &Topology) -> String {
    topology.source.named().map_or(String::new(), |named| topology.shorten(&named))
}

/// In which way the source is not the one that the run has read. As long as the run goes on its
/// ventilator compares the content, while it passes over it; here only what shows at once.
fn change(
    path: &Path,
    topology: &Topology,
    run: Option<RunId>,
    is_finished: bool,
) -> Result<Option<Difference>, RecordError> {
    let depth = if is_finished { Depth::Content } else { Depth::Length };
    let Some(run) = run else { return Ok(None) };
    Ok(difference(&left_out(path, topology), path, run, depth)?)
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
        assert_eq!(
            check_in(&run, &topology(folder.path(), 9), Changed::Refused).unwrap(),
            RunState::New
        );
        let run_dir = RunDir::open(&run).unwrap();
        drop(run_dir);
        assert_eq!(
            check_in(&run, &topology(folder.path(), 9), Changed::Refused).unwrap(),
            RunState::Unfinished
        );
        let error =
            check_in(&run, &topology(folder.path(), 10), Changed::Refused).unwrap_err().to_string();
        assert!(error.contains("source.to is 10, the run began with 9"), "{error}");
        RunDir::open(&run).unwrap().record("finished", &true).unwrap();
        assert_eq!(
            check_in(&run, &topology(folder.path(), 9), Changed::Refused).unwrap(),
            RunState::Finished
        );
    }
}
