//! Kills and stops every process of a run again and again, and compares its output with that of a
//! calm run: `cargo run --release -p tests --bin torture -- --minutes 10`. With `--service`, of a service and its
//! clients.
//!
//! Owns the flags, the rounds and the verdict's words.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use fastrand::Rng;
use tests::place::Place;
use tests::torture::network::Network;
use tests::torture::remote::{self, Remote, SITES};
use tests::torture::service::Torture;
use tests::torture::service::client::{self, ClientArgs};
use tests::torture::{Calm, Course, Faults, Tally, Torn, Trouble};

/// The exit code when a run under faults differs from the calm one.
const DIFFERS: u8 = 1;

/// Kills and stops every process of a run again and again; its output must be that of a calm run.
#[derive(Debug, Parser)]
struct Args {
    /// Rounds are begun for so long; there is always one
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// The seed of the first round; each further one has the next [default: a random one]
    #[arg(long)]
    seed: Option<u64>,
    /// Units in a run
    #[arg(long, default_value_t = 1_000_000)]
    units: u64,
    /// The first number that is factored; the larger, the longer a unit takes
    #[arg(long, default_value_t = 100_000_000_000)]
    first: u64,
    /// SIGKILLs in a run
    #[arg(long, default_value_t = 60)]
    kills: usize,
    /// SIGSTOPs in a run, each for longer than the liveness limit
    #[arg(long, default_value_t = 6)]
    stops: usize,
    /// Seconds that a process is stopped; the liveness limit is 1
    #[arg(long, default_value_t = 2.5)]
    stop_seconds: f64,
    /// Cuts of the network in one more run, over several machines (network namespaces; needs root)
    #[arg(long, default_value_t = 0)]
    cuts: usize,
    /// Units in that run; their numbers are a hundred times larger
    #[arg(long, default_value_t = 60_000)]
    cut_units: u64,
    /// A service instead: clients submit for so many minutes, and all are killed at random, they as well
    #[arg(long)]
    service: bool,
    /// Clients of the service, each a process that comes back under its name
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    clients: u64,
    /// Units that they submit together, if the time suffices
    #[arg(long, default_value_t = 10_000_000)]
    submits: u64,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What this program starts itself as.
#[derive(Debug, Subcommand)]
enum Part {
    /// One client of the service
    #[command(hide = true)]
    Client(ClientArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(part) = &args.part {
        return play(part);
    }
    let mut place = Place::new();
    if args.service {
        return serve(&args, &mut place);
    }
    match rounds(&args, &place) {
        Ok(()) => ExitCode::SUCCESS,
        Err((seed, trouble)) => {
            println!("FAILED with --seed {seed}: {trouble}");
            println!("kept: {}", place.keep().display());
            ExitCode::from(DIFFERS)
        }
    }
}

fn play(part: &Part) -> ExitCode {
    let Part::Client(args) = part;
    match client::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::from(DIFFERS)
        }
    }
}

/// Torture of a service.
fn serve(args: &Args, place: &mut Place) -> ExitCode {
    let torture = Torture {
        clients: args.clients,
        submits: args.submits,
        lasts: Duration::from_secs_f64(args.minutes.max(0.0) * 60.0),
        kills: args.kills,
        seed: seed(args),
    };
    let Torture { clients, submits, kills, seed, .. } = torture;
    println!(
        "seed {seed}: {clients} clients, {submits} units, {kills} kills in {} min",
        args.minutes
    );
    match torture.inflict(place, |told| println!("{told}")) {
        Ok(survived) => {
            println!("PASSED: {survived}");
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            println!("FAILED with --seed {seed}: {trouble}");
            println!("kept: {}", place.keep().display());
            ExitCode::from(DIFFERS)
        }
    }
}

fn seed(args: &Args) -> u64 {
    args.seed.unwrap_or_else(|| u64::from(RandomState::new().hash_one(0) as u32))
}

fn rounds(args: &Args, place: &Place) -> Result<(), (u64, Trouble)> {
    let first = seed(args);
    let course = Course {
        units: args.units,
        first: args.first,
        stop_lasts: Duration::from_secs_f64(args.stop_seconds.max(0.0)),
    };
    let faults = Faults { kills: args.kills, stops: args.stops };
    println!(
        "seed {first}: {} units, {} kills, {} stops a round",
        args.units, args.kills, args.stops
    );
    let calm = course.calm(place).map_err(|trouble| (first, trouble))?;
    tell_calm(&calm);
    let until = Instant::now() + Duration::from_secs_f64(args.minutes.max(0.0) * 60.0);
    let mut total = Tally::default();
    let mut seed = first;
    loop {
        let name = format!("seed-{seed}");
        let torn = course.torn(place, &name, &calm, (seed, faults));
        let torn = torn.map_err(|trouble| (seed, trouble))?;
        tell_torn(seed, &torn);
        total.add(&torn.tally);
        seed += 1;
        if Instant::now() >= until {
            break;
        }
        // A round that went well leaves nothing to look at.
        let _ = std::fs::remove_dir_all(place.path(&name));
    }
    if args.cuts > 0 {
        total.add(&cut_off(args, place, first).map_err(|trouble| (first, trouble))?);
    }
    println!("PASSED: {} rounds, each the same as the calm run; {total}", seed - first);
    Ok(())
}

/// One run over several machines, with its network cut.
fn cut_off(args: &Args, place: &Place, seed: u64) -> Result<Tally, Trouble> {
    let Some(network) = Network::or_skip(SITES) else { return Ok(Tally::default()) };
    let remote = Remote {
        place,
        network: &network,
        folder: "remote",
        units: args.cut_units,
        first: args.first.saturating_mul(100),
        cut_lasts: Duration::from_secs_f64(args.stop_seconds.max(0.0)),
    };
    let calm = remote.calm()?;
    tell_calm(&calm);
    let faults = remote::schedule(&mut Rng::with_seed(seed), args.cuts);
    let (torn, losses) = remote.under("cut", &calm, &faults)?;
    tell_torn(seed, &torn);
    println!("  processes said {losses} times that they had lost a peer");
    Ok(torn.tally)
}

fn tell_calm(calm: &Calm) {
    let seconds = calm.took.as_secs_f64();
    println!("calm: {seconds:.1} s, {} bytes, sha256 {}", calm.bytes, calm.sha256);
}

fn tell_torn(seed: u64, torn: &Torn) {
    println!("seed {seed}: the same after {:.1} s; {}", torn.took.as_secs_f64(), torn.tally);
    if let Some(summary) = &torn.summary {
        let names = ["attempts", "duplicates_discarded", "recovery_ms"];
        let figures = names.map(|name| format!("{name} {}", summary[name]));
        println!("  {}", figures.join(", "));
    }
}
