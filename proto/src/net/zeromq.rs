//! The one file that names ZeroMQ.
//!
//! Owns contexts, sockets, monitors and the ZAP handler, and steers around what libzmq does to
//! those who do not know: high-water marks are off (a full PULL socket can lose frames and abort
//! the process), ZMTP heartbeats are off, a lane queues only towards a living peer, frames are
//! single and bounded, unknown keys are answered with 300 so that they may retry. Refuses to
//! know what a frame says.

use std::{
    collections::BTreeMap,
    io,
    os::raw::{c_int, c_void},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tracing::{debug, error, warn};
use zmq::{Context, Message, PollEvents, PollItem, Socket, SocketType};

use super::{
    endpoint::{Endpoint, INBOX_PORTS},
    key::Key,
    lock::{Lock, LockError},
    waker::{self, Waker, Wakeups},
};
use crate::role::LinkId;

/// Where libzmq asks who may connect; see <https://rfc.zeromq.org/spec/27/>.
const ZAP_ENDPOINT: &str = "inproc://zeromq.zap.01";
const KEYED_DOMAIN: &str = "keyed";
const LOCAL_DOMAIN: &str = "local";
/// `ZMQ_ZAP_ENFORCE_DOMAIN`, which the `zmq` crate does not wrap.
const ZAP_ENFORCE_DOMAIN: c_int = 93;
/// How long a lane that is closed goes on delivering what it holds.
const LINGER_MS: i32 = 1_000;
/// How long a lane waits before it connects again, at first and at most.
const RECONNECT_MS: (i32, i32) = (50, 1_000);

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
    /// Another process listens there.
    #[error("cannot listen at {endpoint}: {source}")]
    Taken {
        /// Where.
        endpoint: Endpoint,
        /// Who.
        source: LockError,
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
    /// Anything else that libzmq reports.
    #[error("{action}: {source}")]
    Socket {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: zmq::Error,
    },
    /// No pipe or thread could be made.
    #[error("cannot start the network: {0}")]
    Io(#[from] io::Error),
}

fn socket_error(action: &'static str) -> impl FnOnce(zmq::Error) -> NetError {
    move |source| NetError::Socket { action, source }
}

/// A new CURVE key pair in Z85: public, secret.
///
/// # Panics
/// If libzmq was built without CURVE, which the build of this project rules out.
pub fn new_key_pair() -> (String, String) {
    let pair = zmq::CurveKeyPair::new().expect("libzmq is built with CURVE");
    let text = |half: &[u8]| zmq::z85_encode(half).expect("32 bytes have a Z85 form");
    (text(&pair.public_key), text(&pair.secret_key))
}

/// Whether a text is one half of a key pair.
pub fn valid_key(text: &str) -> bool {
    text.len() == 40 && zmq::z85_decode(text).is_ok_and(|half| half.len() == 32)
}

/// Lets the process open as many files as it may: a socket a peer, and libzmq does not bear
/// running out.
pub fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current < maximum
        && let Err(errno) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        debug!(%errno, "the limit of open files stays as it is");
    }
}

/// What a lane's monitor has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneEvent {
    /// Connected, and both sides agree on the mechanism.
    Up,
    /// The connection is gone.
    Down,
    /// The other side refuses: libzmq will not try again by itself.
    Rejected,
}

/// The sockets of one process, or of one embedded pipeline.
pub struct Net {
    context: Context,
    key: Option<Key>,
    monitors: mpsc::Sender<Watch>,
    monitor_waker: Waker,
    stop: Arc<AtomicBool>,
    threads: Vec<(Waker, thread::JoinHandle<()>)>,
}

enum Watch {
    Add(LinkId, Socket),
    Remove(LinkId),
}

impl Net {
    /// Sockets in `context`, with CURVE on tcp if there is a key. `lane_event` is called from
    /// the monitors' thread; `failed` when a thread that must live has ended.
    ///
    /// # Errors
    /// [`NetError`] when a thread or a socket can't be made.
    pub fn new(
        shared: &SharedContext,
        key: Option<Key>,
        lane_event: impl Fn(LinkId, LaneEvent) + Send + 'static,
        failed: impl Fn() + Send + 'static,
    ) -> Result<Self, NetError> {
        let context = shared.0.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let (monitors, watches) = mpsc::channel();
        let (monitor_waker, wakeups) = waker::pair()?;
        let halt = stop.clone();
        let thread = thread::Builder::new()
            .name("monitors".into())
            .spawn(move || watch_lanes(&watches, wakeups, &halt, lane_event))?;
        threads.push((monitor_waker.clone(), thread));
        if let Some(key) = &key {
            let socket =
                context.socket(zmq::REP).map_err(socket_error("cannot make the ZAP socket"))?;
            socket.bind(ZAP_ENDPOINT).map_err(socket_error("cannot bind the ZAP socket"))?;
            let (waker, wakeups) = waker::pair()?;
            let admitted = key.public.clone();
            let halt = stop.clone();
            let thread = thread::Builder::new().name("zap".into()).spawn(move || {
                if let Err(error) = admit(&socket, &admitted, wakeups, &halt) {
                    error!(%error, "the handler that admits keys has ended");
                    failed();
                }
            })?;
            threads.push((waker, thread));
        }
        Ok(Self { context, key, monitors, monitor_waker, stop, threads })
    }

