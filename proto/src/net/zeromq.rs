//! The one file that names ZeroMQ.
//!
//! Owns contexts, sockets, monitors and the ZAP handler, and steers around what libzmq does to
//! those who do not know: high-water marks are off (a full PULL socket can lose frames and abort
//! the process), ZMTP heartbeats are off, a lane queues only towards a living peer, frames are
//! single and bounded, unknown keys are answered with 300 so that they may retry. Refuses to
//! know what a frame says.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs, io,
    os::{
        fd::RawFd,
        raw::{c_int, c_void},
        unix::fs::{FileTypeExt, PermissionsExt},
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use thiserror::Error;
use tracing::{debug, error, warn};
use zmq::{Context, Message, PollEvents, PollItem, Socket, SocketType};

use super::{
    door::{Mismatch, Refusals},
    endpoint::{Endpoint, Family, INBOX_PORTS},
    host,
    key::{Key, fingerprint},
    lock::{Lock, LockError, Obstacle, has_place, make_way},
    send_buffer::enlarge_send_buffer,
    waker::{self, Waker, Wakeups},
    z85,
};
use crate::{
    files::{self, FilesError},
    role::LinkId,
};

/// Where libzmq asks who may connect; see <https://rfc.zeromq.org/spec/27/>.
const ZAP_ENDPOINT: &str = "inproc://zeromq.zap.01";
const KEYED_DOMAIN: &str = "keyed";
const LOCAL_DOMAIN: &str = "local";
/// `ZMQ_ZAP_ENFORCE_DOMAIN`, which the `zmq` crate does not wrap.
const ZAP_ENFORCE_DOMAIN: c_int = 93;
/// Messages of several parts that are dropped before anything else is looked at.
const DROPPED_PER_TURN: usize = 64;
/// How long a lane that is closed goes on delivering what it holds.
const LINGER_MS: i32 = 1_000;
/// A context has room for 1,023 sockets, and the crate has no way to ask for more. A lane takes
/// three of them, its monitor included, and one for as long as it lingers; so there are more
/// contexts where there are more lanes.
const LANES_PER_CONTEXT: usize = 256;
/// How long whoever has connected to an inbox may take until it has shown who it is.
const HANDSHAKE_MS: i32 = 10_000;
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

/// Whether the libzmq that was built in can encrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// It can, as it does wherever the `zeromq-src` of this project took the place of the other.
    BuiltIn,
    /// It can't: who depends on these crates has not said which `zeromq-src` is to be built.
    Missing,
}

/// What a program without CURVE is told when it shall talk over tcp.
pub const WITHOUT_CURVE: &str = "built without CURVE, so nothing can be encrypted over tcp; add \
     `[patch.crates-io]` with this project's `zeromq-src` to your Cargo.toml, as its README shows, and run \
     `cargo update -p zeromq-src`; or use ipc://, or no encryption (--insecure)";

impl Curve {
    /// Whether this program has it.
    pub fn here() -> Self {
        if zmq::has("curve") == Some(true) { Self::BuiltIn } else { Self::Missing }
    }

    /// Refuses to go on without it.
    fn needed(self) -> Result<(), NetError> {
        match self {
            Self::BuiltIn => Ok(()),
            Self::Missing => Err(NetError::WithoutCurve),
        }
    }
}

/// A new CURVE key pair in Z85: public, secret. Where there is no [`Curve`] it is two keys of
/// chance, which fit nothing: nobody talks to anybody with them.
#[expect(clippy::expect_used, reason = "nothing of a peer's is in it")]
pub fn new_key_pair() -> (String, String) {
    let text = |half: &[u8]| zmq::z85_encode(half).expect("32 bytes have a Z85 form");
    if let Ok(pair) = zmq::CurveKeyPair::new() {
        return (text(&pair.public_key), text(&pair.secret_key));
    }
    let mut halves = [[0; 32]; 2];
    // Without chance they are no worse.
    let _ = halves.iter_mut().try_for_each(|half| getrandom::fill(half));
    let [public, secret] = halves.map(|half| text(&half));
    (public, secret)
}

/// The bytes of one half of a key pair; none of what is no key.
pub fn decode_key(half: &str) -> Vec<u8> {
    z85::decode(half).unwrap_or_default()
}

/// Whether a text is one half of a key pair.
pub fn valid_key(text: &str) -> bool {
    z85::decode(text).is_some_and(|half| half.len() == 32)
}

