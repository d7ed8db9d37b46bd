//! Torture: a run of two stages under seeded faults, held against a calm one.
//!
//! Owns what is run, what is done to it and what must be true afterwards. [`schedule`] decides
//! the faults, [`kin`] finds the processes, [`ordeal`] does it to them, [`trial`] judges;
//! [`remote`] does the like to a run on several machines, whose [`network`] is cut, and [`service`] to a
//! service and its clients. Refuses to touch a process that the run did not start.

pub mod disk;
pub mod kin;
pub mod network;
pub mod ordeal;
pub mod remote;
pub mod schedule;
pub mod service;
pub mod trial;

pub use ordeal::Trouble;
pub use schedule::{Faults, Kind, Role, Tally};
pub use trial::{Calm, Course, Torn};
