//! Kills processes at file operations, loses what was not synced, and lets operations fail:
//! `cargo run --release -p tests --bin crash -- --points 500`.
//!
//! Owns the flags, the sweep and the verdict's words.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;

use clap::Parser;
use fastrand::Rng;
use tests::cases::{Case, Taken, Way, repertoire};
use tests::crash::shim::Trace;
use tests::crash::{Point, Shim, Site, Struck, sweep};
use tests::place::Place;
use tests::torture::Trouble;

/// The exit code when a run with a strike differs from the calm one.
const DIFFERS: u8 = 1;
/// The exit code when there is no such case.
const USAGE: u8 = 64;

/// Strikes runs at file operations: a kill, a loss of power, an error; each must come out right.
#[derive(Debug, Parser)]
struct Args {
    /// How many points are tried
    #[arg(long, default_value_t = 500)]
    points: usize,
    /// The seed of the points [default: a random one]
    #[arg(long)]
    seed: Option<u64>,
    /// Only these cases, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// This point alone, as a failure prints it
    #[arg(long)]
    point: Option<Point>,
    /// How often that one is tried
    #[arg(long, default_value_t = 1)]
    times: usize,
    /// Units of the cheapest case
    #[arg(long, default_value_t = 2_000)]
    units: u64,
    /// After so many failures no more points are tried
    #[arg(long, default_value_t = 10)]
    failures: usize,
}

/// A case with what a calm run of it gave and did.
struct Known {
    case: Case,
    calm: Taken,
    traces: BTreeMap<String, Vec<Trace>>,
}

#[derive(Default)]
struct Verdict {
    struck: usize,
    missed: usize,
    codes: BTreeMap<String, usize>,
    failures: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut place = Place::new();
    let shim = Shim::build(&place);
    let chosen = |case: &Case| {
        let named =
            args.point.as_ref().map_or(args.only.is_empty(), |point| point.case == case.name);
        case.way == Way::Up && (named || args.only.iter().any(|name| name == case.name))
    };
    let cases: Vec<Case> = repertoire(args.units).into_iter().filter(chosen).collect();
    if cases.is_empty() {
        let names: Vec<&str> = repertoire(1).iter().map(|case| case.name).collect();
        eprintln!("there is no such case; there are {}", names.join(", "));
        return ExitCode::from(USAGE);
    }
    let verdict = match known(&place, &shim, cases) {
        Ok(known) => sweep(&args, &place, &shim, &known),
        Err((name, trouble)) => {
            println!("FAILED: {name} without any strike: {trouble}");
            Verdict { failures: 1, ..Verdict::default() }
        }
    };
    let Verdict { struck, missed, codes, failures } = verdict;
    println!("{struck} points struck, {missed} not reached; exit codes {codes:?}");
    if failures > 0 {
        println!("{failures} FAILED; kept: {}", place.keep().display());
        return ExitCode::from(DIFFERS);
    }
    println!("PASSED");
    ExitCode::SUCCESS
}

fn known(
    place: &Place,
    shim: &Shim,
    cases: Vec<Case>,
) -> Result<Vec<Known>, (&'static str, Trouble)> {
    let know = |case: Case| {
        let site = Site { place, shim, case: &case };
        let (calm, traces) = site.calm().map_err(|trouble| (case.name, trouble))?;
        site.clear(&format!("{}-calm", case.name));
        Ok(Known { case, calm, traces })
    };
    cases.into_iter().map(know).collect()
}

fn sweep(args: &Args, place: &Place, shim: &Shim, known: &[Known]) -> Verdict {
    let seed = args.seed.unwrap_or_else(|| u64::from(RandomState::new().hash_one(0) as u32));
    println!("seed {seed}, {} cases", known.len());
    let mut rng = Rng::with_seed(seed);
    let mut verdict = Verdict::default();
    let points = if args.point.is_some() { args.times } else { args.points };
    for index in 0..points {
        let Known { case, calm, traces } = &known[index % known.len()];
        let turn = index / known.len();
        let dealt = args.point.clone().or_else(|| sweep::deal(&mut rng, turn, case.name, traces));
        let Some(point) = dealt else { continue };
        let name = format!("p{index}");
        let site = Site { place, shim, case };
        match site.strike(&name, &point, calm) {
            Ok(struck) => {
                site.clear(&name);
                verdict.note(&struck);
                if args.point.is_some() {
                    println!("the same: {:?}, exit codes {:?}", struck.strikes, struck.codes);
                }
            }
            Err(trouble) => {
                verdict.failures += 1;
                tell(args, place, &name, &point, &trouble);
                if verdict.failures >= args.failures {
                    break;
                }
            }
        }
        if (index + 1) % 50 == 0 {
            println!("{} points, {} failed", index + 1, verdict.failures);
        }
    }
    verdict
}

fn tell(args: &Args, place: &Place, name: &str, point: &Point, trouble: &Trouble) {
    let strikes = Shim::strikes(&place.path(&format!("{name}-state")));
    println!("FAILED: {point}, {strikes:?}: {trouble}");
    println!("  in {}", place.path(name).display());
    println!(
        "  again: cargo run --release -p tests --bin crash -- --units {} --point {point}",
        args.units
    );
}

impl Verdict {
    fn note(&mut self, struck: &Struck) {
        match struck.strikes.is_empty() {
            true => self.missed += 1,
            false => self.struck += 1,
        }
        let word = |code: &Option<i32>| code.map_or("killed".to_owned(), |code| code.to_string());
        let codes: Vec<String> = struck.codes.iter().map(word).collect();
        *self.codes.entry(codes.join(" ")).or_default() += 1;
    }
}
