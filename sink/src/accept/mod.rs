//! What is taken in: which outcomes are new, and how far ahead units may be sent.
//!
//! - [`dedupe`]: an outcome is accepted once, whoever sends it and however often
//! - [`entry`]: an accepted outcome, in the form in which it is logged and written
//! - [`horizon`]: how far beyond what is committed the ventilator may send
//! - [`pending`]: batches at the recorder, not yet safe
//! - [`arrivals`]: ventilators that have said Hello, and are answered once that is recorded

pub mod arrivals;
pub mod dedupe;
pub mod entry;
pub mod horizon;
pub mod pending;

pub use dedupe::Accept;
