//! Sessions with peers: who is there, in which conversation, and whether a frame was lost.
//!
//! Owns Hello and Welcome, sequence numbers, heartbeats and liveness; refuses to know what the
//! frames between them mean. ZeroMQ delivers in order or not at all, so a gap in the numbers, a
//! lane that lost its peer, or silence each mean one thing: this session is over, and what was
//! in it may be lost. Then the one who dialled says Hello again, with the next session number.

mod door;
mod hello;
mod link;
mod pulse;
mod tick;

use std::collections::{BTreeMap, HashMap, VecDeque};

use self::{
    door::{Caller, Door},
    link::{Dialled, Link, Side, Silence, State},
    pulse::Pulse,
};
use crate::{
    frame::{Credit, Envelope, Frame, Hello, HelloRole, PeerId, Refusal, RunId, VERSION, Welcome},
    limits::Limits,
    role::{Effect, Event, LinkId, Turn},
    time::Time,
    turned_away::{TurnedAway, Unwanted},
};

/// After so many Hellos without an answer the lane is made anew: it may lead to someone else.
const HELLOS_UNANSWERED: u32 = 6;

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

/// All conversations of one process.
#[derive(Debug)]
pub struct Mesh {
    me: PeerId,
    hello: Hello,
    run: RunId,
    links: BTreeMap<LinkId, Link>,
    // Where a peer's frames were found to belong; only a hint, which is checked.
    found: HashMap<(PeerId, u32), LinkId>,
    next_link: LinkId,
    next_session: u32,
    pulse: Pulse,
    door: Door,
    turned_away: TurnedAway,
    events: VecDeque<MeshEvent>,
}

impl Mesh {
    /// A process that knows nobody. `me` is drawn at random once a start, and says where its
    /// sessions are counted from.
    pub fn new(me: PeerId, hello: Hello, limits: &Limits) -> Self {
        Self {
            me,
            hello,
            run: 0,
            links: BTreeMap::new(),
            found: HashMap::new(),
            next_link: 0,
            // A process that takes a dead one's place must not take what was meant for that one
            // for its own: their sessions have different numbers.
            next_session: (me >> 33) as u32,
            pulse: Pulse::new(limits),
            door: Door::new(limits.peers_max),
            turned_away: TurnedAway::default(),
            events: VecDeque::new(),
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
        if let HelloRole::Ventilator { run: known, .. } = &mut self.hello.role {
            *known = run;
        }
    }

    /// Takes over the limits that a plan brought.
    pub fn adopt(&mut self, limits: &Limits) {
        self.pulse.adopt(limits);
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
        let link = self.add(
            State::Dialing,
            Side::Dialled(Dialled {
                endpoints: endpoints.clone(),
                host: host.clone(),
                hello: None,
                greeted: Time::default(),
                unanswered: 0,
            }),
        );
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

    /// Whether its peer has missed two heartbeats and was not heard since.
    pub fn is_quiet(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|known| known.silence == Silence::Known)
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
        (!self.links.is_empty()).then(|| self.pulse.deadline())
    }

    fn add(&mut self, state: State, side: Side) -> LinkId {
        let link = self.next_link;
        self.next_link += 1;
        self.next_session += 1;
        self.links.insert(link, Link::new(state, side, self.next_session));
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
        if let Some(known) = self.links.get_mut(&link)
            && let Some(dialled) = known.dialled()
        {
            dialled.greeted = turn.now;
            let hello = dialled.hello.clone();
            known.state = State::Greeting;
            known.out_seq = 0;
            known.in_seq = 0;
            known.granted = None;
            known.silence = Silence::None;
            let hello = hello.unwrap_or_else(|| Box::new(self.hello.clone()));
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
        let Some(dialled) = known.dialled() else { return };
        dialled.unanswered += 1;
        if dialled.unanswered < HELLOS_UNANSWERED {
            return self.greet_anew(turn, link);
        }
        dialled.unanswered = 0;
        let (endpoints, host) = (dialled.endpoints.clone(), dialled.host.clone());
        known.state = State::Dialing;
        known.lane_up = false;
        turn.out.push(Effect::Close { link });
        turn.out.push(Effect::Open { link, endpoints, host });
    }

    /// The link on which this session was asked for, if the answer is not here yet.
    fn unanswered(&self, session: u32) -> Option<LinkId> {
        let mut links = self.links.iter();
        let asked = links.find(|(_, known)| {
            known.is_dialled() && known.state == State::Greeting && known.session == session
        });
        asked.map(|(link, _)| *link)
    }

    fn lane_up<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, link: LinkId, inbox: Vec<String>) {
        let Some(known) = self.links.get_mut(&link) else { return };
        known.lane_up = true;
        match known.state {
            State::Dialing => {
                if let Some(dialled) = known.dialled() {
                    let hello = Hello { endpoints: inbox, ..self.hello.clone() };
                    dialled.hello = Some(Box::new(hello));
                    dialled.unanswered = 0;
                }
                self.greet(turn, link);
            }
            State::Knocked => self.knocked(turn, link),
            State::Greeting | State::Deciding | State::Open => {}
        }
    }

    /// The lane back to a peer that has knocked is there: it can be answered.
    fn knocked<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, link: LinkId) {
        let Some(known) = self.links.get_mut(&link) else { return };
        let (Some(peer), Some(asked)) = (known.peer, known.asked()) else { return };
        if asked.unwelcome {
            return self.refuse(link, self.door.refusal(), turn.out);
        }
        let hello = asked.hello.clone();
        known.state = State::Deciding;
        self.events.push_back(MeshEvent::Asked { link, peer, hello });
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
        if known.is_dialled() {
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
                    State::Greeting => answer && known.is_dialled(),
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
}

#[cfg(test)]
mod tests;
