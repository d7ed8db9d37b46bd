//! What is said between the processes of a pipeline, and the rules by which they say it.
//!
//! | | |
//! | --- | --- |
//! | [`frame`], `decode.rs`, [`plan`], [`service`], [`limits`], [`bounds`] | what can be said, its bytes, and what is refused |
//! | [`mod@unit`], [`units`], [`value`], `values.rs`, [`ranges`] | units and their values, in rows |
//! | [`role`], [`time`] | a role as a state machine: events in, effects out |
//! | [`rules`] | what all roles share, without sockets, threads or clocks |
//! | [`net`] | sockets, keys, locks, and the driver that joins a role to them |
//! | [`process`], `launcher.rs`, [`kin`], `cli.rs`, `telling.rs`, `signals.rs`, `streams.rs` | what a program does at its start and its end |
//! | [`files`], [`footing`] | what a process may have: files, a stack, threads |
//! | `log/`, [`diary`], [`durable`], [`causes`], [`gist`], [`lines`], [`spread`], [`turned_away`] | what is kept and told |
//!
//! The bytes of the frames are specified in `PROTOCOL.md`, beside this crate.
//!
//! No byte off the wire reaches a panic: what could is denied below, and where it is needed all the
//! same the reason stands beside it.
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

pub mod bounds;
pub mod causes;
#[cfg(feature = "cli")]
pub mod cli;
mod dead;
mod decode;
pub mod diary;
pub mod durable;
pub mod files;
pub mod footing;
pub mod frame;
pub mod gist;
pub mod kin;
mod launcher;
pub mod limits;
pub mod lines;
#[cfg(feature = "cli")]
pub mod log;
pub mod net;
pub mod plan;
pub mod process;
pub mod ranges;
pub mod role;
pub mod rules;
pub mod service;
#[cfg(feature = "cli")]
pub mod signals;
pub mod spread;
#[cfg(feature = "cli")]
pub mod streams;
#[cfg(feature = "cli")]
pub mod telling;
pub mod this_program;
pub mod time;
pub mod turned_away;
pub mod unit;
pub mod units;
pub mod value;
mod values;
