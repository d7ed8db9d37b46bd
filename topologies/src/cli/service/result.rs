//! `pipeline result`: what became of units that were submitted before.

use std::{
    collections::VecDeque,
    io::{self, BufRead},
    process::ExitCode,
    rc::Rc,
    time::Duration,
};

use clap::Args;
use client::{Ticket, Undone};
use proto::cli::duration;

use super::{
    connection::Connection,
    printer::{Printer, Stop},
    reach::{Caller, ServiceArgs},
    refusal::{ANSWER, NO_RESULT, Refusal, ended, within},
};
use crate::{runs::services, up::exit};

/// Units that are asked for and not printed yet.
const AHEAD_MAX: usize = 4_096;

/// Prints what became of units that were submitted; each outcome is had once
#[derive(Debug, Args)]
pub(in crate::cli) struct ResultArgs {
    /// What `pipeline submit` has printed; - reads a line each from standard input
    #[arg(value_name = "TICKET", required = true)]
    tickets: Vec<String>,
    /// The service, where it is not one of this user on this machine
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Wait for outcomes that are not there yet, for ever or for so long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "", require_equals = true)]
    wait: Option<String>,
    /// Have the units not worked on that no worker has begun
    #[arg(long)]
    cancel: bool,
    #[command(flatten)]
    access: ServiceArgs,
}

/// One after the other, as far as each can be had.
type Each<'a> = Box<dyn Iterator<Item = Result<String, Refusal>> + 'a>;

impl ResultArgs {
    pub(in crate::cli) fn run(self) -> ExitCode {
        ended(self.results())
    }

    fn results(&self) -> Result<i32, Refusal> {
        let limit = match self.wait.as_deref() {
            None => Some(Duration::ZERO),
            Some("") => None,
            Some(text) => Some(duration(text).map_err(|problem| (exit::USAGE, problem))?),
        };
        // The answer has to come there and back.
        let limit = limit.map(|limit| limit.max(ANSWER));
        let mut printer = Printer::new(limit, &|| false);
        let result = self.print_all(&mut printer, limit);
        let code = printer.finish();
        result.map(|()| code)
    }

    fn print_all(&self, printer: &mut Printer<'_>, limit: Option<Duration>) -> Result<(), Refusal> {
        // Those of one service mostly follow each other.
        let mut of: Option<Rc<Connection>> = None;
        let mut open = VecDeque::new();
        for text in self.each_ticket() {
            let text = text?;
            let ticket = self.ticket_of(&text, &mut of, limit)?;
            let Some(of) = &of else { continue };
            if self.cancel {
                printer.cancel(&text, &ticket)?;
                continue;
            }
            open.push_back((ticket, of.clone()));
            if open.len() >= AHEAD_MAX {
                print_first(printer, &mut open)?;
            }
        }
        while !open.is_empty() {
            print_first(printer, &mut open)?;
        }
        Ok(())
    }

    /// The ticket of that text; its service is connected to if that is not yet done.
    fn ticket_of(
        &self,
        text: &str,
        known: &mut Option<Rc<Connection>>,
        limit: Option<Duration>,
    ) -> Result<Ticket, Refusal> {
        if let Some(ticket) = known.as_ref().and_then(|of| of.service.ticket_of(text)) {
            return Ok(ticket);
        }
        let found = known.insert(Rc::new(self.service_of(text, limit)?)).service.ticket_of(text);
        found.ok_or_else(|| (NO_RESULT, format!("{text}: {}", Undone::OtherRun)))
    }

    fn each_ticket(&self) -> Each<'_> {
        if self.tickets.as_slice() != ["-"] {
            return Box::new(self.tickets.iter().map(|text| Ok(text.clone())));
        }
        let failed = |error: io::Error| (exit::INPUT_OUTPUT, format!("standard input: {error}"));
        Box::new(io::stdin().lock().lines().map(move |line| line.map_err(failed)))
    }

    /// The service that has given a ticket: the one that is named, or one of those that go on here.
    fn service_of(&self, text: &str, limit: Option<Duration>) -> Result<Connection, Refusal> {
        let Some((run, _)) = client::parse_ticket(text) else {
            let problem = format!("`{text}` is no ticket; one looks like 8f3a09c1b2d4e5f6/17");
            return Err((exit::USAGE, problem));
        };
        if let Some(name) = &self.service {
            return self.access.connect(name, Caller { limit, ..Caller::default() });
        }
        for (entry, mut setup) in services::here(self.access.access()) {
            setup.timeout = within(setup.timeout, limit);
            if let Ok(found) = Connection::open(setup, Some(entry))
                && found.service.run() == Some(run)
            {
                return Ok(found);
            }
        }
        Err((
            NO_RESULT,
            format!(
                "{text}: no service of this user here has given it; --service says where it is"
            ),
        ))
    }
}

/// Units that are waited for, each with the service that it is of.
type Open = VecDeque<(Ticket, Rc<Connection>)>;

fn print_first(printer: &mut Printer<'_>, open: &mut Open) -> Result<(), Refusal> {
    let Some((ticket, of)) = open.pop_front() else { return Ok(()) };
    match printer.print(&ticket, &of) {
        Ok(()) => Ok(()),
        Err(Stop::Ended) => {
            let of_it = open.iter().filter(|(_, other)| Rc::ptr_eq(other, &of));
            let left: Vec<_> =
                [&ticket].into_iter().chain(of_it.map(|(ticket, _)| ticket)).cloned().collect();
            Err(of.ended(&left))
        }
        Err(Stop::Full | Stop::Interrupted) => Err((exit::INTERRUPTED, String::new())),
        Err(Stop::Refused(refusal)) => Err(refusal),
    }
}
