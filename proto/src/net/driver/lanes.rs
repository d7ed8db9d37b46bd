//! A process's inbox and its lanes.
//!
//! Owns every socket, which lanes are to be made anew and when, and what peers are told of where
//! this process listens; refuses to know what is said on them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use crate::{
    frame::Envelope,
    net::{
        door::Mismatch,
        endpoint::{Endpoint, choose, this_host},
        zeromq::{Inbox, Lane, Net, NetError},
    },
    role::LinkId,
};

/// Pauses before a lane that was rejected is made anew.
const REJECTED_PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

struct OpenLane {
    lane: Lane,
    endpoint: Endpoint,
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
    reopen: Vec<(Instant, LinkId)>,
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
            reopen: Vec::new(),
            ready: Vec::new(),
            host: this_host(),
            advertise: Vec::new(),
        })
    }

    /// Tells peers these endpoints instead of those that the inbox listens at.
    pub(super) fn advertise(&mut self, endpoints: Vec<String>) {
        self.advertise = endpoints;
    }

    /// Whether there is such a lane.
    pub(super) fn is_open(&self, link: LinkId) -> bool {
        self.open.contains_key(&link)
    }

    /// How long until a lane is to be made anew; none if none is.
    pub(super) fn due(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        self.reopen.iter().map(|(at, _)| at.saturating_duration_since(now)).min()
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
        let towards = open.endpoint.clone();
        Some(self.endpoints_for(&towards))
    }

    /// Where a peer that listens at `towards` can answer. If the inbox does not listen on that
    /// transport yet, it does from now on.
    fn endpoints_for(&mut self, towards: &Endpoint) -> Vec<String> {
        if !self.advertise.is_empty() {
            return self.advertise.clone();
        }
        let address = || {
            let found = Endpoint::local_address_towards(towards);
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
            Endpoint::Ipc(path) => {
                let full = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                Endpoint::Ipc(full).to_string()
            }
            other => other.to_string(),
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
        match self.net.lane(link, &endpoint, 0) {
            Ok(lane) => {
                if !lane.is_monitored() {
                    self.ready.push(link);
                }
                let pause = REJECTED_PAUSE.0;
                let open = OpenLane {
                    lane,
                    endpoint,
                    pause,
                    door: 0,
                    refusals: 0,
                    told_encryption: false,
                };
                self.open.insert(link, open);
                Ok(())
            }
            // A peer's nonsense endpoint must not end this process.
            Err(error @ NetError::Connect { .. }) => {
                warn!(%error, "a peer cannot be reached");
                Ok(())
            }
            // As many as say Hello must not end it either: when there are no more sockets, the
            // one that is too many is not answered.
            Err(error) if !self.open.is_empty() => {
                warn!(%error, lanes = self.open.len(), "no socket is left for a peer");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Nothing more is sent on it.
    pub(super) fn close(&mut self, link: LinkId) {
        self.open.remove(&link);
    }

    /// libzmq does not try again after a rejection, so the lane is made anew: with the next of
    /// the keys that this process knows, or after a pause.
    pub(super) fn rejected(&mut self, link: LinkId, mismatch: Mismatch) {
        let Some(open) = self.open.get_mut(&link) else { return };
        if self.reopen.iter().any(|(_, known)| *known == link) {
            return;
        }
        open.door = (open.door + 1) % self.net.doors();
        if open.door > 0 && mismatch != Mismatch::Encryption {
            self.reopen.push((Instant::now(), link));
            return;
        }
        open.door = 0;
        open.refusals = open.refusals.saturating_add(1);
        // It depends on who is faster whether this side sees the reason, or only a closed lane.
        let news = mismatch == Mismatch::Encryption && !open.told_encryption;
        open.told_encryption |= news;
        if (news || open.refusals.is_power_of_two())
            && matches!(open.endpoint, Endpoint::Tcp { .. })
        {
            let key = self.net.fingerprint();
            let why = mismatch.told_to_the_refused(&open.endpoint, key.as_deref());
            warn!(count = open.refusals, "refused: {why}; trying again");
        }
        self.reopen.push((Instant::now() + open.pause, link));
        open.pause = (open.pause * 2).min(REJECTED_PAUSE.1);
    }

    /// Makes those anew whose time has come.
    pub(super) fn reopen(&mut self) -> Result<(), NetError> {
        let now = Instant::now();
        let due: Vec<LinkId> =
            self.reopen.extract_if(.., |(at, _)| *at <= now).map(|(_, link)| link).collect();
        for link in due {
            let Some(mut open) = self.open.remove(&link) else { continue };
            // Before the new one is watched: its going ends the watch of whatever has this link.
            drop(open.lane);
            open.lane = self.net.lane(link, &open.endpoint, open.door)?;
            self.open.insert(link, open);
        }
        Ok(())
    }

    /// A frame that the lane does not take is lost; the peer sees a gap, or the monitor reports.
    pub(super) fn send(&self, link: LinkId, envelope: &Envelope) {
        if let Some(open) = self.open.get(&link)
            && !open.lane.send(envelope.encode())
        {
            debug!(link, "a frame found no peer");
        }
    }
}
