//! `pipeline explain`: the life of a unit, by its number or by its input.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use proto::{causes::with_causes, process::exit_code};
use serde_json::Value;
use sink::{figures::counted, manifest};

use super::{Format, complain, print};
use crate::{
    aftermath::{
        explain::{Life, explain},
        inputs, place,
    },
    topology::Topology,
    up::exit,
};

/// Tells when a unit was sent, to whom, each attempt, and what became of it.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The unit: its place in the source, from 0
    #[arg(value_name = "ID", required_unless_present = "input")]
    unit: Option<u64>,
    /// The units that were given this value; if there are none, those in whose value it occurs, ten at
    /// most. The source is read for it
    #[arg(long, value_name = "TEXT", conflicts_with = "unit")]
    input: Option<String>,
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
        exit_code(match self.lives() {
            Ok(lives) => print(&self.told(&lives)),
            Err(problem) => {
                complain(&problem);
                exit::NO_INPUT
            }
        })
    }

    fn told(&self, lives: &[Life]) -> String {
        let json = |life: &Life| serde_json::to_value(life).unwrap_or_default();
        match (self.output, lives) {
            (Format::Text, lives) => lives.iter().map(ToString::to_string).collect(),
            (Format::Json, [life]) if self.unit.is_some() => format!("{:#}\n", json(life)),
            (Format::Json, lives) => {
                format!("{:#}\n", Value::Array(lives.iter().map(json).collect()))
            }
        }
    }

    fn lives(&self) -> Result<Vec<Life>, String> {
        let run_dir = place::find(self.run_dir.as_deref(), &PathBuf::from("."))
            .map_err(|error| error.to_string())?;
        match (&self.input, self.unit) {
            (Some(text), _) => self.lives_by_input(&run_dir, text),
            (None, Some(unit)) => life(&run_dir, unit),
            (None, None) => Err("a unit is missing: its number, or --input TEXT".into()),
        }
    }

    fn lives_by_input(&self, run_dir: &Path, text: &str) -> Result<Vec<Life>, String> {
        let topology = match self.run_dir.as_deref().filter(|path| path.is_file()) {
            Some(file) => Topology::load(file, &[]).map_err(|error| error.to_string())?,
            None => inputs::topology_of(run_dir).map_err(|error| error.to_string())?,
        };
        let found =
            inputs::find(&topology.source, run_dir, text).map_err(|error| with_causes(&error))?;
        if found.is_empty() {
            return Err(format!("no unit was given `{text}`"));
        }
        let units: Vec<u64> = found.iter().map(|found| found.unit).collect();
        let lives = explain(run_dir, &units).map_err(|error| problem(run_dir, &error))?;
        let told = lives.into_iter().zip(found);
        Ok(told.map(|(life, found)| Life { input: Some(found.input), ..life }).collect())
    }
}

fn life(run_dir: &Path, unit: u64) -> Result<Vec<Life>, String> {
    let lives = explain(run_dir, &[unit]).map_err(|error| problem(run_dir, &error))?;
    if lives.iter().any(|life| !life.steps.is_empty()) {
        return Ok(lives);
    }
    let known = manifest::read(run_dir).ok().map(|manifest| manifest.units_in);
    let known = known.map_or(String::new(), |units| {
        let units = counted(units, ["unit", "units"]);
        format!("; its source gave {units}, counted from 0")
    });
    Err(format!("nothing is known of unit {unit} in {}{known}", run_dir.display()))
}

fn problem(run_dir: &Path, error: &io::Error) -> String {
    format!("{}: {error}", run_dir.display())
}
