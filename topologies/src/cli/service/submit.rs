//! `pipeline submit`: units are submitted, and each one's ticket is printed once it is accepted.

use std::process::ExitCode;

use clap::Args;
use client::{Ticket, Undone, WaitError};

use super::{
    Refusal, UNAVAILABLE, ended,
    feed::{Feed, LOOK_INTERVAL, Next, Outcomes},
    printer::{Stop, flushed},
    tickets_of,
    units::UnitsArgs,
};
use crate::{cli::complain, up::exit};

/// Submits units to a service and prints their tickets, once they are accepted
#[derive(Debug, Args)]
pub(in crate::cli) struct SubmitArgs {
    #[command(flatten)]
    units: UnitsArgs,
}

impl SubmitArgs {
    pub(in crate::cli) fn run(self) -> ExitCode {
        ended(self.submit())
    }

    fn submit(&self) -> Result<i32, Refusal> {
        let (feed, service) = self.units.feed(Outcomes::Left)?;
        let mut declined = 0;
        let stop = told(&feed, &mut declined);
        feed.stop();
        let result = match stop {
            Err(Stop::Interrupted) => interrupted(tickets_of(&service, &feed.untold())),
            Err(Stop::Refused(refusal)) => Err(refusal),
            Ok(()) if declined > 0 => Ok(UNAVAILABLE),
            Ok(()) => Ok(exit::COMPLETE),
        };
        if declined > 1 {
            complain(&format_args!("{declined} units in all were not accepted"));
        }
        service.close();
        result
    }
}

/// Prints each ticket, in their order. Of many units that a service does not accept any more the first is told.
fn told(feed: &Feed, declined: &mut u64) -> Result<(), Stop> {
    loop {
        match feed.next() {
            Next::Unit(ticket) => match accepted(feed, &ticket)? {
                Ok(text) => flushed(format!("{text}\n").as_bytes())?,
                Err(why @ Undone::Declined(_)) => {
                    *declined += 1;
                    if *declined == 1 {
                        complain(&why);
                    }
                }
                Err(why) => return Err(Stop::Refused((UNAVAILABLE, why.to_string()))),
            },
            Next::End(end) => return Ok(end?),
            Next::Interrupted => return Err(Stop::Interrupted),
        }
        feed.told();
    }
}

/// Waits until a unit is accepted, or known not to be.
fn accepted(feed: &Feed, ticket: &Ticket) -> Result<Result<String, Undone>, Stop> {
    loop {
        match ticket.text(Some(LOOK_INTERVAL)) {
            Ok(text) => return Ok(Ok(text)),
            Err(WaitError::Undone(why)) => return Ok(Err(why)),
            Err(WaitError::Timeout) if feed.is_interrupted() => return Err(Stop::Interrupted),
            Err(WaitError::Timeout) => {}
        }
    }
}

fn interrupted((tickets, unknown): (Vec<String>, usize)) -> Result<i32, Refusal> {
    flushed(tickets.iter().map(|ticket| format!("{ticket}\n")).collect::<String>().as_bytes())?;
    match unknown {
        0 => complain(&"interrupted"),
        _ => complain(&format_args!(
            "interrupted; the service has not said of {unknown} units whether it has them"
        )),
    }
    Ok(exit::INTERRUPTED)
}
