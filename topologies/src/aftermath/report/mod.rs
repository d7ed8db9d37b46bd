//! How a run went, from what its run directory keeps.
//!
//! Owns which facts a report has; refuses to ask anything that runs. What is not kept, since a process was
//! killed or the run is of an older program, is left out and said so.
//!
//! | | |
//! | --- | --- |
//! | `failures.rs` | what failed, by kind |
//! | `slowest.rs` | the units that took longest |
//! | `html.rs`, `chart.rs` | all of it as one file for people |

mod chart;
mod failures;
mod html;
mod slowest;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use proto::causes::with_causes;
use serde::Serialize;
use sink::{DeadLetter, Summary, figures::counted, retry, run_dir::RunDir};

pub use self::html::{MARK, html};
use self::{failures::Failure, slowest::Slow};
use crate::runs::{history::History, history_file};

/// See the module.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where the run is kept.
    pub run_dir: PathBuf,
    /// What it gave; none of a run that is not finished.
    pub summary: Option<Summary>,
    /// How it went on over time, if its launcher has kept that.
    pub history: Option<History>,
    /// What failed in the first stage and was tried again or not, by kind, the most frequent first.
    pub failures: Vec<Failure>,
    /// The units that failed for good, by stage and kind.
    pub dead: Vec<Failure>,
    /// The units that took longest from their leaving to their commit.
    pub slowest: Vec<Slow>,
}

impl Report {
    /// Of the run in a directory.
    ///
    /// # Errors
    /// Why it can't be read, in words.
    pub fn of(run_dir: &Path) -> Result<Self, String> {
        let opened = RunDir::open(run_dir).map_err(|error| with_causes(&error))?;
        let summary = opened.summary().map_err(|error| with_causes(&error))?;
        // Those of a run that is not finished are not all there, and may be taken back.
        let letters = retry::letters(&opened).map_or_else(|_| Vec::new(), |(_, letters)| letters);
        let told = |error: io::Error| format!("{}: {error}", run_dir.display());
        Ok(Self {
            run_dir: run_dir.into(),
            summary,
            history: history_file::read(run_dir),
            failures: failures::in_diary(run_dir).map_err(told)?,
            dead: dead(&letters),
            slowest: slowest::slowest(run_dir).map_err(told)?,
        })
    }
}

fn dead(letters: &[DeadLetter]) -> Vec<Failure> {
    let all = letters.iter().map(|letter| (Some(letter.stage.clone()), letter.error.as_str()));
    failures::by_kind(all)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.summary {
            Some(summary) => write!(f, "{summary}")?,
            None => writeln!(f, "the run in {} is not finished", self.run_dir.display())?,
        }
        for (title, failures) in
            [("failures of the first stage", &self.failures), ("dead", &self.dead)]
        {
            if !failures.is_empty() {
                writeln!(f, "{title}")?;
            }
            for failure in failures {
                let stage =
                    failure.stage.as_deref().map_or(String::new(), |name| format!("{name}: "));
                writeln!(f, "  {:>9} × {stage}{}", failure.count, failure.kind)?;
            }
        }
        if !self.slowest.is_empty() {
            writeln!(f, "slowest units")?;
        }
        for slow in &self.slowest {
            let others = match slow.count {
                1 => String::new(),
                count => format!(" and {} behind it", counted(count - 1, ["unit", "units"])),
            };
            writeln!(f, "  {:>9} ms  unit {}{others}, {}", slow.ms, slow.unit, slow.worker)?;
        }
        Ok(())
    }
}
