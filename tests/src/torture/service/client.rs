//! One client of a service under torture, as a process of its own that may be killed at any moment.
//!
//! Owns what it submits, what must become of each, and the order of steps by which a kill loses nothing: what is
//! about to be submitted is noted first, and an outcome is noted before the service need not keep it. Started
//! again it goes on where it was, under the same numbers. Refuses to know who is killed.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use client::{
    ConnectError, Outcome, Service, SubmitError, Terms, Ticket, Tray, Undone, Wait, WaitError,
};
use pipeline::runs::services::{Access, find};
use thiserror::Error;

use super::journal::{Journal, JournalError};
use crate::wait;

/// Numbers that may be ahead of the first one without an outcome.
const WINDOW: u64 = 4_096;
/// A client that is killed has told the service of all outcomes but those of the last numbers, and these are more
/// than it submits in the time that it takes to tell.
const RECENT: u64 = 16 * WINDOW;
/// So many are due at once.
const BURST: u64 = WINDOW / 2;
/// Units that are submitted together.
const BATCH: u64 = 256;
/// How long a service that is started again is looked for.
const LOOK_FOR: Duration = Duration::from_secs(60);
/// Longer than it takes for anybody to be started again.
const STANDSTILL: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// One unit among so many fails.
const FAILS_EVERY: u64 = 997;

/// What one client does.
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// The service's name
    #[arg(long)]
    service: String,
    /// Which client this is
    #[arg(long)]
    number: u64,
    /// How many units it submits
    #[arg(long)]
    quota: u64,
    /// When all clients have begun, in milliseconds since 1970
    #[arg(long)]
    begun_ms: u64,
    /// In so many milliseconds from then they submit all of it
    #[arg(long)]
    lasts_ms: u64,
    /// Where it keeps what it has to know when it comes back
    #[arg(long)]
    journal: PathBuf,
    /// Once this file is there, nothing new is submitted
    #[arg(long)]
    enough: PathBuf,
}

/// What a client finds wrong.
#[derive(Debug, Error)]
pub enum ClientFault {
    /// Its own journal is contradicted.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The service is not there for long.
    #[error("no connection to the service: {0}")]
    Gone(String),
    /// It can't submit.
    #[error("it can't submit: {0}")]
    Submit(#[from] SubmitError),
    /// An outcome is another than in a calm run.
    #[error("number {number}, ticket {ticket:?}: {found}, in a calm run {expected}")]
    Outcome {
        /// The client's number.
        number: u64,
        /// Its ticket, if it has one.
        ticket: Option<u64>,
        /// What became of it.
        found: String,
        /// What should have.
        expected: String,
    },
    /// Nothing happens.
    #[error("nothing came for {} s; {without_ticket} units without ticket, {without_outcome} without outcome, from {low} on", STANDSTILL.as_secs())]
    Standstill {
        /// Submitted and not accepted.
        without_ticket: usize,
        /// Submitted and without an outcome.
        without_outcome: usize,
        /// The first number that has none.
        low: u64,
    },
}

/// What is submitted under a client's number, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    value: u64,
    // None if it fails.
    square: Option<u64>,
}

impl Case {
    /// The one of a place among all that all clients submit.
    fn of(place: u64) -> Self {
        match place % FAILS_EVERY {
            0 => Self { value: u64::MAX - place, square: None },
            _ => Self { value: place, square: Some(place * place) },
        }
    }

    /// Whether that has become of the unit in a calm run, too.
    fn is(self, outcome: &Outcome) -> bool {
        match (outcome, self.square) {
            (Outcome::Dead(failure), None) => {
                let value = rmp_serde::from_slice::<u64>(&failure.input);
                value.is_ok_and(|value| value == self.value)
                    && failure.error.contains(&self.failure())
            }
            (outcome, Some(square)) => outcome.value::<u64>().is_ok_and(|value| value == square),
            _ => false,
        }
    }

    fn failure(self) -> String {
        format!("the square of {} does not fit 64 bits", self.value)
    }

    fn expected(self) -> String {
        self.square.map_or_else(|| self.failure(), |square| square.to_string())
    }
}

