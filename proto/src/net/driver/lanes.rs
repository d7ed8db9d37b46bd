//! A process's inbox and its lanes.
//!
//! Owns every socket, which lanes are to be made anew and when, and what peers are told of where
//! this process listens; refuses to know what is said on them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use crate::{
    files,
    frame::Envelope,
    net::{
        door::Mismatch,
        endpoint::{Endpoint, Family, choose, this_host},
        zeromq::{Inbox, Lane, LaneEvent, Net, NetError},
    },
    role::LinkId,
};

/// Pauses before a lane that was rejected is made anew. libzmq needs less to connect again by itself
/// where it does so.
const REJECTED_PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Whoever has taken a connection has to agree within so long.
const AGREEMENT: Duration = Duration::from_secs(5);
/// How long a host's name is tried with one kind of addresses before the other is, at first and at
/// most: it may have both, and be listened at by one of them only.
const ONE_FAMILY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));
/// How long doors stay closed, at least, while descriptors are short.
const CLOSED: Duration = Duration::from_millis(500);

/// What a role learns of its lanes.
pub(super) enum News {
    /// There is somebody who speaks the protocol.
    Up,
    /// No longer.
    Down,
}

/// What has to be done about a lane later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chore {
    /// See whether the other side has agreed.
    Agreement,
    /// Make it anew.
    Renewal,
    /// Make it anew with the other kind of addresses: nobody has taken a connection.
    OtherFamily,
}

struct Due {
    at: Instant,
    link: LinkId,
    // Of the lane that it is about; another one may have taken its place.
    number: u64,
    chore: Chore,
}

struct OpenLane {
    // None while no socket can be had for it.
    lane: Option<Lane>,
    number: u64,
    // Both sides have agreed, and the connection is there.
    agreed: bool,
    endpoint: Endpoint,
    // The kind of addresses that it is tried with, and for how long next time.
    family: Family,
    one_family: Duration,
    pause: Duration,
    // Which of the keys that this process knows the other side is tried with.
    door: usize,
    // How often all of them were refused in a row.
    refusals: u32,
    told_encryption: bool,
}

/// All sockets of a process.
pub(super) struct Lanes {
    // Dropped first: the network outlives its lanes and its inbox.
    open: HashMap<LinkId, OpenLane>,
    /// Where frames arrive.
    pub(super) inbox: Inbox,
    net: Net,
    // Few: a lane that is up has none.
    dues: Vec<Due>,
    // Until when nobody is let in.
    closed: Option<Instant>,
    ready: Vec<LinkId>,
    host: String,
    advertise: Vec<String>,
}

impl Lanes {
    /// None yet, beside an inbox.
    pub(super) fn new(net: Net, frame_bytes_max: u64) -> Result<Self, NetError> {
        let inbox = net.inbox(frame_bytes_max)?;
        Ok(Self {
            open: HashMap::new(),
            inbox,
            net,
            dues: Vec::new(),
            closed: None,
            ready: Vec::new(),
            host: this_host(),
            advertise: Vec::new(),
        })
    }

    /// Tells peers these endpoints instead of those that the inbox listens at.
    pub(super) fn advertise(&mut self, endpoints: Vec<String>) {
        self.advertise = endpoints;
    }

    /// How long until something is to be done about a lane or the doors; none if nothing is.
    pub(super) fn due(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        if self.dues.is_empty() && self.closed.is_none() {
            return None;
        }
        let now = Instant::now();
        let next = self.dues.iter().map(|due| due.at).chain(self.closed).min();
        next.map(|at| at.saturating_duration_since(now))
    }

