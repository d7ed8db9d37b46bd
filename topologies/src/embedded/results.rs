//! What an embedded pipeline gives: its results as an iterator.
//!
//! Owns decoding, and the end of the pipeline, whether it comes by itself or because nobody wants
//! the rest. Refuses to order: what comes is in order.

use std::{marker::PhantomData, panic::resume_unwind};

use proto::units::Units;
use serde::de::DeserializeOwned;
use sink::{
    DeadLetter,
    entry::{Entry, Expanded, Outcome},
};
use worker::function::{decode, explain};

use super::{
    error::{Dead, ResultError},
    handover::Taken,
    tap::Break,
    threads::Threads,
};

/// The results of a pipeline, one by one; see [`Pipeline::run`](super::Pipeline::run).
///
/// Taking results lets the source be read further. A panic of the source is raised again here,
/// behind the results of what it gave before. Dropping this stops the pipeline at once.
#[must_use = "a pipeline whose results nobody takes stands still, and is stopped when they are dropped"]
pub struct Results<T> {
    threads: Option<Threads>,
    outputs: Outputs,
    types: PhantomData<fn() -> T>,
}

/// The outputs that were taken over and not given yet.
enum Outputs {
    Values {
        first: u64,
        next: usize,
        units: Units,
    },
    /// The next is at this offset in this run of them.
    Several {
        id: u64,
        next: (usize, u32),
        outputs: Expanded,
    },
}

impl<T> Results<T> {
    pub(super) fn new(threads: Threads) -> Self {
        let outputs = Outputs::Values { first: 0, next: 0, units: Units::new() };
        Self { threads: Some(threads), outputs, types: PhantomData }
    }

    /// Takes an outcome over; what it says at once.
    fn take_over(&mut self, threads: &Threads, entry: Entry) -> Option<ResultError> {
        match entry.outcome {
            Outcome::Values { units, .. } => {
                self.outputs = Outputs::Values { first: entry.first, next: 0, units };
            }
            Outcome::Expanded(outputs) => {
                self.outputs = Outputs::Several { id: entry.first, next: (0, 0), outputs };
            }
            Outcome::Filtered(_) => {}
            Outcome::Dead { dead, .. } => {
                return Some(ResultError::Dead(Box::new(Dead {
                    id: dead.root,
                    path: DeadLetter::path_of(&dead.path),
                    stage: threads.stage_name(dead.stage),
                    input: DeadLetter::input_of(&dead.input),
                    error: dead.error,
                    attempts: dead.attempts,
                })));
            }
        }
        None
    }
}

impl<T: DeserializeOwned> Results<T> {
    fn next_output(&mut self) -> Option<Result<T, ResultError>> {
        let (id, value) = match &mut self.outputs {
            Outputs::Values { first, next, units } => {
                let index = *next;
                if index == units.len() {
                    return None;
                }
                *next += 1;
                (*first + index as u64, units.value(index))
            }
            Outputs::Several { id, next: (run, offset), outputs } => {
                let leaf = match outputs.leaf(*run, *offset) {
                    None => {
                        (*run, *offset) = (*run + 1, 0);
                        outputs.leaf(*run, 0)?
                    }
                    Some(leaf) => leaf,
                };
                *offset += 1;
                (*id, leaf.value)
            }
        };
        Some(decode(value).map_err(|error| {
            let problem = explain::<T>(value, &error.to_string(), "result");
            ResultError::Type { id, problem }
        }))
    }
}

impl<T: DeserializeOwned> Iterator for Results<T> {
    type Item = Result<T, ResultError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(output) = self.next_output() {
                return Some(output);
            }
            let threads = self.threads.take()?;
            match threads.take() {
                Taken::Entry(entry) => {
                    let error = self.take_over(&threads, entry);
                    self.threads = Some(threads);
                    if let Some(error) = error {
                        return Some(Err(error));
                    }
                }
                // Dropped here, the rest of the threads is stopped.
                Taken::Broken(error) => return Some(Err(error)),
                Taken::Over => match threads.leave()? {
                    Break::Panic(panic) => resume_unwind(panic),
                    Break::Item { id, failure } => {
                        return Some(Err(ResultError::Item { id, problem: failure.into_text() }));
                    }
                },
            }
        }
    }
}

impl<T: DeserializeOwned> std::iter::FusedIterator for Results<T> {}

impl<T> std::fmt::Debug for Results<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Results").field("over", &self.threads.is_none()).finish_non_exhaustive()
    }
}

/// The results of [`map`](super::map).
#[derive(Debug)]
#[must_use = "a pipeline whose results nobody takes stands still, and is stopped when they are dropped"]
pub struct Mapped<T>(pub(super) Results<T>);

impl<T: DeserializeOwned> Iterator for Mapped<T> {
    type Item = T;

    /// # Panics
    /// If the closure panicked on the unit that is next, or the pipeline broke off.
    #[inline]
    fn next(&mut self) -> Option<T> {
        self.0.next().map(|result| result.unwrap_or_else(|error| panic!("{error}")))
    }
}

impl<T: DeserializeOwned> std::iter::FusedIterator for Mapped<T> {}
