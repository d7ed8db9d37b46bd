//! `pipeline bench`: how fast is this machine?

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use measure::{Against, Effort, Measure, Options, Transport};
use proto::process::exit_code;

use super::{Format, complain, print};
use crate::up::exit;

/// Measures this machine with real processes.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// What is measured [default: everything]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<Measure>,
    /// How often; the median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// What the processes talk over
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "ipc,tcp,curve")]
    transport: Vec<Transport>,
    /// What runs beside, in turns: bare (the ZeroMQ guide's own pipeline), tools (cat, xargs, …)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    against: Vec<Against>,
    /// Small sizes: whether it works, not how fast
    #[arg(long)]
    quick: bool,
    /// Where temporary files lie; this disk is measured [default: the system's]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// How figures are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl BenchArgs {
    pub(super) fn run(self) -> ExitCode {
        let output = self.output;
        let options = Options {
            only: if self.only.is_empty() { Measure::all() } else { self.only },
            pairs: self.pairs,
            transports: self.transport,
            against: self.against,
            effort: if self.quick { Effort::Quick } else { Effort::Full },
            folder: self.folder,
        };
        exit_code(match measure::run(&options) {
            Ok(report) if output == Format::Json => print(&format!("{:#}\n", report.json())),
            Ok(report) => print(&report.to_string()),
            Err(failure) => {
                complain(&failure);
                exit::SYSTEM
            }
        })
    }
}
