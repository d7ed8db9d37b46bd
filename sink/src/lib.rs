//! Collects, dedupes, commits and aggregates the results.
//!
//! Owns what becomes of a result once it has come: its order, its place in an
//! [output], the [figures](aggregate) over all of them, the [letter](output::dead) that tells of a
//! unit that failed for good, and the [summary] of the run. Knows nothing of how work
//! is given out, of topologies, or of how processes are started.
//!
//! The way of an outcome is the way through the folders, and each of them knows only those below it:
//!
//! | folder | what lives there |
//! | --- | --- |
//! | `cli.rs`, [`run`] | flags; the sink joined to its sockets and its recorder |
//! | [`core`] | the sink's part in the pipeline, as a state machine without I/O |
//! | [`accept`] | which outcomes are new, and how far ahead units may be sent |
//! | [`outcomes`] | of a service: what is kept for its clients, and who waits for what |
//! | [`record`] | what makes outcomes safe: the recorder, its syncs, the commit log, the run directory |
//! | [`ledger`] | what outcomes add up to: their order, the counts, a checkpoint of it all |
//! | [`waiting`] | outcomes that wait for an earlier one, in memory and on disk |
//! | [`report`] | what a run amounted to: summary and manifest |
//! | [`aggregate`] | figures over all values |
//! | [`output`] | files, databases and streams that results go to, and which files a run may write to |
//! | [`config`], [`names`], `walk.rs` | what a sink is asked to write; names in a run directory; reading of values |
#![forbid(unsafe_code)]
// What a peer says reaches no panic; where indices are this process's own, the reason stands in the
// file.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::panic,
        clippy::unreachable,
        clippy::expect_used
    )
)]

pub mod accept;
#[cfg(feature = "cli")]
pub mod aggregate;
pub mod arrange;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
pub mod core;
#[cfg(feature = "cli")]
pub mod ledger;
pub mod letter;
#[cfg(feature = "cli")]
pub mod names;
pub mod order;
#[cfg(feature = "cli")]
pub mod outcomes;
#[cfg(feature = "cli")]
pub mod output;
#[cfg(feature = "cli")]
pub mod record;
#[cfg(feature = "cli")]
pub mod report;
#[cfg(feature = "cli")]
pub mod run;
#[cfg(feature = "cli")]
pub mod waiting;
#[cfg(feature = "cli")]
mod walk;

// What other packages name most, by short paths.
pub use accept::entry;
#[cfg(feature = "cli")]
pub use aggregate::Aggregates;
pub use arrange::Arrange;
#[cfg(feature = "cli")]
pub use config::{OutputSpec, SinkConfig};
#[cfg(feature = "cli")]
pub use ledger::again::Placing;
pub use letter::DeadLetter;
pub use order::Order;
#[cfg(feature = "cli")]
pub use output::{
    Mark, Output, OutputError, Row,
    claim::{self, Claim, Existing, Spared},
    dead::{self, DeadLetters},
    made,
};
#[cfg(feature = "cli")]
pub use record::{log, retry, run_dir, versions};
#[cfg(feature = "cli")]
pub use report::{
    figures, joblog, manifest,
    summary::{self, Summary},
};
