//! `pipeline bare`: the processes of the ZeroMQ guide's own pipeline, which `pipeline bench`
//! starts. Hidden, since nobody should use it: it loses units.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand, ValueEnum};
use measure::bare::{self, BareError, Gate};
use proto::{
    net::endpoint::{Endpoint, elsewhere, listening},
    process::{end_with_parent, exit_code},
};
use serde::Serialize;

use super::{complain, print};
use crate::up::exit;

/// The guide's own pipeline.
#[derive(Debug, Args)]
pub(super) struct BareArgs {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Sends the numbers from 1
    Ventilator {
        #[command(flatten)]
        gate: GateArgs,
        #[arg(long)]
        units: u64,
    },
    /// Sends the numbers in a file
    Numbers {
        #[command(flatten)]
        gate: GateArgs,
        #[arg(long)]
        file: PathBuf,
    },
    /// Sends the long lines of a file
    Payloads {
        #[command(flatten)]
        gate: GateArgs,
        #[arg(long)]
        file: PathBuf,
        #[arg(long)]
        units: usize,
        #[arg(long)]
        length: usize,
    },
    /// Sends the lines of standard input
    Lines {
        #[command(flatten)]
        gate: GateArgs,
    },
    /// Computes
    Worker {
        #[arg(long, value_parser = elsewhere)]
        from: Endpoint,
        #[arg(long, value_parser = elsewhere)]
        to: Endpoint,
        #[arg(long)]
        run: BareFunction,
    },
    /// Counts numbers and sums them
    Sink {
        #[arg(long, value_parser = listening)]
        bind: Endpoint,
        #[arg(long)]
        units: u64,
    },
    /// Counts payloads and sums their lengths
    Gather {
        #[arg(long, value_parser = listening)]
        bind: Endpoint,
        #[arg(long)]
        units: u64,
    },
    /// Prints lines
    Print {
        #[arg(long, value_parser = listening)]
        bind: Endpoint,
    },
}

#[derive(Debug, Args)]
struct GateArgs {
    #[arg(long, value_parser = listening)]
    bind: Endpoint,
    #[arg(long)]
    workers: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BareFunction {
    Square,
    Spin,
    Echo,
}

impl BareArgs {
    pub(super) fn run(self) -> ExitCode {
        end_with_parent();
        exit_code(self.role.run().unwrap_or_else(|error| {
            complain(&error);
            exit::SYSTEM
        }))
    }
}

impl GateArgs {
    fn gate(self) -> Gate {
        Gate { bind: self.bind, workers: self.workers }
    }
}

impl Role {
    fn run(self) -> Result<i32, BareError> {
        match self {
            Self::Ventilator { gate, units } => gate.gate().send_range(units, begins)?,
            Self::Numbers { gate, file } => gate.gate().send_numbers(&file, begins)?,
            Self::Payloads { gate, file, units, length } => {
                gate.gate().send_payloads(&file, [units, length], begins)?;
            }
            // Its standard output is nobody's.
            Self::Lines { gate } => gate.gate().send_lines(|_| ())?,
            Self::Worker { from, to, run } => match run {
                BareFunction::Square => bare::square(&from, &to)?,
                BareFunction::Spin => bare::spin(&from, &to)?,
                BareFunction::Echo => bare::echo(&from, &to)?,
            },
            Self::Sink { bind, units } => return Ok(tell(&bare::collect(&bind, units)?)),
            Self::Gather { bind, units } => return Ok(tell(&bare::gather(&bind, units)?)),
            Self::Print { bind } => bare::print_lines(&bind)?,
        }
        Ok(exit::COMPLETE)
    }
}

fn begins(begun: bare::Begun) {
    tell(&begun);
}

fn tell(facts: &impl Serialize) -> i32 {
    print(&serde_json::to_string(facts).unwrap_or_default())
}
