//! `pipeline tickets`: what a service has to do, and what it keeps.

use std::process::ExitCode;

use clap::Args;

use proto::service::Standing;
use sink::figures::{counted, thousands};

use super::refusal::{Refusal, UNAVAILABLE, ended, unfound};
use crate::{
    cli::{Format, print, ps::rate, top::served},
    runs::{
        call,
        services::{self, Access},
        wire::{Ask, Reply, Status},
    },
};

/// Shows how many units of a service wait, are worked on, and have outcomes that nobody has fetched
#[derive(Debug, Args)]
pub(in crate::cli) struct TicketsArgs {
    /// Its name; it goes on on this machine
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
        let access = Access::default();
        let (_, run) = services::find_with_run(&self.name, access).map_err(unfound)?;
        let run = run.ok_or_else(|| {
            let problem = "goes on elsewhere, and tells this only there: run `pipeline tickets` on that machine, \
                           or look at /metrics of its page";
            (UNAVAILABLE, format!("{} {problem}", self.name))
        })?;
        let reply = call::call(&run, Ask::Status, Some(call::PATIENCE))
            .map_err(|error| (UNAVAILABLE, error.to_string()))?;
        let Reply::Status(status) = reply else {
            return Err((UNAVAILABLE, "the launcher answers something else".into()));
        };
        let service = status.service.unwrap_or_default();
        let text = match self.output {
            Format::Text => format!("{}\n", line(&status, &service)),
            Format::Json => format!(
                "{}\n",
                serde_json::json!({
                    "queued": service.queued, "queued_bytes": service.queued_bytes,
                    "oldest_ms": service.oldest_ms,
                    "clients": service.clients, "done": status.done,
                    "rate": status.rate, "workers": status.workers, "dead": status.dead,
                    "kept": service.kept, "kept_bytes": service.kept_bytes,
                })
            ),
        };
        Ok(print(&text))
    }
}

fn line(status: &Status, service: &Standing) -> String {
    format!(
        "{}; {} done, {}/s, {}, {} failed",
        served(service),
        thousands(status.done),
        rate(status.rate),
        counted(status.workers.into(), ["worker", "workers"]),
        thousands(status.dead),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_waits_for_how_long_and_how_fast_it_becomes_less() {
        let service = Standing {
            clients: 1,
            queued: 2,
            kept: 5,
            oldest_ms: Some(2_500),
            ..Standing::default()
        };
        let status = Status { done: 1_204, rate: 31.2, workers: 1, dead: 3, ..Status::default() };
        assert_eq!(
            line(&status, &service),
            "1 client, 2 units waiting, the oldest for 2.5 s, 5 outcomes kept; 1,204 done, 31/s, 1 worker, 3 failed"
        );
    }
}
