//! A service that a command is connected to, and waits for.
//!
//! Owns what is said while the service is missing, and that one that was ended is not waited for; refuses to know
//! what is wanted of it.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use client::{Service, Setup, Ticket, WaitError};

use super::refusal::{ANSWER, Refusal, UNAVAILABLE};
use crate::{
    cli::complain,
    runs::{entry::Entry, fate},
};

/// A service that is missing for so long is spoken of: a process that was killed is back before.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether it was ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A service was ended.
#[derive(Debug)]
pub(super) struct Ended;

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    pub service: Service,
    // The run, if it goes on here.
    run: Option<Entry>,
    is_missed: Cell<bool>,
    looked: Cell<Option<Instant>>,
}

impl Connection {
    /// Connects; waits for an answer as long as that is set up.
    pub fn open(setup: Setup, run: Option<Entry>) -> Result<Self, Refusal> {
        let service = Service::connect(setup).map_err(|error| (UNAVAILABLE, error.to_string()))?;
        Ok(Self { service, run, is_missed: Cell::new(false), looked: Cell::new(None) })
    }

    /// To be called now and then by whoever waits for something of the service: says when it is lost, and when
    /// it is back.
    ///
    /// # Errors
    /// When nothing will come, since it was ended.
    pub fn watch(&self) -> Result<(), Ended> {
        match self.service.absent_for() {
            None if self.is_missed.take() => {
                complain(&"the service is back");
                Ok(())
            }
            Some(absent) if absent >= PATIENCE => self.missed(),
            _ => Ok(()),
        }
    }

    fn missed(&self) -> Result<(), Ended> {
        let is_time = |looked: Instant| looked.elapsed() >= LOOK_INTERVAL;
        if self.looked.get().is_none_or(is_time) {
            self.looked.set(Some(Instant::now()));
            if self.run.as_ref().is_some_and(fate::has_ended) {
                return Err(Ended);
            }
        }
        if !self.is_missed.replace(true) {
            complain(&"the service is lost; waiting for it");
        }
        Ok(())
    }

    /// Whether a unit that was submitted long enough ago waits for room in the queue.
    pub fn is_full(&self, submitted: Instant) -> bool {
        submitted.elapsed() >= ANSWER && self.service.absent_for().is_none()
    }

    /// Leaves without a word: what is not accepted yet must not be while goodbyes are said.
    pub fn abandon(self) {
        std::mem::forget(self.service);
    }

    /// What is left to say when it was ended before these units had an outcome.
    pub fn ended(&self, open: &[Ticket]) -> Refusal {
        let mut told = "the service was ended".to_owned();
        if let Some(run) = &self.run {
            told += &format!("; `pipeline up {}` goes on with it", run.topology.display());
        }
        told += &about(self.tickets_of(open), "these tickets stay valid");
        (UNAVAILABLE, told)
    }

    /// The texts of tickets, and of how many units it is not known whether they were accepted. What was submitted
    /// just now is waited for a moment.
    pub fn tickets_of(&self, open: &[Ticket]) -> (Vec<String>, usize) {
        self.service.flush(ANSWER);
        let now = Some(Duration::ZERO);
        let tickets: Vec<_> = open.iter().filter_map(|ticket| ticket.text(now).ok()).collect();
        let is_unknown = |ticket: &&Ticket| ticket.text(now) == Err(WaitError::Timeout);
        (tickets, open.iter().filter(is_unknown).count())
    }
}

/// Tickets after these words, a line each, and how many units are in doubt.
pub(super) fn about((tickets, unknown): (Vec<String>, usize), words: &str) -> String {
    let mut told = String::new();
    if unknown > 0 {
        told += &format!("; it has not said of {unknown} units whether it has them");
    }
    if !tickets.is_empty() {
        told += &format!("; {words}:\n{}", tickets.join("\n"));
    }
    told
}
