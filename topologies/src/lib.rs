//! The package `pipeline`: what a topology says, and what can be shown of it.
//!
//! The only package that reads TOML, and the one that knows all three roles. Refuses wire
//! details: what is said between processes is `proto`'s.
//!
//! | | |
//! | --- | --- |
//! | `cli/` | the commands and their flags |
//! | `map/` | one command or function over many values: what `pipeline map` is made of |
//! | `topology/` | TOML text in, a checked topology out, or all that is wrong with it |
//! | `up/` | starts, watches and restarts the processes of a topology |
//! | `runs/` | this user's runs that go on: found, and asked |
//! | `aftermath/` | what a run left: `explain`, and where runs lie |
//! | `doctor/` | what would go wrong on this machine |
//! | `logs/` | what the processes of a run write, kept and read |
//! | `halt.rs` | when a run is enough, or hopeless |
//! | `graph.rs` | a picture of a topology |
//! | [`embedded`] | a whole pipeline inside a Rust program |
//!
//! As a library it runs a whole pipeline in one process, with the same promises; see [`embedded`].
//!
//! ```
//! let squares: Vec<u64> = pipeline::map(4, |n: u64| n * n, 1..=10).collect();
//! assert_eq!(squares[9], 100);
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "cli")]
pub mod aftermath;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod doctor;
pub mod embedded;
#[cfg(feature = "cli")]
pub mod graph;
#[cfg(feature = "cli")]
pub mod halt;
#[cfg(feature = "cli")]
pub mod logs;
#[cfg(feature = "cli")]
pub(crate) mod map;
#[cfg(feature = "cli")]
pub mod runs;
#[cfg(feature = "cli")]
pub mod topology;
#[cfg(feature = "cli")]
pub mod up;

#[cfg(feature = "cli")]
pub use client::{Outcome, Service, SubmitError, Terms, Ticket, Wait};
pub use embedded::{ResultError, map, source};
#[cfg(feature = "cli")]
pub use runs::services::connect;
pub use sink::Order;
