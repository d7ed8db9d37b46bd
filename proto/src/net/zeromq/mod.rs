//! The one folder that names ZeroMQ.
//!
//! Owns contexts, sockets, monitors and the ZAP handler, and steers around what libzmq does to
//! those who do not know: high-water marks are off (a full PULL socket can lose frames and abort
//! the process), ZMTP heartbeats are off, a lane queues only towards a living peer, frames are
//! single and bounded, unknown keys are answered with 300 so that they may retry. Refuses to
//! know what a frame says.
//!
//! - [`Net`]: makes the sockets of one process, in one [`SharedContext`] or several
//! - [`Inbox`]: the one PULL socket; [`Lane`]: the PUSH socket to one peer's inbox
//! - `monitor`: the thread that hears what becomes of connections
//! - `zap`: the thread that says which keys may connect; `curve`: the keys themselves

mod context;
mod curve;
mod inbox;
mod lane;
mod monitor;
mod net;
mod zap;

use std::io;

use thiserror::Error;

pub use self::{
    context::SharedContext,
    curve::{Curve, WITHOUT_CURVE, decode_key, new_key_pair, valid_key},
    inbox::{Inbox, Waiting},
    lane::Lane,
    monitor::{LaneEvent, NetEvent},
    net::Net,
};
use super::{
    endpoint::{Endpoint, INBOX_PORTS},
    lock::{LockError, Obstacle},
};
use crate::files::FilesError;

/// Why sockets could not be used.
#[derive(Debug, Error)]
pub enum NetError {
    /// An endpoint can't be listened at.
    #[error("cannot listen at {endpoint}: {source}")]
    Bind {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: zmq::Error,
    },
    /// The socket of an endpoint can't be made private.
    #[error("cannot keep others from {endpoint}: {source}")]
    Private {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: io::Error,
    },
    /// Another process listens there.
    #[error("cannot listen at {endpoint}: {source}")]
    Taken {
        /// Where.
        endpoint: Endpoint,
        /// Who.
        source: LockError,
    },
    /// Something is in the way that is not this process's to remove.
    #[error("cannot listen at {endpoint}: {source}")]
    Blocked {
        /// Where.
        endpoint: Endpoint,
        /// What.
        source: Obstacle,
    },
    /// Its host is nothing that this machine knows.
    #[error(
        "cannot listen at {endpoint}: its host is no name that this machine knows; where it is an interface, write that one's address, or `*` for all of this machine's"
    )]
    Host {
        /// Where.
        endpoint: Endpoint,
    },
    /// Every port from 20000 to 32767 that was tried is taken.
    #[error("found no free port from {} to {}", INBOX_PORTS.start(), INBOX_PORTS.end())]
    Ports,
    /// An endpoint can't be connected to.
    #[error("cannot connect to {endpoint}: {source}")]
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: zmq::Error,
    },
    /// An endpoint needs encryption, and there is none.
    #[error("{WITHOUT_CURVE}")]
    WithoutCurve,
    /// Anything else that libzmq reports.
    #[error("{action}: {source}")]
    Socket {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: zmq::Error,
    },
    /// Descriptors run short.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// No pipe or thread could be made.
    #[error("cannot start the network: {0}")]
    Io(#[from] io::Error),
}

fn socket_error(action: &'static str) -> impl FnOnce(zmq::Error) -> NetError {
    move |source| NetError::Socket { action, source }
}
