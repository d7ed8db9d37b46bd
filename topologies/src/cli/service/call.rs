//! `pipeline call`: units are submitted, and what comes of them is printed.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use proto::cli::duration;

use super::{
    Refusal,
    connection::{Connection, about},
    ended,
    feed::{Feed, Next, Outcomes},
    printer::{Printer, Stop},
    units::UnitsArgs,
};
use crate::{cli::complain, up::exit};

/// Submits units to a service, waits, and prints what comes of them, in their order
#[derive(Debug, Args)]
pub(in crate::cli) struct CallArgs {
    #[command(flatten)]
    units: UnitsArgs,
    /// Wait no longer than this for each outcome
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Print outputs as they come, of a stage with `stream = true`
    #[arg(long)]
    stream: bool,
}

impl CallArgs {
    pub(in crate::cli) fn run(self) -> ExitCode {
        ended(self.call())
    }

    fn call(&self) -> Result<i32, Refusal> {
        let (feed, of) = self.units.feed(Outcomes::Awaited, self.timeout)?;
        let is_interrupted = || feed.is_interrupted();
        let mut printer = Printer::new(self.timeout, &is_interrupted).streaming(self.stream);
        let stop = told(&feed, &of, &mut printer);
        feed.stop();
        let result = match stop {
            Ok(()) => Ok(exit::COMPLETE),
            Err(Stop::Interrupted) => {
                tell_untold("interrupted", &of, &feed);
                Ok(exit::INTERRUPTED)
            }
            Err(Stop::Ended) => Err(of.ended(&feed.untold())),
            Err(Stop::Refused(refusal)) => {
                if refusal.0 == exit::INPUT_OUTPUT {
                    tell_untold("stopped", &of, &feed);
                }
                Err(refusal)
            }
        };
        let code = printer.finish();
        of.service.close();
        result.map(|ended| ended.max(code))
    }
}

/// Prints what comes of each unit, in their order.
fn told(feed: &Feed, of: &Connection, printer: &mut Printer<'_>) -> Result<(), Stop> {
    loop {
        match feed.next() {
            Next::Unit(ticket) => printer.print(&ticket, of)?,
            Next::End(end) => return Ok(end?),
            Next::Interrupted => return Err(Stop::Interrupted),
        }
        feed.told();
    }
}

/// What was accepted goes on without whoever called.
fn tell_untold(why: &str, of: &Connection, feed: &Feed) {
    let words = "these were accepted, and `pipeline result --wait` has what comes of them";
    complain(&format_args!("{why}{}", about(of.tickets_of(&feed.untold()), words)));
}
