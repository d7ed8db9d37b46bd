//! What has come of open units, in the order in which they finished.
//!
//! Owns the pairing of slots with outputs or a failure; refuses to know which units they are.

use super::Slot;
use crate::{Failure, OutputLimits, Outputs};

/// So much is handed over before more is taken in.
const BYTES_MAX: usize = 16 << 20;

/// Where a concurrent function puts what has finished.
#[derive(Debug)]
pub struct Finished {
    outputs: Outputs,
    ended: Vec<Ended>,
}

/// How one open unit came out.
#[derive(Debug)]
pub(super) struct Ended {
    pub slot: Slot,
    pub outcome: Outcome,
}

/// Outputs are told by their place in all that there are.
#[derive(Debug)]
pub(super) enum Outcome {
    Outputs { first: usize, count: usize },
    Failed(Failure),
}

/// Outputs of one unit.
#[cfg(test)]
type Values = Vec<Vec<u8>>;

impl Finished {
    pub(crate) fn new(limits: OutputLimits) -> Self {
        Self { outputs: Outputs::new(limits), ended: Vec::new() }
    }

    /// A unit has finished: `give` appends its outputs, none, one or many.
    ///
    /// What `give` fails with is how the unit ended, and what it appended before is void.
    pub fn unit(&mut self, slot: Slot, give: impl FnOnce(&mut Outputs) -> Result<(), Failure>) {
        let first = self.outputs.len();
        self.outputs.begin_unit();
        let outcome = match give(&mut self.outputs) {
            Ok(()) => Outcome::Outputs { first, count: self.outputs.len() - first },
            Err(failure) => {
                self.outputs.truncate(first);
                Outcome::Failed(failure)
            }
        };
        self.ended.push(Ended { slot, outcome });
    }

    /// A unit has failed.
    pub fn failed(&mut self, slot: Slot, failure: Failure) {
        self.ended.push(Ended { slot, outcome: Outcome::Failed(failure) });
    }

    /// Whether there is so much that the rest should be told the next time; the waker has to be
    /// called for that.
    pub fn is_full(&self) -> bool {
        self.outputs.payload().len() > BYTES_MAX
    }

    /// How many units have finished.
    pub(crate) fn len(&self) -> usize {
        self.ended.len()
    }

    /// Whether nothing has finished.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty()
    }

    /// What has finished, and forgets it; the outputs stay until [`clear`](Self::clear).
    pub(super) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// What has finished, with its outputs.
    #[cfg(test)]
    pub(crate) fn take_all(&mut self) -> Vec<(Slot, Result<Values, Failure>)> {
        let ended = self.take_ended().into_iter().map(|ended| match ended.outcome {
            Outcome::Failed(failure) => (ended.slot, Err(failure)),
            Outcome::Outputs { first, count } => {
                let values = self.outputs.range(first..first + count);
                (ended.slot, Ok(values.map(<[u8]>::to_vec).collect()))
            }
        });
        ended.collect()
    }

    pub(super) fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    pub(super) fn clear(&mut self) {
        self.outputs.clear();
        self.ended.clear();
    }
}