/// How a session has ended.
enum Course {
    /// All is done.
    Over,
    /// The service was stopping when it was asked; what it declined is submitted to the next one.
    Declined,
}

/// Does all of it.
///
/// # Errors
/// [`ClientFault`] when anything is not as it is in a calm run.
pub fn run(args: &ClientArgs) -> Result<(), ClientFault> {
    let mut journal = Journal::open(&args.journal)?;
    while let Course::Declined = Session::open(args, &mut journal)?.run()? {
        wait::pace(LOOK_INTERVAL, || false);
    }
    Ok(())
}

/// A connection, and what was submitted over it.
struct Session<'a> {
    args: &'a ClientArgs,
    journal: &'a mut Journal,
    service: Service,
    tray: Arc<Tray>,
    low: u64,
    next: u64,
    // By number.
    without_ticket: VecDeque<u64>,
    without_outcome: BTreeMap<u64, Ticket>,
    moved: Instant,
}

impl<'a> Session<'a> {
    fn open(args: &'a ClientArgs, journal: &'a mut Journal) -> Result<Self, ClientFault> {
        let low = journal.low();
        let start = Instant::now();
        let service = loop {
            match connect(args, low) {
                Ok(service) => break service,
                Err(told) if start.elapsed() > LOOK_FOR => return Err(ClientFault::Gone(told)),
                Err(_) => wait::pace(LOOK_INTERVAL, || false),
            }
        };
        // Whether the service was told of what was noted last is not known.
        service.forget(journal.done_from(journal.submitted().saturating_sub(RECENT)));
        Ok(Self {
            args,
            journal,
            service,
            tray: Arc::default(),
            low,
            next: low,
            without_ticket: VecDeque::new(),
            without_outcome: BTreeMap::new(),
            moved: Instant::now(),
        })
    }

    fn run(mut self) -> Result<Course, ClientFault> {
        loop {
            let end = self.end();
            if self.without_outcome.is_empty() && self.next >= end {
                // What is taken is told before the connection goes.
                self.service.close();
                return Ok(Course::Over);
            }
            self.submit(end)?;
            if !self.note_tickets()? {
                return Ok(Course::Declined);
            }
            let mut done = self.tray.take(LOOK_INTERVAL).unwrap_or_default();
            done.sort_unstable();
            if !self.note_tickets()? || !self.note_outcomes(&done)? {
                return Ok(Course::Declined);
            }
            let waits = !self.without_outcome.is_empty();
            if waits && self.moved.elapsed() > STANDSTILL {
                return Err(ClientFault::Standstill {
                    without_ticket: self.without_ticket.len(),
                    without_outcome: self.without_outcome.len(),
                    low: self.low,
                });
            }
        }
    }

    /// Numbers below this one are to be submitted. Once it is enough, only what may have been before.
    fn end(&self) -> u64 {
        match self.args.enough.exists() {
            true => self.journal.submitted(),
            false => self.args.quota,
        }
    }

    /// Numbers below this one are to be submitted now: thousands at once, every now and then.
    fn due(&self) -> u64 {
        let since = now_ms().saturating_sub(self.args.begun_ms) as f64;
        let share = since / self.args.lasts_ms.max(1) as f64;
        // Not all clients at the same time.
        let phase = self.args.number * BURST / 7 % BURST;
        ((share * self.args.quota as f64) as u64 + phase) / BURST * BURST + BURST
    }

    fn submit(&mut self, end: u64) -> Result<(), ClientFault> {
        let to = end.min(self.low + WINDOW).min(self.due());
        while self.next < to {
            let numbers = self.next..to.min(self.next + BATCH);
            self.journal.note_submitted(numbers.end);
            self.journal.write()?;
            let value = |number| {
                rmp_serde::to_vec(&self.case(number).value).map_err(|error| error.to_string())
            };
            let values: Result<Vec<_>, _> = numbers.clone().map(value).collect();
            let values = values.map_err(SubmitError::Value)?;
            let tickets =
                self.service.submit_encoded(values, &Terms::default(), Wait::ForWorkers)?;
            self.moved = Instant::now();
            for (number, ticket) in numbers.clone().zip(tickets) {
                ticket.deliver(self.tray.clone(), number);
                self.without_ticket.push_back(number);
                self.without_outcome.insert(number, ticket);
            }
            self.next = numbers.end;
        }
        Ok(())
    }

