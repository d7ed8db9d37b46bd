//! `pipeline report`: how a run went, for people and for scripts.
//!
//! Owns the flags and the file; what is in it is [`crate::aftermath::report`]'s. Refuses to write over a file
//! that is no report.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use proto::process::exit_code;

use super::{Format, complain, print};
use crate::{
    aftermath::{
        place,
        report::{MARK, Report, html},
    },
    up::exit,
};

/// Tells how a run went: over time, by worker, what failed, the slowest units.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The run directory, or the topology whose run lies in .pipeline [default: the only one
    /// there]
    #[arg(value_name = "RUN_DIR")]
    run_dir: Option<PathBuf>,
    /// Write it as one HTML file with pictures
    #[arg(long, short = 'o', value_name = "FILE")]
    html: Option<PathBuf>,
    /// How it is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl ReportArgs {
    pub(super) fn run(self) -> ExitCode {
        let report = place::find(self.run_dir.as_deref(), Path::new("."))
            .map_err(|error| error.to_string())
            .and_then(|run_dir| Report::of(&run_dir));
        let report = match report {
            Ok(report) => report,
            Err(problem) => {
                complain(&problem);
                return exit_code(exit::NO_INPUT);
            }
        };
        if let Some(path) = &self.html {
            if let Err(problem) = write(path, &html(&report)) {
                complain(&problem);
                return exit_code(exit::INPUT_OUTPUT);
            }
            if self.output == Format::Text {
                return exit_code(exit::COMPLETE);
            }
        }
        exit_code(match self.output {
            Format::Json => {
                print(&format!("{:#}\n", serde_json::to_value(&report).unwrap_or_default()))
            }
            Format::Text => print(&report.to_string()),
        })
    }
}

/// Writes over an earlier report, and over nothing else.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let told = |error| format!("cannot write {}: {error}", path.display());
    match fs::metadata(path) {
        Ok(data) if data.is_file() && data.len() > 0 && !is_report(path) => Err(format!(
            "{} is there, and is no report of a run; give another name, or remove it",
            path.display()
        )),
        _ => fs::write(path, text).map_err(told),
    }
}

fn is_report(path: &Path) -> bool {
    let mut head = vec![0; MARK.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok()
        && head == MARK.as_bytes()
}