/// What a lane's monitor has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneEvent {
    /// There is a connection; nothing is agreed yet, and whoever is there may never say a word.
    Connected,
    /// Connected, and both sides agree on the mechanism.
    Up,
    /// The connection is gone. If it was for what the other side said, libzmq will not try again
    /// by itself, and does not tell which of the two it is.
    Down,
    /// The other side refuses: libzmq will not try again by itself.
    Rejected(Mismatch),
}

/// What the sockets tell, from threads of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetEvent {
    /// Something has happened to the lane of a link, the one of this [number](Lane::number).
    Lane(LinkId, u64, LaneEvent),
    /// So many connections were accepted that descriptors run short.
    Crowded,
    /// Someone was not let in at an inbox.
    Refused,
    /// The thread that admits keys has ended: nobody is let in any more.
    Unguarded,
}

/// The sockets of one process, or of one embedded pipeline.
pub struct Net {
    context: SharedContext,
    // For lanes that have no room in the other one.
    more: Vec<SharedContext>,
    key: Option<Key>,
    monitors: mpsc::Sender<Watch>,
    monitor_waker: Waker,
    stop: Arc<AtomicBool>,
    threads: Vec<(Waker, thread::JoinHandle<()>)>,
}

/// Whose monitor it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Lane(LinkId, u64),
    Inbox(u64),
}

enum Watch {
    Add(Subject, Socket),
    Remove(Subject),
}

impl Net {
    /// Sockets in `context`, with CURVE on tcp if there is a key. `told` is called from threads
    /// of its own.
    ///
    /// # Errors
    /// [`NetError`] when a thread or a socket can't be made.
    pub fn new(
        shared: &SharedContext,
        key: Option<Key>,
        told: impl Fn(NetEvent) + Clone + Send + 'static,
    ) -> Result<Self, NetError> {
        let context = shared.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let (monitors, watches) = mpsc::channel();
        let (monitor_waker, wakeups) = waker::pair()?;
        let (halt, tell) = (stop.clone(), told.clone());
        let doorbook = Refusals::new(key.as_ref().map(Key::fingerprint));
        let thread = thread::Builder::new()
            .name("monitors".into())
            .spawn(move || watch_sockets(&watches, wakeups, &halt, doorbook, tell))?;
        threads.push((monitor_waker.clone(), thread));
        if let Some(key) = &key {
            let made = context.sockets.socket(zmq::REP);
            let socket = made.map_err(socket_error("cannot make the ZAP socket"))?;
            socket.bind(ZAP_ENDPOINT).map_err(socket_error("cannot bind the ZAP socket"))?;
            let (waker, wakeups) = waker::pair()?;
            let admitted: Vec<Vec<u8>> = key.admitted().map(decode_key).collect();
            let halt = stop.clone();
            let thread = thread::Builder::new().name("zap".into()).spawn(move || {
                if let Err(error) = admit(&socket, &admitted, wakeups, &halt) {
                    error!(%error, "the handler that admits keys has ended");
                    told(NetEvent::Unguarded);
                }
            })?;
            threads.push((waker, thread));
        }
        Ok(Self { context, more: Vec::new(), key, monitors, monitor_waker, stop, threads })
    }

    /// The process's one PULL socket, listening nowhere yet.
    ///
    /// # Errors
    /// [`NetError`] when libzmq refuses.
    pub fn inbox(&self, frame_bytes_max: u64) -> Result<Inbox, NetError> {
        let failed = || socket_error("cannot make the inbox");
        let context = &self.context.sockets;
        let socket = context.socket(SocketType::PULL).map_err(failed())?;
        socket.set_rcvhwm(0).map_err(failed())?;
        socket.set_linger(0).map_err(failed())?;
        let limit = i64::try_from(frame_bytes_max).unwrap_or(i64::MAX);
        socket.set_maxmsgsize(limit).map_err(failed())?;
        socket.set_handshake_ivl(HANDSHAKE_MS).map_err(failed())?;
        static INBOXES: AtomicU64 = AtomicU64::new(0);
        let subject = Subject::Inbox(INBOXES.fetch_add(1, Ordering::Relaxed));
        let watched = self.monitor(context, subject, &socket, REFUSALS | ACCEPTED | TURNED_AWAY)?;
        Ok(Inbox {
            socket,
            watched,
            key: self.key.clone(),
            locks: Vec::new(),
            bound: Vec::new(),
            doors: Vec::new(),
            secured: false,
            several_parts: Cell::new(0),
            empty: Cell::new(false),
        })
    }

    /// The fingerprint of this process's key; none if it is insecure.
    pub fn fingerprint(&self) -> Option<String> {
        self.key.as_ref().map(Key::fingerprint)
    }

