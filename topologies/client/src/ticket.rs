//! A unit that was submitted.
//!
//! Owns the program's end of it: waiting for its ticket and for its outcome, blocking or as a future.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use proto::{
    service::{CancelState, Reason},
    unit::UnitId,
};
use thiserror::Error;

use crate::{
    outcome::{Outcome, Undone},
    service::Inner,
    stream::Stream,
    table::{Cell, CellState},
    tray::Tray,
};

/// Why a wait has ended without what was waited for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WaitError {
    /// It takes longer than was to be waited.
    #[error("there is no outcome yet")]
    Timeout,
    /// There will be none.
    #[error(transparent)]
    Undone(#[from] Undone),
}

/// A unit that was submitted. Dropping it changes nothing for the unit; its outcome is kept for
/// whoever asks for it by the ticket's text, as long as the service keeps outcomes.
#[derive(Clone)]
pub struct Ticket {
    cell: Arc<Cell>,
    service: Arc<Inner>,
    // Others may have the same unit, so its outcome stays.
    keeps: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.service.release(&self.cell);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({:?})", self.cell.lock().ticket)
    }
}

impl Ticket {
    pub(crate) fn new(cell: Arc<Cell>, service: Arc<Inner>, keeps: bool) -> Self {
        Self { cell, service, keeps }
    }

    /// Whether there is an outcome.
    pub fn is_ready(&self) -> bool {
        self.cell.lock().outcome.is_some()
    }

    /// The unit's id, once it is accepted: from then on it has exactly one outcome. Waits for that.
    ///
    /// # Errors
    /// [`WaitError`] when it is not accepted in time, or not at all.
    pub fn id(&self, timeout: Option<Duration>) -> Result<UnitId, WaitError> {
        self.wait_until(timeout, |state| match (state.ticket, &state.outcome) {
            (Some(ticket), _) => Some(Ok(ticket)),
            (None, Some(Outcome::Undone(why))) => Some(Err(WaitError::Undone(*why))),
            (None, Some(_) | None) => None,
        })?
    }

    /// By what others ask for the outcome: `run/id`. Waits until the unit is accepted.
    ///
    /// # Errors
    /// As [`id`](Self::id).
    pub fn text(&self, timeout: Option<Duration>) -> Result<String, WaitError> {
        let id = self.id(timeout)?;
        Ok(self.service.text_of(id))
    }

    /// The same, in a task.
    pub fn accepted(&self) -> Accepted {
        Accepted(self.clone())
    }

    /// What became of the unit. Waits for that, at most so long; the outcome stays here, so it may be
    /// asked for again.
    ///
    /// # Errors
    /// [`WaitError::Timeout`] when there is no outcome in time.
    pub fn get(&self, timeout: Option<Duration>) -> Result<Outcome, WaitError> {
        let outcome = self.look(timeout)?;
        self.take();
        Ok(outcome)
    }

    /// The outputs of the unit in their order, each once, as they come if its stage streams.
    pub fn stream(&self) -> Stream {
        Stream::of(self.clone())
    }

    /// Has outputs shown as they come, once the unit is accepted.
    pub(crate) fn follow(&self, timeout: Option<Duration>) -> Result<(), WaitError> {
        let id = self.id(timeout)?;
        self.service.follow(id);
        Ok(())
    }

