//! What a run amounted to.
//!
//! Owns the facts of a finished run, their JSON (for `--summary FILE`) and their look on a terminal.
//! Refuses to gather them: the sink's loop fills them in.

use std::fmt;
use std::path::PathBuf;

use hdrhistogram::Histogram;
use proto::turned_away::TurnedAway;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    figures::{Grid, Side, counted, label, micros, seconds, thousands},
    workers,
};
use crate::aggregate::Table;

/// The facts of a run, as the sink has recorded them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Units that the source gave.
    pub units_in: u64,
    /// Units that ended with one output or more.
    pub results: u64,
    /// Outputs written; more than `results` where a stage made several of one unit.
    pub outputs: u64,
    /// Units that a worker gave no output for.
    pub filtered: u64,
    /// Units that failed for good.
    pub dead: u64,
    /// Tries of units that workers of the first stage began, copies and retries included, over all
    /// starts of the ventilator; of one that was killed, only those that led to what was committed
    /// by then. What a worker gave back, or left behind, without having begun it is none.
    pub attempts: u64,
    /// Results that came a second time and were not recorded again, over all starts of the sink; of
    /// one that was killed, as many as there were when it last recorded something.
    pub duplicates_discarded: u64,
    /// The most separate ranges of committed units that the sink had to know at once, since it last
    /// started: one for each unit, or row of units, that was late. Each takes some 100 bytes there,
    /// and there are never more than units in flight.
    pub ranges_max: u64,
    /// Seconds from the ventilator's first word to the last commit, since the sink last started.
    pub seconds: f64,
    /// Units committed in a second, over all of that time.
    pub units_per_second: f64,
    /// Milliseconds from the loss of a worker of the first stage until all of its units were
    /// with others, the longest; none in a run without a loss.
    pub recovery_ms: Option<f64>,
    /// What the processes of the run have turned away, since each of them last started.
    pub turned_away: TurnedAway,
    /// Microseconds that a unit took in a worker.
    pub service_us: Option<Percentiles>,
    /// Microseconds from a unit's leaving the ventilator to its commit.
    pub latency_us: Option<Percentiles>,
    /// What each worker did.
    pub workers: Vec<WorkerShare>,
    /// What passed through each stage, in their order.
    pub stages: Vec<StageFlow>,
    /// What was written, where there is an output.
    pub output: Option<OutputFacts>,
    /// Where the dead letters are, where there are any.
    pub dead_letters: Option<PathBuf>,
    /// What [`Aggregates::report`](crate::aggregate::Aggregates::report) gave.
    pub aggregates: Option<Value>,
}

/// Some percentiles of a duration, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// The 90th.
    pub p90: f64,
    /// The 99th.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// What one worker did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerShare {
    /// Its name.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// How many units it finished.
    pub units: u64,
    /// The share of the run's time that it was computing, or had any unit open, from 0 to 1.
    pub busy: f64,
    /// How many units it had open at once in that time, in the mean: 1 unless it may have several.
    #[serde(default)]
    pub open: f64,
}

/// What passed through one stage, in units of the source that are committed: over all restarts,
/// and each unit once, however many outputs it became.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StageFlow {
    /// Its name.
    pub name: String,
    /// Units that reached it, or of which an output did.
    pub units_in: u64,
    /// Those that left it as a result, for the next stage or the sink.
    pub results: u64,
    /// Those of which nothing was left here.
    pub filtered: u64,
    /// Those that failed for good here.
    pub dead: u64,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OutputFacts {
    /// The file; `-` is standard output.
    pub path: PathBuf,
    /// Its length; of a stream what went through it.
    pub bytes: u64,
}

impl Percentiles {
    /// Those of microseconds; `None` when there are none.
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        let at = |share| histogram.value_at_quantile(share) as f64;
        Some(Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: histogram.max() as f64 })
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, max] = [self.p50, self.p90, self.p99, self.max].map(micros);
        write!(f, "p50 {p50}, p90 {p90}, p99 {p99}, max {max}")
    }
}

