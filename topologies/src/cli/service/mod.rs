//! `pipeline call`, `submit`, `result`, `tickets`: a service is used from a shell.
//!
//! Owns their flags, the way from JSON to values and back, and what their exit codes say; refuses to know how a
//! service is spoken to.
//!
//! | | |
//! | --- | --- |
//! | `units.rs` | the units that are given, and how they are treated |
//! | `connection.rs` | the service that is waited for |
//! | `feed.rs` | submitting them while standard input is still read |
//! | `printer.rs` | what comes of them |
//! | `call.rs`, `submit.rs`, `result.rs`, `tickets.rs` | a command each |

mod call;
mod connection;
mod feed;
mod printer;
mod result;
mod submit;
mod tickets;
mod units;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use proto::process::exit_code;

pub(super) use self::{
    call::CallArgs, result::ResultArgs, submit::SubmitArgs, tickets::TicketsArgs,
};
use self::{
    connection::Connection,
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

    /// Connects to the service of that name.
    fn connect(&self, name: &str, caller: Caller<'_>) -> Result<Connection, Refusal> {
        let (mut setup, run) = services::find_with_run(name, self.access()).map_err(unfound)?;
        setup.client = caller.client.unwrap_or_default().to_owned();
        setup.cancels = caller.cancels;
        setup.timeout = within(setup.timeout, caller.limit);
        Connection::open(setup, run)
    }
}

/// As what somebody connects.
#[derive(Debug, Clone, Copy, Default)]
struct Caller<'a> {
    /// The name by which it comes back.
    client: Option<&'a str>,
    /// How long an outcome is waited for.
    limit: Option<Duration>,
    /// What nobody has begun is cancelled once it is gone.
    cancels: bool,
}

/// The codes are those of every command that is given the name of a run.
fn unfound(error: FindError) -> Refusal {
    let code = match error {
        FindError::Unknown { .. } => UNAVAILABLE,
        FindError::Choice(_) => exit::NO_INPUT,
        _ => exit::USAGE,
    };
    (code, error.to_string())
}

/// So many units were not accepted, since there is no room for them and it was not to be waited for.
fn full(units: usize) -> Refusal {
    let problem = match units {
        0 | 1 => "the service's queue is full".to_owned(),
        units => format!("the service's queue is full: {units} units were not accepted"),
    };
    (exit::DRAINED, problem)
}

/// How long a service is waited for by somebody who waits so long for an outcome: an answer takes its time.
fn within(timeout: Duration, limit: Option<Duration>) -> Duration {
    limit.map_or(timeout, |limit| timeout.min(limit.max(ANSWER)))
}

impl UnitsArgs {
    /// Connects to the service, and begins to submit what is given.
    fn feed(&self, outcomes: Outcomes, caller: Caller<'_>) -> Result<(Feed, Connection), Refusal> {
        let read = self.read()?;
        let caller = Caller { client: self.terms.client.as_deref(), ..caller };
        let connection = self.service.connect(&self.name, caller)?;
        let manner = Manner { terms: self.terms.terms(), wait: self.terms.wait(), outcomes };
        Ok((Feed::start(read, connection.service.clone(), manner)?, connection))
    }
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
