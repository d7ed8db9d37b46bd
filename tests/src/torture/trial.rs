//! A topology run calmly, and run again under faults, and the two compared.
//!
//! Owns the topology, the one that it becomes on the way, and what must be true after an ordeal: the output byte for byte, the
//! manifest, the aggregates, the exit code, and that nobody is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::kin;
use super::ordeal::{Change, Ordeal, Trouble};
use super::schedule::{Fault, Faults, Tally, schedule};
use crate::outcome::json;
use crate::place::Place;
use crate::process::Ended;

/// How much of a process's last words is shown.
const LAST_WORDS_LINES: usize = 30;
/// A peer that is silent for so long is given up; short, so that being stopped matters soon.
pub(super) const LIVENESS: Duration = Duration::from_secs(1);

/// What is run: numbers are factored, and pass through a second stage.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// How many.
    pub units: u64,
    /// The first number; the larger, the longer a unit takes.
    pub first: u64,
    /// So long is a process stopped; the liveness limit is a second.
    pub stop_lasts: Duration,
}

/// What the run without faults gave.
#[derive(Debug, Clone)]
pub struct Calm {
    /// The SHA-256 of its output.
    pub sha256: String,
    /// The length of its output.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    pub(super) summary: Value,
}

/// What a run with faults gave.
#[derive(Debug, Clone)]
pub struct Torn {
    /// The faults that came about.
    pub tally: Tally,
    /// How long it took.
    pub took: Duration,
    /// The last launcher's summary; none if it was killed after the end of the run.
    pub summary: Option<Value>,
}

impl Course {
    /// Runs it without faults.
    ///
    /// # Errors
    /// [`Trouble`] when even that goes wrong.
    pub fn calm(&self, place: &Place) -> Result<Calm, Trouble> {
        let begin = Instant::now();
        let (ended, _) = self.ordeal(place, "calm").suffer(&[], 0)?;
        let took = begin.elapsed();
        let output = judge(place, "calm", &ended)?;
        let summary = json(&place.path("calm/summary.json"));
        let bytes = fs::metadata(&output).map_or(0, |data| data.len());
        Ok(Calm { sha256: sha256(&output), bytes, took, summary })
    }

    /// Runs it in the folder `name` under the faults of a seed, and compares. Once its launcher was killed, a
    /// topology whose second stage is another program, which gives the same, is accepted.
    ///
    /// # Errors
    /// [`Trouble`] when anything differs from the calm run.
    pub fn torn(
        &self,
        place: &Place,
        name: &str,
        calm: &Calm,
        (seed, faults): (u64, Faults),
    ) -> Result<Torn, Trouble> {
        let change = Change {
            path: place.path(name).join("course.toml"),
            text: self.topology("pipe    = [\"cat\"]"),
        };
        let ordeal = self.ordeal(place, name).accepting(change);
        let faults = schedule(&mut Rng::with_seed(seed), faults);
        let torn = compared(ordeal, (place, name), calm, &faults)?;
        assert_versions(place, name, 1 + torn.tally.changes())?;
        Ok(torn)
    }

    /// Runs it in the folder `name` under these faults, and compares.
    ///
    /// # Errors
    /// As [`Course::torn`].
    pub fn under(
        &self,
        place: &Place,
        name: &str,
        calm: &Calm,
        faults: &[Fault],
    ) -> Result<Torn, Trouble> {
        compared(self.ordeal(place, name), (place, name), calm, faults)
    }

