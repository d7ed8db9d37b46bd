//! Sessions with peers: who is there, in which conversation, and whether a frame was lost.
//!
//! Owns Hello and Welcome, sequence numbers, heartbeats and liveness; refuses to know what the
//! frames between them mean. ZeroMQ delivers in order or not at all, so a gap in the numbers, a
//! lane that lost its peer, or silence each mean one thing: this session is over, and what was
//! in it may be lost. Then the one who dialled says Hello again, with the next session number.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::{
    frame::{Credit, Envelope, Frame, Hello, PeerId, Refusal, Role, RunId, VERSION, Welcome},
    limits::Limits,
    role::{Effect, Event, LinkId, Turn},
    time::Time,
    turned_away::{TurnedAway, Unwanted},
};

/// Hellos of strangers that are taken at once; from then on one an interval.
const HELLOS_AT_ONCE: u32 = 64;
const HELLO_INTERVAL: Duration = Duration::from_millis(20);
/// Peers that have said Hello and can't be reached yet, at most; the oldest makes way.
const KNOCKING_MAX: usize = 64;
/// After so many Hellos without an answer the lane is made anew: it may lead to someone else.
const HELLOS_UNANSWERED: u32 = 6;

/// A peer is quiet when it has missed so many heartbeats, and a small part of one for its way.
const BEATS_MISSED: u32 = 2;
const LOOK_PART: u32 = 20;
/// A look that is late by this part of a heartbeat tells that this process did not run.
const LATE_PART: u32 = 4;

/// What a role learns from its mesh.
#[derive(Debug, Clone, PartialEq)]
pub enum MeshEvent {
    /// A peer wants to talk; answer with [`Mesh::welcome`] or [`Mesh::refuse`], now or later.
    Asked {
        /// The conversation.
        link: LinkId,
        /// Who.
        peer: PeerId,
        /// What it says of itself.
        hello: Box<Hello>,
    },
    /// A peer that was dialled has answered.
    Opened {
        /// The conversation.
        link: LinkId,
        /// Its answer.
        welcome: Box<Welcome>,
        /// The run that it is part of.
        run: RunId,
    },
    /// A peer that was dialled has refused; it is asked again as long as the link is kept.
    Refused {
        /// The conversation.
        link: LinkId,
        /// Why.
        refusal: Refusal,
    },
    /// A session is over. A link that was dialled goes on trying, any other is gone.
    Broken {
        /// The conversation.
        link: LinkId,
        /// With whom.
        peer: PeerId,
        /// Why.
        loss: Loss,
    },
    /// A peer has missed two heartbeats: it may be stopped, cut off, or only late. The session goes
    /// on.
    Quiet {
        /// The conversation.
        link: LinkId,
        /// When it was heard last.
        since: Time,
    },
    /// A peer that was quiet is heard again.
    Back {
        /// The conversation.
        link: LinkId,
    },
    /// A frame of an open session, in order and for the first time.
    Frame {
        /// The conversation.
        link: LinkId,
        /// What was said.
        frame: Frame,
    },
    /// A frame of this run from a session that is over or never was.
    Stray(Envelope),
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The lane lost its peer: most often the process is dead.
    Disconnected,
    /// Nothing was heard for the liveness limit.
    Silent,
    /// A frame is missing.
    Gap,
    /// The peer has given the session up.
    Reset,
    /// The peer has begun a new session.
    Replaced,
    /// This process was stopped for so long that its peers have given it up.
    Asleep,
    /// The peer has sent more than it was granted.
    Overdrawn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Dialled; the lane has not reached the inbox yet.
    Dialing,
    /// Dialled; Hello is said.
    Greeting,
    /// Asked by a peer; the lane back has not reached its inbox yet.
    Knocked,
    /// Asked by a peer; the role has not answered yet.
    Deciding,
    /// Both sides may send.
    Open,
}

/// What is thought of a peer that is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// It is heard.
    None,
    /// Too long, if it is not heard in a moment.
    Doubtful,
    /// Too long; the role knows.
    Known,
}

#[derive(Debug)]
struct Link {
    state: State,
    dialled: bool,
    peer: Option<PeerId>,
    hello: Option<Box<Hello>>,
    session: u32,
    out_seq: u64,
    in_seq: u64,
    heard: Time,
    silence: Silence,
    greeted: Time,
    granted: Option<Credit>,
    lane_up: bool,
    // Where it was dialled, and how many Hellos nobody has answered since.
    dialled_at: Option<(Vec<String>, Option<String>)>,
    unanswered: u32,
    // One too many; it is told so as soon as it can be.
    unwelcome: bool,
}

/// Who says Hello, in which session of its own counting.
#[derive(Debug, Clone, Copy)]
struct Caller {
    peer: PeerId,
    session: u32,
}

/// All conversations of one process.
#[derive(Debug)]
pub struct Mesh {
    me: PeerId,
    hello: Hello,
    run: RunId,
    heartbeat: Duration,
    liveness: Duration,
    peers_max: u32,
    links: BTreeMap<LinkId, Link>,
    // Where a peer's frames were found to belong; only a hint, which is checked.
    found: HashMap<(PeerId, u32), LinkId>,
    next_link: LinkId,
    next_session: u32,
    next_beat: Time,
    // When to look for peers that are quiet, and until when none is taken for that, since this
    // process itself was late.
    next_look: Time,
    lenient_until: Time,
    turned_away: TurnedAway,
    // When the next stranger's Hello would be due, if they came one an interval.
    hello_due: Time,
    events: std::collections::VecDeque<MeshEvent>,
}