    /// Lanes without a monitor, which are up from the start.
    pub(super) fn take_ready(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.ready)
    }

    /// A lane has reached its peer: where that can answer, if the lane is still wanted.
    pub(super) fn up(&mut self, link: LinkId) -> Option<Vec<String>> {
        let open = self.open.get_mut(&link)?;
        open.pause = REJECTED_PAUSE.0;
        open.refusals = 0;
        let (towards, family) = (open.endpoint.clone(), open.family);
        Some(self.endpoints_for(&towards, family))
    }

    /// Where a peer that listens at `towards` can answer. If the inbox does not listen on that
    /// transport yet, it does from now on.
    fn endpoints_for(&mut self, towards: &Endpoint, family: Family) -> Vec<String> {
        if !self.advertise.is_empty() {
            return self.advertise.clone();
        }
        let address = || {
            let found = Endpoint::local_address_towards(towards, family);
            found.unwrap_or_else(|| "127.0.0.1".into())
        };
        if !self.inbox.bound().iter().any(|bound| bound.same_transport(towards))
            && matches!(towards, Endpoint::Tcp { .. })
            && let Err(error) = self.inbox.bind(&Endpoint::Tcp { host: address(), port: 0 })
        {
            warn!(%error, "cannot be reached over tcp");
        }
        let told = self.inbox.bound().iter().map(|bound| match bound {
            // To a peer beside this process its address says nothing; the peer passes `*` on.
            Endpoint::Tcp { port, .. }
                if bound.is_wildcard() && matches!(towards, Endpoint::Tcp { .. }) =>
            {
                Endpoint::Tcp { host: address(), port: *port }.to_string()
            }
            other => other.absolute().to_string(),
        });
        let mut told: Vec<String> = told.collect();
        told.sort_by_key(|text| !text.starts_with("inproc"));
        told
    }

    /// Opens a lane to the best of `endpoints`, on that `host`.
    pub(super) fn dial(
        &mut self,
        link: LinkId,
        endpoints: &[String],
        host: Option<&str>,
    ) -> Result<(), NetError> {
        match choose(endpoints, host, &self.host) {
            Some(endpoint) => self.open_lane(link, endpoint),
            None => {
                warn!(?endpoints, "a peer has no endpoint within reach");
                Ok(())
            }
        }
    }

    fn open_lane(&mut self, link: LinkId, endpoint: Endpoint) -> Result<(), NetError> {
        let pause = REJECTED_PAUSE.0;
        let mut open = OpenLane {
            lane: None,
            number: u64::MAX,
            agreed: false,
            family: endpoint.family(),
            one_family: ONE_FAMILY.0,
            endpoint,
            pause,
            door: 0,
            refusals: 0,
            told_encryption: false,
        };
        match self.net.lane_over(link, &open.endpoint, open.family, 0) {
            Ok(lane) => {
                if !lane.is_monitored() {
                    self.ready.push(link);
                }
                open.number = lane.number();
                open.lane = Some(lane);
                self.open.insert(link, open);
                self.doubt_family(link);
                Ok(())
            }
            // A peer's nonsense endpoint must not end this process.
            Err(error @ NetError::Connect { .. }) => {
                warn!(%error, "a peer cannot be reached");
                Ok(())
            }
            // As many as say Hello must not end it either, nor those who only connect: who is too many
            // has to wait, and goes away again.
            Err(error) if !self.open.is_empty() || matches!(error, NetError::Files(_)) => {
                warn!(%error, lanes = self.open.len(), "no socket is left for a peer; trying again");
                let at = Instant::now() + REJECTED_PAUSE.1;
                self.dues.push(Due { at, link, number: open.number, chore: Chore::Renewal });
                self.open.insert(link, open);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Nothing more is sent on it.
    pub(super) fn close(&mut self, link: LinkId) {
        self.open.remove(&link);
    }

    /// Takes in what a lane's monitor has told.
    pub(super) fn happened(&mut self, link: LinkId, number: u64, event: LaneEvent) -> Option<News> {
        let open = self.open.get_mut(&link).filter(|open| open.number == number)?;
        match event {
            LaneEvent::Connected => {
                open.one_family = ONE_FAMILY.0;
                self.dues.retain(|due| due.number != number || due.chore != Chore::OtherFamily);
                self.plan(AGREEMENT, link, number, Chore::Agreement);
                None
            }
            LaneEvent::Up => {
                open.agreed = true;
                self.dues.retain(|due| due.number != number);
                Some(News::Up)
            }
            // libzmq connects again, or does not: if it was for what the other side said it never
            // does, so the lane is made anew unless it is up again by then.
            LaneEvent::Down if open.agreed => {
                open.agreed = false;
                self.plan(REJECTED_PAUSE.0, link, number, Chore::Renewal);
                Some(News::Down)
            }
            LaneEvent::Down => {
                self.rejected(link, Mismatch::Protocol);
                None
            }
            LaneEvent::Rejected(mismatch) => {
                self.rejected(link, mismatch);
                None
            }
        }
    }

    fn plan(&mut self, wait: Duration, link: LinkId, number: u64, chore: Chore) {
        self.dues.push(Due { at: Instant::now() + wait, link, number, chore });
    }

    /// The lane is made anew: with the next of the keys that this process knows, or after a pause.
    fn rejected(&mut self, link: LinkId, mismatch: Mismatch) {
        let Some(open) = self.open.get_mut(&link) else { return };
        let number = open.number;
        if self.dues.iter().any(|due| due.number == number && due.chore == Chore::Renewal) {
            return;
        }
        self.dues.retain(|due| due.number != number);
        open.door = (open.door + 1) % self.net.doors();
        if open.door > 0 && mismatch != Mismatch::Encryption {
            self.plan(Duration::ZERO, link, number, Chore::Renewal);
            return;
        }
        open.door = 0;
        open.refusals = open.refusals.saturating_add(1);
        // It depends on who is faster whether this side sees the reason, or only a closed lane.
        let news = mismatch == Mismatch::Encryption && !open.told_encryption;
        open.told_encryption |= news;
        // Beside this process a closed connection tells nothing: it was a peer that died.
        let telling = matches!(open.endpoint, Endpoint::Tcp { .. }) || mismatch != Mismatch::Closed;
        if (news || open.refusals.is_power_of_two()) && telling {
            let key = self.net.fingerprint();
            let why = mismatch.told_to_the_refused(&open.endpoint, key.as_deref());
            warn!(count = open.refusals, "refused: {why}; trying again");
        }
        let pause = open.pause;
        open.pause = (pause * 2).min(REJECTED_PAUSE.1);
        self.plan(pause, link, number, Chore::Renewal);
    }

    /// Does what is due.
    pub(super) fn look_after(&mut self) {
        if self.dues.is_empty() && self.closed.is_none() {
            return;
        }
        let now = Instant::now();
        let due: Vec<Due> = self.dues.extract_if(.., |due| due.at <= now).collect();
        for due in due {
            let known = self.open.get(&due.link).is_some_and(|open| open.number == due.number);
            match due.chore {
                Chore::Agreement if known => self.rejected(due.link, Mismatch::Silent),
                Chore::Renewal if known => self.renew(due.link),
                Chore::OtherFamily if known => {
                    if let Some(open) = self.open.get_mut(&due.link) {
                        open.family = open.family.other();
                    }
                    self.renew(due.link);
                }
                _ => {}
            }
        }
        if self.closed.is_some_and(|until| until <= now) {
            self.try_doors();
        }
    }

    /// A name is tried with the other kind of addresses too, unless somebody takes a connection.
    fn doubt_family(&mut self, link: LinkId) {
        let Some(open) = self.open.get_mut(&link).filter(|open| open.endpoint.has_name()) else {
            return;
        };
        let (wait, number) = (open.one_family, open.number);
        open.one_family = (wait * 2).min(ONE_FAMILY.1);
        self.plan(wait, link, number, Chore::OtherFamily);
    }

    fn renew(&mut self, link: LinkId) {
        let Some(open) = self.open.get_mut(&link) else { return };
        // First, so that there is room for the next.
        open.lane = None;
        match self.net.lane_over(link, &open.endpoint, open.family, open.door) {
            Ok(lane) => {
                open.number = lane.number();
                open.lane = Some(lane);
                self.doubt_family(link);
            }
            Err(error) => {
                debug!(%error, link, "a lane cannot be made anew yet");
                let number = open.number;
                self.plan(REJECTED_PAUSE.1, link, number, Chore::Renewal);
            }
        }
    }

    /// Lets nobody else in until there is room: those who come first take what others need.
    pub(super) fn close_doors(&mut self) {
        if self.closed.replace(Instant::now() + CLOSED).is_none() {
            warn!(
                lanes = self.open.len(),
                "almost as many files are open as may be (ulimit -n): nobody else is let in for now"
            );
            self.inbox.close_doors();
        }
    }

    fn try_doors(&mut self) {
        self.closed = Some(Instant::now() + CLOSED);
        if !files::is_roomy() {
            return;
        }
        match self.inbox.open_doors() {
            Ok(()) => {
                self.closed = None;
                info!("others are let in again");
            }
            Err(error) => {
                warn!(%error, "cannot let others in yet");
                self.inbox.close_doors();
            }
        }
    }

    /// A frame that the lane does not take is lost; the peer sees a gap, or the monitor reports.
    pub(super) fn send(&self, link: LinkId, envelope: &Envelope) {
        if let Some(open) = self.open.get(&link)
            && !open.lane.as_ref().is_some_and(|lane| lane.send(envelope.encode()))
        {
            debug!(link, "a frame found no peer");
        }
    }
}