    fn ordeal<'a>(&self, place: &'a Place, name: &str) -> Ordeal<'a> {
        let folder = place.path(name);
        fs::create_dir_all(&folder).expect("the scenario's folder can be written");
        let topology =
            place.write(&format!("{name}/course.toml"), self.topology("run     = \"echo\""));
        let summary = folder.join("summary.json");
        let liveness = format!("limits.liveness_ms={}", LIVENESS.as_millis());
        let heartbeat = format!("limits.heartbeat_interval_ms={}", LIVENESS.as_millis() / 5);
        let [topology, summary] = [&topology, &summary].map(|path| path.display().to_string());
        let args =
            ["up", &topology, "--summary", &summary, "--set", &liveness, "--set", &heartbeat];
        Ordeal::begin(place, &args, folder.join("out.jsonl"), self.stop_lasts)
    }

    /// With this function in its second stage.
    fn topology(&self, second: &str) -> String {
        let (first, last) = (self.first, self.first + self.units - 1);
        format!(
            r#"name = "course"

[source]
kind = "range"
from = {first}
to   = {last}

[[stage]]
name    = "factor"
run     = "factor-sum"
workers = 2

[[stage]]
name    = "pass"
{second}
workers = 2

[sink]
output    = "out.jsonl"
order     = "input"
aggregate = ["count", "sum", "min", "max", "p99"]
"#
        )
    }
}

/// A run under these faults, held against the calm one.
fn compared(
    ordeal: Ordeal<'_>,
    (place, name): (&Place, &str),
    calm: &Calm,
    faults: &[Fault],
) -> Result<Torn, Trouble> {
    let begin = Instant::now();
    let (ended, tally) = ordeal.suffer(faults, calm.bytes)?;
    let took = begin.elapsed();
    let output = judge(place, name, &ended)?;
    let found = sha256(&output);
    if found != calm.sha256 {
        return Err(Trouble::Output { found, expected: calm.sha256.clone() });
    }
    let path = place.path(name).join("summary.json");
    let summary = path.exists().then(|| json(&path));
    if let Some(summary) = &summary {
        compare(summary, &calm.summary)?;
    }
    Ok(Torn { tally, took, summary })
}

/// The manifest tells so many versions of the topology.
fn assert_versions(place: &Place, name: &str, expected: usize) -> Result<(), Trouble> {
    let manifest = json(&place.path(name).join(".pipeline/course/manifest.json"));
    match manifest["versions"].as_array().map_or(1, Vec::len) {
        found if found == expected => Ok(()),
        found => Err(Trouble::Figure {
            name: "versions",
            found: found.to_string(),
            expected: expected.to_string(),
        }),
    }
}

/// What holds for every run, whatever befell it; its output.
fn judge(place: &Place, name: &str, ended: &Ended) -> Result<PathBuf, Trouble> {
    if ended.code != Some(0) {
        let (program, last_words) = ("pipeline up".to_owned(), last_words(&ended.stderr));
        return Err(Trouble::Code { program, code: ended.code, last_words });
    }
    let pids = kin::dwellers(place.folder());
    if !pids.is_empty() {
        return Err(Trouble::LeftBehind { pids });
    }
    let run_dir = place.path(name).join(".pipeline/course");
    let verified = place.run("pipeline", &["verify", &run_dir.display().to_string()]);
    if verified.code != Some(0) {
        let findings = verified.stdout + &verified.stderr;
        return Err(Trouble::Verify { findings });
    }
    Ok(place.path(name).join("out.jsonl"))
}

/// The end of what a process has said.
pub(crate) fn last_words(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().collect();
    lines[lines.len().saturating_sub(LAST_WORDS_LINES)..].join("\n")
}

/// What was done in the stages and by each worker is counted since the last ventilator's start,
/// and so not compared.
pub(super) fn compare(summary: &Value, calm: &Value) -> Result<(), Trouble> {
    for name in ["units_in", "results", "outputs", "filtered", "dead", "aggregates"] {
        if summary[name] != calm[name] {
            let [found, expected] = [summary, calm].map(|facts| facts[name].to_string());
            return Err(Trouble::Figure { name, found, expected });
        }
    }
    Ok(())
}

/// The SHA-256 of a file in hexadecimal.
///
/// # Panics
/// When it can't be read.
pub fn sha256(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
