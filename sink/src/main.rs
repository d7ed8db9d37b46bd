//! The sink as a program of its own.

use std::process::ExitCode;

use clap::Parser;
use proto::{cli::Program, telling::Telling};
use sink::cli::SinkArgs;

/// Collects, dedupes, commits and aggregates the results.
#[derive(Parser)]
#[command(name = "sink", version)]
struct Cli {
    #[command(flatten)]
    args: SinkArgs,
    #[command(flatten)]
    telling: Telling,
}

impl Program for Cli {
    fn telling(&self) -> Telling {
        self.telling
    }
}

fn main() -> ExitCode {
    proto::cli::main(|cli: Cli| cli.args.run())
}
