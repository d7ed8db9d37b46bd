//! Services, for their callers.
//!
//! Joins Python to the crate `client`: values are encoded and outcomes decoded many at a time, and no wait
//! holds the interpreter, or lasts longer than a moment without a look at signals.
//!
//! | | |
//! | --- | --- |
//! | `connection.rs` | finding a service, submitting units, and leaving it |
//! | `ticket.rs` | one unit that was submitted |
//! | `outputs.rs` | the outputs of one unit, as they come |
//! | `replies.rs` | the outcomes of many, in their order, as an iterator that submits as it goes |
//! | `tray.rs` | tickets that are done, for event loops and futures |
//! | `outcome.rs` | objects into values, outcomes into objects or what to raise |
//! | `patience.rs` | waiting in slices |

mod connection;
mod outcome;
mod outputs;
mod patience;
mod replies;
mod ticket;
mod tray;

pub(crate) use self::{
    connection::{Connection, connect},
    outputs::Outputs,
    replies::Replies,
    ticket::Ticket,
    tray::Tray,
};
