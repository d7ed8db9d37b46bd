//! The outputs of a unit, one after the other, as they come.
//!
//! Owns which of them the program has, and that what it was shown is what the outcome says; refuses to know how
//! they come. Where nothing is shown before, all of them come with the outcome.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::{
    outcome::{Failure, Outcome, Undone},
    ticket::{Ticket, WaitError},
};

/// Why there is no next output.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StreamError {
    /// It takes longer than was to be waited; the next time it is waited for again.
    #[error("there is no output yet")]
    Timeout,
    /// The unit failed for good.
    #[error("{0}")]
    Dead(Box<Failure>),
    /// There is no outcome.
    #[error(transparent)]
    Undone(#[from] Undone),
    /// A worker died, and who worked on the unit again gave other outputs than were shown before.
    #[error("the unit was worked on again, and gave other outputs than before")]
    Changed,
    /// An output is of another type.
    #[error("an output is not of the type that was asked for: {0}")]
    Type(String),
}

/// The outputs of a unit in their order, each once: as they come, if its stage streams. It ends behind the last
/// one, or with the first error but [`StreamError::Timeout`].
#[derive(Debug)]
pub struct Stream {
    ticket: Ticket,
    next: usize,
    is_followed: bool,
    // What the program has seen is what the outcome says.
    is_checked: bool,
    is_over: bool,
}

/// How it goes on.
enum Step {
    Output(Bytes),
    End,
    Failed(StreamError),
}

impl Stream {
    pub(crate) fn of(ticket: Ticket) -> Self {
        Self { ticket, next: 0, is_followed: false, is_checked: false, is_over: false }
    }

    /// The unit.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// The next output as MessagePack; waits for it, at most so long. None behind the last one.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn next_within(&mut self, timeout: Option<Duration>) -> Option<Result<Bytes, StreamError>> {
        if self.is_over {
            return None;
        }
        let until = timeout.map(|timeout| Instant::now() + timeout);
        match self.step(until) {
            Ok(Step::Output(output)) => {
                self.next += 1;
                Some(Ok(output))
            }
            Err(WaitError::Timeout) => Some(Err(StreamError::Timeout)),
            Err(WaitError::Undone(why)) => self.ends(Some(why.into())),
            Ok(Step::End) => self.ends(None),
            Ok(Step::Failed(error)) => self.ends(Some(error)),
        }
    }

    /// Each output as a type of the program.
    pub fn values<T: DeserializeOwned>(self) -> impl Iterator<Item = Result<T, StreamError>> {
        self.map(|output| {
            rmp_serde::from_slice(&output?).map_err(|error| StreamError::Type(error.to_string()))
        })
    }

    fn ends(&mut self, error: Option<StreamError>) -> Option<Result<Bytes, StreamError>> {
        self.is_over = true;
        self.ticket.take();
        error.map(Err)
    }

    fn step(&mut self, until: Option<Instant>) -> Result<Step, WaitError> {
        let left = || until.map(|until| until.saturating_duration_since(Instant::now()));
        if !self.is_followed {
            self.ticket.follow(left())?;
            self.is_followed = true;
        }
        let Self { ticket, next, is_checked, .. } = self;
        ticket.wait_until(left(), |state| {
            found((&state.shown, state.outcome.as_ref()), *next, is_checked)
        })
    }
}

/// What follows behind the first `next` outputs, if that is known. Once there is an outcome they are compared
/// with it, unless that `is_checked`.
fn found(
    (shown, outcome): (&[Bytes], Option<&Outcome>),
    next: usize,
    is_checked: &mut bool,
) -> Option<Step> {
    let Some(outcome) = outcome else {
        return shown.get(next).cloned().map(Step::Output);
    };
    let all = match outcome {
        Outcome::Value(value) => std::slice::from_ref(value),
        Outcome::Values(values) => values,
        Outcome::Filtered => &[],
        Outcome::Dead(failure) => return Some(Step::Failed(StreamError::Dead(failure.clone()))),
        Outcome::Undone(why) => return Some(Step::Failed((*why).into())),
    };
    // Only what the program has seen has to be so.
    let seen = || shown.iter().take(next);
    if !std::mem::replace(is_checked, true)
        && (all.len() < seen().len() || seen().zip(all).any(|(seen, now)| seen != now))
    {
        return Some(Step::Failed(StreamError::Changed));
    }
    Some(all.get(next).cloned().map_or(Step::End, Step::Output))
}

impl Iterator for Stream {
    type Item = Result<Bytes, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_within(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type State = (Vec<Bytes>, Option<Outcome>);

    fn state(shown: &[u8], outcome: Option<Outcome>) -> State {
        (bytes(shown), outcome)
    }

    fn bytes(values: &[u8]) -> Vec<Bytes> {
        values.iter().map(|value| Bytes::copy_from_slice(&[*value])).collect()
    }

    /// What comes behind the first `next` outputs.
    fn step((shown, outcome): &State, next: usize) -> Option<Result<u8, &'static str>> {
        found((shown, outcome.as_ref()), next, &mut false).map(|step| match step {
            Step::Output(value) => Ok(value[0]),
            Step::End => Err("end"),
            Step::Failed(StreamError::Changed) => Err("changed"),
            Step::Failed(_) => Err("failed"),
        })
    }

    #[test]
    fn what_was_shown_comes_first_and_the_rest_with_the_outcome() {
        let open = state(&[1, 2], None);
        assert_eq!([0, 1, 2].map(|next| step(&open, next)), [Some(Ok(1)), Some(Ok(2)), None]);
        let over = state(&[1, 2], Some(Outcome::Values(bytes(&[1, 2, 3]))));
        let steps = [0, 2, 3].map(|next| step(&over, next));
        assert_eq!(steps, [Some(Ok(1)), Some(Ok(3)), Some(Err("end"))]);
        let single = state(&[], Some(Outcome::Value(bytes(&[5]).remove(0))));
        assert_eq!([0, 1].map(|next| step(&single, next)), [Some(Ok(5)), Some(Err("end"))]);
        assert_eq!(step(&state(&[], Some(Outcome::Filtered)), 0), Some(Err("end")));
    }

    #[test]
    fn what_the_program_has_seen_is_what_the_outcome_says_or_it_is_told() {
        let changed = state(&[1, 2], Some(Outcome::Values(bytes(&[1, 9]))));
        assert_eq!(step(&changed, 1), Some(Ok(9)), "it has not seen the second one");
        assert_eq!(step(&changed, 2), Some(Err("changed")));
        assert_eq!(step(&state(&[1], Some(Outcome::Filtered)), 1), Some(Err("changed")));
        let closed = state(&[1], Some(Outcome::Undone(Undone::Closed)));
        assert_eq!(step(&closed, 1), Some(Err("failed")));
    }
}
