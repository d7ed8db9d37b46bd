//! The ventilator as a program of its own.

use std::process::ExitCode;

use clap::Parser;
use proto::{cli::Program, telling::Telling};
use ventilator::cli::VentilatorArgs;

/// Reads a source and pushes its units to workers.
#[derive(Parser)]
#[command(name = "ventilator", version)]
struct Cli {
    #[command(flatten)]
    args: VentilatorArgs,
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
