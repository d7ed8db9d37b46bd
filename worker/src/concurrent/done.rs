//! What came of units on other threads, until the function is polled.
//!
//! Owns those outcomes, and that they are told of; refuses to know how a unit was worked on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Finished, Slot, Waker};
use crate::{Failure, Outputs};

/// See the module.
#[derive(Default)]
pub(super) struct Done {
    outcomes: Mutex<Vec<(Slot, Result<Outputs, Failure>)>>,
    waker: Waker,
}

impl Done {
    /// None yet; each is told with this waker.
    pub fn new(waker: Waker) -> Self {
        Self { waker, ..Self::default() }
    }

    fn outcomes(&self) -> MutexGuard<'_, Vec<(Slot, Result<Outputs, Failure>)>> {
        // Nothing under the lock can panic halfway.
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A unit has ended.
    pub fn put(&self, slot: Slot, outcome: Result<Outputs, Failure>) {
        self.outcomes().push((slot, outcome));
        self.waker.wake();
    }

    /// Hands over as many as there is room for; the rest has the function polled again.
    pub fn tell(&self, finished: &mut Finished) {
        let mut outcomes = std::mem::take(&mut *self.outcomes()).into_iter();
        while !finished.is_full()
            && let Some((slot, outcome)) = outcomes.next()
        {
            finished.unit(slot, |out| outcome?.iter().try_for_each(|value| out.push_bytes(value)));
        }
        if outcomes.len() > 0 {
            self.outcomes().extend(outcomes);
            self.waker.wake();
        }
    }
}
