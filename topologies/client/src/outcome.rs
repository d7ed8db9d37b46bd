//! What can become of a unit.

use bytes::Bytes;
use proto::{frame::Dead, service::Reason, unit::UnitId};
use serde::de::DeserializeOwned;
use thiserror::Error;

/// What became of a unit. Values are MessagePack.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// One value.
    Value(Bytes),
    /// Several values, in their order.
    Values(Vec<Bytes>),
    /// None: a stage has filtered it.
    Filtered,
    /// It failed for good.
    Dead(Box<Failure>),
    /// It was accepted, but its outcome is not to be had.
    Undone(Undone),
}

/// A unit that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{error}")]
pub struct Failure {
    /// The unit.
    pub unit: UnitId,
    /// The stage that failed, counted from 0.
    pub stage: u32,
    /// What that stage was given, as MessagePack.
    pub input: Vec<u8>,
    /// What the worker said last.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The worker that had it last.
    pub worker: String,
}

/// Why there is no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Undone {
    /// The outcome is not kept any more.
    #[error("the outcome is not kept any more: it was fetched, or nobody did in time")]
    Expired,
    /// The service knows no such unit.
    #[error("the service knows no such ticket")]
    Unknown,
    /// The service did not accept it.
    #[error("not accepted: {0}")]
    Declined(Reason),
    /// The service was started over, and its tickets are gone.
    #[error("the service was started over: this ticket is of an earlier run")]
    OtherRun,
    /// This client was closed before.
    #[error("the connection to the service was closed")]
    Closed,
}

/// Why an outcome is not the value that was wanted.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NoValue {
    /// The unit failed.
    #[error("{0}")]
    Dead(Box<Failure>),
    /// There is no outcome.
    #[error(transparent)]
    Undone(#[from] Undone),
    /// It gave no value, or several.
    #[error("the unit gave {0} values, not one")]
    Count(usize),
    /// The value is of another type.
    #[error("the value is not of the type that was asked for: {0}")]
    Type(String),
}

impl Outcome {
    /// The one value, as a type of the program.
    ///
    /// # Errors
    /// [`NoValue`] when the unit failed, gave no value or several, or one of another type.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, NoValue> {
        match self {
            Self::Value(bytes) => {
                rmp_serde::from_slice(bytes).map_err(|error| NoValue::Type(error.to_string()))
            }
            Self::Values(values) => Err(NoValue::Count(values.len())),
            Self::Filtered => Err(NoValue::Count(0)),
            Self::Dead(failure) => Err(NoValue::Dead(failure.clone())),
            Self::Undone(why) => Err(NoValue::Undone(*why)),
        }
    }
}

impl From<Dead> for Outcome {
    fn from(dead: Dead) -> Self {
        let Dead { root, stage, input, error, attempts, worker, .. } = dead;
        Self::Dead(Box::new(Failure { unit: root, stage, input, error, attempts, worker }))
    }
}
