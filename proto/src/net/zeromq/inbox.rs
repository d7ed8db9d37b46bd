//! The one PULL socket that a process listens with.
//!
//! Owns where it listens, who can reach it there, and the frames that have come; refuses to know
//! who sent them.

use std::{
    cell::Cell,
    fs,
    os::{
        fd::RawFd,
        unix::fs::{FileTypeExt, PermissionsExt},
    },
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use tracing::debug;
use zmq::{Message, PollEvents, PollItem, Socket};

use super::{
    NetError,
    curve::{Curve, decode_key},
    monitor::Watched,
    socket_error, zap,
};
use crate::net::{
    endpoint::{Endpoint, Family, INBOX_PORTS},
    host,
    key::Key,
    lock::{Lock, has_place, make_way},
    waker::Wakeups,
};

/// Messages of several parts that are dropped before anything else is looked at.
const DROPPED_PER_TURN: usize = 64;

/// The process's one PULL socket. It must be dropped before the [`Net`](super::Net) that it comes from.
pub struct Inbox {
    socket: Socket,
    watched: Watched,
    key: Option<Key>,
    locks: Vec<Lock>,
    bound: Vec<Endpoint>,
    // Where it listens now, as libzmq writes it.
    doors: Vec<String>,
    // Some endpoint is secured, so the socket's options are no longer the plain ones.
    secured: bool,
    several_parts: Cell<u64>,
    // It was looked into, and nothing was there; nothing else was done with it since.
    empty: Cell<bool>,
}

impl Inbox {
    /// Over a socket that listens nowhere yet.
    pub(super) fn new(socket: Socket, watched: Watched, key: Option<Key>) -> Self {
        Self {
            socket,
            watched,
            key,
            locks: Vec::new(),
            bound: Vec::new(),
            doors: Vec::new(),
            secured: false,
            several_parts: Cell::new(0),
            empty: Cell::new(false),
        }
    }

    /// Listens at one more endpoint, and says where: a port of 0 becomes a real one, a name
    /// an address.
    ///
    /// # Errors
    /// [`NetError`] when the endpoint is taken or can't be used.
    pub fn bind(&mut self, endpoint: &Endpoint) -> Result<Endpoint, NetError> {
        let endpoint = &host::settle(endpoint)?;
        let bound = match endpoint {
            Endpoint::Tcp { host, port: 0 } => {
                self.secure()?;
                self.bind_any_port(host)?
            }
            Endpoint::Tcp { .. } => {
                self.secure()?;
                self.bind_at(endpoint)?
            }
            Endpoint::Ipc(path) => {
                // A second bind to one path succeeds and steals it, so a lock stands beside it.
                let mut lock = path.clone().into_os_string();
                lock.push(".lock");
                let taken = |source| NetError::Taken { endpoint: endpoint.clone(), source };
                let blocked = |source| NetError::Blocked { endpoint: endpoint.clone(), source };
                has_place(path).map_err(blocked)?;
                self.locks.push(Lock::take(lock.as_ref()).map_err(taken)?);
                // libzmq would remove whatever is there.
                make_way(path).map_err(blocked)?;
                self.plain()?;
                self.bind_privately(path)?
            }
            Endpoint::Inproc(_) => {
                self.plain()?;
                self.bind_at(endpoint)?
            }
        };
        self.bound.push(bound.clone());
        Ok(bound)
    }

    /// Lets nobody else in for now. libzmq cuts off those who came in by the same door; a peer tries
    /// again until it is open.
    pub fn close_doors(&mut self) {
        for door in self.doors.extract_if(.., |door| !door.starts_with("inproc")) {
            if let Err(error) = self.socket.unbind(&door) {
                debug!(%error, door, "cannot stop listening");
            }
        }
        self.empty.set(false);
    }

    /// Lets others in again.
    ///
    /// # Errors
    /// [`NetError`] when an endpoint can't be listened at; those that can are.
    pub fn open_doors(&mut self) -> Result<(), NetError> {
        let mut failed = None;
        for endpoint in self.bound.clone() {
            let opened = match &endpoint {
                Endpoint::Tcp { .. } => self.secure().and_then(|()| self.bind_at(&endpoint)),
                Endpoint::Ipc(path) => self.plain().and_then(|()| self.bind_privately(path)),
                Endpoint::Inproc(_) => continue,
            };
            failed = failed.or(opened.err());
        }
        failed.map_or(Ok(()), Err)
    }

    /// Where it listens.
    pub fn bound(&self) -> &[Endpoint] {
        &self.bound
    }

    /// The next frame, if one is there; a message of several parts is dropped whole.
    ///
    /// # Errors
    /// [`NetError`] when the socket is gone.
    pub fn receive(&self) -> Result<Option<Bytes>, NetError> {
        for _ in 0..DROPPED_PER_TURN {
            match self.socket.recv_msg(zmq::DONTWAIT) {
                Ok(message) if !message.get_more() => return Ok(Some(owned(message))),
                Ok(_) => self.drop_parts()?,
                Err(zmq::Error::EAGAIN) => {
                    self.empty.set(true);
                    return Ok(None);
                }
                Err(zmq::Error::EINTR) => {}
                Err(source) => return Err(socket_error("cannot receive")(source)),
            }
        }
        // A flood of what is dropped must not keep the process from everything else.
        Ok(None)
    }

    /// How many messages of several parts were dropped since the last call.
    pub fn take_several_parts(&self) -> u64 {
        self.several_parts.take()
    }

    /// Whether everything that had come was taken, and nothing else was done to the socket since.
    pub fn is_empty(&self) -> bool {
        self.empty.get()
    }

    /// How to wait for a frame, a wake-up or the end of `timeout` (none: for ever). The wait
    /// itself does not touch the socket, so other threads may do so meanwhile.
    ///
    /// # Errors
    /// [`NetError`] when the socket is gone.
    pub fn waiting(
        &self,
        wakeups: &Wakeups,
        timeout: Option<Duration>,
    ) -> Result<Waiting, NetError> {
        let failed = || socket_error("cannot wait for frames");
        let timeout_ms = |wait: Duration| wait.as_micros().div_ceil(1000).min(3_600_000) as i64;
        // The descriptor tells only of what comes after the socket was found empty. To ask the
        // socket itself costs several system calls more at each wait.
        let come =
            !self.empty.get() && self.socket.get_events().map_err(failed())?.contains(zmq::POLLIN);
        Ok(Waiting {
            frames: self.socket.get_fd().map_err(failed())?,
            wakeups: wakeups.fd(),
            timeout_ms: if come { 0 } else { timeout.map_or(-1, timeout_ms) },
        })
    }

    fn drop_parts(&self) -> Result<(), NetError> {
        self.several_parts.set(self.several_parts.get() + 1);
        debug!("a peer sent a message of several parts; it is dropped");
        while self.socket.get_rcvmore().map_err(socket_error("cannot receive"))? {
            self.socket.recv_msg(0).map_err(socket_error("cannot receive"))?;
        }
        Ok(())
    }

    fn bind_privately(&mut self, path: &Path) -> Result<Endpoint, NetError> {
        let endpoint = self.bind_at(&Endpoint::Ipc(path.into()))?;
        // Whoever may write to a socket may connect to it.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(|source| NetError::Private { endpoint: endpoint.clone(), source })?;
        Ok(endpoint)
    }

    fn bind_at(&mut self, endpoint: &Endpoint) -> Result<Endpoint, NetError> {
        let both = endpoint.family() == Family::V6;
        self.socket.set_ipv6(both).map_err(socket_error("cannot set up the inbox"))?;
        self.empty.set(false);
        self.socket
            .bind(&endpoint.to_string())
            .map_err(|source| NetError::Bind { endpoint: endpoint.clone(), source })?;
        // libzmq may write it in another way, and knows it by that.
        self.doors.extend(self.socket.get_last_endpoint().into_iter().filter_map(Result::ok));
        Ok(endpoint.clone())
    }

    fn bind_any_port(&mut self, host: &str) -> Result<Endpoint, NetError> {
        let count = u64::from(INBOX_PORTS.end() - INBOX_PORTS.start()) + 1;
        let start = getrandom::u64().unwrap_or_else(|_| std::process::id().into()) % count;
        for try_number in 0..256 {
            let port = INBOX_PORTS.start() + ((start + try_number * 37) % count) as u16;
            let endpoint = Endpoint::Tcp { host: host.into(), port };
            match self.bind_at(&endpoint) {
                Err(NetError::Bind { source: zmq::Error::EADDRINUSE, .. }) => {}
                other => return other,
            }
        }
        Err(NetError::Ports)
    }

    /// The next bind takes only peers with the key.
    fn secure(&mut self) -> Result<(), NetError> {
        let Some(key) = self.key.clone() else { return self.plain() };
        Curve::here().needed()?;
        let failed = || socket_error("cannot set up CURVE");
        self.socket.set_curve_secretkey(&decode_key(&key.secret)).map_err(failed())?;
        self.socket.set_curve_server(true).map_err(failed())?;
        self.socket.set_zap_domain(zap::KEYED_DOMAIN).map_err(failed())?;
        self.secured = true;
        zap::enforce_domain(&mut self.socket).map_err(failed())
    }

    /// The next bind takes whoever can reach it: this machine's file permissions decide.
    fn plain(&mut self) -> Result<(), NetError> {
        if !self.secured {
            return Ok(());
        }
        // A domain cannot be unset once it is set, so the handler admits this one to all.
        let failed = || socket_error("cannot set up the inbox");
        self.socket.set_zap_domain(zap::LOCAL_DOMAIN).map_err(failed())?;
        self.socket.set_curve_server(false).map_err(failed())
    }
}

/// What a process waits for.
#[derive(Debug)]
pub struct Waiting {
    frames: RawFd,
    wakeups: RawFd,
    timeout_ms: i64,
}

impl Waiting {
    /// Waits.
    ///
    /// # Errors
    /// [`NetError`] when the socket is gone.
    pub fn wait(self) -> Result<(), NetError> {
        let mut items = [self.frames, self.wakeups]
            .map(|descriptor| PollItem::from_fd(descriptor, PollEvents::POLLIN));
        match zmq::poll(&mut items, self.timeout_ms) {
            Ok(_) | Err(zmq::Error::EINTR) => Ok(()),
            Err(source) => Err(socket_error("cannot wait for frames")(source)),
        }
    }
}

/// A frame's bytes where libzmq put them; small ones are copied, which costs less than to share.
fn owned(message: Message) -> Bytes {
    const COPIED_BYTES_MAX: usize = 1 << 10;
    if message.len() <= COPIED_BYTES_MAX {
        Bytes::copy_from_slice(&message)
    } else {
        Bytes::from_owner(Part(message))
    }
}

struct Part(Message);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.watched.end(&self.socket);
        for endpoint in &self.bound {
            // What took its place meanwhile is somebody else's.
            if let Endpoint::Ipc(path) = endpoint
                && fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket())
            {
                let _ = fs::remove_file(path);
            }
        }
        for lock in self.locks.drain(..) {
            lock.remove();
        }
    }
}