    /// The process's one PULL socket, listening nowhere yet.
    ///
    /// # Errors
    /// [`NetError`] when libzmq refuses.
    pub fn inbox(&self, frame_bytes_max: u64) -> Result<Inbox, NetError> {
        let failed = || socket_error("cannot make the inbox");
        let socket = self.context.socket(SocketType::PULL).map_err(failed())?;
        socket.set_rcvhwm(0).map_err(failed())?;
        socket.set_linger(0).map_err(failed())?;
        let limit = i64::try_from(frame_bytes_max).unwrap_or(i64::MAX);
        socket.set_maxmsgsize(limit).map_err(failed())?;
        Ok(Inbox {
            socket,
            key: self.key.clone(),
            locks: Vec::new(),
            bound: Vec::new(),
            secured: false,
        })
    }

    /// A lane to an inbox; its monitor reports under `link`.
    ///
    /// # Errors
    /// [`NetError`] when libzmq refuses; an inbox that is not there yet is no error.
    pub fn lane(&mut self, link: LinkId, endpoint: &Endpoint) -> Result<Lane, NetError> {
        let failed = || socket_error("cannot make a lane");
        let socket = self.context.socket(SocketType::PUSH).map_err(failed())?;
        socket.set_sndhwm(0).map_err(failed())?;
        socket.set_linger(LINGER_MS).map_err(failed())?;
        socket.set_immediate(true).map_err(failed())?;
        socket.set_reconnect_ivl(RECONNECT_MS.0).map_err(failed())?;
        socket.set_reconnect_ivl_max(RECONNECT_MS.1).map_err(failed())?;
        socket.set_tcp_keepalive(1).map_err(failed())?;
        if matches!(endpoint, Endpoint::Tcp { .. })
            && let Some(key) = &self.key
        {
            let half = |text: &str| zmq::z85_decode(text).unwrap_or_default();
            socket.set_curve_serverkey(&half(&key.public)).map_err(failed())?;
            socket.set_curve_publickey(&half(&key.public)).map_err(failed())?;
            socket.set_curve_secretkey(&half(&key.secret)).map_err(failed())?;
        }
        let watched = match endpoint {
            Endpoint::Inproc(_) => None,
            _ => Some(self.monitor(link, &socket)?),
        };
        let lane = Lane { socket, watched };
        lane.socket
            .connect(&endpoint.to_string())
            .map_err(|source| NetError::Connect { endpoint: endpoint.clone(), source })?;
        Ok(lane)
    }

    fn monitor(&self, link: LinkId, socket: &Socket) -> Result<Watched, NetError> {
        let failed = || socket_error("cannot watch a lane");
        // Contexts are shared, so the names have to differ within the whole process.
        static MONITORS: AtomicU64 = AtomicU64::new(0);
        let address = format!("inproc://monitor-{}", MONITORS.fetch_add(1, Ordering::Relaxed));
        socket.monitor(&address, MONITORED).map_err(failed())?;
        let watcher = self.context.socket(SocketType::PAIR).map_err(failed())?;
        watcher.set_linger(0).map_err(failed())?;
        watcher.connect(&address).map_err(failed())?;
        let _ = self.monitors.send(Watch::Add(link, watcher));
        self.monitor_waker.wake();
        Ok(Watched {
            link,
            address,
            monitors: self.monitors.clone(),
            waker: self.monitor_waker.clone(),
        })
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for (waker, thread) in self.threads.drain(..) {
            waker.wake();
            let _ = thread.join();
        }
    }
}

/// A context that several processes' worth of sockets may share: inproc endpoints are seen by
/// all of them.
#[derive(Clone, Default)]
pub struct SharedContext(Context);

