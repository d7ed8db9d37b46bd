//! `pipeline graph`: a topology as a picture.
//!
//! Owns its flags; the pictures are [`crate::graph`]'s.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use proto::process::exit_code;

use super::{load, print};
use crate::graph;

/// Draws a topology.
#[derive(Debug, Args)]
pub(super) struct GraphArgs {
    /// The topology
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Change the topology first, as in --set stage.square.workers=4
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// dot: for Graphviz, as in `pipeline graph FILE | dot -Tsvg`; mermaid: for Markdown
    #[arg(long, value_name = "FORMAT", default_value = "dot")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Dot,
    Mermaid,
}

impl GraphArgs {
    pub(super) fn run(self) -> ExitCode {
        let topology = match load(&self.file, &self.sets) {
            Ok(topology) => topology,
            Err(code) => return code,
        };
        exit_code(print(&match self.format {
            Format::Dot => graph::dot(&topology),
            Format::Mermaid => graph::mermaid(&topology),
        }))
    }
}
