//! `pipeline sim`: the rules of a topology's processes under simulated faults, seed by seed.
//!
//! Owns its flags and the form of its answers; what a run is, and when it is clean, is
//! [`simulation`]'s.

use std::{
    io::{self, Write},
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use clap::{ArgAction, Args, builder::PossibleValue};
use proto::process::exit_code;
use serde_json::{Map, Value, json};
use simulation::{
    Coverage, Extent, FaultKind, Faults, Job, Scenario, SeedReport, Seen, run, trace,
};
use tracing::subscriber::{NoSubscriber, with_default};

use super::{Format, load, print};
use crate::up::exit;

/// A promise was broken.
const FOUND: i32 = 1;
/// Progress is told as often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Simulates runs of a topology's shape with faults drawn from seeds; exit code 1 if a promise is
/// broken.
///
/// The rules of all processes are the real ones; source, functions, network, clock and disk are
/// models. The same seed gives the same run.
#[derive(Debug, Args)]
pub(super) struct SimArgs {
    /// The topology
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Change the topology first, as in --set stage.square.workers=4
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// How many seeds
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "K", default_value = "0")]
    first_seed: u64,
    /// What may go wrong: all, none, or some of loss, delay, duplicate, kill, crash, stop, partition,
    /// leave
    #[arg(long, value_name = "FAULTS", default_value = "all", value_delimiter = ',')]
    faults: Vec<Fault>,
    /// Units in the source of each run
    #[arg(long, value_name = "U", default_value = "120", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    units: u64,
    /// Print everything that happens in the first seed, and run no other
    #[arg(long, action = ArgAction::SetTrue)]
    trace: bool,
    /// How findings are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// A value of `--faults`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    All,
    None,
    Of(FaultKind),
}

impl clap::ValueEnum for Fault {
    fn value_variants<'a>() -> &'a [Self] {
        use FaultKind::{Crash, Delay, Drain, Duplicate, Kill, Leave, Loss, Partition, Stop};
        const {
            &[
                Fault::All,
                Fault::None,
                Fault::Of(Loss),
                Fault::Of(Delay),
                Fault::Of(Duplicate),
                Fault::Of(Kill),
                Fault::Of(Crash),
                Fault::Of(Stop),
                Fault::Of(Partition),
                Fault::Of(Leave),
                Fault::Of(Drain),
            ]
        }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::All => Some(PossibleValue::new("all")),
            Self::None => Some(PossibleValue::new("none")),
            Self::Of(kind) => kind.to_possible_value(),
        }
    }
}

/// What all seeds together gave.
#[derive(Default)]
struct Sum {
    seeds: u64,
    events: u64,
    coverage: Coverage,
    failed: Vec<SeedReport>,
    took: Duration,
}

impl SimArgs {
    pub(super) fn run(self) -> ExitCode {
        let topology = match load(&self.file, &self.sets) {
            Ok(topology) => topology,
            Err(code) => return code,
        };
        let stages = topology.stages.iter().map(|spec| (spec.workers, &spec.stage));
        let scenario = Scenario::of(stages).with_faults(self.faults()).with_units(self.units);
        exit_code(if self.trace { self.trace(&scenario) } else { self.search(&scenario) })
    }

    fn faults(&self) -> Faults {
        if self.faults.contains(&Fault::All) {
            return Faults::all();
        }
        let kinds = self.faults.iter().filter_map(|fault| match fault {
            Fault::Of(kind) => Some(*kind),
            Fault::All | Fault::None => None,
        });
        Faults::of(&kinds.collect::<Vec<_>>())
    }

    /// One seed, line by line.
    fn trace(&self, scenario: &Scenario) -> i32 {
        let outcome = quietly(|| run(self.first_seed, scenario));
        let mut text = quietly(|| trace(self.first_seed, scenario)).join("\n");
        let verdict = outcome.failure.as_ref().map(|failure| failure.broken.to_string());
        let verdict = verdict.unwrap_or_else(|| "clean".into());
        text.push_str(&format!("\nseed {}: {verdict}\n", self.first_seed));
        match print(&text) {
            exit::COMPLETE if !outcome.is_clean() => FOUND,
            code => code,
        }
    }

