//! What the commands of a service leave with when it is not as it should be.
//!
//! Owns the codes and the words.

use std::{process::ExitCode, time::Duration};

use proto::process::exit_code;

use crate::{cli::complain, runs::services::FindError, up::exit};

/// There is no worker, or no service.
pub(super) const UNAVAILABLE: i32 = 69;
/// No such ticket, or its outcome is not kept any more.
pub(super) const NO_RESULT: i32 = 66;
/// How long a service has to answer that there is no outcome yet, or that it has accepted a unit.
pub(super) const ANSWER: Duration = Duration::from_secs(1);

/// The code to leave with, and why.
pub(super) type Refusal = (i32, String);

/// The codes are those of every command that is given the name of a run.
pub(super) fn unfound(error: FindError) -> Refusal {
    let code = match error {
        FindError::Unknown { .. } => UNAVAILABLE,
        FindError::Choice(_) => exit::NO_INPUT,
        _ => exit::USAGE,
    };
    (code, error.to_string())
}

/// So many units were not accepted, since there is no room for them and it was not to be waited for.
pub(super) fn full(units: usize) -> Refusal {
    let problem = match units {
        0 | 1 => "the service's queue is full".to_owned(),
        units => format!("the service's queue is full: {units} units were not accepted"),
    };
    (exit::DRAINED, problem)
}

/// How long a service is waited for by somebody who waits so long for an outcome: an answer takes its time.
pub(super) fn within(timeout: Duration, limit: Option<Duration>) -> Duration {
    limit.map_or(timeout, |limit| timeout.min(limit.max(ANSWER)))
}

pub(super) fn ended(result: Result<i32, Refusal>) -> ExitCode {
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
