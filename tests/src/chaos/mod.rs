//! Chaos: every case under kills and stops of every role, also at starts and ends, held against a
//! calm run of it.
//!
//! Owns the parts: [`plan`] deals the faults, [`party`] starts a case's processes and starts
//! again who was killed, [`storm`] does it to them and judges. Refuses to touch a process that
//! the run did not start.

pub mod party;
pub mod plan;
pub mod storm;

pub use storm::{Storm, Weathered};