    fn search(&self, scenario: &Scenario) -> i32 {
        let sum = self.try_all(scenario);
        let text = match self.output {
            Format::Text => self.text(&sum),
            Format::Json => format!("{:#}\n", self.json(&sum)),
        };
        match print(&text) {
            exit::COMPLETE if !sum.failed.is_empty() => FOUND,
            code => code,
        }
    }

    /// All seeds, on all cores.
    fn try_all(&self, scenario: &Scenario) -> Sum {
        let began = Instant::now();
        let last = self.first_seed.saturating_add(self.seeds);
        let next = AtomicU64::new(self.first_seed);
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut sum = Sum::default();
        thread::scope(|scope| {
            let (done, outcomes) = mpsc::channel();
            for _ in 0..cores {
                let (done, next) = (done.clone(), &next);
                scope.spawn(move || {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= last || done.send(quietly(|| run(seed, scenario))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(done);
            let mut told = began;
            for outcome in outcomes {
                self.take(&mut sum, outcome);
                if told.elapsed() >= PROGRESS_INTERVAL {
                    told = Instant::now();
                    let (done, of, found) = (sum.seeds, self.seeds, sum.failed.len());
                    let _ = writeln!(io::stderr(), "{done} of {of} seeds, {found} failed");
                }
            }
        });
        sum.failed.sort_by_key(|outcome| outcome.seed);
        Sum { took: began.elapsed(), ..sum }
    }

    fn take(&self, sum: &mut Sum, outcome: SeedReport) {
        sum.seeds += 1;
        sum.events += outcome.events;
        sum.coverage.add(&outcome.coverage);
        if let Some(failure) = &outcome.failure {
            let _ = writeln!(io::stderr(), "seed {}: {}", outcome.seed, failure.broken);
            sum.failed.push(outcome);
        }
    }

    /// The command that shows this seed again.
    fn again(&self, seed: u64) -> String {
        let sets: String = self.sets.iter().map(|set| format!(" --set '{set}'")).collect();
        let Self { file, units, .. } = self;
        let (file, faults) = (file.display(), self.faults());
        format!(
            "pipeline sim {file}{sets} --first-seed {seed} --faults {faults} --units {units} --trace"
        )
    }

    fn text(&self, sum: &Sum) -> String {
        let seconds = sum.took.as_secs_f64();
        let each = seconds * 1e3 / sum.seeds.max(1) as f64;
        let mut text = format!("{}", sum.coverage);
        text.push_str(&format!(
            "{} seeds of {} units, faults: {}; {} events, {seconds:.1} s, {each:.1} ms a seed\n",
            sum.seeds,
            self.units,
            self.faults(),
            sum.events,
        ));
        for outcome in &sum.failed {
            let broken = outcome.failure.iter().map(|failure| failure.broken.to_string());
            let broken: String = broken.collect();
            let again = self.again(outcome.seed);
            text.push_str(&format!("seed {}: {broken}\n  once more: {again}\n", outcome.seed));
        }
        text.push_str(if sum.failed.is_empty() { "clean\n" } else { "not clean\n" });
        text
    }

    fn json(&self, sum: &Sum) -> Value {
        let counted =
            Seen::ALL.iter().map(|seen| (seen.name().into(), json!(sum.coverage.of(*seen))));
        let counted: Map<String, Value> = counted.collect();
        let died = Job::ALL.map(|job| {
            let count = |extent: &Extent| sum.coverage.died_during(job, *extent);
            (job.name().into(), json!(Extent::ALL.iter().map(count).sum::<u64>()))
        });
        let died: Map<String, Value> = died.into_iter().collect();
        let failed = sum.failed.iter().map(|outcome| {
            let broken = outcome.failure.as_ref().map(|failure| failure.broken.to_string());
            json!({ "seed": outcome.seed, "broken": broken, "again": self.again(outcome.seed) })
        });
        json!({
            "clean": sum.failed.is_empty(),
            "first_seed": self.first_seed,
            "seeds": sum.seeds,
            "units": self.units,
            "faults": self.faults().to_string(),
            "events": sum.events,
            "seconds": sum.took.as_secs_f64(),
            "failed": failed.collect::<Vec<_>>(),
            "seen": counted,
            "deaths": died,
        })
    }
}

/// The rules log what they would log in a real process; thousands of them tell nobody anything.
fn quietly<T>(simulate: impl FnOnce() -> T) -> T {
    with_default(NoSubscriber::default(), simulate)
}
