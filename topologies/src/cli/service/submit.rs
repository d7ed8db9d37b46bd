//! `pipeline submit`: units are submitted, and each one's ticket is printed once it is accepted.

use std::process::ExitCode;

use clap::Args;
use client::Undone;

use super::{
    connection::Connection,
    feed::{Feed, Next, Outcomes, accepted},
    printer::{Declined, Stop, flushed},
    reach::Caller,
    refusal::{Refusal, UNAVAILABLE, ended, full},
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
        let (feed, of) = self.units.feed(Outcomes::Left, Caller::default())?;
        let mut declined = Declined::default();
        let stop = told(&feed, &of, &mut declined);
        feed.stop();
        let result = match stop {
            Err(Stop::Interrupted) => interrupted(of.tickets_of(&feed.untold())),
            Err(Stop::Full) => {
                of.abandon();
                return Err(full(feed.untold().len()));
            }
            Err(Stop::Ended) => Err(of.ended(&feed.untold())),
            Err(Stop::Refused(refusal)) => Err(refusal),
            Ok(()) => Ok(exit::COMPLETE),
        };
        let code = if declined.finish() { UNAVAILABLE } else { exit::COMPLETE };
        of.service.close();
        result.map(|ended| ended.max(code))
    }
}

/// Prints each ticket, in their order.
fn told(feed: &Feed, of: &Connection, declined: &mut Declined) -> Result<(), Stop> {
    loop {
        match feed.next() {
            Next::Unit(ticket) => match accepted(feed, of, &ticket)? {
                Ok(text) => flushed(format!("{text}\n").as_bytes())?,
                Err(why @ Undone::Declined(_)) => declined.tell(why),
                Err(why) => return Err(Stop::Refused((UNAVAILABLE, why.to_string()))),
            },
            Next::End(end) => return Ok(end?),
            Next::Interrupted => return Err(Stop::Interrupted),
        }
        feed.told();
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
