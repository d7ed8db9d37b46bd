//! The worker as a program of its own.

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};
use worker::cli::WorkerArgs;

/// Computes what a ventilator sends.
#[derive(Parser)]
#[command(name = "worker", version)]
struct Cli {
    #[command(flatten)]
    args: WorkerArgs,
}

fn main() -> ExitCode {
    if let Some(code) = proto::kin::guard::stand_if_asked() {
        return code;
    }
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
