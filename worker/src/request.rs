//! What a worker asks of whoever executes its function, and of its diary, and what comes back.
//!
//! Owns the words between [`crate::core`] and [`crate::executor`]; refuses to do any of it.

use proto::{
    diary,
    frame::{Code, Plan},
    role::{self, Effect},
    service::Part,
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
    /// Units of parcels that come from now on may name this code, or none does any more.
    Define(Box<Code>),
    /// Execute these units, beginning them in order, and behind those of the parcels before. As long as the
    /// function has one unit at a time, the parcel before has ended.
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
        /// Of which parcel.
        ticket: Ticket,
        /// All of them, or half.
        share: Share,
    },
    /// Hand over what is ready; answered at once with [`Reply::Product`], if anything is. A function
    /// with many units open tells by itself.
    Collect,
    /// Note what has happened to units that were sent on; asked for only if the worker
    /// [keeps a diary](crate::core::WorkerRole::keep_diary). Not answered.
    Note(diary::Event),
}

/// How much of what is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Half, rounded up.
    Half,
    /// All.
    All,
}

impl Share {
    /// How many of so many units.
    pub fn of(self, units: u32) -> u32 {
        match self {
            Self::Half => units.div_ceil(2),
            Self::All => units,
        }
    }
}

/// How long a function took for a parcel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Busy {
    /// Nanoseconds. Of units that are open at once each takes its share of the time, so that all
    /// parcels together take as long as any unit was open.
    pub wall_ns: u64,
    /// Nanoseconds from each unit's beginning to its end, summed up.
    pub open_ns: u64,
}

impl Busy {
    /// That of units one after the other.
    pub fn alone(ns: u64) -> Self {
        Self { wall_ns: ns, open_ns: ns }
    }
}

/// What comes back.
#[derive(Debug)]
pub enum Reply {
    /// The function is ready.
    Loaded {
        /// So many units may be open at once.
        open: u32,
    },
    /// The function cannot work here.
    Unfit(String),
    /// A worker in Python is to take this one's place.
    Replaced,
    /// Outputs.
    Product {
        /// Of which parcel.
        ticket: Ticket,
        /// The outputs.
        product: Product,
        /// How long the function took for the whole parcel, if this ends it.
        finished: Option<Busy>,
    },
    /// Outputs of a unit that the function still works on.
    Part(Part),
    /// All of these, in this order.
    Several(Vec<Self>),
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