    /// How many keys an inbox may have that this process can talk to; more than one while keys
    /// change.
    pub fn doors(&self) -> usize {
        self.key.as_ref().map_or(1, |key| key.admitted().count())
    }

    /// A lane to an inbox that has the key number `door` of those that this process knows, 0
    /// being its own; its monitor reports under `link`.
    ///
    /// # Errors
    /// [`NetError`] when libzmq refuses; an inbox that is not there yet is no error.
    pub fn lane(
        &mut self,
        link: LinkId,
        endpoint: &Endpoint,
        door: usize,
    ) -> Result<Lane, NetError> {
        self.lane_over(link, endpoint, endpoint.family(), door)
    }

    /// The same over addresses of one family, which a name may have of both.
    ///
    /// # Errors
    /// As [`lane`](Self::lane).
    pub fn lane_over(
        &mut self,
        link: LinkId,
        endpoint: &Endpoint,
        family: Family,
        door: usize,
    ) -> Result<Lane, NetError> {
        let failed = || socket_error("cannot make a lane");
        files::ask_room()?;
        // inproc endpoints are seen in their own context alone, and have no monitor.
        let is_inproc = matches!(endpoint, Endpoint::Inproc(_));
        let (context, place) = match is_inproc {
            true => (self.context.sockets.clone(), None),
            false => self.place(),
        };
        let socket = context.socket(SocketType::PUSH).map_err(failed())?;
        socket.set_sndhwm(0).map_err(failed())?;
        socket.set_linger(LINGER_MS).map_err(failed())?;
        socket.set_immediate(true).map_err(failed())?;
        socket.set_reconnect_ivl(RECONNECT_MS.0).map_err(failed())?;
        socket.set_reconnect_ivl_max(RECONNECT_MS.1).map_err(failed())?;
        socket.set_tcp_keepalive(1).map_err(failed())?;
        if matches!(endpoint, Endpoint::Tcp { .. })
            && let Some(key) = &self.key
        {
            Curve::here().needed()?;
            let theirs = key.admitted().nth(door).unwrap_or(&key.public);
            socket.set_curve_serverkey(&decode_key(theirs)).map_err(failed())?;
            socket.set_curve_publickey(&decode_key(&key.public)).map_err(failed())?;
            socket.set_curve_secretkey(&decode_key(&key.secret)).map_err(failed())?;
        }
        socket.set_ipv6(family == Family::V6).map_err(failed())?;
        static LANES: AtomicU64 = AtomicU64::new(0);
        let number = LANES.fetch_add(1, Ordering::Relaxed);
        let subject = Subject::Lane(link, number);
        let watched = match is_inproc {
            true => None,
            false => Some(self.monitor(&context, subject, &socket, MONITORED)?),
        };
        let lane = Lane { socket, number, ready: Cell::new(false), watched, _place: place };
        lane.socket
            .connect(&endpoint.to_string())
            .map_err(|source| NetError::Connect { endpoint: endpoint.clone(), source })?;
        Ok(lane)
    }

    /// A context with room for one more lane, and the place that it takes there.
    fn place(&mut self) -> (Context, Option<SocketSlot>) {
        let is_roomy =
            |known: &&SharedContext| known.lanes.load(Ordering::Relaxed) < LANES_PER_CONTEXT;
        let found = std::iter::once(&self.context).chain(&self.more).find(is_roomy).cloned();
        let roomy = found.unwrap_or_else(|| {
            let fresh = SharedContext::new();
            self.more.push(fresh.clone());
            fresh
        });
        roomy.lanes.fetch_add(1, Ordering::Relaxed);
        (roomy.sockets, Some(SocketSlot(roomy.lanes)))
    }

