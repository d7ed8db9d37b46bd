//! Crash points: a process dies, or meets an error, at one file operation; the run goes on.
//!
//! Owns the parts: [`point`] names what is done and where, [`shim`] is who does it, [`site`] runs a
//! case under it and judges, [`sweep`] deals points. Refuses to look into the programs: all they
//! notice is their C library.

pub mod point;
pub mod shim;
pub mod site;
pub mod sweep;

pub use point::{How, Loss, Point, Reach, Role};
pub use shim::Shim;
pub use site::{Site, Struck};
