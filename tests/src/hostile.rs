//! Peers that mean harm: they have sockets like everyone else, and say what they like.
//!
//! Owns two of them: one that speaks frames through the project's own sockets, and one that speaks
//! ZMTP by hand, byte for byte. They act over ipc, so that no key keeps them out.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};

use proto::frame::{Envelope, Frame, Hello, HelloRole, VERSION, Welcome};
use proto::net::endpoint::{Endpoint, this_host};
use proto::net::waker;
use proto::net::zeromq::{Inbox, Lane, LaneEvent, Net, NetEvent, SharedContext};

use crate::place::Place;
use crate::wait;

/// A peer with an inbox, and a lane to one victim.
pub struct Attacker {
    // Dropped in this order: the network outlives its lanes and its inbox.
    lane: Lane,
    inbox: Inbox,
    _net: Net,
    endpoint: String,
    /// The number that it says Hello with.
    pub me: u64,
    /// The run of the victim, once it has answered.
    pub run: u64,
    session: u32,
    seq: u64,
}

impl Attacker {
    /// Connects to a victim; `name` is the attacker's inbox in the place's folder.
    ///
    /// # Panics
    /// When sockets fail, or the victim can't be reached.
    pub fn towards(place: &Place, name: &str, victim: &str) -> Self {
        let (told, events) = channel();
        let tell = move |event| {
            let _ = told.send(event);
        };
        let mut net = Net::new(&SharedContext::new(), None, tell).expect("a network");
        let mut inbox = net.inbox(1 << 28).expect("an inbox");
        let own = Endpoint::Ipc(place.path(name));
        let endpoint = inbox.bind(&own).expect("its own path is free").to_string();
        let victim: Endpoint = victim.parse().expect("an endpoint");
        let lane = net.lane(1, &victim, 0).expect("a lane");
        await_lane(&events);
        let me = fastrand::u64(1..);
        Self { lane, inbox, _net: net, endpoint, me, run: 0, session: 0, seq: 0 }
    }

    /// Sends any bytes.
    ///
    /// # Panics
    /// When the lane does not take them.
    pub fn sends(&self, bytes: Vec<u8>) {
        assert!(self.lane.send(bytes), "the victim is there");
    }

    /// Says the next frame of the session.
    pub fn says(&mut self, frame: Frame) {
        let bytes = self.next_bytes(frame);
        self.sends(bytes);
    }

    /// Says something as another peer: its number, its session, and how much it has said there.
    pub fn says_as(&self, (from, session, seq): (u64, u32, u64), frame: Frame) {
        let run = self.run;
        self.sends(Envelope { version: VERSION, run, from, session, seq, frame }.encode());
    }

    /// The bytes of the next frame of the session.
    pub fn next_bytes(&mut self, frame: Frame) -> Vec<u8> {
        let (run, from, session, seq) = (self.run, self.me, self.session, self.seq);
        self.seq += 1;
        Envelope { version: VERSION, run, from, session, seq, frame }.encode()
    }

    /// A Hello as `role`, from this attacker's inbox.
    pub fn hello(&self, role: HelloRole) -> Frame {
        Frame::Hello(Box::new(Hello {
            role,
            name: "attacker".into(),
            endpoints: vec![self.endpoint.clone()],
            host: this_host(),
            pid: std::process::id(),
        }))
    }

    /// The Hello of a new session as `role`, in bytes.
    pub fn begins(&mut self, role: HelloRole) -> Vec<u8> {
        self.session += 1;
        self.seq = 0;
        let hello = self.hello(role);
        self.next_bytes(hello)
    }

    /// Waits for the answer to its Hello.
    ///
    /// # Panics
    /// When there is none.
    pub fn is_answered(&mut self) -> Welcome {
        wait::until("the victim answers", || {
            let envelope = self.hears().filter(|envelope| envelope.session == self.session)?;
            let Frame::Welcome(welcome) = envelope.frame else { return None };
            self.run = envelope.run;
            Some(*welcome)
        })
    }

