//! The worker as a program of its own.

use std::process::ExitCode;

use clap::Parser;
use proto::{cli::Program, telling::Telling};
use worker::cli::WorkerArgs;

/// Computes what a ventilator sends.
#[derive(Parser)]
#[command(name = "worker", version)]
struct Cli {
    #[command(flatten)]
    args: WorkerArgs,
    #[command(flatten)]
    telling: Telling,
}

impl Program for Cli {
    fn telling(&self) -> Telling {
        self.telling
    }
}

fn main() -> ExitCode {
    if let Some(code) = proto::kin::guard::stand_if_asked() {
        return code;
    }
    proto::cli::main(|cli: Cli| cli.args.run())
}