    fn monitor(
        &self,
        context: &Context,
        subject: Subject,
        socket: &Socket,
        events: i32,
    ) -> Result<Watched, NetError> {
        let failed = || socket_error("cannot watch a socket");
        // Contexts are shared, so the names have to differ within the whole process.
        static MONITORS: AtomicU64 = AtomicU64::new(0);
        let address = format!("inproc://monitor-{}", MONITORS.fetch_add(1, Ordering::Relaxed));
        socket.monitor(&address, events).map_err(failed())?;
        let watcher = context.socket(SocketType::PAIR).map_err(failed())?;
        watcher.set_linger(0).map_err(failed())?;
        watcher.connect(&address).map_err(failed())?;
        let _ = self.monitors.send(Watch::Add(subject, watcher));
        self.monitor_waker.wake();
        Ok(Watched {
            subject,
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
pub struct SharedContext {
    sockets: Context,
    // How many lanes with a monitor are in it.
    lanes: Arc<AtomicUsize>,
}

/// The room that a lane takes in its context.
struct SocketSlot(Arc<AtomicUsize>);

impl Drop for SocketSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SharedContext {
    /// A new context.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The process's one PULL socket. It must be dropped before the [`Net`] that it comes from.
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
    number: u64,
    // It took the last frame.
    ready: Cell<bool>,
    watched: Option<Watched>,
    _place: Option<SocketSlot>,
}

/// What the end of a socket has to tell the monitors' thread.
struct Watched {
    subject: Subject,
    address: String,
    monitors: mpsc::Sender<Watch>,
    waker: Waker,
}

impl Lane {
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

impl Watched {
    /// A socket that lingers still reports what happens to it, and libzmq's one I/O thread waits
    /// without end for a reader of the report when there is none. So a monitor of nothing takes
    /// the place of the other, and only then its reader goes.
    fn end(&self, socket: &Socket) {
        // Even where no new monitor can be made, the old one is gone.
        let _ = socket.monitor(&format!("{}-closed", self.address), 0);
        let _ = self.monitors.send(Watch::Remove(self.subject));
        self.waker.wake();
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(watched) = &self.watched {
            watched.end(&self.socket);
        }
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

/// The three ways to be refused.
const REFUSALS: i32 = (zmq::SocketEvent::HANDSHAKE_FAILED_NO_DETAIL as i32)
    | (zmq::SocketEvent::HANDSHAKE_FAILED_PROTOCOL as i32)
    | (zmq::SocketEvent::HANDSHAKE_FAILED_AUTH as i32);
/// There is a connection, whose descriptor is told.
const CONNECTED: i32 = zmq::SocketEvent::CONNECTED as i32;
/// The same at an inbox.
const ACCEPTED: i32 = zmq::SocketEvent::ACCEPTED as i32;
/// There was a connection, and no descriptor for it.
const TURNED_AWAY: i32 = zmq::SocketEvent::ACCEPT_FAILED as i32;
/// Why, as far as libzmq is told of it: see `zeromq-src/accept.c`.
const NO_DESCRIPTOR: u32 = rustix::io::Errno::NFILE.raw_os_error().cast_unsigned();
/// Connected, connected-and-agreed, gone, refused.
const MONITORED: i32 = REFUSALS
    | CONNECTED
    | (zmq::SocketEvent::HANDSHAKE_SUCCEEDED as i32)
    | (zmq::SocketEvent::DISCONNECTED as i32);
/// `ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC` and `ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH`, the
/// values of a handshake's failure, which the crate does not name.
const CRYPTOGRAPHIC: u32 = 0x1100_0001;
const MECHANISM_MISMATCH: u32 = 0x1100_0002;

/// The body of the thread that watches all lanes, and who is refused at the inbox.
fn watch_sockets(
    watches: &mpsc::Receiver<Watch>,
    mut wakeups: Wakeups,
    halt: &AtomicBool,
    mut doorbook: Refusals,
    told: impl Fn(NetEvent),
) {
    let mut sockets: BTreeMap<Subject, Socket> = BTreeMap::new();
    loop {
        // Cleared before the flag is read: a wake-up that says why it came can't get lost.
        wakeups.clear();
        if halt.load(Ordering::Acquire) {
            return;
        }
        for watch in watches.try_iter() {
            match watch {
                Watch::Add(subject, socket) => drop(sockets.insert(subject, socket)),
                Watch::Remove(subject) => drop(sockets.remove(&subject)),
            }
        }
        let mut items = vec![PollItem::from_fd(wakeups.fd(), PollEvents::POLLIN)];
        items.extend(sockets.values().map(|socket| socket.as_poll_item(PollEvents::POLLIN)));
        if let Err(error) = zmq::poll(&mut items, -1)
            && error != zmq::Error::EINTR
        {
            error!(%error, "lanes can no longer be watched");
            return;
        }
        for (subject, socket) in &sockets {
            while let Some((event, address)) = next_event(socket) {
                let event = match event {
                    Seen::Lane(event) => event,
                    Seen::Accepted(descriptor) if files::is_scarce(descriptor) => {
                        told(NetEvent::Crowded);
                        continue;
                    }
                    Seen::Accepted(_) => continue,
                    Seen::TurnedAway => {
                        told(NetEvent::Crowded);
                        continue;
                    }
                };
                match (subject, event) {
                    (Subject::Lane(link, number), event) => {
                        told(NetEvent::Lane(*link, *number, event));
                    }
                    // Beside this process nobody has to show a key: it was a peer that died.
                    (Subject::Inbox(_), LaneEvent::Rejected(Mismatch::Closed))
                        if address.starts_with(b"ipc") => {}
                    (Subject::Inbox(_), LaneEvent::Rejected(mismatch)) => {
                        doorbook.refused(mismatch);
                        told(NetEvent::Refused);
                    }
                    (Subject::Inbox(_), _) => {}
                }
            }
        }
    }
}

/// What a monitor has told.
enum Seen {
    Lane(LaneEvent),
    // The descriptor of a connection to an inbox.
    Accepted(u32),
    TurnedAway,
}

/// What a monitor tells: an event and its value, in one part, and an address in another.
fn next_event(socket: &Socket) -> Option<(Seen, Vec<u8>)> {
    loop {
        let mut parts = socket.recv_multipart(zmq::DONTWAIT).ok()?;
        let address = if parts.len() > 1 { parts.swap_remove(1) } else { Vec::new() };
        let [low, high, ref value @ ..] = parts.first()?[..] else { continue };
        let value = value.try_into().map_or(0, u32::from_ne_bytes);
        let event = zmq::SocketEvent::from_raw(u16::from_ne_bytes([low, high]));
        let event = match (event, value) {
            (zmq::SocketEvent::ACCEPTED, connection) => {
                return Some((Seen::Accepted(connection), address));
            }
            (zmq::SocketEvent::ACCEPT_FAILED, NO_DESCRIPTOR) => {
                return Some((Seen::TurnedAway, address));
            }
            (zmq::SocketEvent::CONNECTED, connection) => {
                if address.starts_with(b"ipc")
                    && let Err(error) = enlarge_send_buffer(connection)
                {
                    debug!(%error, "a connection keeps the room that it has");
                }
                LaneEvent::Connected
            }
            (zmq::SocketEvent::HANDSHAKE_SUCCEEDED, _) => LaneEvent::Up,
            (zmq::SocketEvent::DISCONNECTED, _) => LaneEvent::Down,
            (zmq::SocketEvent::HANDSHAKE_FAILED_NO_DETAIL, _) => {
                LaneEvent::Rejected(Mismatch::Closed)
            }
            (zmq::SocketEvent::HANDSHAKE_FAILED_AUTH, _) => LaneEvent::Rejected(Mismatch::Key),
            (zmq::SocketEvent::HANDSHAKE_FAILED_PROTOCOL, value) => {
                LaneEvent::Rejected(match value {
                    CRYPTOGRAPHIC => Mismatch::Key,
                    MECHANISM_MISMATCH => Mismatch::Encryption,
                    _ => Mismatch::Protocol,
                })
            }
            _ => continue,
        };
        return Some((Seen::Lane(event), address));
    }
}

/// The body of the thread that libzmq asks whether a key may connect.
fn admit(
    socket: &Socket,
    admitted: &[Vec<u8>],
    mut wakeups: Wakeups,
    halt: &AtomicBool,
) -> Result<(), zmq::Error> {
    let mut strangers = 0_u64;
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
            [_, _, _, _, _, mechanism, key] => mechanism == b"CURVE" && admitted.contains(key),
            _ => false,
        };
        let id = request.get(1).cloned().unwrap_or_default();
        // 300 asks a stranger to try later; 400 would make its socket give up without a word.
        let (code, text) = if known { ("200", "OK") } else { ("300", "unknown key") };
        let answer = ["1.0".as_bytes(), &id, code.as_bytes(), text.as_bytes(), b"", b""];
        socket.send_multipart(answer, 0)?;
        if !known {
            strangers += 1;
            if strangers.is_power_of_two() {
                tell_stranger(&request, strangers);
            }
        }
    }
}

/// A peer knows the public half of this inbox's key, and has another one itself.
fn tell_stranger(request: &[Vec<u8>], count: u64) {
    let peer = request.get(3).map(|address| String::from_utf8_lossy(address)).unwrap_or_default();
    // So does an inbox for both kinds of addresses write those of IPv4.
    let peer = peer.strip_prefix("::ffff:").unwrap_or(&peer);
    let key = request.get(6).filter(|key| key.len() == 32);
    let key = key.and_then(|key| zmq::z85_encode(key).ok()).unwrap_or_default();
    let key = fingerprint(&key);
    warn!(%peer, key, count, "refused a peer whose key is not accepted here");
}
