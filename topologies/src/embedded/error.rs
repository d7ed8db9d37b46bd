//! What an embedded pipeline gives in place of a result.

use thiserror::Error;

/// A unit that failed for good.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("unit {id} failed in the stage `{stage}`, tried {attempts} times: {error}")]
pub struct Dead {
    /// The unit's place in the source, from 0.
    pub id: u64,
    /// Which output of which output of it failed; empty for the unit itself.
    pub path: Vec<u32>,
    /// The stage that it failed in.
    pub stage: String,
    /// What that stage was given, as JSON.
    pub input: serde_json::Value,
    /// The error or the panic of the last try.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// What comes in place of a result.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ResultError {
    /// A unit failed for good; those after it follow.
    #[error(transparent)]
    Dead(Box<Dead>),
    /// A result is not of the type that was asked for; those after it follow.
    #[error("a result of unit {id} is not of the expected type: {problem}")]
    Type {
        /// The unit's place in the source, from 0.
        id: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// An item of the source cannot be encoded; nothing follows.
    #[error("item {id} of the source cannot be sent: {problem}")]
    Item {
        /// Its place in the source, from 0.
        id: u64,
        /// Why.
        problem: String,
    },
    /// A worker could not be set up; nothing follows.
    #[error("a worker of the stage `{stage}` cannot work: {problem}")]
    SetUp {
        /// Its stage.
        stage: String,
        /// Why.
        problem: String,
    },
    /// The runtime failed; nothing follows.
    #[error("the pipeline broke off, because its {part} failed: {problem}")]
    Broken {
        /// Which part of it.
        part: String,
        /// How.
        problem: String,
    },
}
