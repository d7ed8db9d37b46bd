//! Reads a source and pushes its units to workers.
//!
//! [`source`] reads, [`core`] decides, [`run`] joins the two to sockets; [`cli`] are the flags
//! of the binary. No topology is known here, nor how processes are started.
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

mod abandonment;
mod chronicle;
#[cfg(feature = "cli")]
#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "the user's own stages"))]
pub mod cli;
mod commit_rounds;
pub mod core;
#[cfg_attr(not(test), expect(clippy::expect_used, reason = "a constant that is in range"))]
pub mod latency;
pub mod obituary;
mod plans;
mod reading;
mod request;
mod roster;
#[cfg(feature = "cli")]
pub mod run;
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
