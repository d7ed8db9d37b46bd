//! What a worker asks of whoever executes its function, and what comes back.
//!
//! Owns the words between [`crate::core`] and [`crate::executor`]; refuses to do any of it.

use proto::{
    frame::Plan,
    role::{self, Effect},
    units::Units,
};

use crate::product::Product;

/// Which parcel the executor has, counted by this worker.
pub type Ticket = u64;

/// What a worker asks for.
#[derive(Debug)]
pub enum Request {
    /// Make the function that the plan names, ready.
    Load(Box<Plan>),
    /// Execute these units in order.
    Execute {
        /// The parcel, as this worker counts.
        ticket: Ticket,
        /// Which try.
        attempt: u32,
        /// The executions of these units are numbered from here.
        execution: u64,
        /// The units.
        units: Units,
    },
    /// Give up units that are not begun; answered at once with [`Reply::Truncated`].
    Truncate {
        /// All of them, or half.
        share: Share,
    },
    /// Hand over what is ready; answered at once with [`Reply::Product`], if anything is.
    Collect,
}

/// How much of what is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Half, rounded up.
    Half,
    /// All.
    All,
}

/// What comes back.
#[derive(Debug)]
pub enum Reply {
    /// The function is ready.
    Loaded,
    /// The function cannot work here.
    Unfit(String),
    /// Outputs.
    Product {
        /// Of which parcel.
        ticket: Ticket,
        /// The outputs.
        product: Product,
        /// Nanoseconds in the function for the whole parcel, if this ends it.
        finished: Option<u64>,
    },
    /// The executor keeps only the first units of its parcel.
    Truncated {
        /// Of which parcel.
        ticket: Ticket,
        /// How many.
        keep: u32,
    },
}

/// The handling of one event by a worker.
pub(crate) type Turn<'a> = role::Turn<'a, Effect<Request>>;
