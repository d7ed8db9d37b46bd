//! Reads a source and pushes its units to workers.
//!
//! No topology is known here, nor how processes are started.
//!
//! | | |
//! | --- | --- |
//! | `cli.rs`, `run.rs` | flags; the ventilator joined to its sockets and its source |
//! | [`core`] | what a frame means, and the way from the first Hello to the end, as a state machine without I/O |
//! | `plans.rs`, `roster.rs`, `vacancies.rs`, `draining.rs` | who may take part, who does, which stage has nobody, and when a run ends that was asked to |
//! | `reading.rs`, `commit_rounds.rs` | how far the source is read, and in which rounds workers are told of commits |
//! | `chronicle.rs`, [`obituary`], [`latency`] | what is told of units afterwards |
//! | `clients.rs`, [`queue`] | the clients of a service, and the units that they have submitted |
//! | `source/` | where units come from: files, streams, ranges; copies and digests of what is read |
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

mod chronicle;
#[cfg(feature = "cli")]
#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "the user's own stages"))]
pub mod cli;
mod clients;
mod codes;
mod commit_rounds;
pub mod core;
mod draining;
#[cfg_attr(not(test), expect(clippy::expect_used, reason = "a constant that is in range"))]
pub mod latency;
pub mod obituary;
mod plans;
#[cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "places in values that were checked when they came")
)]
pub mod queue;
mod reading;
mod request;
mod roster;
#[cfg(feature = "cli")]
pub mod run;
mod seniority;
#[cfg(feature = "cli")]
#[cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        clippy::expect_used,
        reason = "positions in what was read; no peer is heard here"
    )
)]
pub mod source;
mod vacancies;
