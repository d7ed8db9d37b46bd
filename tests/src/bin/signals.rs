//! Ends runs whose programs do what they can to go on, by one and by two signals, by kills and
//! calmly, and counts what is left: `cargo run --release -p tests --bin signals -- --runs 300`.
//!
//! Owns the flags, the order of the runs and the verdict's words.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fastrand::Rng;
use rustix::process::Signal;
use tests::place::Place;
use tests::stubborn::{End, KINDS, run_to};

/// The exit code when something was left, or a code was wrong.
const LEFT: u8 = 1;
/// The signals that ask for an end.
const SIGNALS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];
/// The longest time from the first unit to the end.
const DELAY_MS: u64 = 60;

/// Ends runs whose programs do what they can to go on, and counts what is left.
#[derive(Debug, Parser)]
struct Args {
    /// Runs with one signal, and as many with two; a tenth of it for each other way to end
    #[arg(long, default_value_t = 300)]
    runs: usize,
    /// Decides when each signal comes
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let few = args.runs.div_ceil(10);
    let once = SIGNALS.map(End::Once);
    let twice = SIGNALS.map(End::Twice);
    let to_all = SIGNALS.map(End::ToAll);
    let chapters: [(&str, usize, &[End]); 6] = [
        ("one signal", args.runs, &once),
        ("two signals", args.runs, &twice),
        ("a signal to every process", few, &to_all),
        ("a worker's SIGKILL, then two signals", few, &[End::WorkerKilled]),
        ("the launcher's SIGKILL", few, &[End::LauncherKilled]),
        ("no signal", few, &[End::Calm]),
    ];
    let (mut rng, mut troubles) = (Rng::with_seed(args.seed), 0);
    for (name, runs, ends) in chapters {
        let failed = chapter(runs, ends, &mut rng);
        println!("{name}: {runs} runs, {failed} of them wrong");
        troubles += failed;
    }
    match troubles {
        0 => {
            println!("PASSED: nothing was left");
            ExitCode::SUCCESS
        }
        _ => ExitCode::from(LEFT),
    }
}

/// How many runs were not as they have to be.
fn chapter(runs: usize, ends: &[End], rng: &mut Rng) -> usize {
    let place = Place::new();
    let wrong = |number: usize| {
        let (kind, end) = (KINDS[number % KINDS.len()], ends[number / KINDS.len() % ends.len()]);
        let delay = Duration::from_millis(rng.u64(0..DELAY_MS));
        let trouble = run_to(&place, kind, end, delay).err()?;
        println!("FAILED: {kind:?}, {end:?}, after {delay:?}: {trouble}");
        Some(())
    };
    (0..runs).filter_map(wrong).count()
}
