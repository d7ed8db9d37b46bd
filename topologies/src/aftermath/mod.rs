//! After a run: is it whole, what became of a unit, and what of those that failed; how it went.
//!
//! Reads run directories; refuses to run anything but a single unit in the foreground.

pub mod explain;
pub mod inputs;
pub mod place;
pub mod report;
