//! Very many units through one ventilator, some workers and a sink, and the most memory that each
//! process has had. Exits with 1 when one had 64 MiB or more, or a unit is missing.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tests::hand::Hand;
use tests::memory::{PEAK_BYTES_MAX, PeakWatch};
use tests::place::Transport;
use tests::process::Process;

/// Measures the memory of a long run: `range` to `echo` to aggregates.
#[derive(Debug, Parser)]
struct Args {
    /// How many units
    #[arg(long, value_name = "N", default_value_t = 100_000_000)]
    units: u64,
    /// How many workers
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: u64,
    /// Give up after so many minutes
    #[arg(long, value_name = "N", default_value_t = 60)]
    minutes: u64,
}

fn main() -> ExitCode {
    let Args { units, workers, minutes } = Args::parse();
    let hand = Hand::over(Transport::Ipc);
    let start = Instant::now();
    let mut processes = vec![
        ("sink".to_owned(), hand.aggregating_sink(&["--aggregate", "count,sum"])),
        ("ventilator".to_owned(), hand.ventilator(&format!("range:1..{units}"), &[])),
    ];
    let worker = |number| (format!("worker {number}"), hand.worker(&["--run", "echo"]));
    processes.extend((1..=workers).map(worker));
    let ids = processes.iter().map(|(name, process)| (name.clone(), process.id())).collect();
    let watch = PeakWatch::over(ids);
    let deadline = start + Duration::from_secs(60 * minutes);
    let all_well = processes.iter_mut().all(|(name, process)| ends_well(name, process, deadline));
    let peaks = watch.peaks();
    for (name, bytes) in &peaks {
        println!("{name:<12} {:6.1} MiB at most", *bytes as f64 / f64::from(1 << 20));
    }
    if !all_well {
        return ExitCode::FAILURE;
    }
    let outcome = hand.outcome();
    let (results, rate) = (outcome.count("results"), outcome.field("units_per_second"));
    println!("{results} of {units} results, {:.0} units/s", rate.as_f64().unwrap_or_default());
    let sum = outcome.field("aggregates")["sum"].as_f64().unwrap_or_default();
    let expected = units as f64 * (units as f64 + 1.0) / 2.0;
    let complete = results == units && (sum / expected - 1.0).abs() < 1e-9;
    let bounded = peaks.values().all(|bytes| *bytes < PEAK_BYTES_MAX);
    if complete && bounded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn ends_well(name: &str, process: &mut Process, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let ended = process.ends_within(left);
    if ended.code != Some(0) {
        eprintln!("{name} ended with {:?}:\n{}", ended.code, ended.stderr);
    }
    ended.code == Some(0)
}
