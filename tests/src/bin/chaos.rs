//! Kills and stops processes of many kinds of runs, also when they have just begun or are about to
//! leave: `cargo run --release -p tests --bin chaos -- --runs 200`.
//!
//! Owns the flags, the rounds and the verdict's words.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fastrand::Rng;
use tests::cases::{Case, repertoire};
use tests::chaos::{Storm, Weathered, plan};
use tests::place::Place;
use tests::torture::{Tally, Trouble};

/// The exit code when a run under faults differs from the calm one.
const DIFFERS: u8 = 1;
/// The exit code when there is no such case.
const USAGE: u8 = 64;

/// Kills and stops processes of many kinds of runs; each must give what a calm run gives.
#[derive(Debug, Parser)]
struct Args {
    /// How many runs
    #[arg(long, default_value_t = 200)]
    runs: u64,
    /// The seed of the first run; each further one has the next [default: a random one]
    #[arg(long)]
    seed: Option<u64>,
    /// Only these cases, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Faults in a run, at least, and those of its end
    #[arg(long, default_value_t = 40)]
    faults: usize,
    /// Units of the cheapest case
    #[arg(long, default_value_t = 40_000)]
    units: u64,
    /// The longest pause between two faults, in milliseconds
    #[arg(long, default_value_t = 80)]
    pause_ms: u64,
    /// After so many failures no more runs are begun
    #[arg(long, default_value_t = 10)]
    failures: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut place = Place::new();
    let chosen =
        |case: &Case| args.only.is_empty() || args.only.iter().any(|name| name == case.name);
    let cases: Vec<Case> = repertoire(args.units).into_iter().filter(chosen).collect();
    if cases.is_empty() {
        let names: Vec<&str> = repertoire(1).iter().map(|case| case.name).collect();
        eprintln!("there is no such case; there are {}", names.join(", "));
        return ExitCode::from(USAGE);
    }
    let failures = rounds(&args, &place, &cases);
    if failures > 0 {
        println!("{failures} FAILED; kept: {}", place.keep().display());
        return ExitCode::from(DIFFERS);
    }
    println!("PASSED");
    ExitCode::SUCCESS
}

fn rounds(args: &Args, place: &Place, cases: &[Case]) -> usize {
    let first = args.seed.unwrap_or_else(|| u64::from(RandomState::new().hash_one(0) as u32));
    println!("seed {first}, {} cases, {} faults and more a run", cases.len(), args.faults);
    let mut calm: BTreeMap<&str, Weathered> = BTreeMap::new();
    let (mut total, mut failures, mut runs) = (Tally::default(), 0, 0);
    for (seed, case) in (first..first + args.runs).zip(cases.iter().cycle()) {
        match round(args, place, case, seed, &mut calm) {
            Ok(weathered) => {
                let seconds = weathered.took.as_secs_f64();
                println!(
                    "{} seed {seed}: the same after {seconds:.1} s; {}",
                    case.name, weathered.tally
                );
                total.add(&weathered.tally);
            }
            Err(trouble) => {
                failures += 1;
                tell(args, place, case, seed, &trouble);
            }
        }
        runs += 1;
        if failures >= args.failures {
            break;
        }
    }
    println!("{runs} runs; {total}");
    failures
}

fn round<'a>(
    args: &Args,
    place: &Place,
    case: &'a Case,
    seed: u64,
    calm: &mut BTreeMap<&'a str, Weathered>,
) -> Result<Weathered, Trouble> {
    let input_lasts = Duration::from_millis(args.pause_ms) * args.faults as u32 / 4;
    let storm = Storm { place, case, input_lasts };
    if !calm.contains_key(case.name) {
        let name = format!("{}-calm", case.name);
        calm.insert(case.name, storm.run(&name, &[], None)?);
        let _ = std::fs::remove_dir_all(place.path(&name));
    }
    let expected = &calm[case.name];
    let name = format!("seed-{seed}");
    let pause = Duration::from_millis(args.pause_ms);
    let blows = plan::plan(&mut Rng::with_seed(seed), args.faults, pause);
    let weathered = storm.run(&name, &blows, expected.taken.text_bytes())?;
    weathered.taken.same_as(&expected.taken)?;
    let _ = std::fs::remove_dir_all(place.path(&name));
    Ok(weathered)
}

fn tell(args: &Args, place: &Place, case: &Case, seed: u64, trouble: &Trouble) {
    println!("FAILED: {} seed {seed}: {trouble}", case.name);
    println!("  in {}", place.path(&format!("seed-{seed}")).display());
    println!(
        "  again: cargo run --release -p tests --bin chaos -- --runs 1 --seed {seed} --only {} \
         --faults {} --units {} --pause-ms {}",
        case.name, args.faults, args.units, args.pause_ms
    );
}
