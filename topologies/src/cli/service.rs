//! `pipeline call`, `submit`, `result`, `tickets`: a service is used from a shell.
//!
//! Owns their flags, the way from JSON to values and back, and what their exit codes say; refuses to know how a
//! service is spoken to.

use std::{
    collections::VecDeque,
    io::{self, BufRead, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use client::{Outcome, Service, StreamError, SubmitError, Terms, Ticket, Undone, Wait, WaitError};
use proto::{
    cli::duration,
    process::exit_code,
    service::CancelState,
    value::{from_json, to_json},
};

use super::{Format, complain, print};
use crate::{
    runs::{
        call, choice,
        services::{self, Access, FindError},
        wire::{Ask, Reply},
    },
    up::exit,
};

/// There is no worker, or no service.
const UNAVAILABLE: i32 = 69;
/// No such ticket, or its outcome is not kept any more.
const NO_RESULT: i32 = 66;
/// Units that are submitted and not printed yet.
const AHEAD_MAX: usize = 4_096;

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

/// How units are treated.
#[derive(Debug, Args)]
struct TermsArgs {
    /// Units of a higher priority are sent first: 0 to 9
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: u8,
    /// Not before so much time has passed, as in 10m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    delay: Option<Duration>,
    /// Dead if it was not sent to a worker within this time
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    ttl: Option<Duration>,
    /// As long as a unit with this key is not done, this is the same unit
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// A unit that was submitted with this key is the same unit, also when it is done, as long as the
    /// service keeps outcomes
    #[arg(long, value_name = "KEY")]
    once: Option<String>,
    /// Submit also when there is no worker
    #[arg(long)]
    wait_for_workers: bool,
    /// By what these units are known if the same command is run again: the same values, in the same
    /// order, are the same units then, so nothing is done twice
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
}

/// Where values come from.
#[derive(Debug, Args)]
struct ValuesArgs {
    /// The value, as JSON; several are several units
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    values: Vec<String>,
    /// A unit for each line of standard input, the line as a string
    #[arg(long, conflicts_with_all = ["values", "jsonl"])]
    lines: bool,
    /// A unit for each line of standard input, which is JSON
    #[arg(long, conflicts_with = "values")]
    jsonl: bool,
}

/// Units for a service.
#[derive(Debug, Args)]
struct UnitsArgs {
    /// Its name, or the endpoint of its ventilator
    #[arg(value_name = "SERVICE")]
    name: String,
    #[command(flatten)]
    values: ValuesArgs,
    #[command(flatten)]
    terms: TermsArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Submits units to a service, waits, and prints what comes of them, in their order
#[derive(Debug, Args)]
pub(super) struct CallArgs {
    #[command(flatten)]
    units: UnitsArgs,
    /// Wait no longer than this for each outcome
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Print outputs as they come, of a stage with `stream = true`
    #[arg(long)]
    stream: bool,
}

/// Submits units to a service and prints their tickets, once they are accepted
#[derive(Debug, Args)]
pub(super) struct SubmitArgs {
    #[command(flatten)]
    units: UnitsArgs,
}

/// Prints what became of units that were submitted; each outcome is had once
#[derive(Debug, Args)]
pub(super) struct ResultArgs {
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

/// Shows how many units of a service wait, are worked on, and have outcomes that nobody has fetched
#[derive(Debug, Args)]
pub(super) struct TicketsArgs {
    /// Its name
    #[arg(value_name = "SERVICE")]
    name: String,
    /// For people, or for scripts
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
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

impl TermsArgs {
    fn terms(&self) -> Terms {
        Terms {
            priority: self.priority,
            delay: self.delay.unwrap_or_default(),
            ttl: self.ttl,
            unique: self.unique.clone(),
            once: self.once.clone(),
        }
    }

    fn wait(&self) -> Wait {
        if self.wait_for_workers { Wait::ForWorkers } else { Wait::ForRoom }
    }
}

/// The code to leave with, and why.
type Refusal = (i32, String);
/// One after the other, as far as each can be had.
type Each<'a, T> = Box<dyn Iterator<Item = Result<T, Refusal>> + 'a>;

impl ValuesArgs {
    /// Each value as MessagePack; one that is none is told with its line.
    fn each(&self) -> Result<Each<'_, Vec<u8>>, Refusal> {
        let of_text = |text: &str, what: String| {
            let mut value = Vec::new();
            from_json(text.as_bytes(), &mut value).map(|()| value).map_err(|error| {
                (exit::USAGE, format!("{what} is not JSON: {error}; a string needs quotes"))
            })
        };
        if self.lines || self.jsonl {
            let lines = io::stdin().lock().lines().enumerate();
            return Ok(Box::new(lines.map(move |(index, line)| {
                let number = index + 1;
                let line = line.map_err(|error| {
                    (exit::INPUT_OUTPUT, format!("line {number} of standard input: {error}"))
                })?;
                if self.jsonl {
                    return of_text(&line, format!("line {number}"));
                }
                let mut value = Vec::new();
                proto::value::push_str(&mut value, &line);
                Ok(value)
            })));
        }
        if self.values.is_empty() {
            let problem = "a value is needed, as in '{\"n\": 7}', or --lines or --jsonl";
            return Err((exit::USAGE, problem.into()));
        }
        Ok(Box::new(self.values.iter().map(move |text| of_text(text, format!("`{text}`")))))
    }
}

/// Units that are submitted to a service one by one.
struct Submitting<'a> {
    values: Each<'a, Vec<u8>>,
    service: Service,
    terms: Terms,
    wait: Wait,
}

impl UnitsArgs {
    /// The service is connected to once the values are known to be given.
    fn begin(&self) -> Result<Submitting<'_>, Refusal> {
        Ok(Submitting {
            values: self.values.each()?,
            service: self.service.connect(&self.name, self.terms.client.as_deref())?,
            terms: self.terms.terms(),
            wait: self.terms.wait(),
        })
    }
}

impl CallArgs {
    pub(super) fn run(self) -> ExitCode {
        ended(self.call())
    }

    fn call(&self) -> Result<i32, Refusal> {
        let Submitting { values, service, terms, wait } = self.units.begin()?;
        let mut printer = Printer { streams: self.stream, ..Printer::default() };
        let mut open = VecDeque::new();
        for value in values {
            open.extend(service.submit_encoded(vec![value?], &terms, wait).map_err(refused)?);
            while open.len() >= AHEAD_MAX
                && let Some(ticket) = open.pop_front()
            {
                printer.print(&ticket, self.timeout)?;
            }
            // What is there already needs not wait for the rest of the input.
            while open.front().is_some_and(Ticket::is_ready)
                && let Some(ticket) = open.pop_front()
            {
                printer.print(&ticket, self.timeout)?;
            }
        }
        for ticket in open {
            printer.print(&ticket, self.timeout)?;
        }
        Ok(printer.code)
    }
}

fn refused(error: SubmitError) -> Refusal {
    match error {
        SubmitError::NoWorkers => (
            UNAVAILABLE,
            "the service has no workers; --wait-for-workers submits all the same".into(),
        ),
        SubmitError::Large { .. } | SubmitError::Terms(_) | SubmitError::Value(_) => {
            (exit::USAGE, error.to_string())
        }
        SubmitError::Full | SubmitError::Closed => (UNAVAILABLE, error.to_string()),
    }
}

impl SubmitArgs {
    pub(super) fn run(self) -> ExitCode {
        ended(self.submit())
    }

    fn submit(&self) -> Result<i32, Refusal> {
        let Submitting { values, service, terms, wait } = self.units.begin()?;
        let mut open = VecDeque::new();
        let mut out = io::stdout().lock();
        let mut tell = |ticket: &Ticket| match ticket.text(None) {
            Ok(text) => written(writeln!(out, "{text}").and_then(|()| out.flush())),
            Err(WaitError::Undone(Undone::Declined(reason))) => {
                Err((UNAVAILABLE, reason.to_string()))
            }
            Err(error) => Err((UNAVAILABLE, error.to_string())),
        };
        for value in values {
            open.extend(service.hand_in(vec![value?], &terms, wait).map_err(refused)?);
            if open.len() >= AHEAD_MAX {
                open.drain(..AHEAD_MAX / 2).try_for_each(|ticket| tell(&ticket))?;
            }
        }
        open.iter().try_for_each(tell)?;
        Ok(exit::COMPLETE)
    }
}

impl ResultArgs {
    pub(super) fn run(self) -> ExitCode {
        ended(self.results())
    }

    fn results(&self) -> Result<i32, Refusal> {
        let timeout = match self.wait.as_deref() {
            None => Some(Duration::ZERO),
            Some("") => None,
            Some(text) => Some(duration(text).map_err(|problem| (exit::USAGE, problem))?),
        };
        // The answer has to come there and back.
        let timeout = timeout.map(|timeout| timeout.max(ANSWER));
        let mut printer = Printer::default();
        // Those of one service mostly follow each other.
        let mut service: Option<Service> = None;
        let mut open = VecDeque::new();
        for text in self.each_ticket() {
            let text = text?;
            let known = service.as_ref().and_then(|service| service.ticket_of(&text));
            let ticket = match known {
                Some(ticket) => ticket,
                None => {
                    let found = service.insert(self.service_of(&text)?);
                    found
                        .ticket_of(&text)
                        .ok_or_else(|| (NO_RESULT, format!("{text}: {}", Undone::OtherRun)))?
                }
            };
            if self.cancel {
                printer.cancel(&text, &ticket)?;
                continue;
            }
            open.push_back(ticket);
            while open.len() >= AHEAD_MAX
                && let Some(ticket) = open.pop_front()
            {
                printer.print(&ticket, timeout)?;
            }
        }
        for ticket in open {
            printer.print(&ticket, timeout)?;
        }
        Ok(printer.code)
    }

    fn each_ticket(&self) -> Each<'_, String> {
        if self.tickets.as_slice() != ["-"] {
            return Box::new(self.tickets.iter().map(|text| Ok(text.clone())));
        }
        let failed = |error: io::Error| (exit::INPUT_OUTPUT, format!("standard input: {error}"));
        Box::new(io::stdin().lock().lines().map(move |line| line.map_err(failed)))
    }

    /// The service that has given a ticket: the one that is named, or one of those that go on here.
    fn service_of(&self, text: &str) -> Result<Service, Refusal> {
        let Some((run, _)) = client::parse_ticket(text) else {
            let problem = format!("`{text}` is no ticket; one looks like 8f3a09c1b2d4e5f6/17");
            return Err((exit::USAGE, problem));
        };
        if let Some(name) = &self.service {
            return self.access.connect(name, None);
        }
        for (_, setup) in services::here(self.access.access()) {
            if let Ok(service) = Service::connect(setup)
                && service.run() == Some(run)
            {
                return Ok(service);
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

/// How long a service has to answer that there is no outcome yet.
const ANSWER: Duration = Duration::from_secs(1);
/// How long it may take to find out who has a unit: a worker that is not heard is given up before.
const CANCELLED: Duration = Duration::from_secs(15);

/// What comes of units, a line each.
#[derive(Default)]
struct Printer {
    code: i32,
    // Outputs as they come.
    streams: bool,
}

impl Printer {
    fn print(&mut self, ticket: &Ticket, timeout: Option<Duration>) -> Result<(), Refusal> {
        if self.streams && !self.follow(ticket, timeout)? {
            return Ok(());
        }
        let outcome = match ticket.get(timeout) {
            Ok(outcome) => outcome,
            Err(error) => {
                let told = ticket.text(Some(Duration::ZERO)).unwrap_or_default();
                complain(&format!("{told}: {error}"));
                self.code = self.code.max(exit::DRAINED);
                return Ok(());
            }
        };
        let mut text = Vec::new();
        match &outcome {
            Outcome::Value(_) | Outcome::Values(_) if self.streams => {}
            Outcome::Value(value) => line(&mut text, value)?,
            Outcome::Values(values) => {
                values.iter().try_for_each(|value| line(&mut text, value))?;
            }
            Outcome::Filtered => {}
            Outcome::Dead(failure) => {
                complain(&format!("unit {} failed: {}", failure.unit, failure.error.trim_end()));
                self.code = self.code.max(exit::DEAD);
            }
            Outcome::Undone(why) => {
                let told = ticket.text(Some(Duration::ZERO)).unwrap_or_default();
                complain(&format!("{told}: {why}"));
                self.code = self.code.max(NO_RESULT);
            }
        }
        flushed(&text)
    }

    /// Prints outputs as they come; whether the outcome says how they end.
    fn follow(&mut self, ticket: &Ticket, timeout: Option<Duration>) -> Result<bool, Refusal> {
        let mut stream = ticket.stream();
        while let Some(output) = stream.next_within(timeout) {
            match output {
                Ok(output) => {
                    let mut text = Vec::new();
                    line(&mut text, &output)?;
                    flushed(&text)?;
                }
                Err(StreamError::Dead(_) | StreamError::Undone(_)) => return Ok(true),
                Err(error) => {
                    let told = ticket.text(Some(Duration::ZERO)).unwrap_or_default();
                    complain(&format!("{told}: {error}"));
                    let is_late = error == StreamError::Timeout;
                    self.code = self.code.max(if is_late { exit::DRAINED } else { exit::DEAD });
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn cancel(&mut self, text: &str, ticket: &Ticket) -> Result<(), Refusal> {
        let word = match ticket.cancel(Some(CANCELLED)) {
            Ok(CancelState::Cancelled) => "cancelled",
            Ok(CancelState::Begun) => "begun: a worker has it and finishes it",
            Ok(CancelState::Over) => "over: it has its outcome",
            Err(error) => return Err((UNAVAILABLE, error.to_string())),
        };
        match print(&format!("{text} {word}\n")) {
            exit::COMPLETE => Ok(()),
            code => Err((code, String::new())),
        }
    }
}

impl TicketsArgs {
    pub(super) fn run(self) -> ExitCode {
        ended(self.tickets())
    }

    fn tickets(&self) -> Result<i32, Refusal> {
        let entry =
            choice::service(&self.name).map_err(|error| (exit::USAGE, error.to_string()))?;
        let entry = entry.ok_or_else(|| {
            (UNAVAILABLE, format!("no service `{}` goes on on this machine", self.name))
        })?;
        let reply = call::call(&entry, Ask::Status, Some(call::PATIENCE))
            .map_err(|error| (UNAVAILABLE, error.to_string()))?;
        let Reply::Status(status) = reply else {
            return Err((UNAVAILABLE, "the launcher answers something else".into()));
        };
        let standing = status.service.unwrap_or_default();
        let done = status.done;
        let text = match self.output {
            Format::Text => format!(
                "{} waiting, {} clients, {done} done, {} outcomes kept\n",
                standing.queued, standing.clients, standing.kept
            ),
            Format::Json => format!(
                "{}\n",
                serde_json::json!({
                    "queued": standing.queued, "queued_bytes": standing.queued_bytes,
                    "oldest_ms": standing.oldest_ms,
                    "clients": standing.clients, "done": done,
                    "kept": standing.kept, "kept_bytes": standing.kept_bytes,
                })
            ),
        };
        Ok(print(&text))
    }
}

/// A value as a line of JSON.
fn line(text: &mut Vec<u8>, value: &[u8]) -> Result<(), Refusal> {
    to_json(value, text)
        .map_err(|error| (exit::INPUT_OUTPUT, format!("a value without a JSON form: {error}")))?;
    text.push(b'\n');
    Ok(())
}

fn flushed(text: &[u8]) -> Result<(), Refusal> {
    let mut out = io::stdout().lock();
    written(out.write_all(text).and_then(|()| out.flush()))
}

/// A reader that has gone wants no more.
fn written(result: io::Result<()>) -> Result<(), Refusal> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => (exit::COMPLETE, String::new()),
        _ => (exit::INPUT_OUTPUT, format!("cannot write to standard output: {error}")),
    })
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
