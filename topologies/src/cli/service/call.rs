//! `pipeline call`: units are submitted, and what comes of them is printed.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use proto::cli::duration;

use super::{
    Refusal, ended,
    feed::{Feed, Next, Outcomes},
    printer::{Printer, Stop},
    tickets_of,
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
        let (feed, service) = self.units.feed(Outcomes::Awaited)?;
        let is_interrupted = || feed.is_interrupted();
        let mut printer = Printer::new(self.timeout, &is_interrupted).streaming(self.stream);
        let stop = told(&feed, &mut printer);
        feed.stop();
        let result = match stop {
            Ok(()) => Ok(printer.code),
            Err(Stop::Interrupted) => {
                tell_untold("interrupted", tickets_of(&service, &feed.untold()));
                Ok(exit::INTERRUPTED)
            }
            Err(Stop::Refused(refusal)) => {
                if refusal.0 == exit::INPUT_OUTPUT {
                    tell_untold("stopped", tickets_of(&service, &feed.untold()));
                }
                Err(refusal)
            }
        };
        printer.finish();
        service.close();
        result
    }
}

/// Prints what comes of each unit, in their order.
fn told(feed: &Feed, printer: &mut Printer<'_>) -> Result<(), Stop> {
    loop {
        match feed.next() {
            Next::Unit(ticket) => printer.print(&ticket)?,
            Next::End(end) => return Ok(end?),
            Next::Interrupted => return Err(Stop::Interrupted),
        }
        feed.told();
    }
}

/// What was accepted goes on without whoever called.
fn tell_untold(why: &str, (tickets, unknown): (Vec<String>, usize)) {
    let mut told = why.to_owned();
    if !tickets.is_empty() {
        told += "; these were accepted, and `pipeline result --wait` has what comes of them:\n";
        told += &tickets.join("\n");
    }
    if unknown > 0 {
        told += &format!("; the service has not said of {unknown} units whether it has them");
    }
    complain(&told);
}