impl Mesh {
    /// A process that knows nobody. `me` is drawn at random once a start, and says where its
    /// sessions are counted from.
    pub fn new(me: PeerId, hello: Hello, limits: &Limits) -> Self {
        Self {
            me,
            hello,
            run: 0,
            heartbeat: Duration::from_millis(limits.heartbeat_interval_ms.max(1)),
            liveness: Duration::from_millis(limits.liveness_ms),
            peers_max: limits.peers_max,
            links: BTreeMap::new(),
            found: HashMap::new(),
            next_link: 0,
            // A process that takes a dead one's place must not take what was meant for that one
            // for its own: their sessions have different numbers.
            next_session: (me >> 33) as u32,
            next_beat: Time::default(),
            next_look: Time::default(),
            lenient_until: Time::default(),
            turned_away: TurnedAway::default(),
            hello_due: Time::default(),
            events: std::collections::VecDeque::new(),
        }
    }

    /// This start of this process.
    pub fn me(&self) -> PeerId {
        self.me
    }

    /// The run that this process is part of; 0 until it knows.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// What was turned away so far, by reason.
    pub fn turned_away(&self) -> &TurnedAway {
        &self.turned_away
    }

    /// Counts what a role has turned away.
    pub fn turn_away(&mut self, what: Unwanted) {
        self.turned_away.count(what, 1);
    }

