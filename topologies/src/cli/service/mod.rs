//! `pipeline call`, `submit`, `result`, `tickets`: a service is used from a shell.
//!
//! Owns their flags, the way from JSON to values and back, and what their exit codes say; refuses to know how a
//! service is spoken to.
//!
//! | | |
//! | --- | --- |
//! | `units.rs` | the units that are given, and how they are treated |
//! | `reach.rs`, `connection.rs` | which service, and that it is waited for |
//! | `feed.rs` | submitting them while standard input is still read |
//! | `printer.rs` | what comes of them |
//! | `refusal.rs` | what a command leaves with when something is wrong |
//! | `call.rs`, `submit.rs`, `result.rs`, `tickets.rs` | a command each |

mod call;
mod connection;
mod feed;
mod printer;
mod reach;
mod refusal;
mod result;
mod submit;
mod tickets;
mod units;

pub(super) use self::{
    call::CallArgs, result::ResultArgs, submit::SubmitArgs, tickets::TicketsArgs,
};
