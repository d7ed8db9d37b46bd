//! The yardstick: PUSH and PULL sockets with default options, as the ZeroMQ guide uses them.
//!
//! The one file besides `proto::net::zeromq` that names ZeroMQ: what is measured against must not share a line with what
//! is measured, nor may an option of ours slip in. Owns single sends and receives, as tight as in
//! C: a small message is sent from the stack and received into it, a large one is handed on as it
//! is. Refuses every promise: here messages are lost as libzmq loses them.

use std::ops::Deref;

use zmq::{Context, Message, Socket, SocketType};

use proto::net::{
    endpoint::{Endpoint, Family},
    zeromq::NetError,
};

/// Where a peer has finished its handshake.
const ARRIVALS: i32 = zmq::SocketEvent::HANDSHAKE_SUCCEEDED as i32;
const MONITOR: &str = "inproc://arrivals";

fn socket_error(action: &'static str) -> impl FnOnce(zmq::Error) -> NetError {
    move |source| NetError::Socket { action, source }
}

/// Makes the sockets of one process.
#[derive(Default)]
pub struct Bare(Context);

impl Bare {
    /// A new context with default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// A PUSH socket that listens, and whose peers can be counted; one a context.
    ///
    /// # Errors
    /// [`NetError`] when libzmq refuses.
    pub fn push_at(&self, endpoint: &Endpoint) -> Result<Entrance, NetError> {
        let failed = || socket_error("cannot count peers");
        let socket = self.socket(SocketType::PUSH)?;
        socket.monitor(MONITOR, ARRIVALS).map_err(failed())?;
        let arrivals = self.socket(SocketType::PAIR)?;
        arrivals.connect(MONITOR).map_err(failed())?;
        let bound = |source| NetError::Bind { endpoint: endpoint.clone(), source };
        choose_family(&socket, endpoint)?;
        socket.bind(&endpoint.to_string()).map_err(bound)?;
        Ok(Entrance { push: Push(socket), arrivals })
    }

    /// A PUSH socket that connects.
    ///
    /// # Errors
    /// [`NetError`] when libzmq refuses.
    pub fn push_to(&self, endpoint: &Endpoint) -> Result<Push, NetError> {
        let socket = self.socket(SocketType::PUSH)?;
        connect(&socket, endpoint)?;
        Ok(Push(socket))
    }

    /// A PULL socket that listens.
    ///
    /// # Errors
    /// [`NetError`] when libzmq refuses.
    pub fn pull_at(&self, endpoint: &Endpoint) -> Result<Pull, NetError> {
        let socket = self.socket(SocketType::PULL)?;
        let bound = |source| NetError::Bind { endpoint: endpoint.clone(), source };
        choose_family(&socket, endpoint)?;
        socket.bind(&endpoint.to_string()).map_err(bound)?;
        Ok(Pull(socket))
    }

    /// A PULL socket that connects.
    ///
    /// # Errors
    /// [`NetError`] when libzmq refuses.
    pub fn pull_from(&self, endpoint: &Endpoint) -> Result<Pull, NetError> {
        let socket = self.socket(SocketType::PULL)?;
        connect(&socket, endpoint)?;
        Ok(Pull(socket))
    }

    fn socket(&self, kind: SocketType) -> Result<Socket, NetError> {
        self.0.socket(kind).map_err(socket_error("cannot make a socket"))
    }
}

fn connect(socket: &Socket, endpoint: &Endpoint) -> Result<(), NetError> {
    let failed = |source| NetError::Connect { endpoint: endpoint.clone(), source };
    choose_family(socket, endpoint)?;
    socket.connect(&endpoint.to_string()).map_err(failed)
}

fn choose_family(socket: &Socket, endpoint: &Endpoint) -> Result<(), NetError> {
    let both = endpoint.family() == Family::V6;
    socket.set_ipv6(both).map_err(socket_error("cannot choose a kind of addresses"))
}

/// A PUSH socket that listens.
pub struct Entrance {
    push: Push,
    // Kept as long as the socket: libzmq waits for its reader.
    arrivals: Socket,
}

impl Entrance {
    /// Waits until so many peers have connected: a PUSH socket deals to those who are there, so
    /// without this the first one would get a heap.
    ///
    /// # Errors
    /// [`NetError`] when the socket is gone.
    pub fn await_peers(&self, peers: u32) -> Result<&Push, NetError> {
        for _ in 0..peers {
            self.arrivals.recv_multipart(0).map_err(socket_error("cannot count peers"))?;
        }
        Ok(&self.push)
    }
}

/// A PUSH socket.
pub struct Push(Socket);

impl Push {
    /// Sends a copy of `bytes`; small ones take no allocation.
    ///
    /// # Errors
    /// [`NetError`] when the socket is gone.
    #[inline]
    pub fn send(&self, bytes: &[u8]) -> Result<(), NetError> {
        self.forward(Whole(Message::from(bytes)))
    }

    /// Sends a message as it is, without a copy.
    ///
    /// # Errors
    /// [`NetError`] when the socket is gone.
    #[inline]
    pub fn forward(&self, message: Whole) -> Result<(), NetError> {
        self.0.send(message.0, 0).map_err(socket_error("cannot send"))
    }
}

/// A PULL socket.
pub struct Pull(Socket);

impl Pull {
    /// Receives into `bytes`, and tells the message's length.
    ///
    /// # Errors
    /// [`NetError`] when the socket is gone.
    #[inline]
    pub fn receive_into(&self, bytes: &mut [u8]) -> Result<usize, NetError> {
        self.0.recv_into(bytes, 0).map_err(socket_error("cannot receive"))
    }

    /// Receives a message as it is, without a copy.
    ///
    /// # Errors
    /// [`NetError`] when the socket is gone.
    #[inline]
    pub fn receive(&self) -> Result<Whole, NetError> {
        self.0.recv_msg(0).map(Whole).map_err(socket_error("cannot receive"))
    }
}

/// A message where libzmq has it.
pub struct Whole(Message);

impl From<Vec<u8>> for Whole {
    /// Takes the bytes over without a copy, if the vector is full.
    fn from(bytes: Vec<u8>) -> Self {
        Self(Message::from(bytes))
    }
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_by_one_is_pulled_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::Ipc(folder.path().join("v"));
        let (here, there) = (Bare::new(), Bare::new());
        let entrance = here.push_at(&endpoint).unwrap();
        let pull = there.pull_from(&endpoint).unwrap();
        let push = entrance.await_peers(1).unwrap();
        push.send(&7u64.to_le_bytes()).unwrap();
        let mut bytes = [0; 8];
        assert_eq!(pull.receive_into(&mut bytes).unwrap(), 8);
        assert_eq!(u64::from_le_bytes(bytes), 7);
        push.forward(Whole::from(vec![9; 1 << 20])).unwrap();
        let large = pull.receive().unwrap();
        assert_eq!((large.len(), large[9]), (1 << 20, 9));
    }
}
