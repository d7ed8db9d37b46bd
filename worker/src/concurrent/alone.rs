//! A concurrent function as one that works on a unit at a time.
//!
//! Owns the waiting; refuses to have a second unit open. A worker's executor does not call it like
//! this, but through [`Function::concurrent`].

use super::{Concurrent, Finished, Waker, finished::Outcome};
use crate::{Failure, Function, Outputs, Unit};

/// A [`Concurrent`] function as a [`Function`].
#[derive(Debug)]
pub struct Alone<C> {
    function: C,
    // There once it was called for a single unit.
    waker: Option<Waker>,
}

impl<C: Concurrent> Alone<C> {
    /// The same function.
    pub fn new(function: C) -> Self {
        Self { function, waker: None }
    }
}

impl<C: Concurrent> Function for Alone<C> {
    fn call(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        let waker = match &self.waker {
            Some(waker) => waker.clone(),
            None => {
                let waker = Waker::default();
                self.function.begin(1, out.limits(), waker.clone())?;
                self.waker.insert(waker).clone()
            }
        };
        self.function.start(0, unit, input);
        let mut finished = Finished::new(out.limits());
        self.function.poll(&mut finished);
        while finished.is_empty() {
            waker.wait(self.function.due());
            self.function.poll(&mut finished);
        }
        match finished.take_ended().pop().map(|ended| ended.outcome) {
            Some(Outcome::Failed(failure)) => Err(failure),
            Some(Outcome::Outputs { .. }) => {
                finished.outputs().iter().try_for_each(|value| out.push_bytes(value))
            }
            None => Ok(()),
        }
    }

    fn concurrent(&mut self) -> Option<&mut dyn Concurrent> {
        Some(&mut self.function)
    }

    fn tear_down(&mut self) {
        self.function.end();
    }
}
