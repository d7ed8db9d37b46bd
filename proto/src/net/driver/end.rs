//! How a driver ends, beside the exit code of its role.

use std::io;

use thiserror::Error;

use crate::net::zeromq::NetError;

/// What [`Driver::run`](super::Driver::run) returns when it was [stopped](super::Handle::stop), whatever the role says.
pub const STOPPED: i32 = 130;

/// Why a process could not go on.
#[derive(Debug, Error)]
pub enum DriverError {
    /// The sockets failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A thread that must live has ended.
    #[error("the handler that admits keys has ended; without it every key would be admitted")]
    Unguarded,
    /// No thread could be had.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    /// A thread that brought a reply in has panicked.
    #[error("a thread of this process has panicked")]
    Panicked,
}