impl Summary {
    /// Whether every unit has exactly one outcome: `units_in = results + filtered + dead`.
    pub fn is_balanced(&self) -> bool {
        let outcomes = self.results.checked_add(self.filtered);
        outcomes.and_then(|sum| sum.checked_add(self.dead)) == Some(self.units_in)
    }

    fn outcomes(&self) -> Vec<Vec<String>> {
        let count =
            |name: &str, count: u64, note: String| vec![name.to_owned(), thousands(count), note];
        let outputs = match self.outputs {
            outputs if outputs == self.results => String::new(),
            outputs => counted(outputs, ["output", "outputs"]),
        };
        let letters = self.dead_letters.as_ref();
        let letters = letters.map_or(String::new(), |path| path.display().to_string());
        let duplicates = match self.duplicates_discarded {
            0 => String::new(),
            count => counted(count, ["duplicate discarded", "duplicates discarded"]),
        };
        let unbalanced = match self.is_balanced() {
            true => String::new(),
            false => "not equal to results + filtered + dead".to_owned(),
        };
        vec![
            count("units in", self.units_in, unbalanced),
            count("results", self.results, outputs),
            count("filtered", self.filtered, String::new()),
            count("dead", self.dead, letters),
            count("attempts", self.attempts, duplicates),
        ]
    }

    fn facts(&self) -> Vec<Vec<String>> {
        let rate = thousands(self.units_per_second.round() as u64);
        let mut time = format!("{}, {rate} units/s", seconds(self.seconds));
        if let Some(ms) = self.recovery_ms {
            time += &format!(", recovered in {}", micros(ms * 1e3));
        }
        let output = self.output.as_ref().map(|output| {
            let bytes = counted(output.bytes, ["byte", "bytes"]);
            match output.path.to_str() {
                Some("-") => format!("standard output, {bytes}"),
                _ => format!("{}, {bytes}", output.path.display()),
            }
        });
        let turned_away = self.turned_away.told();
        let turned_away =
            turned_away.iter().map(|(count, what)| format!("{} {what}", thousands(count)));
        let turned_away = turned_away.reduce(|all, next| all + ", " + &next);
        let facts = [
            ("time", Some(time)),
            ("service", self.service_us.map(|p| p.to_string())),
            ("latency", self.latency_us.map(|p| p.to_string())),
            ("output", output),
            ("refused", turned_away),
        ];
        let row = |(name, fact): (&str, Option<String>)| Some(vec![name.to_owned(), fact?]);
        facts.into_iter().filter_map(row).collect()
    }

    fn stage_rows(&self) -> Vec<Vec<String>> {
        let mut rows =
            vec![["stage", "in", "results", "filtered", "dead"].map(str::to_owned).to_vec()];
        rows.extend(self.stages.iter().map(|stage| {
            let counts = [stage.units_in, stage.results, stage.filtered, stage.dead];
            [label(&stage.name)].into_iter().chain(counts.map(thousands)).collect()
        }));
        rows
    }
}

