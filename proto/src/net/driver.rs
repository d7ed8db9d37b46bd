//! The loop that joins a role to its sockets.
//!
//! Owns the inbox, the lanes and the clock of one process; refuses to decide: it turns what
//! happens into events and does what the role answers. It polls its inbox and one wake-up,
//! however many peers there are, and always drains the inbox.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use thiserror::Error;
use tracing::{debug, info, warn};

use super::{
    door::Mismatch,
    endpoint::{Endpoint, choose, this_host},
    key::Key,
    waker::{self, Waker, Wakeups},
    zeromq::{Inbox, Lane, LaneEvent, Net, NetError, NetEvent, SharedContext},
};
use crate::{
    frame::{Envelope, FrameError},
    limits::Limits,
    role::{Effect, Event, LinkId, Role},
    time::Time,
    turned_away::Unwanted,
};

/// Frames taken from the inbox before the role's effects are carried out.
const FRAMES_PER_TURN: usize = 64;
/// A turn that lasts longer means that the process was stopped.
const ASLEEP_AFTER: Duration = Duration::from_millis(1_500);
/// Pauses before a lane that was rejected is made anew.
const REJECTED_PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What [`Driver::run`] returns when it was [stopped](Handle::stop), whatever the role says.
pub const STOPPED: i32 = 130;

/// Why a process could not go on.
#[derive(Debug, Error)]
pub enum DriverError {
    /// The sockets failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A thread that must live has ended.
    #[error("the handler that admits keys has ended; without it every key would be admitted")]
    Unguarded,
}

enum Note<R> {
    Lane(LinkId, LaneEvent),
    Reply(R),
    Drain,
    Stop,
    // Someone was not let in; how often is counted beside.
    Refused,
    Unguarded,
}

/// Hands replies and wishes to a running driver; cheap to clone.
pub struct Handle<R> {
    notes: mpsc::Sender<Note<R>>,
    waker: Waker,
}

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Self { notes: self.notes.clone(), waker: self.waker.clone() }
    }
}

impl<R> Handle<R> {
    /// Gives the role what it asked for. Nothing happens once the driver has ended.
    pub fn reply(&self, reply: R) {
        self.note(Note::Reply(reply));
    }

    /// Asks the process to end after what it has begun.
    pub fn drain(&self) {
        self.note(Note::Drain);
    }

    /// Ends the driver at once, as a kill would: nothing is finished, nobody is told.
    pub fn stop(&self) {
        self.note(Note::Stop);
    }

    fn note(&self, note: Note<R>) {
        if self.notes.send(note).is_ok() {
            self.waker.wake();
        }
    }
}

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

/// One process's sockets and loop.
pub struct Driver<R> {
    // Dropped first: the network outlives its lanes and its inbox.
    lanes: HashMap<LinkId, OpenLane>,
    inbox: Inbox,
    net: Net,
    refused: Arc<AtomicU64>,
    handle: Handle<R>,
    notes: mpsc::Receiver<Note<R>>,
    wakeups: Wakeups,
    reopen: Vec<(Instant, LinkId)>,
    ready: Vec<LinkId>,
    start: Instant,
    host: String,
    advertise: Vec<String>,
    malformed: u64,
    stopped: bool,
}

