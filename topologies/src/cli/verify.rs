//! `pipeline verify`: is a finished run whole?

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use proto::{causes::with_causes, process::exit_code};
use sink::{figures::counted, manifest};

use super::{Format, complain, print};
use crate::{aftermath::place, up::exit};

/// Compares the manifest of a finished run with its outputs; exit code 1 if anything differs.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The run directory, or the topology whose run lies in .pipeline [default: the only one
    /// there]
    #[arg(value_name = "RUN_DIR")]
    run_dir: Option<PathBuf>,
    /// How findings are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// Something differs.
const DIFFERS: i32 = 1;

impl VerifyArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(self.verify().unwrap_or_else(|problem| {
            complain(&problem);
            exit::NO_INPUT
        }))
    }

    fn verify(&self) -> Result<i32, String> {
        let run_dir = place::find(self.run_dir.as_deref(), &PathBuf::from("."))
            .map_err(|error| error.to_string())?;
        let manifest = manifest::read(&run_dir).map_err(|error| {
            format!("{} (a run has its manifest when it is finished)", with_causes(&error))
        })?;
        let findings = manifest::verify(&run_dir, &manifest);
        let text = match self.output {
            Format::Json => {
                let report = serde_json::json!({ "manifest": manifest, "findings": findings });
                format!("{report:#}\n")
            }
            Format::Text if findings.is_empty() => format!(
                "{}: {} = {} + {} filtered + {} dead; outputs as recorded\n",
                run_dir.display(),
                counted(manifest.units_in, ["unit in", "units in"]),
                counted(manifest.results, ["result", "results"]),
                manifest.filtered,
                manifest.dead
            ),
            Format::Text => findings.iter().map(|finding| format!("{finding}\n")).collect(),
        };
        let printed = print(&text);
        Ok(if findings.is_empty() { printed } else { DIFFERS })
    }
}
