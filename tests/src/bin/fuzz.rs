//! Tries a target with mutations of its corpus, on any toolchain:
//! `cargo run --profile fuzz -p tests --bin fuzz -- --target codec --executions 10000000 --seed 1`.
//!
//! Owns the flags and the words. An input that breaks a promise is written to `tests/fuzz/artifacts`,
//! as small as it can be made; the exit code is 1 then.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use std::{fs, io};

use clap::Parser;
use sha2::{Digest, Sha256};
use tests::fuzz::{TARGETS, Target, runner, seeds, target};
use tests::memory::peak_bytes;

/// Tries targets with mutations of their corpus.
#[derive(Debug, Parser)]
struct Args {
    /// A target [default: all, one after the other]
    #[arg(long)]
    target: Vec<String>,
    /// How many inputs each target is tried with
    #[arg(long, default_value_t = 1_000_000)]
    executions: u64,
    /// The same seed gives the same inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tries only these inputs, as they are
    #[arg(long)]
    input: Vec<String>,
    /// Writes the inputs that the corpus begins with, and ends
    #[arg(long)]
    write_seeds: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.write_seeds {
        return told(seeds::write().map(|()| true));
    }
    let mut chosen = Vec::new();
    for name in &args.target {
        let Some(known) = target(name) else {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            eprintln!("fuzz: there is no target `{name}`; there are {}", names.join(", "));
            return ExitCode::from(64);
        };
        chosen.push(*known);
    }
    if chosen.is_empty() {
        chosen.extend(TARGETS);
    }
    runner::listen();
    told(chosen.iter().try_fold(true, |clean, target| Ok(try_one(target, &args)? && clean)))
}

fn told(clean: io::Result<bool>) -> ExitCode {
    match clean {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::from(74)
        }
    }
}

/// Whether nothing was found.
fn try_one(target: &Target, args: &Args) -> io::Result<bool> {
    let (corpus, executions) = if args.input.is_empty() {
        (runner::corpus(&runner::corpus_folder(target.name))?, args.executions)
    } else {
        (args.input.iter().map(fs::read).collect::<Result<_, _>>()?, 0)
    };
    let start = Instant::now();
    match runner::run(target, corpus, args.seed, executions) {
        Ok(figures) => {
            let seconds = start.elapsed().as_secs_f64();
            let peak = peak_bytes(std::process::id()).unwrap_or_default() >> 20;
            println!(
                "{:<11} {} executions, {} shapes, {seconds:.0} s, longest {:.0?}, peak {peak} MiB",
                target.name, figures.executions, figures.shapes, figures.longest,
            );
            Ok(true)
        }
        Err(finding) => {
            let finding = runner::shrink(target, finding);
            let path = keep(target.name, &finding.input)?;
            println!("{:<11} FOUND {}", target.name, finding.told);
            println!("{:<11}       input: {path}", "");
            Ok(false)
        }
    }
}

fn keep(name: &str, input: &[u8]) -> io::Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/artifacts").join(name);
    fs::create_dir_all(&folder)?;
    let digest: String = Sha256::digest(input).iter().take(8).map(|b| format!("{b:02x}")).collect();
    let path = folder.join(digest);
    fs::write(&path, input)?;
    Ok(path.display().to_string())
}
