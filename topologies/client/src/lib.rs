//! Submits units to a service, and fetches their outcomes.
//!
//! No topology is known here, nor how a service is found by its name: whoever opens one says where it is.
//!
//! | | |
//! | --- | --- |
//! | [`Service`], [`Ticket`] | what a program uses: blocking, and as a future |
//! | [`outcome`] | what can become of a unit |
//! | [`core`] | the client's part in the protocol, as a state machine without I/O |
//! | `submissions.rs`, `gather.rs` | what is not accepted yet; outcomes whose parts come one by one |
//! | [`Stream`] | the outputs of a unit as they come |
//! | `fetched.rs` | what a sink that was lost is told again |
//! | `nest.rs` | where a client's inbox lies |
//! | `table.rs` | which ticket waits for what, between the two |
//! | [`Tray`] | tickets that are done, for whoever waits for many |
#![forbid(unsafe_code)]
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

pub mod core;
mod fetched;
mod gather;
mod nest;
pub mod outcome;
mod service;
mod stream;
mod submissions;
mod table;
mod ticket;
mod tray;

pub use self::{
    outcome::{Failure, NoValue, Outcome, Undone},
    service::{
        CallError, ConnectError, Find, Place, Service, Setup, SubmitError, Terms, Wait,
        parse_ticket,
    },
    stream::{Stream, StreamError},
    ticket::{Ticket, WaitError},
    tray::Tray,
};
