//! `pipeline schema`: the JSON Schema of topologies, for editors.
//!
//! Owns its flags; the schema is [`crate::topology`]'s.

use std::process::ExitCode;

use clap::Args;
use proto::process::exit_code;

use super::print;
use crate::topology;

const HOW: &str = "\
Example: pipeline schema > schema.json, and as the first line of a
topology beside it, for Even Better TOML and taplo:
  #:schema ./schema.json";

/// Prints the JSON Schema of topologies, draft 2020-12.
#[derive(Debug, Args)]
#[command(after_help = HOW)]
pub(super) struct SchemaArgs {}

impl SchemaArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(print(&format!("{:#}\n", topology::schema())))
    }
}
