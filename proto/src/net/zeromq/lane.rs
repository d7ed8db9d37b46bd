//! The PUSH socket from this process to one peer.
//!
//! Owns whether it takes a frame now; refuses to keep frames that it does not take.

use std::cell::Cell;

use zmq::Socket;

use super::{NetError, context::SocketSlot, monitor::Watched};
use crate::net::endpoint::Endpoint;

/// The PUSH socket to one peer's inbox. Lanes must be dropped before the [`Net`](super::Net) they come from.
pub struct Lane {
    socket: Socket,
    number: u64,
    // It took the last frame.
    ready: Cell<bool>,
    watched: Option<Watched>,
    _place: Option<SocketSlot>,
}

impl Lane {
    /// Over a socket whose options are set.
    pub(super) fn connect(
        socket: Socket,
        number: u64,
        watched: Option<Watched>,
        place: Option<SocketSlot>,
        endpoint: &Endpoint,
    ) -> Result<Self, NetError> {
        let lane = Self { socket, number, ready: Cell::new(false), watched, _place: place };
        lane.socket
            .connect(&endpoint.to_string())
            .map_err(|source| NetError::Connect { endpoint: endpoint.clone(), source })?;
        Ok(lane)
    }

    /// Hands a frame to libzmq; whether it took it. It does not while no peer is connected.
    pub fn send(&self, frame: Vec<u8>) -> bool {
        // A send alone may not look at news of the connection, asking for events does. It costs a
        // system call, so it is done only where there may be news.
        let sent =
            (self.ready.get() || self.is_ready()) && self.socket.send(frame, zmq::DONTWAIT).is_ok();
        self.ready.set(sent);
        sent
    }

    /// What tells its news from those of another lane of the same link; no two of this process
    /// have the same.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether a monitor tells of its fate; inproc lanes have none and are up from the start.
    pub fn is_monitored(&self) -> bool {
        self.watched.is_some()
    }

    fn is_ready(&self) -> bool {
        self.socket.get_events().is_ok_and(|events| events.contains(zmq::POLLOUT))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(watched) = &self.watched {
            watched.end(&self.socket);
        }
    }
}
