//! `pipeline call`: units are submitted, and what comes of them is printed.

use std::{process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use proto::cli::duration;

use super::{
    connection::{Connection, about},
    feed::{Feed, Next, Outcomes, accepted},
    printer::{Printer, Stop},
    reach::Caller,
    refusal::{Refusal, ended, full},
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
    /// What becomes of units that no worker has begun when this command is gone before they are done
    #[arg(long, value_name = "WHAT", default_value = "detach")]
    on_disconnect: OnDisconnect,
}

/// What becomes of units whose client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnDisconnect {
    /// They are worked on, and their outcomes kept
    Detach,
    /// They are cancelled, unless a worker has begun them
    Cancel,
}

impl CallArgs {
    pub(in crate::cli) fn run(self) -> ExitCode {
        ended(self.call())
    }

    fn cancels(&self) -> bool {
        self.on_disconnect == OnDisconnect::Cancel
    }

    fn call(&self) -> Result<i32, Refusal> {
        let caller = Caller { limit: self.timeout, cancels: self.cancels(), ..Caller::default() };
        let (feed, of) = self.units.feed(Outcomes::Awaited, caller)?;
        let is_interrupted = || feed.is_interrupted();
        let mut printer = Printer::new(self.timeout, &is_interrupted).streaming(self.stream);
        let stop = told(&feed, &of, &mut printer);
        feed.stop();
        let result = match stop {
            Ok(()) => Ok(exit::COMPLETE),
            Err(Stop::Interrupted) => {
                self.tell_untold("interrupted", &of, &feed);
                Ok(exit::INTERRUPTED)
            }
            Err(Stop::Full) => {
                printer.finish();
                let (tickets, unknown) = of.tickets_of(&feed.untold());
                if !tickets.is_empty() {
                    self.tell_untold("stopped", &of, &feed);
                }
                of.abandon();
                return Err(full(unknown));
            }
            Err(Stop::Ended) => Err(of.ended(&feed.untold())),
            Err(Stop::Refused(refusal)) => {
                if refusal.0 == exit::INPUT_OUTPUT {
                    self.tell_untold("stopped", &of, &feed);
                }
                Err(refusal)
            }
        };
        let code = printer.finish();
        of.service.close();
        result.map(|ended| ended.max(code))
    }

    /// What was accepted goes on without whoever called, unless that was not wanted.
    fn tell_untold(&self, why: &str, of: &Connection, feed: &Feed) {
        let words = match self.on_disconnect {
            OnDisconnect::Detach => {
                "these were accepted, and `pipeline result --wait` has what comes of them"
            }
            OnDisconnect::Cancel => {
                "these were accepted, and are cancelled unless a worker has begun them"
            }
        };
        complain(&format_args!("{why}{}", about(of.tickets_of(&feed.untold()), words)));
    }
}

/// Prints what comes of each unit, in their order.
fn told(feed: &Feed, of: &Connection, printer: &mut Printer<'_>) -> Result<(), Stop> {
    loop {
        match feed.next() {
            Next::Unit(ticket) => {
                if !feed.waits_for_room() {
                    // What is not accepted the outcome tells.
                    let _ = accepted(feed, of, &ticket)?;
                }
                printer.print(&ticket, of)?;
            }
            Next::End(end) => return Ok(end?),
            Next::Interrupted => return Err(Stop::Interrupted),
        }
        feed.told();
    }
}