impl SharedContext {
    /// A new context.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The process's one PULL socket.
pub struct Inbox {
    socket: Socket,
    key: Option<Key>,
    locks: Vec<Lock>,
    bound: Vec<Endpoint>,
    // Some endpoint is secured, so the socket's options are no longer the plain ones.
    secured: bool,
}

impl Inbox {
    /// Listens at one more endpoint, and says where: a port of 0 becomes a real one.
    ///
    /// # Errors
    /// [`NetError`] when the endpoint is taken or can't be used.
    pub fn bind(&mut self, endpoint: &Endpoint) -> Result<Endpoint, NetError> {
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
                self.locks.push(Lock::take(lock.as_ref()).map_err(taken)?);
                self.plain()?;
                self.bind_at(endpoint)?
            }
            Endpoint::Inproc(_) => {
                self.plain()?;
                self.bind_at(endpoint)?
            }
        };
        self.bound.push(bound.clone());
        Ok(bound)
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
        loop {
            match self.socket.recv_msg(zmq::DONTWAIT) {
                Ok(message) if !message.get_more() => return Ok(Some(owned(message))),
                Ok(_) => self.drop_parts()?,
                Err(zmq::Error::EAGAIN) => return Ok(None),
                Err(zmq::Error::EINTR) => {}
                Err(source) => return Err(socket_error("cannot receive")(source)),
            }
        }
    }

    /// Waits for a frame, a wake-up or the end of `timeout_ms` (-1: for ever).
    ///
    /// # Errors
    /// [`NetError`] when the socket is gone.
    pub fn wait(&self, wakeups: &Wakeups, timeout_ms: i64) -> Result<(), NetError> {
        let mut items = [
            self.socket.as_poll_item(PollEvents::POLLIN),
            PollItem::from_fd(wakeups.fd(), PollEvents::POLLIN),
        ];
        match zmq::poll(&mut items, timeout_ms) {
            Ok(_) | Err(zmq::Error::EINTR) => Ok(()),
            Err(source) => Err(socket_error("cannot wait for frames")(source)),
        }
    }

    fn drop_parts(&self) -> Result<(), NetError> {
        warn!("a peer sent a message of several parts; it is dropped");
        while self.socket.get_rcvmore().map_err(socket_error("cannot receive"))? {
            self.socket.recv_msg(0).map_err(socket_error("cannot receive"))?;
        }
        Ok(())
    }

    fn bind_at(&self, endpoint: &Endpoint) -> Result<Endpoint, NetError> {
        self.socket
            .bind(&endpoint.to_string())
            .map_err(|source| NetError::Bind { endpoint: endpoint.clone(), source })?;
        Ok(endpoint.clone())
    }

    fn bind_any_port(&self, host: &str) -> Result<Endpoint, NetError> {
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
        let failed = || socket_error("cannot set up CURVE");
        let secret = zmq::z85_decode(&key.secret).unwrap_or_default();
        self.socket.set_curve_secretkey(&secret).map_err(failed())?;
        self.socket.set_curve_server(true).map_err(failed())?;
        self.socket.set_zap_domain(KEYED_DOMAIN).map_err(failed())?;
        self.secured = true;
        enforce_zap_domain(&mut self.socket).map_err(failed())
    }

    /// The next bind takes whoever can reach it: this machine's file permissions decide.
    fn plain(&mut self) -> Result<(), NetError> {
        if !self.secured {
            return Ok(());
        }
        // A domain cannot be unset once it is set, so the handler admits this one to all.
        let failed = || socket_error("cannot set up the inbox");
        self.socket.set_zap_domain(LOCAL_DOMAIN).map_err(failed())?;
        self.socket.set_curve_server(false).map_err(failed())
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

/// Without this option libzmq admits every key when no ZAP handler is alive.
fn enforce_zap_domain(socket: &mut Socket) -> Result<(), zmq::Error> {
    let enforce: c_int = 1;
    let address: *const c_int = &enforce;
    let raw = socket.as_mut_ptr();
    // SAFETY: `raw` is a live socket that nothing else uses during this call, and the option
    // takes one int, which `address` points at. The crate has no safe way to set this option.
    #[allow(unsafe_code)]
    let code = unsafe {
        zmq_sys::zmq_setsockopt(
            raw,
            ZAP_ENFORCE_DOMAIN,
            address.cast::<c_void>(),
            size_of::<c_int>(),
        )
    };
    if code == 0 { Ok(()) } else { Err(zmq::Error::EINVAL) }
}

/// The PUSH socket to one peer's inbox. Lanes must be dropped before the [`Net`] they come from.
pub struct Lane {
    socket: Socket,
    watched: Option<Watched>,
}

/// What the end of a lane has to tell the monitors' thread.
struct Watched {
    link: LinkId,
    address: String,
    monitors: mpsc::Sender<Watch>,
    waker: Waker,
}

impl Lane {
    /// Hands a frame to libzmq; whether it took it. It does not while no peer is connected.
    pub fn send(&self, frame: Vec<u8>) -> bool {
        // A send alone may not look at news of the connection, asking for events does.
        self.is_ready() && self.socket.send(frame, zmq::DONTWAIT).is_ok()
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
    /// A socket that lingers still reports what happens to it, and libzmq's one I/O thread waits
    /// without end for a reader of the report when there is none. So a monitor of nothing takes
    /// the place of the lane's, and only then its reader goes.
    fn drop(&mut self) {
        if let Some(Watched { link, address, monitors, waker }) = self.watched.take() {
            // Even where no new monitor can be made, the old one is gone.
            let _ = self.socket.monitor(&format!("{address}-closed"), 0);
            let _ = monitors.send(Watch::Remove(link));
            waker.wake();
        }
    }
}

/// Connected-and-agreed, gone, and the three ways to be refused.
const MONITORED: i32 = (zmq::SocketEvent::HANDSHAKE_SUCCEEDED as i32)
    | (zmq::SocketEvent::DISCONNECTED as i32)
    | (zmq::SocketEvent::HANDSHAKE_FAILED_NO_DETAIL as i32)
    | (zmq::SocketEvent::HANDSHAKE_FAILED_PROTOCOL as i32)
    | (zmq::SocketEvent::HANDSHAKE_FAILED_AUTH as i32);

/// The body of the thread that watches all lanes.
fn watch_lanes(
    watches: &mpsc::Receiver<Watch>,
    mut wakeups: Wakeups,
    halt: &AtomicBool,
    lane_event: impl Fn(LinkId, LaneEvent),
) {
    let mut lanes: BTreeMap<LinkId, Socket> = BTreeMap::new();
    loop {
        // Cleared before the flag is read: a wake-up that says why it came can't get lost.
        wakeups.clear();
        if halt.load(Ordering::Acquire) {
            return;
        }
        for watch in watches.try_iter() {
            match watch {
                Watch::Add(link, socket) => drop(lanes.insert(link, socket)),
                Watch::Remove(link) => drop(lanes.remove(&link)),
            }
        }
        let mut items = vec![PollItem::from_fd(wakeups.fd(), PollEvents::POLLIN)];
        items.extend(lanes.values().map(|socket| socket.as_poll_item(PollEvents::POLLIN)));
        if let Err(error) = zmq::poll(&mut items, -1)
            && error != zmq::Error::EINTR
        {
            error!(%error, "lanes can no longer be watched");
            return;
        }
        for (link, socket) in &lanes {
            while let Some(event) = next_lane_event(socket) {
                lane_event(*link, event);
            }
        }
    }
}

fn next_lane_event(socket: &Socket) -> Option<LaneEvent> {
    loop {
        let parts = socket.recv_multipart(zmq::DONTWAIT).ok()?;
        let [low, high, ..] = parts.first()?[..] else { continue };
        match zmq::SocketEvent::from_raw(u16::from_ne_bytes([low, high])) {
            zmq::SocketEvent::HANDSHAKE_SUCCEEDED => return Some(LaneEvent::Up),
            zmq::SocketEvent::DISCONNECTED => return Some(LaneEvent::Down),
            zmq::SocketEvent::HANDSHAKE_FAILED_NO_DETAIL
            | zmq::SocketEvent::HANDSHAKE_FAILED_PROTOCOL
            | zmq::SocketEvent::HANDSHAKE_FAILED_AUTH => return Some(LaneEvent::Rejected),
            _ => {}
        }
    }
}

/// The body of the thread that libzmq asks whether a key may connect.
fn admit(
    socket: &Socket,
    admitted: &str,
    mut wakeups: Wakeups,
    halt: &AtomicBool,
) -> Result<(), zmq::Error> {
    let admitted = zmq::z85_decode(admitted).unwrap_or_default();
    loop {
        wakeups.clear();
        if halt.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut items = [
            PollItem::from_fd(wakeups.fd(), PollEvents::POLLIN),
            socket.as_poll_item(PollEvents::POLLIN),
        ];
        match zmq::poll(&mut items, -1) {
            Err(zmq::Error::EINTR) | Ok(0) => continue,
            other => other?,
        };
        if !items[1].is_readable() {
            continue;
        }
        let request = socket.recv_multipart(0)?;
        let known = match &request[..] {
            [_, _, domain, _, _, mechanism] => {
                domain == LOCAL_DOMAIN.as_bytes() && mechanism == b"NULL"
            }
            [_, _, _, _, _, mechanism, key] => mechanism == b"CURVE" && *key == admitted,
            _ => false,
        };
        let id = request.get(1).cloned().unwrap_or_default();
        // 300 asks a stranger to try later; 400 would make its socket give up without a word.
        let (code, text) = if known { ("200", "OK") } else { ("300", "unknown key") };
        let answer = ["1.0".as_bytes(), &id, code.as_bytes(), text.as_bytes(), b"", b""];
        socket.send_multipart(answer, 0)?;
        if !known {
            warn!("a process with another key tried to connect; it needs a copy of this key file");
        }
    }
}
