//! `pipeline tickets`: what a service has to do, and what it keeps.

use std::process::ExitCode;

use clap::Args;

use super::{Refusal, UNAVAILABLE, ended};
use crate::{
    cli::{Format, print},
    runs::{
        call, choice,
        wire::{Ask, Reply},
    },
    up::exit,
};

/// Shows how many units of a service wait, are worked on, and have outcomes that nobody has fetched
#[derive(Debug, Args)]
pub(in crate::cli) struct TicketsArgs {
    /// Its name
    #[arg(value_name = "SERVICE")]
    name: String,
    /// For people, or for scripts
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl TicketsArgs {
    pub(in crate::cli) fn run(self) -> ExitCode {
        ended(self.tickets())
    }

    fn tickets(&self) -> Result<i32, Refusal> {
        let entry =
            choice::service(&self.name).map_err(|error| (exit::USAGE, error.to_string()))?;
        let entry = entry.ok_or_else(|| {
            (UNAVAILABLE, format!("no service `{}` goes on on this machine", self.name))
        })?;
        let reply = call::call(&entry, Ask::Status, Some(call::PATIENCE))
            .map_err(|error| (UNAVAILABLE, error.to_string()))?;
        let Reply::Status(status) = reply else {
            return Err((UNAVAILABLE, "the launcher answers something else".into()));
        };
        let standing = status.service.unwrap_or_default();
        let done = status.done;
        let text = match self.output {
            Format::Text => format!(
                "{} waiting, {} clients, {done} done, {} outcomes kept\n",
                standing.queued, standing.clients, standing.kept
            ),
            Format::Json => format!(
                "{}\n",
                serde_json::json!({
                    "queued": standing.queued, "queued_bytes": standing.queued_bytes,
                    "oldest_ms": standing.oldest_ms,
                    "clients": standing.clients, "done": done,
                    "kept": standing.kept, "kept_bytes": standing.kept_bytes,
                })
            ),
        };
        Ok(print(&text))
    }
}