    /// Begins a session as `role`; the victim's answer.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn is_welcomed(&mut self, role: HelloRole) -> Welcome {
        let hello = self.begins(role);
        self.sends(hello);
        self.is_answered()
    }

    /// Says Hello in a new session, and does not wait for an answer.
    pub fn knocks(&mut self) {
        let hello = self.begins(HelloRole::Observer);
        self.sends(hello);
    }

    /// Says Hello once more; whether it is answered soon.
    pub fn tries_to_be_heard(&mut self) -> Option<()> {
        self.knocks();
        let session = self.session;
        (0..10).find_map(|_| {
            let envelope = self.hears()?;
            let answered = matches!(envelope.frame, Frame::Welcome(_));
            (answered && envelope.session == session).then_some(())
        })
    }

    /// Returns when the victim has taken in all that was sent before.
    pub fn is_heard(&mut self) {
        self.is_welcomed(HelloRole::Observer);
    }

    /// The next frame in its inbox, if one comes soon.
    ///
    /// # Panics
    /// When the socket fails.
    pub fn hears(&self) -> Option<Envelope> {
        let (_waker, wakeups) = waker::pair().expect("a pipe");
        for _ in 0..2 {
            if let Some(bytes) = self.inbox.receive().expect("the inbox is there") {
                return Envelope::decode(bytes).ok();
            }
            let waiting = self.inbox.waiting(&wakeups, Some(std::time::Duration::from_millis(20)));
            waiting.and_then(|waiting| waiting.wait()).expect("the inbox is there");
        }
        None
    }
}

fn await_lane(events: &Receiver<NetEvent>) {
    wait::until("the victim is reached", || {
        matches!(events.try_recv(), Ok(NetEvent::Lane(1, _, LaneEvent::Up))).then_some(())
    });
}

/// A PUSH peer that speaks ZMTP 3.1 by hand; see <https://rfc.zeromq.org/spec/37/>.
pub struct ByHand(UnixStream);

const GREETING_BYTES: usize = 64;

impl ByHand {
    /// Connects, and gets through the handshake.
    ///
    /// # Panics
    /// When the victim does not answer.
    pub fn towards(victim: &str) -> Self {
        let path = victim.strip_prefix("ipc://").expect("an ipc endpoint");
        let mut stream = UnixStream::connect(path).expect("the victim listens");
        let mut greeting = [0; GREETING_BYTES];
        (greeting[0], greeting[9], greeting[10], greeting[11]) = (0xff, 0x7f, 3, 1);
        greeting[12..16].copy_from_slice(b"NULL");
        stream.write_all(&greeting).expect("it is read");
        let mut theirs = [0; GREETING_BYTES];
        stream.read_exact(&mut theirs).expect("it is answered");
        let mut ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH".to_vec();
        ready.splice(0..0, [0x04, ready.len() as u8]);
        stream.write_all(&ready).expect("it is read");
        let mut head = [0; 2];
        stream.read_exact(&mut head).expect("it is answered");
        let mut command = vec![0; head[1].into()];
        stream.read_exact(&mut command).expect("it is answered");
        assert!(command.starts_with(b"\x05READY"));
        Self(stream)
    }

    /// Writes any bytes; whether the victim still takes them.
    pub fn writes(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Sends a message of these parts.
    pub fn sends(&mut self, parts: &[&[u8]]) -> bool {
        let mut bytes = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let more = u8::from(index + 1 < parts.len());
            bytes.push(0x02 | more);
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        self.writes(&bytes)
    }

    /// Returns when the victim has hung up.
    ///
    /// # Panics
    /// When it does not.
    pub fn is_cut_off(&mut self) {
        self.0.set_read_timeout(Some(wait::PATIENCE)).expect("a socket");
        let mut rest = Vec::new();
        let ended = self.0.read_to_end(&mut rest);
        let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(ended.as_ref().err().is_none_or(reset), "it is still connected: {ended:?}");
    }
}
