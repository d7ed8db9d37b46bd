//! The ventilator as a program of its own.

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};
use ventilator::cli::VentilatorArgs;

/// Reads a source and pushes its units to workers.
#[derive(Parser)]
#[command(name = "ventilator", version)]
struct Cli {
    #[command(flatten)]
    args: VentilatorArgs,
}

fn main() -> ExitCode {
    if let Err(code) = proto::process::begin() {
        return code;
    }
    match Cli::try_parse() {
        Ok(cli) => cli.args.run(),
        Err(error) => {
            let code = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ => 64,
            };
            let _ = error.print();
            ExitCode::from(code)
        }
    }
}
