//! `pipeline summary`: what a finished run gave, once more.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use proto::{causes::with_causes, process::exit_code};
use sink::run_dir::RunDir;

use super::{Format, complain, print};
use crate::{aftermath::place, up::exit};

/// Shows the summary of a finished run, aggregates included, as it was told at its end.
#[derive(Debug, Args)]
pub(super) struct SummaryArgs {
    /// The run directory, or the topology whose run lies in .pipeline [default: the only one
    /// there]
    #[arg(value_name = "RUN_DIR")]
    run_dir: Option<PathBuf>,
    /// How it is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl SummaryArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(match self.text() {
            Ok(text) => print(&text),
            Err(problem) => {
                complain(&problem);
                exit::NO_INPUT
            }
        })
    }

    fn text(&self) -> Result<String, String> {
        let run_dir = place::find(self.run_dir.as_deref(), &PathBuf::from("."))
            .map_err(|error| error.to_string())?;
        let opened = RunDir::open(&run_dir).map_err(|error| with_causes(&error))?;
        let summary = opened.summary().map_err(|error| with_causes(&error))?;
        let summary = summary.ok_or_else(|| {
            format!(
                "the run in {} is not finished; `pipeline up` with its topology goes on with it",
                run_dir.display()
            )
        })?;
        Ok(match self.output {
            Format::Json => {
                format!("{:#}\n", serde_json::to_value(&summary).unwrap_or_default())
            }
            Format::Text => summary.to_string(),
        })
    }
}
