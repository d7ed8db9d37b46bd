//! What the launcher tells the thread that serves the page.
//!
//! Owns its form; refuses to carry it.

use std::{path::PathBuf, sync::Arc, time::Instant};

use serde::Serialize;

use crate::runs::{history::History, wire::Details};

/// What stays as it is of a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunFacts {
    /// By what it is told from all others; none if it is not listed.
    pub id: Option<String>,
    /// What its topology calls it.
    pub name: String,
    /// The topology.
    pub topology: PathBuf,
    /// Where it is kept, if it is.
    pub run_dir: Option<PathBuf>,
    /// Its output, if there is one.
    pub output: Option<PathBuf>,
    /// The file of its dead letters, which is there once there is one.
    pub dead: PathBuf,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// A line that a process has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which process.
    pub process: String,
    /// The unit that it is about, if that is known.
    pub unit: Option<String>,
    /// What it says.
    pub text: String,
}

/// What the launcher tells of the run.
#[derive(Debug, Clone)]
pub struct Told {
    /// When.
    pub at: Instant,
    /// How it does.
    pub details: Details,
    /// How it got there.
    pub history: Arc<History>,
    /// The lines that were written last.
    pub lines: Vec<Line>,
    /// Its exit code, once it is over.
    pub over: Option<i32>,
}
