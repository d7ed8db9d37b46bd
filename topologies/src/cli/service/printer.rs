//! What comes of units, on standard output, a line for each value; what is wrong with one on standard error.
//!
//! Owns the lines, the exit code that they add up to, and that an outcome is taken from the service only once it
//! is written. Refuses to know where tickets come from.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use client::{Outcome, StreamError, Ticket, Undone, WaitError};
use proto::{service::CancelState, value::to_json};

use super::{
    connection::{Connection, Ended},
    refusal::{ANSWER, NO_RESULT, Refusal, UNAVAILABLE},
};
use crate::{
    cli::{complain, print},
    up::exit,
};

/// How often it is looked whether anybody has asked for the end.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long it may take to find out who has a unit: a worker that is not heard is given up before.
const CANCELLED: Duration = Duration::from_secs(15);

/// Why units are told no further.
#[derive(Debug)]
pub(super) enum Stop {
    /// Something has failed.
    Refused(Refusal),
    /// Somebody has asked for the end.
    Interrupted,
    /// The service was ended.
    Ended,
    /// There is no room for a unit, which was not to be waited for.
    Full,
}

impl From<Ended> for Stop {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Units that a service did not accept. Of many for one reason the first is told, and how many they were.
#[derive(Debug, Default)]
pub(super) struct Declined {
    count: u64,
    last: Option<Undone>,
}

impl Declined {
    /// One more was not.
    pub fn tell(&mut self, why: Undone) {
        self.count += 1;
        if self.last.replace(why) != Some(why) {
            complain(&why);
        }
    }

    /// There are no more; whether there were any.
    pub fn finish(&self) -> bool {
        if self.count > 1 {
            complain(&format_args!("{} units in all were not accepted", self.count));
        }
        self.count > 0
    }
}

/// See the module.
pub(super) struct Printer<'a> {
    // To leave with.
    code: i32,
    // Outputs as they come.
    streams: bool,
    // How long each outcome is waited for.
    limit: Option<Duration>,
    is_interrupted: &'a dyn Fn() -> bool,
    declined: Declined,
}

impl<'a> Printer<'a> {
    /// One that waits so long for each outcome, and not once somebody has asked for the end.
    pub fn new(limit: Option<Duration>, is_interrupted: &'a dyn Fn() -> bool) -> Self {
        let code = exit::COMPLETE;
        Self { code, streams: false, limit, is_interrupted, declined: Declined::default() }
    }

    /// The same, which prints outputs as they come.
    pub fn streaming(self, streams: bool) -> Self {
        Self { streams, ..self }
    }

    /// Tells what became of a unit, once something has.
    pub fn print(&mut self, ticket: &Ticket, of: &Connection) -> Result<(), Stop> {
        if self.streams && !self.follow(ticket, of)? {
            return Ok(());
        }
        let Some(outcome) = self.patiently(of, |slice| ticket.look(Some(slice)).ok())? else {
            self.failed(exit::DRAINED, ticket, &WaitError::Timeout);
            return Ok(());
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
                let told = format!("failed: {}", failure.error.trim_end());
                complain(&format_args!("{} {told}", told_as(ticket)));
                self.code = self.code.max(exit::DEAD);
            }
            Outcome::Undone(why @ Undone::Declined(_)) => {
                self.code = self.code.max(UNAVAILABLE);
                self.declined.tell(*why);
            }
            Outcome::Undone(why @ Undone::Closed) => self.failed(UNAVAILABLE, ticket, why),
            Outcome::Undone(why) => self.failed(NO_RESULT, ticket, why),
        }
        flushed(&text)?;
        // Whoever has it written needs it no more.
        let _ = ticket.get(Some(Duration::ZERO));
        Ok(())
    }

    /// No more is to be printed; the code to leave with.
    pub fn finish(self) -> i32 {
        self.declined.finish();
        self.code
    }

    fn failed(&mut self, code: i32, ticket: &Ticket, why: &dyn std::fmt::Display) {
        self.code = self.code.max(code);
        match ticket.text(Some(ANSWER)) {
            Ok(told) => complain(&format_args!("{told}: {why}")),
            Err(_) => complain(why),
        }
    }

    /// Waits in slices: what was waited for, or nothing if it has not come in time.
    fn patiently<T>(
        &self,
        of: &Connection,
        mut look: impl FnMut(Duration) -> Option<T>,
    ) -> Result<Option<T>, Stop> {
        let until = self.limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let slice = left.map_or(LOOK_INTERVAL, |left| left.min(LOOK_INTERVAL));
            if let Some(found) = look(slice) {
                return Ok(Some(found));
            }
            if (self.is_interrupted)() {
                return Err(Stop::Interrupted);
            }
            of.watch()?;
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
        }
    }

    /// Prints outputs as they come; whether the outcome says how they end.
    fn follow(&mut self, ticket: &Ticket, of: &Connection) -> Result<bool, Stop> {
        let mut stream = ticket.stream();
        loop {
            let next = self.patiently(of, |slice| match stream.next_within(Some(slice)) {
                Some(Err(StreamError::Timeout)) => None,
                next => Some(next),
            })?;
            match next.unwrap_or(Some(Err(StreamError::Timeout))) {
                Some(Ok(output)) => {
                    let mut text = Vec::new();
                    line(&mut text, &output)?;
                    flushed(&text)?;
                }
                None | Some(Err(StreamError::Dead(_) | StreamError::Undone(_))) => return Ok(true),
                Some(Err(error)) => {
                    let is_late = error == StreamError::Timeout;
                    self.failed(if is_late { exit::DRAINED } else { exit::DEAD }, ticket, &error);
                    return Ok(false);
                }
            }
        }
    }

    /// Has a unit not worked on, and says what came of that.
    pub fn cancel(&mut self, text: &str, ticket: &Ticket) -> Result<(), Refusal> {
        let word = match ticket.cancel(Some(CANCELLED)) {
            Ok(CancelState::Cancelled) => "cancelled",
            Ok(CancelState::Begun) => "begun: a worker has it and finishes it",
            Ok(CancelState::Over) => "over: it has its outcome",
            Err(WaitError::Undone(why)) => return Err((NO_RESULT, format!("{text}: {why}"))),
            Err(error) => return Err((UNAVAILABLE, error.to_string())),
        };
        match print(&format!("{text} {word}\n")) {
            exit::COMPLETE => Ok(()),
            code => Err((code, String::new())),
        }
    }
}

/// What has an outcome has a ticket.
fn told_as(ticket: &Ticket) -> String {
    ticket.text(Some(Duration::ZERO)).unwrap_or_default()
}

/// A value as a line of JSON.
fn line(text: &mut Vec<u8>, value: &[u8]) -> Result<(), Refusal> {
    to_json(value, text)
        .map_err(|error| (exit::INPUT_OUTPUT, format!("a value without a JSON form: {error}")))?;
    text.push(b'\n');
    Ok(())
}

/// Writes it to standard output. A reader that has gone wants no more.
pub(super) fn flushed(text: &[u8]) -> Result<(), Refusal> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => (exit::COMPLETE, String::new()),
        _ => (exit::INPUT_OUTPUT, format!("cannot write to standard output: {error}")),
    })
}
