//! The manifest: a file at the end of a run that proves that it is complete.
//!
//! Owns its form, its writing, and its check against what lies on the disk; refuses to repair.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{Summary, summary::StageFlow};

/// Its name in the run directory.
pub const FILE: &str = "manifest.json";

/// What a finished run consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
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
    /// A digest of source and stages.
    pub plan: String,
}

/// A file as it was when the run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its line ends: JSON lines, or csv with its header; of no meaning for SQLite.
    pub lines: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
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
    /// It is no manifest.
    #[error("{} is no manifest", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// What does not agree with the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Finding {
    /// The counts don't add up.
    Unbalanced {
        /// Units in.
        units_in: u64,
        /// Results, filtered and dead together.
        outcomes: u64,
    },
    /// A file is gone.
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// A file has another length.
    Length {
        /// Which.
        path: PathBuf,
        /// Bytes that the manifest says.
        recorded: u64,
        /// Bytes that there are.
        found: u64,
        /// Lines that the manifest says.
        lines_recorded: u64,
        /// Lines that there are.
        lines_found: u64,
    },
    /// A file has the same length but another content.
    Content {
        /// Which.
        path: PathBuf,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbalanced { units_in, outcomes } => {
                write!(f, "{units_in} units came in, but {outcomes} outcomes are recorded")
            }
            Self::Missing { path } => write!(f, "{} is missing", path.display()),
            Self::Length { path, recorded, found, lines_recorded, lines_found } => {
                let path = path.display();
                write!(f, "{path} has {found} bytes instead of {recorded}: ")?;
                let (less, more) = (
                    lines_recorded.saturating_sub(*lines_found),
                    lines_found.saturating_sub(*lines_recorded),
                );
                match (less, more) {
                    (0, 0) => write!(f, "the number of lines is right, some were changed"),
                    (0, more) => write!(f, "{more} lines too many"),
                    (less, _) => write!(f, "{less} lines are missing"),
                }
            }
            Self::Content { path } => {
                write!(f, "{} was changed: its SHA-256 differs", path.display())
            }
        }
    }
}

/// Writes the manifest of a run that is complete.
///
/// # Errors
/// [`ManifestError`] when a file can't be read or written.
pub fn write(run_dir: &Path, summary: &Summary, plan: &str) -> Result<(), ManifestError> {
    let output = summary.output.as_ref().map(|output| output.path.clone());
    let output = output.filter(|path| path != Path::new("-"));
    let manifest = Manifest {
        units_in: summary.units_in,
        results: summary.results,
        outputs: summary.outputs,
        filtered: summary.filtered,
        dead: summary.dead,
        stages: summary.stages.clone(),
        attempts: summary.attempts,
        duplicates_discarded: summary.duplicates_discarded,
        output: output.map(|path| facts(&path)).transpose()?,
        dead_letters: summary.dead_letters.as_ref().map(|path| facts(path)).transpose()?,
        plan: plan.to_owned(),
    };
    let path = run_dir.join(FILE);
    let draft = run_dir.join("manifest.json.new");
    let json = serde_json::to_vec_pretty(&manifest)
        .map_err(|source| ManifestError::Malformed { path: path.clone(), source })?;
    let failed = |source| ManifestError::Io { action: "write", path: path.clone(), source };
    fs::write(&draft, json).map_err(failed)?;
    fs::File::open(&draft).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&draft, &path).map_err(failed)
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
    serde_json::from_slice(&json).map_err(|source| ManifestError::Malformed { path, source })
}

/// Compares a manifest with the files it speaks of; nothing is returned if all is well.
///
/// # Errors
/// [`ManifestError`] when a file that is there can't be read.
pub fn verify(manifest: &Manifest) -> Result<Vec<Finding>, ManifestError> {
    let mut findings = Vec::new();
    let outcomes = manifest.results + manifest.filtered + manifest.dead;
    if outcomes != manifest.units_in {
        findings.push(Finding::Unbalanced { units_in: manifest.units_in, outcomes });
    }
    for recorded in manifest.output.iter().chain(&manifest.dead_letters) {
        let path = recorded.path.clone();
        if !path.exists() {
            findings.push(Finding::Missing { path });
            continue;
        }
        let found = facts(&path)?;
        if found.bytes != recorded.bytes {
            findings.push(Finding::Length {
                path,
                recorded: recorded.bytes,
                found: found.bytes,
                lines_recorded: recorded.lines,
                lines_found: found.lines,
            });
        } else if found.sha256 != recorded.sha256 {
            findings.push(Finding::Content { path });
        }
    }
    Ok(findings)
}

fn facts(path: &Path) -> Result<FileFacts, ManifestError> {
    let failed = |source| ManifestError::Io { action: "read", path: path.into(), source };
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let (mut bytes, mut lines) = (0, 0);
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        bytes += count as u64;
        lines += buffer[..count].iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    Ok(FileFacts { path, bytes, lines, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(folder: &Path) -> Manifest {
        let output = folder.join("out.jsonl");
        fs::write(&output, "1\n4\n9\n").unwrap();
        let summary = Summary {
            units_in: 3,
            results: 3,
            outputs: 3,
            output: Some(crate::summary::OutputFacts { path: output, bytes: 6 }),
            ..Summary::default()
        };
        write(folder, &summary, "plan").unwrap();
        read(folder).unwrap()
    }

    fn told(folder: &Path, content: Option<&str>) -> Vec<String> {
        let manifest = finished(folder);
        let output = folder.join("out.jsonl");
        match content {
            Some(content) => fs::write(output, content).unwrap(),
            None => fs::remove_file(output).unwrap(),
        }
        let name = format!("{}/", folder.display());
        verify(&manifest).unwrap().iter().map(|f| f.to_string().replace(&name, "")).collect()
    }

    #[test]
    fn an_output_as_it_was_is_in_order() {
        let folder = tempfile::tempdir().unwrap();
        assert!(told(folder.path(), Some("1\n4\n9\n")).is_empty());
    }

    #[test]
    fn what_is_missing_doubled_or_changed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let told = |content| told(folder.path(), content);
        assert_eq!(
            told(Some("1\n9\n")),
            ["out.jsonl has 4 bytes instead of 6: 1 lines are missing"]
        );
        assert_eq!(
            told(Some("1\n4\n4\n9\n")),
            ["out.jsonl has 8 bytes instead of 6: 1 lines too many"]
        );
        assert_eq!(told(Some("1\n5\n9\n")), ["out.jsonl was changed: its SHA-256 differs"]);
        assert_eq!(told(None), ["out.jsonl is missing"]);
    }

    #[test]
    fn counts_that_do_not_add_up_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = Manifest { dead: 1, ..finished(folder.path()) };
        assert_eq!(verify(&manifest).unwrap(), [Finding::Unbalanced { units_in: 3, outcomes: 4 }]);
    }
}
