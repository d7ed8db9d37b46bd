//! `pipeline bare`: the processes of the ZeroMQ guide's own pipeline, which `pipeline bench`
//! starts. Hidden, since nobody should use it: it loses units.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use proto::{
    net::endpoint::Endpoint,
    process::{end_with_parent, exit_code},
};
use serde::Serialize;

use super::{complain, print};
use crate::{
    bench::bare::{self, BareError},
    up::exit,
};

/// The guide's own pipeline.
#[derive(Debug, Args)]
pub(super) struct BareArgs {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Sends numbers
    Ventilator {
        /// Where workers connect
        #[arg(long, value_name = "ENDPOINT")]
        bind: Endpoint,
        /// How many have to be there before the first unit leaves
        #[arg(long, value_name = "N")]
        workers: u32,
        /// How many numbers, from 1
        #[arg(long, value_name = "N")]
        units: u64,
    },
    /// Computes
    Worker {
        /// The ventilator
        #[arg(long, value_name = "ENDPOINT")]
        from: Endpoint,
        /// The sink
        #[arg(long, value_name = "ENDPOINT")]
        to: Endpoint,
        /// What is done with a number
        #[arg(long, value_name = "NAME")]
        run: BareFunction,
    },
    /// Counts and sums
    Sink {
        /// Where workers connect
        #[arg(long, value_name = "ENDPOINT")]
        bind: Endpoint,
        /// How many will come
        #[arg(long, value_name = "N")]
        units: u64,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BareFunction {
    /// Times itself.
    Square,
    /// Computes for so many microseconds.
    Spin,
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

impl Role {
    fn run(self) -> Result<i32, BareError> {
        Ok(match self {
            Self::Ventilator { bind, workers, units } => {
                bare::send_range(&bind, workers, units, |begun| {
                    tell(&begun);
                })?;
                exit::COMPLETE
            }
            Self::Worker { from, to, run } => {
                match run {
                    BareFunction::Square => bare::square(&from, &to)?,
                    BareFunction::Spin => bare::spin(&from, &to)?,
                }
                exit::COMPLETE
            }
            Self::Sink { bind, units } => tell(&bare::collect(&bind, units)?),
        })
    }
}

fn tell(facts: &impl Serialize) -> i32 {
    print(&serde_json::to_string(facts).unwrap_or_default())
}
