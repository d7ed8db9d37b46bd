//! What a worker is told to be: its stage, the function it runs, and the rules for failures.
//!
//! Owns the description only; building a function from it is the worker's business, and reading
//! it from a file the topology's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::{BACKOFF_MS, CRASH_LIMIT, RETRIES};

/// What runs Python where a stage names nothing else.
pub const INTERPRETER: &str = "python3";

/// Which function a worker runs on each unit. The plan carries it, so that a generic worker
/// started anywhere with one endpoint does what its stage needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Whatever the worker program brought with it (a user's own binary, an embedded closure).
    Own,
    /// A built-in, by name.
    Run(String),
    /// A program started once a unit: `{}` in an argument is replaced by the value.
    Exec(Vec<String>),
    /// One long-lived program a worker: a JSON line in, a JSON line out.
    Pipe(Vec<String>),
    /// The same, told of many units at once and answering in any order, each line with an `id`.
    PipeAnyOrder(Vec<String>),
    /// Python source that defines `work(value)`, run as a long-lived program.
    Python(String),
    /// The same, from a file.
    PythonFile {
        /// Where that was, absolute; there need not be such a file where the worker is.
        path: String,
        /// What it said.
        source: String,
    },
    /// A Python function in a module that is installed where the worker is, or lies in its
    /// directory: `package.module:function`.
    Call(String),
}

impl Function {
    /// Whether it brings code along, instead of the name of what the worker has.
    pub fn is_code(&self) -> bool {
        match self {
            Self::Own | Self::Run(_) => false,
            Self::Exec(_) | Self::Pipe(_) | Self::PipeAnyOrder(_) => true,
            Self::Python(_) | Self::PythonFile { .. } | Self::Call(_) => true,
        }
    }
}

/// One stage, as the ventilator plans it and its workers receive it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Unique within a topology.
    pub name: String,
    /// What its workers do with a unit.
    pub function: Function,
    /// Further arguments, appended to the command line of `exec`, `pipe` and Python, and
    /// given to built-ins that take any.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment variables for external programs.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Working directory of external programs; the worker's own when absent.
    #[serde(default)]
    pub directory: Option<String>,
    /// How often a unit that failed is tried again.
    pub retries: u32,
    /// Milliseconds before the first retry; doubled for each further one.
    pub backoff_ms: u64,
    /// How many workers may die while executing one unit alone before it is dead-lettered.
    pub crash_limit: u32,
    /// Milliseconds that one unit may take in an external program; unlimited when absent.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// How many units one of its workers has open at once, if its function can; absent: as many as
    /// the function says by itself, mostly one.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// The program that runs Python, a path or a name on the PATH; [`INTERPRETER`] when absent.
    #[serde(default)]
    pub interpreter: Option<String>,
    /// Outputs of a unit that is still worked on are shown to whoever follows it; only of the last stage of
    /// a service.
    #[serde(default)]
    pub stream: bool,
}

impl Stage {
    /// A stage with the default rules.
    pub fn new(name: impl Into<String>, function: Function) -> Self {
        Self {
            name: name.into(),
            function,
            args: Vec::new(),
            env: BTreeMap::new(),
            directory: None,
            retries: RETRIES,
            backoff_ms: BACKOFF_MS,
            crash_limit: CRASH_LIMIT,
            timeout_ms: None,
            concurrency: None,
            interpreter: None,
            stream: false,
        }
    }

    /// The program that runs Python.
    pub fn interpreter(&self) -> &str {
        self.interpreter.as_deref().unwrap_or(INTERPRETER)
    }
}