    /// Notes which numbers have tickets now; whether none was declined.
    fn note_tickets(&mut self) -> Result<bool, ClientFault> {
        while let Some(number) = self.without_ticket.front().copied() {
            let Some(ticket) = self.without_outcome.get(&number) else { break };
            match ticket.id(Some(Duration::ZERO)) {
                Ok(id) => self.journal.note_accepted(number, id)?,
                Err(WaitError::Timeout) => break,
                Err(WaitError::Undone(Undone::Declined(_))) => return Ok(false),
                Err(WaitError::Undone(why)) => return Err(self.other(number, &why.to_string())),
            }
            self.without_ticket.pop_front();
            self.moved = Instant::now();
        }
        Ok(true)
    }

    /// Notes the outcomes that are there, and only then lets the service forget them; whether none was declined.
    fn note_outcomes(&mut self, done: &[u64]) -> Result<bool, ClientFault> {
        let mut noted = Vec::with_capacity(done.len());
        for number in done {
            let Some(ticket) = self.without_outcome.get(number) else { continue };
            match ticket.look(Some(Duration::ZERO)) {
                Err(WaitError::Timeout) => continue,
                Ok(Outcome::Undone(Undone::Declined(_))) => return Ok(false),
                // It was noted, and the service told, before this client was killed.
                Ok(Outcome::Undone(Undone::Expired)) if self.journal.is_done(*number) => {}
                Ok(outcome) if self.case(*number).is(&outcome) => {
                    if !self.journal.is_done(*number) {
                        self.journal.note_done(*number)?;
                    }
                }
                Ok(outcome) => return Err(self.other(*number, &format!("{outcome:?}"))),
                Err(WaitError::Undone(why)) => return Err(self.other(*number, &why.to_string())),
            }
            noted.extend(self.without_outcome.remove(number));
        }
        self.journal.write()?;
        for ticket in noted {
            self.moved = Instant::now();
            // It is there already, and taken now.
            let _ = ticket.get(Some(Duration::ZERO));
        }
        self.low = self.without_outcome.keys().next().copied().unwrap_or(self.next);
        Ok(true)
    }

    /// No two clients submit the same value.
    fn case(&self, number: u64) -> Case {
        Case::of(self.args.number * self.args.quota + number)
    }

    fn other(&self, number: u64, found: &str) -> ClientFault {
        let ticket = self.without_outcome.get(&number);
        let ticket = ticket.and_then(|ticket| ticket.id(Some(Duration::ZERO)).ok());
        let expected = self.case(number).expected();
        ClientFault::Outcome { number, ticket, found: found.into(), expected }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn connect(args: &ClientArgs, first_number: u64) -> Result<Service, String> {
    let mut setup = find(&args.service, Access::default()).map_err(|error| error.to_string())?;
    setup.client = format!("client-{}", args.number);
    setup.first_number = first_number;
    Service::connect(setup).map_err(|error: ConnectError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_knows_its_own_outcome_from_any_other() {
        let value = |value: u64| Outcome::Value(rmp_serde::to_vec(&value).unwrap().into());
        assert!(Case::of(5).is(&value(25)));
        assert!(!Case::of(5).is(&value(26)));
        assert!(!Case::of(FAILS_EVERY).is(&value(FAILS_EVERY * FAILS_EVERY)));
        assert!(!Case::of(5).is(&Outcome::Filtered));
        let failing = Case::of(FAILS_EVERY);
        let failure = client::Failure {
            unit: 3,
            stage: 0,
            input: rmp_serde::to_vec(&failing.value).unwrap(),
            error: failing.failure(),
            attempts: 1,
            worker: String::new(),
        };
        assert!(failing.is(&Outcome::Dead(Box::new(failure.clone()))));
        assert!(!Case::of(5).is(&Outcome::Dead(Box::new(failure))));
    }
}
