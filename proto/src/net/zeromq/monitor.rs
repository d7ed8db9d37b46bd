//! What becomes of connections: the thread that hears libzmq's monitors.
//!
//! Owns what a monitor's events mean; refuses to act on them, beyond the room that an ipc connection
//! gets.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use tracing::{debug, error};
use zmq::{PollEvents, PollItem, Socket};

use crate::{
    files,
    net::{
        door::{Mismatch, Refusals},
        send_buffer::enlarge_send_buffer,
        waker::{Waker, Wakeups},
    },
    role::LinkId,
};

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
    /// Something has happened to the lane of a link, the one of this [number](super::Lane::number).
    Lane(LinkId, u64, LaneEvent),
    /// So many connections were accepted that descriptors run short.
    Crowded,
    /// Someone was not let in at an inbox.
    Refused,
    /// The thread that admits keys has ended: nobody is let in any more.
    Unguarded,
}

/// Whose monitor it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Lane(LinkId, u64),
    Inbox(u64),
}

pub(super) enum Watch {
    Add(Subject, Socket),
    Remove(Subject),
}

/// What the end of a socket has to tell the monitors' thread.
pub(super) struct Watched {
    subject: Subject,
    address: String,
    monitors: mpsc::Sender<Watch>,
    waker: Waker,
}

impl Watched {
    /// The end of a socket that is watched as `subject` at `address`.
    pub(super) fn new(
        subject: Subject,
        address: String,
        monitors: mpsc::Sender<Watch>,
        waker: Waker,
    ) -> Self {
        Self { subject, address, monitors, waker }
    }

    /// A socket that lingers still reports what happens to it, and libzmq's one I/O thread waits
    /// without end for a reader of the report when there is none. So a monitor of nothing takes
    /// the place of the other, and only then its reader goes.
    pub(super) fn end(&self, socket: &Socket) {
        // Even where no new monitor can be made, the old one is gone.
        let _ = socket.monitor(&format!("{}-closed", self.address), 0);
        let _ = self.monitors.send(Watch::Remove(self.subject));
        self.waker.wake();
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
/// What is heard of an inbox.
pub(super) const INBOX_EVENTS: i32 = REFUSALS | ACCEPTED | TURNED_AWAY;
/// What is heard of a lane: connected, connected-and-agreed, gone, refused.
pub(super) const LANE_EVENTS: i32 = REFUSALS
    | CONNECTED
    | (zmq::SocketEvent::HANDSHAKE_SUCCEEDED as i32)
    | (zmq::SocketEvent::DISCONNECTED as i32);
/// `ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC` and `ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH`, the
/// values of a handshake's failure, which the crate does not name.
const CRYPTOGRAPHIC: u32 = 0x1100_0001;
const MECHANISM_MISMATCH: u32 = 0x1100_0002;

/// The body of the thread that watches all lanes, and who is refused at the inbox.
pub(super) fn watch_sockets(
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
