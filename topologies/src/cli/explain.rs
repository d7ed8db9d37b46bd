//! `pipeline explain`: the life of one unit.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use proto::process::exit_code;
use sink::{figures::counted, manifest};

use super::{Format, complain, print};
use crate::{
    aftermath::{
        explain::{Life, explain},
        place,
    },
    up::exit,
};

/// Tells when a unit was sent, to whom, each attempt, and what became of it.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The unit: its place in the source, from 0
    #[arg(value_name = "ID")]
    unit: u64,
    /// The run directory, or the topology whose run lies in .pipeline [default: the only one
    /// there]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// How it is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl ExplainArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(match self.life() {
            Ok(life) if self.output == Format::Json => {
                print(&format!("{:#}\n", serde_json::to_value(&life).unwrap_or_default()))
            }
            Ok(life) => print(&life.to_string()),
            Err(problem) => {
                complain(&problem);
                exit::NO_INPUT
            }
        })
    }

    fn life(&self) -> Result<Life, String> {
        let run_dir = place::find(self.run_dir.as_deref(), &PathBuf::from("."))
            .map_err(|error| error.to_string())?;
        let life = explain(&run_dir, self.unit)
            .map_err(|error| format!("{}: {error}", run_dir.display()))?;
        if !life.steps.is_empty() {
            return Ok(life);
        }
        let known = manifest::read(&run_dir).ok().map(|manifest| manifest.units_in);
        let known = known.map_or(String::new(), |units| {
            let units = counted(units, ["unit", "units"]);
            format!("; its source gave {units}, counted from 0")
        });
        Err(format!("nothing is known of unit {} in {}{known}", self.unit, run_dir.display()))
    }
}