    /// Ends the session of a peer that has sent more than it was granted; it may begin a new one.
    pub fn overdrawn<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, link: LinkId) {
        self.turn_away(Unwanted::OverCredit);
        self.break_up(turn, link, Loss::Overdrawn);
    }

    /// Becomes part of a run; from now on frames of others are dropped.
    pub fn join(&mut self, run: RunId) {
        self.run = run;
        if let Role::Ventilator { run: known, .. } = &mut self.hello.role {
            *known = run;
        }
    }

    /// Takes over the limits that a plan brought.
    pub fn adopt(&mut self, limits: &Limits) {
        self.heartbeat = Duration::from_millis(limits.heartbeat_interval_ms.max(1));
        self.liveness = Duration::from_millis(limits.liveness_ms);
    }

    /// What has happened, oldest first.
    pub fn poll(&mut self) -> Option<MeshEvent> {
        self.events.pop_front()
    }

    /// Starts a conversation with whoever listens at one of `endpoints`.
    pub fn dial<Q>(
        &mut self,
        endpoints: Vec<String>,
        host: Option<String>,
        out: &mut Vec<Effect<Q>>,
    ) -> LinkId {
        let link = self.add(State::Dialing, true);
        if let Some(fresh) = self.links.get_mut(&link) {
            fresh.dialled_at = Some((endpoints.clone(), host.clone()));
        }
        out.push(Effect::Open { link, endpoints, host });
        link
    }

    /// Ends a conversation for good.
    pub fn hang_up<Q>(&mut self, link: LinkId, out: &mut Vec<Effect<Q>>) {
        if self.links.remove(&link).is_some() {
            out.push(Effect::Close { link });
        }
    }

    /// Whether both sides may send.
    pub fn is_open(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|known| known.state == State::Open)
    }

    /// Whether the lane has come to a peer, be it that it does not answer.
    pub fn is_reached(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|known| known.lane_up)
    }

    /// The peer of a link, once known.
    pub fn peer(&self, link: LinkId) -> Option<PeerId> {
        self.links.get(&link)?.peer
    }

    /// Says something in an open session; in any other it is dropped, since the session that
    /// follows starts from the state of both sides.
    pub fn send<Q>(&mut self, link: LinkId, frame: Frame, out: &mut Vec<Effect<Q>>) {
        if self.is_open(link) {
            self.put(link, frame, out);
        }
    }

    /// Grants a peer credit, now and again with every heartbeat.
    pub fn grant<Q>(&mut self, link: LinkId, credit: Credit, out: &mut Vec<Effect<Q>>) {
        if let Some(known) = self.links.get_mut(&link) {
            known.granted = Some(credit);
            self.send(link, Frame::Credit(credit), out);
        }
    }

    /// Answers a peer that asked.
    pub fn welcome<Q>(&mut self, link: LinkId, welcome: Welcome, out: &mut Vec<Effect<Q>>) {
        if let Some(known) = self.links.get_mut(&link)
            && known.state == State::Deciding
        {
            known.state = State::Open;
            if let Some(peer) = known.peer {
                let place = (peer, known.session);
                self.find_at(place, link);
            }
            self.put(link, Frame::Welcome(Box::new(welcome)), out);
        }
    }

    /// Turns a peer that asked away.
    pub fn refuse<Q>(&mut self, link: LinkId, refusal: Refusal, out: &mut Vec<Effect<Q>>) {
        if self.links.contains_key(&link) {
            self.put(link, Frame::Refused(refusal), out);
            self.hang_up(link, out);
        }
    }

    /// Takes what concerns conversations out of an event; results are read with [`Mesh::poll`].
    pub fn handle<Q, R>(
        &mut self,
        turn: &mut Turn<'_, Effect<Q>>,
        event: Event<R>,
    ) -> Option<Event<R>> {
        match event {
            Event::LaneUp { link, inbox } => self.lane_up(turn, link, inbox),
            Event::LaneDown { link } => self.lane_down(turn, link),
            Event::Frame(envelope) => self.receive(turn, envelope),
            Event::Asleep(gap) => self.asleep(turn, gap),
            Event::Unwanted { what, count } => self.turned_away.count(what, count),
            Event::Tick => {
                self.tick(turn);
                return Some(Event::Tick);
            }
            other => return Some(other),
        }
        None
    }

    /// When the next heartbeat is due, or the next look at who is quiet.
    pub fn deadline(&self) -> Option<Time> {
        (!self.links.is_empty()).then_some(self.next_beat.min(self.next_look))
    }

    fn add(&mut self, state: State, dialled: bool) -> LinkId {
        let link = self.next_link;
        self.next_link += 1;
        self.next_session += 1;
        let fresh = Link {
            state,
            dialled,
            peer: None,
            hello: None,
            session: self.next_session,
            out_seq: 0,
            in_seq: 0,
            heard: Time::default(),
            silence: Silence::None,
            greeted: Time::default(),
            granted: None,
            lane_up: false,
            dialled_at: None,
            unanswered: 0,
            unwelcome: false,
        };
        self.links.insert(link, fresh);
        link
    }

    fn put<Q>(&mut self, link: LinkId, frame: Frame, out: &mut Vec<Effect<Q>>) {
        let (run, from) = (self.run, self.me);
        if let Some(known) = self.links.get_mut(&link) {
            let seq = known.out_seq;
            known.out_seq += 1;
            let envelope =
                Envelope { version: VERSION, run, from, session: known.session, seq, frame };
            out.push(Effect::Send { link, envelope });
        }
    }

    fn greet<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, link: LinkId) {
        if let Some(known) = self.links.get_mut(&link) {
            known.state = State::Greeting;
            known.greeted = turn.now;
            known.out_seq = 0;
            known.in_seq = 0;
            known.granted = None;
            known.silence = Silence::None;
            let hello = known.hello.clone().unwrap_or_else(|| Box::new(self.hello.clone()));
            self.put(link, Frame::Hello(hello), turn.out);
        }
    }

    /// If it was the Welcome that was lost, the peer takes the session for open, and would not
    /// answer a Hello in it: the next one asks for another.
    fn greet_anew<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, link: LinkId) {
        if let Some(known) = self.links.get_mut(&link) {
            self.next_session += 1;
            known.session = self.next_session;
            self.greet(turn, link);
        }
    }

    /// Who takes a Hello as often without an answer may be anybody who took the place of the one
    /// that was dialled, or is kept by a connection from its successor.
    fn greet_or_redial<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, link: LinkId) {
        let Some(known) = self.links.get_mut(&link) else { return };
        known.unanswered += 1;
        match known.dialled_at.clone() {
            Some((endpoints, host)) if known.unanswered >= HELLOS_UNANSWERED => {
                known.state = State::Dialing;
                known.lane_up = false;
                known.unanswered = 0;
                turn.out.push(Effect::Close { link });
                turn.out.push(Effect::Open { link, endpoints, host });
            }
            _ => self.greet_anew(turn, link),
        }
    }

    /// The link on which this session was asked for, if the answer is not here yet.
    fn unanswered(&self, session: u32) -> Option<LinkId> {
        let mut links = self.links.iter();
        let asked = links.find(|(_, known)| {
            known.dialled && known.state == State::Greeting && known.session == session
        });
        asked.map(|(link, _)| *link)
    }

    fn lane_up<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, link: LinkId, inbox: Vec<String>) {
        let Some(known) = self.links.get_mut(&link) else { return };
        known.lane_up = true;
        match known.state {
            State::Dialing => {
                known.unanswered = 0;
                known.hello = Some(Box::new(Hello { endpoints: inbox, ..self.hello.clone() }));
                self.greet(turn, link);
            }
            State::Knocked if known.unwelcome => {
                let max = self.peers_max;
                self.refuse(link, Refusal::Full { max }, turn.out);
            }
            State::Knocked => {
                known.state = State::Deciding;
                if let (Some(peer), Some(hello)) = (known.peer, known.hello.clone()) {
                    self.events.push_back(MeshEvent::Asked { link, peer, hello });
                }
            }
            State::Greeting | State::Deciding | State::Open => {}
        }
    }

    fn lane_down<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, link: LinkId) {
        let Some(known) = self.links.get_mut(&link) else { return };
        known.lane_up = false;
        match known.state {
            State::Open => self.break_up(turn, link, Loss::Disconnected),
            State::Greeting => known.state = State::Dialing,
            State::Deciding => self.hang_up(link, turn.out),
            State::Dialing | State::Knocked => {}
        }
    }

    /// Ends the session of an open link. A link that was dialled starts the next one, as soon as
    /// its lane is up; any other is closed.
    fn break_up<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, link: LinkId, loss: Loss) {
        let Some(known) = self.links.get_mut(&link) else { return };
        if known.state == State::Open
            && let Some(peer) = known.peer
        {
            self.events.push_back(MeshEvent::Broken { link, peer, loss });
        }
        if known.dialled {
            self.next_session += 1;
            known.session = self.next_session;
            known.peer = None;
            known.state = State::Dialing;
            if known.lane_up {
                self.greet(turn, link);
            }
        } else {
            if known.lane_up && matches!(loss, Loss::Gap | Loss::Overdrawn) {
                self.put(link, Frame::Reset, turn.out);
            }
            self.hang_up(link, turn.out);
        }
    }

    fn receive<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, envelope: Envelope) {
        if let Frame::Hello(hello) = envelope.frame {
            let caller = Caller { peer: envelope.from, session: envelope.session };
            return self.hello(turn, caller, hello);
        }
        let answer = matches!(envelope.frame, Frame::Welcome(_) | Frame::Refused(_));
        if self.run != 0 && envelope.run != self.run && !answer {
            return self.turn_away(Unwanted::OtherRun);
        }
        let link = self.link_of(&envelope, answer);
        let Some((link, known)) = link.and_then(|link| Some((link, self.links.get_mut(&link)?)))
        else {
            if !answer {
                if let Some(link) = self.unanswered(envelope.session) {
                    self.greet_anew(turn, link);
                }
                self.events.push_back(MeshEvent::Stray(envelope));
            }
            return;
        };
        known.heard = turn.now;
        if std::mem::replace(&mut known.silence, Silence::None) == Silence::Known {
            self.events.push_back(MeshEvent::Back { link });
        }
        if envelope.seq < known.in_seq {
            return self.turn_away(Unwanted::Repeated);
        }
        if envelope.seq > known.in_seq {
            return self.break_up(turn, link, Loss::Gap);
        }
        known.in_seq += 1;
        match envelope.frame {
            Frame::Welcome(welcome) => {
                known.state = State::Open;
                known.peer = Some(envelope.from);
                self.events.push_back(MeshEvent::Opened { link, welcome, run: envelope.run });
            }
            Frame::Refused(refusal) => {
                self.events.push_back(MeshEvent::Refused { link, refusal });
                known.in_seq = 0;
            }
            Frame::Reset => self.break_up(turn, link, Loss::Reset),
            Frame::Beat => {}
            frame => self.events.push_back(MeshEvent::Frame { link, frame }),
        }
    }

    /// The conversation that a frame belongs to. It is looked for among all of them only once.
    fn link_of(&mut self, envelope: &Envelope, answer: bool) -> Option<LinkId> {
        let belongs = |known: &Link| {
            known.session == envelope.session
                && match known.state {
                    State::Greeting => answer && known.dialled,
                    State::Open => known.peer == Some(envelope.from) && !answer,
                    _ => false,
                }
        };
        let place = (envelope.from, envelope.session);
        let hint = self.found.get(&place).copied();
        if hint.is_some_and(|link| self.links.get(&link).is_some_and(belongs)) {
            return hint;
        }
        let link = self.links.iter().find(|(_, known)| belongs(known)).map(|(link, _)| *link)?;
        self.find_at(place, link);
        Some(link)
    }

    fn find_at(&mut self, place: (PeerId, u32), link: LinkId) {
        if self.found.len() > 2 * self.links.len() {
            self.found.clear();
        }
        self.found.insert(place, link);
    }

    /// A peer says Hello, for the first time, again (it repeats itself until it is answered), or
    /// in a new session after it has lost the old one.
    fn hello<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, caller: Caller, hello: Box<Hello>) {
        let known = self
            .links
            .iter_mut()
            .find(|(_, known)| !known.dialled && known.peer == Some(caller.peer));
        if let Some((&link, known)) = known {
            let unanswered = matches!(known.state, State::Knocked | State::Deciding);
            if caller.session <= known.session {
                if unanswered && caller.session == known.session {
                    known.heard = turn.now;
                }
                return;
            }
            let before = known.hello.as_ref().map_or(&[][..], |before| &before.endpoints);
            if before == hello.endpoints && unanswered {
                // Not answered yet: the answer will open the session that was asked for last.
                (known.session, known.heard) = (caller.session, turn.now);
                return;
            }
            // A process keeps the inbox that it has. As long as it is there nobody takes its name.
            let same = before == hello.endpoints
                || before.iter().any(|endpoint| hello.endpoints.contains(endpoint));
            if !same && matches!(known.state, State::Open | State::Deciding) {
                return self.turn_away(Unwanted::Impostor);
            }
            if !self.takes_hello(turn.now) {
                return;
            }
            // The lane still leads to the same process, so it may be kept; but what it carried
            // for the old session is of no use, and the endpoints may be new.
            self.break_up(turn, link, Loss::Replaced);
            self.hang_up(link, turn.out);
        } else if self.links.len() >= self.peers_max.saturating_mul(2) as usize {
            // Those beyond the limit are told so, unless there are far too many even for that.
            return self.turn_away(Unwanted::Hello);
        } else if !self.takes_hello(turn.now) {
            return;
        }
        self.knock(turn, caller, hello);
    }

    /// Whether one more lane may be opened for a Hello. A peer that is not answered repeats itself.
    fn takes_hello(&mut self, now: Time) -> bool {
        let takes = self.hello_due <= now + HELLO_INTERVAL * HELLOS_AT_ONCE;
        if takes {
            self.hello_due = self.hello_due.max(now) + HELLO_INTERVAL;
        } else {
            self.turn_away(Unwanted::Hello);
        }
        takes
    }

    /// A peer is at the door: a lane back to it is opened.
    fn knock<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, caller: Caller, hello: Box<Hello>) {
        let knocking = |(link, known): (&LinkId, &Link)| {
            (known.state == State::Knocked).then_some((known.heard, *link))
        };
        if self.links.iter().filter_map(knocking).count() >= KNOCKING_MAX
            && let Some((_, oldest)) = self.links.iter().filter_map(knocking).min()
        {
            self.turn_away(Unwanted::Hello);
            self.hang_up(oldest, turn.out);
        }
        let full = self.links.len() >= self.peers_max as usize;
        let endpoints = hello.endpoints.clone();
        let host = Some(hello.host.clone());
        let link = self.add(State::Knocked, false);
        if let Some(fresh) = self.links.get_mut(&link) {
            fresh.peer = Some(caller.peer);
            fresh.session = caller.session;
            fresh.heard = turn.now;
            fresh.in_seq = 1;
            fresh.hello = Some(hello);
            fresh.unwelcome = full;
        }
        turn.out.push(Effect::Open { link, endpoints, host });
    }

    fn tick<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>) {
        let now = turn.now;
        if now >= self.next_look {
            self.look(now);
        }
        if now < self.next_beat {
            return;
        }
        self.next_beat = now + self.heartbeat;
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            let Some(known) = self.links.get_mut(&link) else { continue };
            match known.state {
                State::Open if now.since(known.heard) > self.liveness => {
                    self.break_up(turn, link, Loss::Silent);
                }
                State::Open => {
                    let beat = known.granted.map_or(Frame::Beat, Frame::Credit);
                    self.put(link, beat, turn.out);
                }
                State::Greeting if now.since(known.greeted) > self.liveness / 2 => {
                    self.greet_or_redial(turn, link);
                }
                State::Knocked | State::Deciding if now.since(known.heard) > self.liveness * 4 => {
                    self.hang_up(link, turn.out);
                }
                _ => {}
            }
        }
    }

    /// Looks who has missed two heartbeats. What a peer said may not have been read yet, so it is
    /// looked for once more a moment later; and where this process was late itself, its peers may
    /// have been so too, and have time for another heartbeat.
    fn look(&mut self, now: Time) {
        let moment = self.heartbeat / LOOK_PART;
        let patience = self.heartbeat * BEATS_MISSED + moment;
        if now.since(self.next_look) > self.heartbeat / LATE_PART {
            self.lenient_until = now + self.heartbeat;
        }
        let lenient = now < self.lenient_until;
        let mut next = now + self.heartbeat;
        for (link, known) in &mut self.links {
            if known.state != State::Open || known.silence == Silence::Known {
                continue;
            }
            let due = known.heard + patience;
            if now < due {
                known.silence = Silence::None;
                next = next.min(due);
            } else if lenient {
                next = next.min(self.lenient_until);
            } else if known.silence == Silence::Doubtful {
                known.silence = Silence::Known;
                self.events.push_back(MeshEvent::Quiet { link: *link, since: known.heard });
            } else {
                known.silence = Silence::Doubtful;
                next = next.min(now + moment);
            }
        }
        self.next_look = next;
    }

    /// Peers could not be heard while this process did not run, so nobody's silence counts. After
    /// a long sleep those that were dialled have given this process up.
    fn asleep<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, gap: Duration) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            let Some(known) = self.links.get_mut(&link) else { continue };
            known.heard = turn.now;
            if known.dialled && known.state == State::Open && gap > self.liveness {
                self.break_up(turn, link, Loss::Asleep);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Effects = Vec<Effect<()>>;

    fn hello(name: &str) -> Hello {
        Hello {
            role: Role::Worker { stage: None, own: false },
            name: name.into(),
            endpoints: vec![],
            host: "h".into(),
            pid: 1,
        }
    }

    /// Two processes and the lanes between them; frames are delivered when told.
    struct Pair {
        now: Time,
        dialler: Mesh,
        acceptor: Mesh,
        link: LinkId,
        to_acceptor: Vec<Envelope>,
        to_dialler: Vec<Envelope>,
        /// What the acceptor learned, but for who asked.
        heard: std::collections::VecDeque<MeshEvent>,
    }

    impl Pair {
        fn new() -> Self {
            let limits = Limits::default();
            let mut dialler = Mesh::new(1, hello("dialler"), &limits);
            let acceptor = Mesh::new(2, hello("acceptor"), &limits);
            let mut out = Effects::new();
            let link = dialler.dial(vec!["inproc://a".into()], None, &mut out);
            let now = Time::from_ms(1);
            let (to_acceptor, to_dialler, heard) = Default::default();
            Self { now, dialler, acceptor, link, to_acceptor, to_dialler, heard }
        }

        fn opened() -> Self {
            let mut pair = Self::new();
            pair.tell_dialler(Event::LaneUp { link: pair.link, inbox: vec!["inproc://d".into()] });
            pair.deliver();
            assert!(matches!(pair.dialler.poll(), Some(MeshEvent::Opened { .. })));
            pair
        }

        fn sort(effects: Effects, queue: &mut Vec<Envelope>) -> Vec<LinkId> {
            let mut opened = vec![];
            for effect in effects {
                match effect {
                    Effect::Send { envelope, .. } => queue.push(envelope),
                    Effect::Open { link, .. } => opened.push(link),
                    _ => {}
                }
            }
            opened
        }

        fn tell_dialler(&mut self, event: Event<()>) {
            let mut out = Effects::new();
            self.dialler.handle(&mut Turn::new(self.now, &mut out), event);
            Self::sort(out, &mut self.to_acceptor);
        }

        fn tell_acceptor(&mut self, event: Event<()>) {
            let mut out = Effects::new();
            self.acceptor.handle(&mut Turn::new(self.now, &mut out), event);
            for link in Self::sort(out, &mut self.to_dialler) {
                self.tell_acceptor(Event::LaneUp { link, inbox: vec![] });
            }
            while let Some(event) = self.acceptor.poll() {
                if let MeshEvent::Asked { link, .. } = event {
                    let mut out = Effects::new();
                    self.acceptor.welcome(link, Welcome::Peer, &mut out);
                    Self::sort(out, &mut self.to_dialler);
                } else {
                    self.heard.push_back(event);
                }
            }
        }

        /// Delivers everything both ways until nothing is left.
        fn deliver(&mut self) {
            while !self.to_acceptor.is_empty() || !self.to_dialler.is_empty() {
                for envelope in std::mem::take(&mut self.to_acceptor) {
                    self.tell_acceptor(Event::Frame(envelope));
                }
                for envelope in std::mem::take(&mut self.to_dialler) {
                    self.tell_dialler(Event::Frame(envelope));
                }
            }
        }

        fn pass(&mut self, ms: u64) {
            self.now = self.now + Duration::from_millis(ms);
        }
    }

    #[test]
    fn a_frame_that_arrives_twice_counts_once() {
        let mut pair = Pair::opened();
        let mut out = Effects::new();
        pair.dialler.send(pair.link, Frame::Leaving, &mut out);
        Pair::sort(out, &mut pair.to_acceptor);
        let copy = pair.to_acceptor[0].clone();
        pair.to_acceptor.push(copy);
        pair.deliver();
        assert!(matches!(
            pair.heard.pop_front(),
            Some(MeshEvent::Frame { frame: Frame::Leaving, .. })
        ));
        assert_eq!(pair.heard.pop_front(), None);
    }

    /// Time passes in small steps, and the acceptor acts on it: what it learns of the other's
    /// silence, and when.
    fn silence_of(pair: &mut Pair, ms: u64) -> Vec<(u64, MeshEvent)> {
        let start = pair.now;
        let mut learned = Vec::new();
        for _ in 0..ms / 5 {
            pair.pass(5);
            if pair.acceptor.deadline().is_some_and(|due| due <= pair.now) {
                pair.tell_acceptor(Event::Tick);
            }
            let at = pair.now.since(start).as_millis() as u64;
            learned.extend(pair.heard.drain(..).map(|event| (at, event)));
        }
        learned
    }

    #[test]
    fn a_peer_is_quiet_after_two_missed_heartbeats_and_back_with_the_next_frame() {
        let mut pair = Pair::opened();
        silence_of(&mut pair, 600);
        pair.tell_dialler(Event::Tick);
        pair.deliver();
        let learned = silence_of(&mut pair, 4_000);
        assert!(
            matches!(learned[..], [(1_001..=1_100, MeshEvent::Quiet { .. })]),
            "once, before a third could have come: {learned:?}"
        );
        pair.tell_dialler(Event::Tick);
        pair.deliver();
        assert!(matches!(pair.heard.pop_front(), Some(MeshEvent::Back { .. })));
        let learned = silence_of(&mut pair, 6_000);
        assert!(
            matches!(
                learned[..],
                [(_, MeshEvent::Quiet { .. }), (_, MeshEvent::Broken { loss: Loss::Silent, .. })]
            ),
            "{learned:?}"
        );
    }

    #[test]
    fn a_peer_whose_heartbeats_come_is_not_quiet_however_long_it_says_nothing_else() {
        let mut pair = Pair::opened();
        for _ in 0..20 {
            // One heartbeat of two comes, and late.
            assert_eq!(silence_of(&mut pair, 990), []);
            pair.tell_dialler(Event::Tick);
            pair.deliver();
        }
    }

    #[test]
    fn a_process_that_was_late_itself_takes_nobody_for_quiet() {
        let mut pair = Pair::opened();
        silence_of(&mut pair, 600);
        // Both are stopped for a while, and the other one needs a moment more.
        pair.pass(1_200);
        assert_eq!(silence_of(&mut pair, 400), []);
        pair.tell_dialler(Event::Tick);
        pair.deliver();
        assert_eq!(silence_of(&mut pair, 900), []);
    }

    #[test]
    fn what_has_come_and_is_not_read_yet_is_waited_for_before_a_peer_is_taken_for_quiet() {
        let mut pair = Pair::opened();
        let learned = silence_of(&mut pair, 1_040);
        assert_eq!(learned, []);
        pair.tell_dialler(Event::Tick);
        pair.deliver();
        assert_eq!(silence_of(&mut pair, 900), []);
    }

    #[test]
    fn a_lost_frame_ends_the_session_and_a_new_one_begins() {
        let mut pair = Pair::opened();
        let mut out = Effects::new();
        pair.dialler.send(pair.link, Frame::Leaving, &mut out);
        pair.dialler.send(pair.link, Frame::Bye, &mut out);
        Pair::sort(out, &mut pair.to_acceptor);
        pair.to_acceptor.remove(0);
        pair.deliver();
        assert!(matches!(pair.heard.pop_front(), Some(MeshEvent::Broken { loss: Loss::Gap, .. })));
        assert!(matches!(pair.dialler.poll(), Some(MeshEvent::Broken { loss: Loss::Reset, .. })));
        assert!(matches!(pair.dialler.poll(), Some(MeshEvent::Opened { .. })));
        assert!(pair.dialler.is_open(pair.link));
    }

    /// A worker that met a wrong server first: one that takes frames and never answers.
    #[test]
    fn a_lane_on_which_nobody_answers_hello_is_made_anew() {
        let mut pair = Pair::new();
        pair.tell_dialler(Event::LaneUp { link: pair.link, inbox: vec![] });
        let mut effects = Effects::new();
        for _ in 0..20 {
            pair.now = pair.now + Duration::from_millis(Limits::default().liveness_ms / 2 + 501);
            pair.dialler.handle::<(), ()>(&mut Turn::new(pair.now, &mut effects), Event::Tick);
        }
        let link = pair.link;
        let is_anew = |two: &[Effect<()>]| {
            matches!(two, [Effect::Close { link: closed }, Effect::Open { link: opened, endpoints, .. }]
                if *closed == link && *opened == link && endpoints == &["inproc://a"])
        };
        assert!(effects.windows(2).any(is_anew), "{effects:?}");
        pair.tell_dialler(Event::LaneUp { link, inbox: vec![] });
        pair.deliver();
        assert!(pair.dialler.is_open(link), "the right one is there now");
    }

    #[test]
    fn a_lost_welcome_is_asked_for_again() {
        let mut pair = Pair::new();
        pair.tell_dialler(Event::LaneUp { link: pair.link, inbox: vec![] });
        for envelope in std::mem::take(&mut pair.to_acceptor) {
            pair.tell_acceptor(Event::Frame(envelope));
        }
        pair.to_dialler.clear();
        pair.pass(Limits::default().liveness_ms / 2 + 1);
        pair.tell_dialler(Event::Tick);
        pair.deliver();
        assert!(pair.dialler.is_open(pair.link));
        assert!(matches!(
            pair.heard.pop_front(),
            Some(MeshEvent::Broken { loss: Loss::Replaced, .. })
        ));
    }

    #[test]
    fn what_comes_after_a_lost_welcome_tells_of_it() {
        let mut pair = Pair::new();
        pair.tell_dialler(Event::LaneUp { link: pair.link, inbox: vec![] });
        for envelope in std::mem::take(&mut pair.to_acceptor) {
            pair.tell_acceptor(Event::Frame(envelope));
        }
        pair.to_dialler.clear();
        pair.pass(Limits::default().heartbeat_interval_ms);
        pair.tell_acceptor(Event::Tick);
        pair.deliver();
        assert!(pair.dialler.is_open(pair.link));
    }

    #[test]
    fn silence_ends_a_session_on_both_sides() {
        let mut pair = Pair::opened();
        pair.pass(Limits::default().liveness_ms + 1);
        pair.tell_acceptor(Event::Tick);
        assert!(matches!(
            pair.heard.pop_front(),
            Some(MeshEvent::Broken { loss: Loss::Silent, .. })
        ));
        pair.tell_dialler(Event::Tick);
        assert!(matches!(pair.dialler.poll(), Some(MeshEvent::Broken { loss: Loss::Silent, .. })));
        pair.deliver();
        assert!(pair.dialler.is_open(pair.link));
    }

    #[test]
    fn heartbeats_keep_a_session_and_repeat_the_credit() {
        let mut pair = Pair::opened();
        let mut out = Effects::new();
        pair.dialler.grant(pair.link, Credit { units: 5, bytes: 9 }, &mut out);
        for _ in 0..40 {
            pair.pass(Limits::default().heartbeat_interval_ms);
            pair.tell_dialler(Event::Tick);
            pair.to_acceptor
                .iter()
                .for_each(|sent| assert!(matches!(sent.frame, Frame::Credit(_))));
            pair.to_acceptor.clear();
            pair.tell_acceptor(Event::Tick);
            pair.deliver();
            if pair.heard.pop_front().is_some() {
                return; // silence from the dialler, whose heartbeats were thrown away above
            }
        }
        panic!("a silent dialler was never noticed");
    }

    #[test]
    fn a_process_that_slept_blames_nobody_and_says_hello_again() {
        let mut pair = Pair::opened();
        pair.pass(60_000);
        pair.tell_dialler(Event::Asleep(Duration::from_secs(60)));
        assert!(matches!(pair.dialler.poll(), Some(MeshEvent::Broken { loss: Loss::Asleep, .. })));
        pair.deliver();
        assert!(matches!(
            pair.heard.pop_front(),
            Some(MeshEvent::Broken { loss: Loss::Replaced, .. })
        ));
        assert!(pair.dialler.is_open(pair.link));
    }

    #[test]
    fn a_lane_that_lost_its_peer_waits_for_the_next() {
        let mut pair = Pair::opened();
        pair.tell_dialler(Event::LaneDown { link: pair.link });
        assert!(matches!(
            pair.dialler.poll(),
            Some(MeshEvent::Broken { loss: Loss::Disconnected, .. })
        ));
        assert!(pair.to_acceptor.is_empty());
        pair.tell_dialler(Event::LaneUp { link: pair.link, inbox: vec!["inproc://d".into()] });
        pair.deliver();
        assert!(pair.dialler.is_open(pair.link));
    }

    fn knock(mesh: &mut Mesh, now: Time, from: PeerId, session: u32, name: &str) -> Effects {
        let mut out = Effects::new();
        let hello = Box::new(Hello { endpoints: vec![format!("inproc://{name}")], ..hello(name) });
        let (version, run, seq, frame) = (VERSION, 0, 0, Frame::Hello(hello));
        let envelope = Envelope { version, run, from, session, seq, frame };
        mesh.handle::<(), ()>(&mut Turn::new(now, &mut out), Event::Frame(envelope));
        out
    }

    #[test]
    fn ten_thousand_hellos_open_a_few_hundred_lanes_and_time_brings_the_next() {
        let mut mesh = Mesh::new(2, hello("acceptor"), &Limits::default());
        let now = Time::from_ms(1);
        let (mut opened, mut closed) = (0, 0);
        let mut count = |effects: Effects| {
            for effect in effects {
                match effect {
                    Effect::Open { .. } => opened += 1,
                    Effect::Close { .. } => closed += 1,
                    _ => {}
                }
            }
            (opened, closed)
        };
        let mut told = (0, 0);
        for session in 1..=10_000 {
            count(knock(&mut mesh, now, u64::from(session % 3), session, "same"));
            told = count(knock(&mut mesh, now, 10 + u64::from(session), session, "other"));
        }
        assert!(told.0 <= 65 && told.0 - told.1 <= 65, "{told:?}");
        assert!(mesh.turned_away().hellos >= 9_000);
        let later = now + Duration::from_millis(100);
        assert!(count(knock(&mut mesh, later, 9, 1, "late")).0 > told.0);
    }

    #[test]
    fn nobody_takes_the_name_of_a_peer_that_is_there() {
        let mut pair = Pair::opened();
        let out = knock(&mut pair.acceptor, pair.now, 1, 99, "thief");
        assert!(out.is_empty());
        assert_eq!(pair.acceptor.turned_away().impostors, 1);
        pair.tell_dialler(Event::Tick);
        pair.deliver();
        assert!(pair.heard.is_empty(), "the session goes on");
        pair.pass(Limits::default().liveness_ms + 1);
        pair.tell_acceptor(Event::Tick);
        assert_ne!(knock(&mut pair.acceptor, pair.now, 1, 99, "heir").len(), 0);
    }

    #[test]
    fn a_second_welcome_in_a_session_opens_nothing() {
        let mut pair = Pair::opened();
        let (session, seq) = (1, 1);
        let frame = Frame::Welcome(Box::new(Welcome::Peer));
        let envelope = Envelope { version: VERSION, run: 0, from: 2, session, seq, frame };
        pair.tell_dialler(Event::Frame(envelope));
        assert_eq!(pair.dialler.poll(), None);
    }

    #[test]
    fn a_peer_that_overdraws_its_credit_has_to_begin_anew() {
        let mut pair = Pair::opened();
        let mut out = Effects::new();
        pair.acceptor.overdrawn(&mut Turn::new(pair.now, &mut out), 0);
        Pair::sort(out, &mut pair.to_dialler);
        pair.deliver();
        let lost = pair.heard.pop_front();
        assert!(matches!(lost, Some(MeshEvent::Broken { loss: Loss::Overdrawn, .. })), "{lost:?}");
        assert_eq!(pair.acceptor.turned_away().over_credit, 1);
    }

    #[test]
    fn frames_of_another_run_are_dropped() {
        let mut pair = Pair::opened();
        pair.acceptor.join(77);
        let mut out = Effects::new();
        pair.dialler.join(78);
        pair.dialler.send(pair.link, Frame::Leaving, &mut out);
        Pair::sort(out, &mut pair.to_acceptor);
        pair.deliver();
        assert_eq!(pair.heard.pop_front(), None);
    }

    #[test]
    fn what_was_meant_for_a_dead_process_is_not_taken_by_the_one_in_its_place() {
        let limits = Limits::default();
        let mut welcome = None;
        for me in [1 << 50, 2 << 50] {
            let mut mesh = Mesh::new(me, hello("ventilator"), &limits);
            let mut out = Effects::new();
            let link = mesh.dial(vec!["inproc://s".into()], None, &mut out);
            let now = Time::from_ms(1);
            mesh.handle::<(), ()>(
                &mut Turn::new(now, &mut out),
                Event::LaneUp { link, inbox: vec![] },
            );
            let session = out.iter().find_map(|effect| match effect {
                Effect::Send { envelope, .. } => Some(envelope.session),
                _ => None,
            });
            let answer = Envelope {
                version: VERSION,
                run: 5,
                from: 9,
                session: session.unwrap(),
                seq: 0,
                frame: Frame::Welcome(Box::new(Welcome::Peer)),
            };
            let for_the_dead = welcome.replace(answer.clone()).unwrap_or(answer.clone());
            let is_first = for_the_dead == answer;
            mesh.handle::<(), ()>(&mut Turn::new(now, &mut out), Event::Frame(for_the_dead));
            assert_eq!(mesh.is_open(link), is_first);
        }
    }
}
