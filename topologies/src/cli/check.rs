//! `pipeline check`: the mistakes in topologies, for people and for scripts.
//!
//! Owns its flags and the form of its answers; the mistakes are [`crate::topology`]'s to find.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use proto::{limits::Limits, net::endpoint::Endpoint, plan::Stage, process::exit_code};
use serde::Serialize;
use sink::SinkConfig;
use ventilator::source::SourceSpec;

use super::{Format, complain, explain, print};
use crate::{
    aftermath::place,
    topology::{Finding, Topology},
    up::exit,
};

/// Finds the mistakes in topologies.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The topologies
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Change each topology first, as in --set stage.square.workers=4
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// text: for people; json: one object a topology and line, for scripts
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// What a script reads about one topology.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    /// As it was given.
    file: &'a Path,
    /// Whether it can be run.
    ok: bool,
    /// The mistakes; none in one that can be run.
    findings: Vec<Finding>,
    /// What can be run and yet may be a mistake.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What it says, defaults filled in, if it can be run.
    topology: Option<Facts<'a>>,
}

#[derive(Debug, Serialize)]
struct Facts<'a> {
    name: &'a str,
    key: Option<&'a Path>,
    insecure: bool,
    bind: Option<&'a Endpoint>,
    halt: String,
    source: &'a SourceSpec,
    stages: Vec<StageFacts<'a>>,
    sink: &'a SinkConfig,
    dead: PathBuf,
    limits: &'a Limits,
}

#[derive(Debug, Serialize)]
struct StageFacts<'a> {
    #[serde(flatten)]
    stage: &'a Stage,
    workers: u32,
    binary: Option<&'a Path>,
}

impl CheckArgs {
    pub(super) fn run(self) -> ExitCode {
        let mut code = exit::COMPLETE;
        for file in &self.files {
            let found = self.check(file);
            code = if code == exit::COMPLETE { found } else { code };
        }
        exit_code(code)
    }

    fn check(&self, file: &Path) -> i32 {
        let loaded = Topology::load(file, &self.sets);
        match (&loaded, self.output) {
            (Ok(topology), Format::Text) => {
                topology.notes().iter().for_each(|note| complain(&format!("warning: {note}")));
                print(&format!("{}\n", line(file, topology)))
            }
            (Err(diagnostics), Format::Text) => {
                explain(diagnostics);
                exit::TOPOLOGY
            }
            (Ok(topology), Format::Json) => print(&json(file, Some(topology), Vec::new())),
            (Err(diagnostics), Format::Json) => {
                match print(&json(file, None, diagnostics.findings())) {
                    exit::COMPLETE => exit::TOPOLOGY,
                    code => code,
                }
            }
        }
    }
}

/// A fine topology in one line: `squares.toml is fine: 1 stage, 2 workers`.
fn line(file: &Path, topology: &Topology) -> String {
    let counted = |count: u64, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let workers = topology.stages.iter().map(|spec| u64::from(spec.workers)).sum();
    let stages = counted(topology.stages.len() as u64, "stage");
    format!("{} is fine: {stages}, {}", file.display(), counted(workers, "worker"))
}

fn json(file: &Path, topology: Option<&Topology>, findings: Vec<Finding>) -> String {
    let warnings = topology.map(Topology::notes).unwrap_or_default();
    let ok = topology.is_some();
    let answer = Answer { file, ok, findings, warnings, topology: topology.map(facts) };
    // Every path in it was given as text or comes from one.
    serde_json::to_string(&answer).unwrap_or_default() + "\n"
}

fn facts(topology: &Topology) -> Facts<'_> {
    Facts {
        name: &topology.name,
        key: topology.key.as_deref(),
        insecure: topology.insecure,
        bind: topology.bind.as_ref(),
        halt: topology.halt.to_string(),
        source: &topology.source,
        stages: topology
            .stages
            .iter()
            .map(|spec| StageFacts {
                stage: &spec.stage,
                workers: spec.workers,
                binary: spec.binary.as_deref(),
            })
            .collect(),
        sink: &topology.sink,
        dead: place::letters(topology, &place::run_dir(topology)),
        limits: &topology.limits,
    }
}
