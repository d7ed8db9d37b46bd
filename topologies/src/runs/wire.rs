//! What is asked of a launcher, and answered: one line of JSON each.
//!
//! Owns their form and its version; refuses to carry either anywhere. A launcher and whoever asks it
//! may be of two builds of this program.

use proto::{
    frame::{OpenUnit, Passed},
    service::Standing,
    spread::Spread,
    unit::UnitName,
    value::to_json,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of both.
pub const VERSION: u32 = 1;
/// A request that is longer is none.
pub const LINE_BYTES_MAX: u64 = 16 << 10;
/// The same of an answer.
pub const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// A stage whose workers are busy for this share limits the run.
const LIMITING: f64 = 0.8;

/// One line to a launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked of a launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// How far the run has got.
    Status,
    /// The same, and how each stage and each worker does.
    Details,
    /// To be told when it is over.
    Wait,
    /// To end it, and to be told when it is over.
    Down {
        /// Without finishing anything.
        now: bool,
    },
    /// To send no more units.
    Pause,
    /// To send units again.
    Resume,
    /// To have so many workers in a stage.
    Scale {
        /// Its name.
        stage: String,
        /// How many.
        workers: u32,
    },
    /// To start the workers of a stage anew, one after the other.
    Restart {
        /// Its name.
        stage: String,
    },
}

impl Request {
    /// A request of this version.
    pub fn new(ask: Ask) -> Self {
        Self { version: VERSION, ask }
    }
}

/// One line from a launcher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// [`VERSION`].
    pub version: u32,
    /// What is answered.
    pub reply: Reply,
}

/// What a launcher answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// How far the run has got.
    Status(Status),
    /// The same, and how each stage and each worker does.
    Details(Box<Details>),
    /// It is done, or under way; in words.
    Done(String),
    /// It is not done.
    Refused {
        /// The code to leave with.
        code: i32,
        /// Why not.
        problem: String,
    },
    /// The run is over, with this exit code.
    Over(i32),
}

impl Answer {
    /// An answer of this version.
    pub fn new(reply: Reply) -> Self {
        Self { version: VERSION, reply }
    }
}

/// What a run is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Ventilator and sink have not met yet.
    #[default]
    Starting,
    /// Units are sent.
    Running,
    /// No further units are sent until someone says so.
    Paused,
    /// What is being worked on is finished.
    Draining,
    /// Everything is recorded, or given up; the processes leave.
    Ending,
}

impl State {
    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Ending => "ending",
        }
    }
}

/// How far a run has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What it is about.
    pub state: State,
    /// Units with an outcome.
    pub done: u64,
    /// All units, once known.
    pub total: Option<u64>,
    /// Units a second, of late.
    pub rate: f64,
    /// Seconds until all are done at that rate.
    pub left_s: Option<u64>,
    /// Workers that take part.
    pub workers: u32,
    /// Units that failed for good.
    pub dead: u64,
    /// Of a service: what waits, and what is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Standing>,
}

/// How each stage and each worker does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// How far the run has got.
    pub status: Status,
    /// Units that were read from the source.
    #[serde(default)]
    pub read: u64,
    /// The unit that the output has waited for, for a while.
    #[serde(default)]
    pub awaited: Option<u64>,
    /// In the order of the topology.
    pub stages: Vec<StageStanding>,
    /// Those that are there; not all of very many.
    pub workers: Vec<WorkerStanding>,
    /// The units that workers of the first stage have had longest.
    #[serde(default)]
    pub oldest: Vec<OpenUnit>,
    /// What passed of late, the oldest first.
    #[serde(default)]
    pub passed: Vec<PassedSample>,
}

/// A result as it passed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PassedSample {
    /// Each has a higher one than those before.
    pub number: u64,
    /// The unit's name.
    pub unit: String,
    /// The stage that gave it.
    pub stage: String,
    /// The worker that gave it.
    pub worker: String,
    /// The value; none if it is too large to be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Bytes of the value.
    pub bytes: u64,
}

