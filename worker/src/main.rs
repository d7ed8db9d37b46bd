//! The worker as a program of its own.

use std::process::ExitCode;

use clap::Parser;
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
    proto::cli::main(|cli: Cli| cli.args.run())
}
