//! Collects, dedupes, commits and aggregates the results.
//!
//! Owns what becomes of a result once it has come: its [order](arrange), its place in an
//! [output], the [figures](aggregate) over all of them, the [letter](dead) that tells of a
//! unit that failed for good, and the [summary] of the run. Knows nothing of how work is given out,
//! of topologies, or of how processes are started.
#![forbid(unsafe_code)]

pub mod accept;
pub mod aggregate;
pub mod arrange;
pub mod cli;
pub mod config;
pub mod core;
#[cfg(test)]
mod core_tests;
pub mod dead;
pub mod entry;
mod figures;
pub mod flow;
pub mod horizon;
pub mod ledger;
#[cfg(test)]
mod ledger_tests;
pub mod lives;
pub mod log;
pub mod manifest;
pub mod output;
pub mod record;
pub mod recorder;
pub mod retry;
pub mod run;
pub mod run_dir;
pub mod secure;
pub mod summarise;
pub mod summary;
mod walk;

pub use aggregate::Aggregates;
pub use arrange::Arrange;
pub use config::{OutputSpec, SinkConfig};
pub use dead::{DeadLetter, DeadLetters};
pub use output::{Mark, Output, OutputError, Row};
pub use summary::Summary;
