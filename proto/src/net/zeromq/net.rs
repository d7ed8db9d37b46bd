//! Makes the sockets of one process, and the threads that serve them.
//!
//! Owns the options of each kind of socket, and in which context a lane has room; refuses to send and
//! to receive.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use tracing::error;
use zmq::{Context, Socket, SocketType};

use super::{
    NetError,
    context::{SharedContext, SocketSlot},
    curve::{Curve, decode_key},
    inbox::Inbox,
    lane::Lane,
    monitor::{INBOX_EVENTS, LANE_EVENTS, NetEvent, Subject, Watch, Watched, watch_sockets},
    socket_error, zap,
};
use crate::{
    files,
    net::{
        door::Refusals,
        endpoint::{Endpoint, Family},
        key::Key,
        waker::{self, Waker},
    },
    role::LinkId,
};

/// How long a lane that is closed goes on delivering what it holds.
const LINGER_MS: i32 = 1_000;
/// How long whoever has connected to an inbox may take until it has shown who it is.
const HANDSHAKE_MS: i32 = 10_000;
/// How long a lane waits before it connects again, at first and at most.
const RECONNECT_MS: (i32, i32) = (50, 1_000);

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
            socket.bind(zap::ENDPOINT).map_err(socket_error("cannot bind the ZAP socket"))?;
            let (waker, wakeups) = waker::pair()?;
            let admitted: Vec<Vec<u8>> = key.admitted().map(decode_key).collect();
            let halt = stop.clone();
            let thread = thread::Builder::new().name("zap".into()).spawn(move || {
                if let Err(error) = zap::admit(&socket, &admitted, wakeups, &halt) {
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
        let watched = self.monitor(context, subject, &socket, INBOX_EVENTS)?;
        Ok(Inbox::new(socket, watched, self.key.clone()))
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
            false => Some(self.monitor(&context, subject, &socket, LANE_EVENTS)?),
        };
        Lane::connect(socket, number, watched, place, endpoint)
    }

    /// A context with room for one more lane, and the place that it takes there.
    fn place(&mut self) -> (Context, Option<SocketSlot>) {
        let mut known = std::iter::once(&self.context).chain(&self.more);
        let found = known.find(|context| context.is_roomy()).cloned();
        let roomy = found.unwrap_or_else(|| {
            let fresh = SharedContext::new();
            self.more.push(fresh.clone());
            fresh
        });
        let slot = roomy.take_slot();
        (roomy.sockets, Some(slot))
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
        Ok(Watched::new(subject, address, self.monitors.clone(), self.monitor_waker.clone()))
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
