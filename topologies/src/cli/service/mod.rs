//! `pipeline call`, `submit`, `result`, `tickets`: a service is used from a shell.
//!
//! Owns their flags, the way from JSON to values and back, and what their exit codes say; refuses to know how a
//! service is spoken to.
//!
//! | | |
//! | --- | --- |
//! | `units.rs` | the units that are given, and how they are treated |
//! | `feed.rs` | submitting them while standard input is still read |
//! | `printer.rs` | what comes of them |
//! | `call.rs`, `submit.rs`, `result.rs`, `tickets.rs` | a command each |

mod call;
mod feed;
mod printer;
mod result;
mod submit;
mod tickets;
mod units;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use client::{Service, Ticket};
use proto::process::exit_code;

pub(super) use self::{
    call::CallArgs, result::ResultArgs, submit::SubmitArgs, tickets::TicketsArgs,
};
use self::{
    feed::{Feed, Manner, Outcomes},
    units::UnitsArgs,
};
use super::complain;
use crate::{
    runs::services::{self, Access, FindError},
    up::exit,
};

/// There is no worker, or no service.
const UNAVAILABLE: i32 = 69;
/// No such ticket, or its outcome is not kept any more.
const NO_RESULT: i32 = 66;
/// How long a service has to answer that there is no outcome yet, or that it has accepted a unit.
const ANSWER: Duration = Duration::from_secs(1);

/// The code to leave with, and why.
type Refusal = (i32, String);

/// Which service, and how it is reached.
#[derive(Debug, Args)]
struct ServiceArgs {
    /// The key file [env: PIPELINE_KEY] [default: the user's own]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// No encryption and no authentication over tcp; needed on both sides
    #[arg(long)]
    insecure: bool,
}

impl ServiceArgs {
    fn access(&self) -> Access<'_> {
        Access { key: self.key.as_deref(), insecure: self.insecure }
    }

    fn connect(&self, name: &str, client: Option<&str>) -> Result<Service, Refusal> {
        let mut setup = services::find(name, self.access()).map_err(|error| match error {
            error @ (FindError::Unknown { .. } | FindError::Choice(_)) => {
                (UNAVAILABLE, error.to_string())
            }
            error => (exit::USAGE, error.to_string()),
        })?;
        setup.client = client.unwrap_or_default().to_owned();
        Service::connect(setup).map_err(|error| (UNAVAILABLE, error.to_string()))
    }
}

impl UnitsArgs {
    /// Connects to the service, and begins to submit what is given.
    fn feed(&self, outcomes: Outcomes) -> Result<(Feed, Service), Refusal> {
        let read = self.read()?;
        let service = self.service.connect(&self.name, self.terms.client.as_deref())?;
        let manner = Manner { terms: self.terms.terms(), wait: self.terms.wait(), outcomes };
        Ok((Feed::start(read, service.clone(), manner)?, service))
    }
}

/// The texts of tickets, and of how many units it is not known whether they were accepted. What was submitted
/// just now is waited for a moment.
fn tickets_of(service: &Service, open: &[Ticket]) -> (Vec<String>, usize) {
    service.flush(ANSWER);
    let now = Some(Duration::ZERO);
    let tickets: Vec<_> = open.iter().filter_map(|ticket| ticket.text(now).ok()).collect();
    let is_unknown = |ticket: &&Ticket| ticket.text(now) == Err(client::WaitError::Timeout);
    (tickets, open.iter().filter(is_unknown).count())
}

fn ended(result: Result<i32, Refusal>) -> ExitCode {
    exit_code(match result {
        Ok(code) => code,
        Err((code, problem)) => {
            if !problem.is_empty() {
                complain(&problem);
            }
            code
        }
    })
}
