//! The sink's part in the pipeline, as a state machine without sockets, files and clocks.
//!
//! - [`sink`]: what a frame, a reply and the passing of time lead to
//! - `awaited`: the unit that the output waits for
//! - `ending`: the steps from the last commit to the exit
//! - [`requests`]: what it asks of its recorder, what comes back, and the exit codes
//! - [`resume_point`]: where a run stands when its sink starts

mod awaited;
mod clients;
mod ending;
pub mod requests;
pub mod resume_point;
pub mod sink;
mod streams;
#[cfg(test)]
mod tests;

pub use self::{
    requests::{Conclusion, Reply, Request, exit},
    resume_point::ResumePoint,
    sink::{Sink, reach},
};