    /// The same, and leaves the outcome at the service. A program that may be killed notes it first, and then
    /// calls [`get`](Self::get): whenever it is killed, the outcome is in its notes or still to be had.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn look(&self, timeout: Option<Duration>) -> Result<Outcome, WaitError> {
        self.wait_until(timeout, |state| state.outcome.clone())
    }

    /// Waits until there is an outcome, at most so long, and leaves it at the service.
    ///
    /// # Errors
    /// [`WaitError::Timeout`] when there is none in time.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<(), WaitError> {
        self.wait_until(timeout, |state| state.outcome.is_some().then_some(()))
    }

    /// Has it put on that tray, under this number, once there is an outcome.
    pub fn deliver(&self, tray: Arc<Tray>, number: u64) {
        self.cell.lock().deliver(tray, number);
    }

    /// Has the unit not worked on, if no worker has begun it; what came of that. It has an outcome either
    /// way: a cancelled unit is dead.
    ///
    /// # Errors
    /// [`WaitError`] when it is not accepted, or the answer does not come in time.
    pub fn cancel(&self, timeout: Option<Duration>) -> Result<CancelState, WaitError> {
        self.ask_to_cancel(timeout)?;
        self.cancelled(timeout)
    }

    /// The same without waiting for the answer, which [`cancelled`](Self::cancelled) tells.
    ///
    /// # Errors
    /// [`WaitError`] when it is not accepted in time, or not at all.
    pub fn ask_to_cancel(&self, timeout: Option<Duration>) -> Result<(), WaitError> {
        self.service.cancel(self.id(timeout)?);
        Ok(())
    }

    /// What came of the wish to cancel it. Waits for that, at most so long.
    ///
    /// # Errors
    /// [`WaitError`] when the answer does not come in time, or there is no such unit.
    pub fn cancelled(&self, timeout: Option<Duration>) -> Result<CancelState, WaitError> {
        self.wait_until(timeout, |state| match (&state.outcome, state.cancelled) {
            // Whoever has no such unit says that it is over, too.
            (Some(Outcome::Undone(why)), _) if *why != Undone::Expired => Some(Err((*why).into())),
            (_, Some(told)) => Some(Ok(told)),
            (Some(_), None) => Some(Ok(CancelState::Over)),
            (None, None) => None,
        })?
    }

    pub(crate) fn wait_until<T>(
        &self,
        timeout: Option<Duration>,
        mut found: impl FnMut(&mut CellState) -> Option<T>,
    ) -> Result<T, WaitError> {
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let mut state = self.cell.lock();
        loop {
            if let Some(found) = found(&mut state) {
                return Ok(found);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(WaitError::Timeout);
            }
            state.waiting += 1;
            let changed = self.cell.changed();
            state = match left {
                None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.waiting -= 1;
        }
    }

    /// The program has the outcome, so the service needs not keep it.
    pub(crate) fn take(&self) {
        let mut state = self.cell.lock();
        let is_first = !std::mem::replace(&mut state.is_fetched, true);
        let is_undone = matches!(state.outcome, Some(Outcome::Undone(_)));
        if let Some(ticket) = state.ticket.filter(|_| is_first && !self.keeps && !is_undone) {
            drop(state);
            self.service.taken(ticket);
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Outcome> {
        let mut state = self.cell.lock();
        match state.outcome.clone() {
            None => {
                state.wake(context.waker());
                Poll::Pending
            }
            Some(outcome) => {
                drop(state);
                self.take();
                Poll::Ready(outcome)
            }
        }
    }

    /// Why the unit was not accepted, if it was not.
    pub fn declined(&self) -> Option<Reason> {
        match self.cell.lock().outcome {
            Some(Outcome::Undone(Undone::Declined(reason))) => Some(reason),
            _ => None,
        }
    }
}

/// The text of a ticket, in a task, once its unit is accepted.
#[derive(Debug)]
pub struct Accepted(Ticket);

impl Future for Accepted {
    type Output = Result<String, Undone>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.cell.lock();
        match (state.ticket, &state.outcome) {
            (Some(ticket), _) => Poll::Ready(Ok(self.0.service.text_of(ticket))),
            (None, Some(Outcome::Undone(why))) => Poll::Ready(Err(*why)),
            (None, _) => {
                state.wake(context.waker());
                Poll::Pending
            }
        }
    }
}

/// The outcome of a ticket, in a task.
#[derive(Debug)]
pub struct Awaited(Ticket);

impl Future for Awaited {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        self.0.poll(context)
    }
}

impl IntoFuture for Ticket {
    type Output = Outcome;
    type IntoFuture = Awaited;

    fn into_future(self) -> Awaited {
        Awaited(self)
    }
}
