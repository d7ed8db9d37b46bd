//! The manifest: a file at the end of a run that proves that it is complete.
//!
//! Owns its form, its writing, and its check against what lies on the disk; refuses to repair.
//! Beside it, sums of all lines are kept, so that the check can say which ones differ.
//!
//! - `records`: the lines of a file, or the rows of a database, as sums
//! - `follow`: makes digest and sums while an output is written
//! - `compare`, `finding`: which lines differ, and how that is told
#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "positions that were found in the same lines")
)]

mod compare;
mod finding;
pub(crate) mod follow;
mod records;

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use proto::durable;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::{
    compare::{Change, compare},
    finding::PLACES_MAX,
    records::{ReadError, Records, Sums},
};
pub use self::{
    finding::{Finding, How, LineRange, Noun},
    follow::{Followed, Follower},
    records::UnitOf,
};
use super::summary::{StageFlow, Summary};
use crate::{
    config::{Order, OutputSpec, SinkConfig},
    report::version::Version,
};

/// Its name in the run directory.
pub const FILE: &str = crate::names::MANIFEST;

/// The format of the manifest, and of the sums beside it.
const FORMAT: u32 = 1;

fn first_format() -> u32 {
    FORMAT
}

/// What a finished run consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of this file. Before formats were numbered there was none, and the rest the same.
    #[serde(default = "first_format")]
    pub format: u32,
    /// Units that the source gave.
    pub units_in: u64,
    /// Units with one output or more.
    pub results: u64,
    /// Outputs of all units.
    pub outputs: u64,
    /// Units without output.
    pub filtered: u64,
    /// Units that failed for good.
    pub dead: u64,
    /// What passed through each stage, of what is committed; exact.
    pub stages: Vec<StageFlow>,
    /// Tries of units in the first stage; see [`Summary::attempts`].
    pub attempts: u64,
    /// Outcomes that came again and were discarded; see [`Summary::duplicates_discarded`].
    pub duplicates_discarded: u64,
    /// The output.
    pub output: Option<FileFacts>,
    /// The dead letters.
    pub dead_letters: Option<FileFacts>,
    /// A digest of source and stages, the last if there were several.
    pub plan: String,
    /// The topologies that the run was made with, where another one was accepted on the way; empty
    /// otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Version>,
}

/// With what a run was begun, and went on.
#[derive(Debug, Clone, Default)]
pub struct Begun {
    /// A digest of source and stages.
    pub plan: String,
    /// The topologies, if there were several.
    pub versions: Vec<Version>,
}

/// A file as it was when the run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its lines, a csv header included; of SQLite its rows.
    pub lines: u64,
    /// Its SHA-256, in hexadecimal; of SQLite that of its rows, since the file depends on its history.
    pub sha256: String,
    /// How the unit of a line is known.
    #[serde(default)]
    pub unit_of: UnitOf,
}

impl FileFacts {
    fn of(path: &Path, Followed { bytes, lines, sha256 }: Followed, unit_of: UnitOf) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        Self { path, bytes, lines, sha256, unit_of }
    }
}

/// Why there is no manifest.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// A file can't be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// An output can't be read.
    #[error("cannot read {}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: ReadError,
    },
    /// Another version has written it.
    #[error("{} is in format {found}, and this version reads format {FORMAT}: use the version that finished the run", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is no manifest.
    #[error("{} is no manifest", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// Keeps the sums of the output's lines in the run directory.
pub const OUTPUT_SUMS: &str = crate::names::OUTPUT_SUMS;
/// Keeps those of the dead letters.
pub const DEAD_SUMS: &str = crate::names::DEAD_SUMS;

/// Goes along with the output of a run in `run_dir`, of which nothing is written yet. None if that
/// can't be; then it is read at the end.
pub fn follow(run_dir: &Path, config: &SinkConfig) -> Option<Follower> {
    Follower::start(&run_dir.join(OUTPUT_SUMS), UnitOf::output(config)).ok()
}

/// Writes the manifest of a run that is complete, and the sums of all lines. `config` is what was
/// written, in the order in which it was, and `followed` what that adds up to if it is known.
///
/// # Errors
/// [`ManifestError`] when a file can't be read or written.
pub fn write(
    run_dir: &Path,
    summary: &Summary,
    begun: Begun,
    config: &SinkConfig,
    followed: Option<Followed>,
) -> Result<(), ManifestError> {
    let output = config.output.as_ref().and_then(OutputSpec::path);
    let unit_of = UnitOf::output(config);
    let mut output = output
        .map(|path| match followed {
            Some(followed) => Ok(FileFacts::of(path, followed, unit_of)),
            None => facts(path, unit_of, &run_dir.join(OUTPUT_SUMS)),
        })
        .transpose()?;
    if let Some(output) = &mut output
        && output.unit_of == UnitOf::Unknown
        && config.order == Order::Input
        && summary.results == summary.units_in
        && let Some(header) = output.lines.checked_sub(summary.units_in)
        && header == u64::from(matches!(config.output, Some(OutputSpec::Csv(_))))
        && summary.outputs == summary.units_in
    {
        output.unit_of = UnitOf::LinesAfter(header);
    }
    let letters = |path: &PathBuf| facts(path, UnitOf::Object, &run_dir.join(DEAD_SUMS));
    let manifest = Manifest {
        format: FORMAT,
        units_in: summary.units_in,
        results: summary.results,
        outputs: summary.outputs,
        filtered: summary.filtered,
        dead: summary.dead,
        stages: summary.stages.clone(),
        attempts: summary.attempts,
        duplicates_discarded: summary.duplicates_discarded,
        output,
        dead_letters: summary.dead_letters.as_ref().map(letters).transpose()?,
        plan: begun.plan,
        versions: begun.versions,
    };
    let path = run_dir.join(FILE);
    let json = serde_json::to_vec_pretty(&manifest)
        .map_err(|source| ManifestError::Malformed { path: path.clone(), source })?;
    let failed = |source| ManifestError::Io { action: "write", path: path.clone(), source };
    durable::replace(&path, &json).map_err(failed)
}