impl PassedSample {
    /// As it is told to those who look on; `stage` is the stage's name.
    pub fn of(passed: &Passed, stage: &str) -> Self {
        let Passed { number, worker, sample, .. } = passed;
        let mut json = Vec::new();
        let shown = !sample.value.is_empty() && to_json(&sample.value, &mut json).is_ok();
        Self {
            number: *number,
            unit: UnitName(sample.root, sample.indices.iter().copied()).to_string(),
            stage: stage.into(),
            worker: worker.clone(),
            value: shown.then(|| serde_json::from_slice(&json).ok()).flatten(),
            bytes: sample.bytes,
        }
    }
}

impl Details {
    /// The stage whose workers are busiest, if they have little time left. Where none has, source or
    /// sink limit the run, or its own size.
    pub fn limiting(&self) -> Option<usize> {
        let busy = self.stages.iter().enumerate().filter(|(_, stage)| stage.busy >= LIMITING);
        busy.max_by(|(_, a), (_, b)| a.busy.total_cmp(&b.busy)).map(|(index, _)| index)
    }
}

/// How a stage does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StageStanding {
    /// Its name.
    pub name: String,
    /// Workers that are there.
    pub workers: u32,
    /// Units that they have executed.
    pub units: u64,
    /// Outputs that those gave.
    pub outputs: u64,
    /// Units a second, of late.
    pub rate: f64,
    /// The share of the time in which they had something to do, of late: from 0 to 1.
    pub busy: f64,
    /// Executions that failed, of those in `units`.
    #[serde(default)]
    pub failed: u64,
    /// Seconds from each unit's beginning to its end in the function, summed up.
    #[serde(default)]
    pub open_s: f64,
    /// Milliseconds in the function, at most, of half of the units of late.
    #[serde(default)]
    pub p50_ms: Option<f64>,
    /// The same of 99 in 100.
    #[serde(default)]
    pub p99_ms: Option<f64>,
    /// How long units took in the function: how many up to 2^i microseconds, from i = 0.
    #[serde(default)]
    pub spread: Spread,
}

impl StageStanding {
    /// Nothing is known of it yet.
    pub fn of(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// How a worker does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStanding {
    /// Its name.
    pub name: String,
    /// Its stage's.
    pub stage: String,
    /// Units that it has executed.
    pub units: u64,
    /// The share of the time in which it had something to do, of late: from 0 to 1.
    pub busy: f64,
}

impl Status {
    /// How far it has got, in as few words as possible: `41 %`, or `1,200 units`.
    pub fn reached(&self) -> String {
        match self.total {
            Some(total) if total > 0 => {
                format!("{} %", u128::from(self.done) * 100 / u128::from(total))
            }
            _ => sink::figures::counted(self.done, ["unit", "units"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another build of this program, or a script, may have written it.
    #[test]
    fn the_lines_are_as_they_are_documented() {
        let line = |ask| serde_json::to_string(&Request::new(ask)).unwrap();
        assert_eq!(line(Ask::Status), r#"{"version":1,"ask":"status"}"#);
        let scale = Ask::Scale { stage: "s".into(), workers: 2 };
        assert_eq!(line(scale), r#"{"version":1,"ask":{"scale":{"stage":"s","workers":2}}}"#);
        let over = serde_json::to_string(&Answer::new(Reply::Over(75))).unwrap();
        assert_eq!(over, r#"{"version":1,"reply":{"over":75}}"#);
    }

    #[test]
    fn what_is_reached_is_a_share_where_the_whole_is_known() {
        let status = |done, total| Status { done, total, ..Status::default() };
        assert_eq!(status(419, Some(1_000)).reached(), "41 %");
        assert_eq!(status(1_200, None).reached(), "1,200 units");
        assert_eq!(status(0, Some(0)).reached(), "0 units");
    }
}
