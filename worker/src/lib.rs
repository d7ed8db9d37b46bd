//! The worker's side of a pipeline: what is done with one unit.
//!
//! A function is written as a [`Worker`] over Rust types, or as a closure ([`map`], [`try_map`],
//! [`filter_map`], [`flat_map`]); the [`builtin`] functions are there by name, and [`external`]
//! ones are programs in any language. [`assemble()`] makes whichever of these a stage's plan asks
//! for into a [`Function`], which works on encoded values and is what an executor calls.
//!
//! Owns functions and what calls them; refuses scheduling, which is the ventilator's.
//!
//! | | |
//! | --- | --- |
//! | `cli.rs`, `crowd.rs`, `run.rs` | flags and `main`; several workers by one command; the worker joined to its sockets and its executor |
//! | [`core`] | what a frame means, what the worker is part of, and its leaving, as a state machine without I/O |
//! | `parcels.rs`, `receivers.rs`, `chronicle.rs`, `figures.rs`, [`product`] | what it was given; whom it gives its outputs; what it notes of them; what it tells of itself; outputs on their way |
//! | [`executor`], [`concurrent`] | the function's thread; functions that have many units open at once |
//! | `function/`, [`builtin`], [`external`], `assemble.rs` | functions in Rust, by name, and as programs |
//!
//! ```
//! use worker::{Emit, Function, Outputs, Typed, Unit, Worker};
//!
//! /// Splits a line into its fields, and counts the lines it has seen.
//! struct Fields {
//!     lines: u64,
//! }
//!
//! impl Worker for Fields {
//!     type Input = String;
//!     type Output = String;
//!     type Error = std::str::Utf8Error;
//!
//!     fn work(
//!         &mut self,
//!         _unit: &Unit<'_>,
//!         line: String,
//!         emit: &mut Emit<'_, String>,
//!     ) -> Result<(), Self::Error> {
//!         self.lines += 1;
//!         for field in line.split(',') {
//!             emit.send(&field.to_owned());
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let unit = Unit { id: 0, path: &[], attempt: 1, stage: "fields" };
//! let mut out = Outputs::default();
//!
//! let mut fields = Typed(Fields { lines: 0 });
//! fields.set_up()?;
//! fields.call(&unit, &rmp_serde::to_vec("a,b")?, &mut out)?;
//! fields.tear_down();
//! assert_eq!(out.len(), 2);
//! assert_eq!(fields.0.lines, 1);
//!
//! // The same contract, from a closure.
//! out.clear();
//! worker::map(|n: u64| n * n).call(&unit, &rmp_serde::to_vec(&7)?, &mut out)?;
//! assert_eq!(out.payload(), [49]);
//! # Ok(())
//! # }
//! ```
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

pub mod assemble;
#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "as many bytes as were read"))]
pub mod builtin;
mod chronicle;
#[cfg(feature = "cli")]
pub mod cli;
pub mod concurrent;
pub mod core;
#[cfg(feature = "cli")]
mod crowd;
pub mod executor;
#[cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "positions in what a program of this worker said")
)]
pub mod external;
mod figures;
#[cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, clippy::expect_used, reason = "offsets that were made here")
)]
pub mod function;
mod orphans;
mod parcels;
#[cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "ends of outputs that were made here, one for each")
)]
pub mod product;
mod receivers;
mod request;
#[cfg(feature = "cli")]
pub mod run;
#[cfg(test)]
mod testing;

pub use assemble::{AssembleError, assemble};
#[cfg(feature = "cli")]
pub use cli::main;
pub use concurrent::{Concurrent, threads, try_threads};
#[cfg(feature = "tokio")]
pub use concurrent::{concurrent, try_concurrent};
pub use function::{
    Emit, Failure, Function, OutputLimits, Outputs, Typed, Unit, Worker, filter_map, flat_map, map,
    try_map,
};