impl fmt::Display for Summary {
    /// For a terminal: outcomes, times, stages, workers, and the aggregates last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LEFT: &[Side] = &[Side::Left];
        const COUNTED: &[Side] = &[Side::Left, Side::Right, Side::Left];
        const STAGES: &[Side] = &[Side::Left, Side::Right];
        const WORKERS: &[Side] = &[Side::Left, Side::Left, Side::Right];
        let grid = |sides, rows| Grid { sides, rows };
        write!(f, "{}", grid(COUNTED, self.outcomes()))?;
        write!(f, "\n{}", grid(LEFT, self.facts()))?;
        if !self.stages.is_empty() {
            write!(f, "\n{}", grid(STAGES, self.stage_rows()))?;
        }
        if !self.workers.is_empty() {
            write!(f, "\n{}", grid(WORKERS, workers::rows(&self.workers)))?;
        }
        match &self.aggregates {
            Some(report) => write!(f, "\n{}", Table(report)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn worker(name: &str, units: u64, busy: f64) -> WorkerShare {
        let stage = "factorize".to_owned();
        WorkerShare { name: name.to_owned(), stage, units, busy, open: 1.0 }
    }

    fn summary() -> Summary {
        Summary {
            units_in: 100_000,
            results: 99_990,
            outputs: 99_990,
            filtered: 7,
            dead: 3,
            attempts: 100_012,
            duplicates_discarded: 4,
            ranges_max: 3,
            seconds: 1.8437,
            units_per_second: 54_238.7,
            recovery_ms: Some(120.4),
            turned_away: TurnedAway { connections: 12, malformed: 3456, ..TurnedAway::default() },
            service_us: Some(Percentiles { p50: 12.0, p90: 40.0, p99: 90.0, max: 1_234.0 }),
            latency_us: Some(Percentiles {
                p50: 2_000.0,
                p90: 3_100.0,
                p99: 9_000.0,
                max: 1_200_000.0,
            }),
            workers: vec![
                worker("factorize-1", 50_012, 0.934),
                worker("factorize-2", 50_000, 0.91),
            ],
            stages: vec![StageFlow {
                name: "factorize".to_owned(),
                units_in: 100_000,
                results: 99_990,
                filtered: 7,
                dead: 3,
            }],
            output: Some(OutputFacts { path: "results.jsonl".into(), bytes: 1_234_567 }),
            dead_letters: Some("results.jsonl.dead.jsonl".into()),
            aggregates: Some(json!({"count": 99_990, "sum": 4_999_950_000u64, "p99": 98_304})),
        }
    }

    #[test]
    fn a_person_reads_the_whole_run() {
        assert_eq!(
            summary().to_string(),
            "\
units in  100,000
results    99,990
filtered        7
dead            3  results.jsonl.dead.jsonl
attempts  100,012  4 duplicates discarded

time     1.84 s, 54,239 units/s, recovered in 120.40 ms
service  p50 12 µs, p90 40 µs, p99 90 µs, max 1.23 ms
latency  p50 2.00 ms, p90 3.10 ms, p99 9.00 ms, max 1.20 s
output   results.jsonl, 1,234,567 bytes
refused  12 connections without the key, 3,456 malformed frames

stage           in  results  filtered  dead
factorize  100,000   99,990         7     3

worker       stage       units  busy
factorize-1  factorize  50,012  93 %
factorize-2  factorize  50,000  91 %

count         99,990
sum    4,999,950,000
p99           98,304
"
        );
    }

    #[test]
    fn how_many_units_were_open_is_told_where_they_were_several() {
        let waits = WorkerShare { open: 487.26, ..worker("fetch-1", 2_000, 0.99) };
        let summary = Summary { workers: vec![waits], ..Summary::default() };
        let text = summary.to_string();
        assert!(
            text.contains(
                "\
worker   stage      units  busy  open at once
fetch-1  factorize  2,000  99 %         487.3
"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_there_is_not_is_not_shown() {
        let plain = Summary {
            units_in: 2,
            results: 2,
            outputs: 5,
            attempts: 2,
            seconds: 75.0,
            ..Summary::default()
        };
        let piped = OutputFacts { path: "-".into(), bytes: 1_400 };
        let printed = Summary { output: Some(piped), ..plain.clone() }.to_string();
        assert!(printed.ends_with("\noutput  standard output, 1,400 bytes\n"), "{printed}");
        assert_eq!(
            plain.to_string(),
            "\
units in  2
results   2  5 outputs
filtered  0
dead      0
attempts  2

time  1 min 15 s, 0 units/s
"
        );
    }

    #[test]
    fn an_unbalanced_run_says_so() {
        let lost = Summary { units_in: 100_001, ..summary() };
        assert!(!lost.is_balanced() && summary().is_balanced());
        let text = lost.to_string();
        let first = text.lines().next().unwrap();
        assert_eq!(first, "units in  100,001  not equal to results + filtered + dead");
    }

    #[test]
    fn the_json_is_read_back() {
        let json = serde_json::to_string(&summary()).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary());
    }

    #[test]
    fn percentiles_of_nothing_are_none() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        assert_eq!(Percentiles::of(&histogram), None);
        histogram.record(7).unwrap();
        assert_eq!(Percentiles::of(&histogram).unwrap().p99, 7.0);
    }
}