impl<R: Send + 'static> Driver<R> {
    /// Sockets in `context`; with a key, tcp is encrypted and admits only the same key.
    ///
    /// # Errors
    /// [`NetError`] when a socket, pipe or thread can't be made.
    pub fn new(
        context: &SharedContext,
        key: Option<Key>,
        limits: &Limits,
    ) -> Result<Self, NetError> {
        let (notes, received) = mpsc::channel();
        let (waker, wakeups) = waker::pair()?;
        let handle = Handle { notes, waker };
        let refused = Arc::new(AtomicU64::new(0));
        let (ears, count) = (handle.clone(), refused.clone());
        let net = Net::new(context, key, move |event| match event {
            NetEvent::Lane(link, event) => ears.note(Note::Lane(link, event)),
            NetEvent::Unguarded => ears.note(Note::Unguarded),
            // One note for however many: they must not fill the memory.
            NetEvent::Refused if count.fetch_add(1, Ordering::AcqRel) == 0 => {
                ears.note(Note::Refused);
            }
            NetEvent::Refused => {}
        })?;
        let inbox = net.inbox(limits.frame_bytes_max)?;
        Ok(Self {
            lanes: HashMap::new(),
            inbox,
            net,
            refused,
            handle,
            notes: received,
            wakeups,
            reopen: Vec::new(),
            ready: Vec::new(),
            start: Instant::now(),
            host: this_host(),
            advertise: Vec::new(),
            malformed: 0,
            stopped: false,
        })
    }

    /// How others reach the role while it runs.
    pub fn handle(&self) -> Handle<R> {
        self.handle.clone()
    }

    /// Listens at one more endpoint, and says where.
    ///
    /// # Errors
    /// [`NetError`] when it is taken or can't be used.
    pub fn bind(&mut self, endpoint: &Endpoint) -> Result<Endpoint, NetError> {
        self.inbox.bind(endpoint)
    }

    /// Tells peers these endpoints instead of those that the inbox listens at.
    pub fn advertise(&mut self, endpoints: Vec<String>) {
        self.advertise = endpoints;
    }

    /// Runs the role until it exits; its exit code. `first` are the effects it starts with.
    /// `perform` does what only this kind of role needs; what it answers at once is handed back
    /// before anything else happens.
    ///
    /// # Errors
    /// [`DriverError`] when the sockets fail.
    pub fn run<P: Role<Reply = R>>(
        mut self,
        role: &mut P,
        first: Vec<Effect<P::Request>>,
        mut perform: impl FnMut(P::Request) -> Option<R>,
    ) -> Result<i32, DriverError> {
        let mut effects = first;
        let mut turn = Instant::now();
        loop {
            if let Some(code) = self.carry_out(role, &mut effects, &mut perform)? {
                return Ok(code);
            }
            let worked = turn.elapsed();
            let slept = self.wait(role.deadline())?.max(worked);
            turn = Instant::now();
            self.wakeups.clear();
            let now = self.now();
            if slept > ASLEEP_AFTER {
                warn!(ms = slept.as_millis() as u64, "this process was stopped for a while");
                role.handle(now, Event::Asleep(slept), &mut effects);
            }
            self.reopen_lanes()?;
            self.take_notes(role, &mut effects)?;
            if self.stopped {
                return Ok(STOPPED);
            }
            for link in std::mem::take(&mut self.ready) {
                self.lane_up(now, link, role, &mut effects);
            }
            self.take_frames(role, &mut effects)?;
            role.handle(self.now(), Event::Tick, &mut effects);
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Waits until something happens or `deadline`; how much longer than that it took.
    fn wait(&self, deadline: Option<Time>) -> Result<Duration, NetError> {
        let now = Instant::now();
        let soonest = self.reopen.iter().map(|(at, _)| at.saturating_duration_since(now)).min();
        let due = deadline.map(|at| at.since(self.now()));
        let idle = [soonest, due].into_iter().flatten().min();
        let wanted = if self.ready.is_empty() { idle } else { Some(Duration::ZERO) };
        let timeout =
            wanted.map_or(-1, |wait| wait.as_micros().div_ceil(1000).min(3_600_000) as i64);
        self.inbox.wait(&self.wakeups, timeout)?;
        Ok(wanted.map_or(Duration::ZERO, |wanted| now.elapsed().saturating_sub(wanted)))
    }

    fn take_notes<P: Role<Reply = R>>(
        &mut self,
        role: &mut P,
        effects: &mut Vec<Effect<P::Request>>,
    ) -> Result<(), DriverError> {
        while let Ok(note) = self.notes.try_recv() {
            let now = self.now();
            match note {
                Note::Reply(reply) => role.handle(now, Event::Reply(reply), effects),
                Note::Drain => role.handle(now, Event::Drain, effects),
                Note::Stop => self.stopped = true,
                Note::Unguarded => return Err(DriverError::Unguarded),
                Note::Lane(link, LaneEvent::Up) => self.lane_up(now, link, role, effects),
                Note::Lane(link, LaneEvent::Down) if self.lanes.contains_key(&link) => {
                    debug!(link, "lane lost its peer");
                    role.handle(now, Event::LaneDown { link }, effects);
                }
                Note::Lane(link, LaneEvent::Rejected(mismatch)) => self.rejected(link, mismatch),
                Note::Refused => {
                    let count = self.refused.swap(0, Ordering::AcqRel);
                    role.handle(
                        now,
                        Event::Unwanted { what: Unwanted::Connection, count },
                        effects,
                    );
                }
                Note::Lane(..) => {}
            }
        }
        Ok(())
    }

    fn take_frames<P: Role<Reply = R>>(
        &mut self,
        role: &mut P,
        effects: &mut Vec<Effect<P::Request>>,
    ) -> Result<(), NetError> {
        for _ in 0..FRAMES_PER_TURN {
            let received = self.inbox.receive()?;
            let count = self.inbox.take_several_parts();
            if count > 0 {
                let what = Unwanted::SeveralParts;
                role.handle(self.now(), Event::Unwanted { what, count }, effects);
            }
            let Some(bytes) = received else { return Ok(()) };
            let len = bytes.len();
            match Envelope::decode(bytes) {
                Ok(envelope) => role.handle(self.now(), Event::Frame(envelope), effects),
                Err(error) => {
                    self.count_malformed(&error, len);
                    let what = Unwanted::Malformed;
                    role.handle(self.now(), Event::Unwanted { what, count: 1 }, effects);
                }
            }
        }
        // More may be there: look again before waiting.
        self.handle.waker.wake();
        Ok(())
    }

    fn count_malformed(&mut self, error: &FrameError, len: usize) {
        self.malformed += 1;
        // A flood of rubbish must not become a flood of lines.
        if self.malformed.is_power_of_two() {
            warn!(%error, bytes = len, count = self.malformed, "dropped what is no frame");
        }
    }

    fn lane_up<P: Role<Reply = R>>(
        &mut self,
        now: Time,
        link: LinkId,
        role: &mut P,
        effects: &mut Vec<Effect<P::Request>>,
    ) {
        let Some(open) = self.lanes.get_mut(&link) else { return };
        open.pause = REJECTED_PAUSE.0;
        open.refusals = 0;
        let towards = open.endpoint.clone();
        let inbox = self.endpoints_for(&towards);
        role.handle(now, Event::LaneUp { link, inbox }, effects);
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

    fn open(&mut self, link: LinkId, endpoint: Endpoint) -> Result<(), NetError> {
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
                self.lanes.insert(link, open);
                Ok(())
            }
            // A peer's nonsense endpoint must not end this process.
            Err(error @ NetError::Connect { .. }) => {
                warn!(%error, "a peer cannot be reached");
                Ok(())
            }
            // As many as say Hello must not end it either: when there are no more sockets, the
            // one that is too many is not answered.
            Err(error) if !self.lanes.is_empty() => {
                warn!(%error, lanes = self.lanes.len(), "no socket is left for a peer");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// libzmq does not try again after a rejection, so the lane is made anew: with the next of
    /// the keys that this process knows, or after a pause.
    fn rejected(&mut self, link: LinkId, mismatch: Mismatch) {
        let Some(open) = self.lanes.get_mut(&link) else { return };
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

    fn reopen_lanes(&mut self) -> Result<(), NetError> {
        let now = Instant::now();
        let due: Vec<LinkId> =
            self.reopen.extract_if(.., |(at, _)| *at <= now).map(|(_, link)| link).collect();
        for link in due {
            let Some(mut open) = self.lanes.remove(&link) else { continue };
            // Before the new one is watched: its going ends the watch of whatever has this link.
            drop(open.lane);
            open.lane = self.net.lane(link, &open.endpoint, open.door)?;
            self.lanes.insert(link, open);
        }
        Ok(())
    }

    fn carry_out<P: Role<Reply = R>>(
        &mut self,
        role: &mut P,
        effects: &mut Vec<Effect<P::Request>>,
        perform: &mut impl FnMut(P::Request) -> Option<R>,
    ) -> Result<Option<i32>, NetError> {
        while !effects.is_empty() {
            for effect in std::mem::take(effects) {
                match effect {
                    Effect::Open { link, endpoints, host } => {
                        match choose(&endpoints, host.as_deref(), &self.host) {
                            Some(endpoint) => self.open(link, endpoint)?,
                            None => warn!(?endpoints, "a peer has no endpoint within reach"),
                        }
                    }
                    Effect::Close { link } => drop(self.lanes.remove(&link)),
                    Effect::Send { link, envelope } => self.send(link, &envelope),
                    Effect::Request(request) => {
                        if let Some(reply) = perform(request) {
                            role.handle(self.now(), Event::Reply(reply), effects);
                        }
                    }
                    Effect::Exit(code) => {
                        info!(code, "leaving");
                        return Ok(Some(code));
                    }
                }
            }
        }
        Ok(None)
    }

    /// A frame that the lane does not take is lost; the peer sees a gap, or the monitor reports.
    fn send(&self, link: LinkId, envelope: &Envelope) {
        if let Some(open) = self.lanes.get(&link)
            && !open.lane.send(envelope.encode())
        {
            debug!(link, "a frame found no peer");
        }
    }
}
