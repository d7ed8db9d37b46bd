//! Reads a source and pushes its units to workers.
//!
//! [`source`] reads, [`core`] decides, [`run`] joins the two to sockets; [`cli`] are the flags
//! of the binary. No topology is known here, nor how processes are started.
#![forbid(unsafe_code)]

pub mod cli;
pub mod core;
pub mod latency;
pub mod run;
pub mod source;