/// Reads the manifest of a finished run.
///
/// # Errors
/// [`ManifestError`] when there is none.
pub fn read(run_dir: &Path) -> Result<Manifest, ManifestError> {
    let path = run_dir.join(FILE);
    let json = fs::read(&path).map_err(|source| ManifestError::Io {
        action: "read",
        path: path.clone(),
        source,
    })?;
    understand(&json, path)
}

fn understand(json: &[u8], path: PathBuf) -> Result<Manifest, ManifestError> {
    /// All that other formats have in common with this one.
    #[derive(Deserialize)]
    struct Numbered {
        #[serde(default = "first_format")]
        format: u32,
    }
    match serde_json::from_slice(json) {
        Ok(Numbered { format }) if format != FORMAT => {
            Err(ManifestError::Format { path, found: format })
        }
        _ => {
            serde_json::from_slice(json).map_err(|source| ManifestError::Malformed { path, source })
        }
    }
}

/// Compares the manifest of the run in `run_dir` with the files it speaks of; nothing is returned
/// if all is well. Where lines differ it takes memory for a sum of each, twice.
pub fn verify(run_dir: &Path, manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    let outcomes = manifest.results + manifest.filtered + manifest.dead;
    if outcomes != manifest.units_in {
        findings.push(Finding::Unbalanced { units_in: manifest.units_in, outcomes });
    }
    let files = [(&manifest.output, OUTPUT_SUMS), (&manifest.dead_letters, DEAD_SUMS)];
    for (recorded, sums) in files {
        let Some(recorded) = recorded else { continue };
        let path = recorded.path.clone();
        if !path.exists() {
            findings.push(Finding::Missing { path });
            continue;
        }
        match records::read(&path, recorded.unit_of) {
            Ok(found) if found.sha256 == recorded.sha256 => {}
            Ok(found) => match Sums::read(&run_dir.join(sums), recorded.lines) {
                Some(sums) => findings.extend(differences(recorded, &sums, &found)),
                None => findings.push(Finding::Content {
                    path,
                    recorded: recorded.bytes,
                    found: found.bytes,
                }),
            },
            Err(error) => findings.push(Finding::Unreadable { path, error: error.to_string() }),
        }
    }
    findings
}

/// Which lines differ, the first places of each kind.
fn differences(recorded: &FileFacts, sums: &Sums, found: &Records) -> Vec<Finding> {
    let mut kinds: BTreeMap<How, (u64, Vec<LineRange>)> = BTreeMap::new();
    let mut known = HashMap::new();
    for (index, sum) in sums.lines.iter().enumerate().rev() {
        known.insert(*sum, index);
    }
    for change in compare(&sums.lines, &found.sums.lines) {
        let (how, place) = located(change, recorded.unit_of, (sums, found), &known);
        let (count, places) = kinds.entry(how).or_default();
        *count += 1;
        if let Some(last) = places.last_mut().filter(|last| last.continues(&place)) {
            last.last = place.last;
        } else if places.len() < PLACES_MAX {
            places.push(place);
        }
    }
    let of = if records::has_rows(&recorded.path) { Noun::Row } else { Noun::Line };
    let path = &recorded.path;
    let finding =
        |(how, (count, places))| Finding::Differs { path: path.clone(), of, how, count, places };
    kinds.into_iter().map(finding).collect()
}

fn located(
    change: Change,
    unit_of: UnitOf,
    (sums, found): (&Sums, &Records),
    known: &HashMap<u32, usize>,
) -> (How, LineRange) {
    let unit = |recorded: usize| match unit_of {
        UnitOf::LinesAfter(header) => (recorded as u64).checked_sub(header),
        _ => sums.unit(recorded),
    };
    let place = |index: usize, unit: Option<u64>, doubles: Option<usize>| {
        let number = index as u64 + 1;
        let doubles = doubles.map(|index| index as u64 + 1);
        LineRange { first: number, last: number, unit, doubles }
    };
    match change {
        Change::Missing { recorded } => (How::Missing, place(recorded, unit(recorded), None)),
        Change::Changed { recorded, found: at } => {
            let last = at + 1 == found.sums.lines.len();
            let how = if last && found.torn { How::Cut } else { How::Changed };
            (how, place(at, unit(recorded), None))
        }
        Change::Added { found: at } => match known.get(&found.sums.lines[at]) {
            Some(index) => (How::Doubled, place(at, unit(*index), Some(*index))),
            None => (How::Added, place(at, found.sums.unit(at), None)),
        },
    }
}

/// Reads a file to its end; the sums of its lines go to `sums`.
fn facts(path: &Path, unit_of: UnitOf, sums: &Path) -> Result<FileFacts, ManifestError> {
    let read = records::read(path, unit_of)
        .map_err(|source| ManifestError::Output { path: path.into(), source })?;
    read.sums.write(sums).map_err(|source| ManifestError::Io {
        action: "write",
        path: sums.into(),
        source,
    })?;
    let lines = read.sums.lines.len() as u64;
    let all = Followed { bytes: read.bytes, lines, sha256: read.sha256 };
    Ok(FileFacts::of(path, all, unit_of))
}

#[cfg(test)]
mod tests;
