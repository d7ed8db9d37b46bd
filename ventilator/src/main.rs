//! The ventilator as a program of its own.

use std::process::ExitCode;

use clap::Parser;
use ventilator::cli::VentilatorArgs;

/// Reads a source and pushes its units to workers.
#[derive(Parser)]
#[command(name = "ventilator", version)]
struct Cli {
    #[command(flatten)]
    args: VentilatorArgs,
}

fn main() -> ExitCode {
    proto::cli::main(|cli: Cli| cli.args.run())
}
