//! Collects, dedupes, commits and aggregates the results.
//!
//! Owns what becomes of a result once it has come: its [order](arrange), its place in an
//! [output], the [figures](aggregate) over all of them, the [letter](dead) that tells of a
//! unit that failed for good, and the [summary] of the run. Knows nothing of how work is given out,
//! of topologies, or of how processes are started.
#![forbid(unsafe_code)]
// What a peer says reaches no panic; where indices are this process's own, the reason stands beside
// the module.
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
pub mod aggregate;
pub mod arrange;
pub mod arrivals;
pub mod claim;
pub mod cli;
pub mod config;
pub mod core;
#[cfg(test)]
mod core_tests;
pub mod dead;
pub mod entry;
#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "a table made here"))]
pub mod figures;
#[cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        reason = "as long as the index, which is bounded by the number of stages"
    )
)]
pub mod flow;
pub mod horizon;
#[cfg_attr(not(test), expect(clippy::expect_used, reason = "a constant that is in range"))]
pub mod ledger;
#[cfg(test)]
mod ledger_tests;
pub mod lives;
#[cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        reason = "offsets of its own buffer, and of a header of fixed length"
    )
)]
pub mod log;
pub mod made;
#[cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "positions that were found in the same lines")
)]
pub mod manifest;
#[cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        clippy::expect_used,
        reason = "as many cells as columns; a text takes every character"
    )
)]
pub mod output;
#[cfg_attr(
    not(test),
    expect(clippy::expect_used, reason = "types of its own have a MessagePack form")
)]
pub mod record;
pub mod recorder;
pub mod retry;
pub mod run;
pub mod run_dir;
pub mod secure;
pub mod summarise;
pub mod summary;
pub mod unlogged;
mod walk;

pub use aggregate::Aggregates;
pub use arrange::Arrange;
pub use claim::{Claim, Existing, Spared};
pub use config::{OutputSpec, SinkConfig};
pub use dead::{DeadLetter, DeadLetters};
pub use output::{Mark, Output, OutputError, Row};
pub use summary::Summary;
