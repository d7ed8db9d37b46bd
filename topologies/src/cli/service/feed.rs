//! Units on their way to a service: read and submitted on a thread of their own, told in their order on another.
//!
//! Owns that what was accepted is told while standard input is still read, and that whoever stops it early gets
//! each ticket that was not told. Refuses to know what is told of a unit.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use client::{Service, SubmitError, Terms, Ticket, Undone, Wait, WaitError};
use proto::signals;

use super::{
    connection::Connection,
    printer::{LOOK_INTERVAL, Stop},
    reach::Caller,
    refusal::{Refusal, UNAVAILABLE},
    units::{Read, UnitsArgs},
};
use crate::up::exit;

/// Units that are submitted and not told yet.
const AHEAD_MAX: usize = 4_096;

/// Which calls of the client submit a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcomes {
    /// They are waited for here.
    Awaited,
    /// They are for others.
    Left,
}

/// How units are submitted.
#[derive(Debug)]
pub(super) struct Manner {
    pub terms: Terms,
    pub wait: Wait,
    pub outcomes: Outcomes,
}

/// What is next for the one who tells.
#[derive(Debug)]
pub(super) enum Next {
    /// The first unit of those that are not told.
    Unit(Ticket),
    /// All are told, and this is how it has ended.
    End(Result<(), Refusal>),
    /// Somebody has asked for the end: with Ctrl-C, or by a signal like it.
    Interrupted,
}

impl UnitsArgs {
    /// Connects to the service, and begins to submit what is given.
    pub fn feed(
        &self,
        outcomes: Outcomes,
        caller: Caller<'_>,
    ) -> Result<(Feed, Connection), Refusal> {
        let read = self.read()?;
        let caller = Caller { client: self.terms.client.as_deref(), ..caller };
        let connection = self.service.connect(&self.name, caller)?;
        let manner = Manner { terms: self.terms.terms(), wait: self.terms.wait(), outcomes };
        Ok((Feed::start(read, connection.service.clone(), manner)?, connection))
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Feed(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waits_for_room: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    // Submitted and not told, in their order.
    open: VecDeque<Ticket>,
    // Nothing more is submitted.
    end: Option<Result<(), Refusal>>,
    is_interrupted: bool,
}

impl Feed {
    /// Begins to submit what is read.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(read: Read, service: Service, manner: Manner) -> Result<Self, Refusal> {
        let waits_for_room = matches!(manner.wait, Wait::ForRoom | Wait::ForWorkers);
        let feed = Self(Arc::new(Shared { waits_for_room, ..Shared::default() }));
        feed.listen();
        let theirs = feed.clone();
        let spawned = thread::Builder::new().name("units".into()).spawn(move || {
            let end = theirs.submit(read, &service, &manner);
            theirs.0.lock().end.get_or_insert(end);
            theirs.0.changed.notify_all();
        });
        spawned.map_err(|error| (exit::SYSTEM, format!("cannot start a thread: {error}")))?;
        Ok(feed)
    }

    fn listen(&self) {
        let theirs = self.clone();
        let heard = signals::listen(move |count| {
            if count > 1 {
                std::process::exit(exit::INTERRUPTED);
            }
            theirs.0.lock().is_interrupted = true;
            theirs.0.changed.notify_all();
        });
        if let Err(error) = heard {
            tracing::warn!(%error, "signals end this process at once");
        }
    }

    fn submit(&self, read: Read, service: &Service, manner: &Manner) -> Result<(), Refusal> {
        for (number, value) in (1..).zip(read()) {
            let value = value?;
            if !self.has_room(service, manner.wait)? {
                return Ok(());
            }
            // Whoever stops this waits for the lock, so no ticket is between two places.
            let mut state = self.0.lock();
            if state.end.is_some() {
                return Ok(());
            }
            let (values, terms) = (vec![value], &manner.terms);
            let submitted = match manner.outcomes {
                Outcomes::Awaited => service.submit_encoded(values, terms, Wait::Waited),
                Outcomes::Left => service.hand_in(values, terms, Wait::Waited),
            };
            state.open.extend(submitted.map_err(|error| match error {
                SubmitError::Large { .. } => (exit::USAGE, format!("value {number}: {error}")),
                error => refused(error),
            })?);
            drop(state);
            self.0.changed.notify_all();
        }
        Ok(())
    }

    /// Waits until one more unit may be submitted; not if nothing more is to be.
    fn has_room(&self, service: &Service, wait: Wait) -> Result<bool, Refusal> {
        loop {
            let state = self.0.lock();
            let is_full = |state: &mut State| state.open.len() >= AHEAD_MAX && state.end.is_none();
            let state = self.0.changed.wait_while(state, is_full);
            if state.unwrap_or_else(PoisonError::into_inner).end.is_some() {
                return Ok(false);
            }
            if service.wait_for_room(wait, Some(LOOK_INTERVAL)).map_err(refused)? {
                return Ok(true);
            }
        }
    }

    /// What is next; waits for it.
    pub fn next(&self) -> Next {
        let state = self.0.lock();
        let is_idle = |state: &mut State| {
            state.open.is_empty() && state.end.is_none() && !state.is_interrupted
        };
        let state = self.0.changed.wait_while(state, is_idle);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        match (state.open.front(), &state.end) {
            _ if state.is_interrupted => Next::Interrupted,
            (Some(first), _) => Next::Unit(first.clone()),
            (None, Some(end)) => Next::End(end.clone()),
            (None, None) => Next::End(Ok(())),
        }
    }

    /// The first one is told.
    pub fn told(&self) {
        self.0.lock().open.pop_front();
        self.0.changed.notify_all();
    }

    /// Whether units wait for room in the queue, as long as that takes, or are not submitted then.
    pub fn waits_for_room(&self) -> bool {
        self.0.waits_for_room
    }

    /// Whether somebody has asked for the end.
    pub fn is_interrupted(&self) -> bool {
        self.0.lock().is_interrupted
    }

    /// Nothing more is submitted; what was submitted before is still told.
    pub fn stop(&self) {
        self.0.lock().end.get_or_insert(Ok(()));
        self.0.changed.notify_all();
    }

    /// Those that were not told.
    pub fn untold(&self) -> Vec<Ticket> {
        self.0.lock().open.iter().cloned().collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        SubmitError::Full => (exit::DRAINED, error.to_string()),
        SubmitError::Closed => (UNAVAILABLE, error.to_string()),
    }
}

/// Waits until a unit is accepted, or known not to be.
pub(super) fn accepted(
    feed: &Feed,
    of: &Connection,
    ticket: &Ticket,
) -> Result<Result<String, Undone>, Stop> {
    let since = Instant::now();
    loop {
        match ticket.text(Some(LOOK_INTERVAL)) {
            Ok(text) => return Ok(Ok(text)),
            Err(WaitError::Undone(why)) => return Ok(Err(why)),
            Err(WaitError::Timeout) if feed.is_interrupted() => return Err(Stop::Interrupted),
            Err(WaitError::Timeout) if !feed.waits_for_room() && of.is_full(since) => {
                return Err(Stop::Full);
            }
            Err(WaitError::Timeout) => of.watch()?,
        }
    }
}
