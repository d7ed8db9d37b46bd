//! The sink's part in the pipeline, as a state machine without sockets, files and clocks.
//!
//! - [`sink`]: what a frame, a reply and the passing of time lead to
//! - [`requests`]: what it asks of its recorder, what comes back, and the exit codes
//! - [`standing`]: where a run stands when its sink starts

pub mod requests;
pub mod sink;
pub mod standing;
#[cfg(test)]
mod tests;

pub use self::{
    requests::{Conclusion, Reply, Request, exit},
    sink::{Sink, reach},
    standing::Standing,
};
