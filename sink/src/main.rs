//! The sink as a program of its own.

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};
use sink::cli::SinkArgs;

/// Collects, dedupes, commits and aggregates the results.
#[derive(Parser)]
#[command(name = "sink", version)]
struct Cli {
    #[command(flatten)]
    args: SinkArgs,
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
