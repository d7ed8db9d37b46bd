//! The sink's part in the pipeline, as a state machine.
//!
//! Owns what follows from a frame, a reply of the recorder and the passing of time: what is taken in, the
//! credit of the workers, what is acknowledged, and the end of the run. Refuses sockets, files and
//! clocks. Nothing is acknowledged before the recorder has said that it is recorded.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proto::{
    frame::{
        End, Envelope, Failing, Frame, Hello, HelloRole, PeerId, Refusal, Report, Results, Welcome,
    },
    limits::Limits,
    ranges::RangeSet,
    role::{self, Effect, Event, LinkId},
    rules::{
        commit::{Untold, whole},
        credit::Intake,
        mesh::{Loss, Mesh, MeshEvent},
        observers::Observers,
        outbox::weight,
        patience::Patience,
    },
    service::Part,
    time::Time,
    turned_away::{TurnedAway, Unwanted},
    unit::UnitId,
};
use tracing::{error, info, warn};

use super::{
    awaited::Awaited,
    clients::Clients,
    ending::{Ending, Phase},
    requests::{Conclusion, Reply, Request, exit},
    resume_point::ResumePoint,
};
use crate::accept::{
    arrivals::{Arrival, Arrivals, Next},
    dedupe::Accept,
    entry::Entry,
    horizon::{Held, Horizon},
    pending::Pending,
};

/// Names of workers that are kept, those that are gone included.
const NAMES_MAX: usize = 16 << 10;

type Turn<'a> = role::Turn<'a, Effect<Request>>;

/// Who a frame came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// A ventilator that was welcomed.
    Ventilator,
    /// One of a service.
    Client,
    /// Anybody else with a session.
    Other,
}

/// The sink.
pub struct Sink {
    limits: Limits,
    mesh: Mesh,

    // What is committed, and of which run.
    run: ResumePoint,
    // Units that were committed before this start.
    inherited: u64,
    // The most ranges that it had.
    ranges_max: u64,
    // A stage that no unit has come through.
    failing: Option<Failing>,
    // Something is committed, or the run has come further, and the ventilators do not know yet.
    has_news: bool,
    untold: Untold,

    // What is taken in, and how far ahead units may be sent.
    accept: Accept,
    horizon: Horizon,
    intake: Intake,
    pending: Pending,
    awaited: Awaited,

    // Who is here.
    names: BTreeMap<PeerId, Arc<str>>,
    arrivals: Arrivals,
    // Mostly one. A dead one's lane may reach its successor, whatever came first.
    ventilators: Vec<LinkId>,
    lonely: Patience,
    // Workers that have said goodbye, and wait to hear that everything that they sent is recorded.
    leavers: Vec<LinkId>,
    observers: Observers,
    // Of a service.
    clients: Option<Clients>,

    ending: Ending,
}

impl Sink {
    /// A sink for a run that stands where `run` says. `me` is drawn at random once a start.
    pub fn new(
        me: PeerId,
        hello: Hello,
        limits: Limits,
        run: ResumePoint,
    ) -> (Self, Vec<Effect<Request>>) {
        let mut mesh = Mesh::new(me, hello, &limits);
        mesh.join(run.run);
        let mut horizon = Horizon::new(&limits, run.committed.len());
        if run.plan.is_some() {
            horizon.keep_promise(run.window_units.unwrap_or_default());
        }
        let mut sink = Self {
            mesh,
            inherited: run.committed.len(),
            ranges_max: 0,
            failing: None,
            has_news: false,
            untold: Untold::default(),
            accept: Accept::new(run.committed.clone()),
            horizon,
            // Outcomes are taken in as fast as they can be recorded; what may wait in order is
            // bounded by the horizon.
            intake: Intake::new(
                limits.intake_units_max.saturating_mul(4),
                limits.window_bytes_max / 2,
            ),
            pending: Pending::default(),
            awaited: Awaited::default(),
            names: BTreeMap::new(),
            arrivals: Arrivals::default(),
            ventilators: Vec::new(),
            lonely: Patience::default(),
            leavers: Vec::new(),
            observers: Observers::default(),
            clients: None,
            ending: Ending::new(run.units),
            run,
            limits,
        };
        let mut out = Vec::new();
        // A sink that died between the last commit and its goodbyes has only these to do.
        sink.close_if_all(&mut Turn::new(Time::default(), &mut out));
        (sink, out)
    }

    /// Units come from clients, who fetch their outcomes here; so many may wait for their turn.
    pub fn serve_clients(&mut self, queue_units_max: u64) {
        self.clients = Some(Clients::new(self.limits.window_bytes_max / 2));
        self.horizon.reach_ahead(queue_units_max.max(self.run.window_units.unwrap_or_default()));
    }

    /// Units that wait for the recorder, and their bytes.
    pub fn intake(&self) -> (usize, usize) {
        self.pending.weight()
    }

    /// What it has turned away so far.
    pub fn turned_away(&self) -> &TurnedAway {
        self.mesh.turned_away()
    }

    /// Units that it has let be sent and that are not committed.
    pub fn in_flight(&self) -> u64 {
        self.horizon.told().saturating_sub(self.run.committed.len())
    }

    /// Every unit that is committed.
    pub fn committed(&self) -> &RangeSet {
        &self.run.committed
    }

    /// Units below this one have been let be sent, by this sink or by those before it.
    pub fn takes_below(&self) -> UnitId {
        self.horizon.takes_below()
    }

    fn mesh_event(&mut self, event: MeshEvent, turn: &mut Turn<'_>) {
        match event {
            MeshEvent::Asked { link, peer, hello } => self.asked(link, peer, *hello, turn),
            MeshEvent::Broken { link, loss, .. } => self.broken(link, loss, turn),
            MeshEvent::Frame { link, frame } => self.heard(link, frame, turn),
            MeshEvent::Stray(envelope) => self.heard_stray(envelope, turn),
            _ => {}
        }
    }

    fn sender(&self, link: LinkId) -> Sender {
        match link {
            ventilator if self.ventilators.contains(&ventilator) => Sender::Ventilator,
            client if self.clients.as_ref().is_some_and(|clients| clients.has(client)) => {
                Sender::Client
            }
            _ => Sender::Other,
        }
    }

    /// What a frame means: who sent it and what it is decide that, here and nowhere else. Those that
    /// are not named only go the other way, or are the mesh's.
    fn heard(&mut self, link: LinkId, frame: Frame, turn: &mut Turn<'_>) {
        match (self.sender(link), frame) {
            // A ventilator has outcomes too: units that it has given up.
            (Sender::Ventilator | Sender::Other, Frame::Results(results)) => {
                self.heard_results(link, results, turn);
            }
            (Sender::Ventilator, Frame::Concurrency(units)) => {
                self.horizon.serve(units.into());
                self.has_news = true;
            }
            (Sender::Ventilator, Frame::End(end)) => {
                self.ending.ends_at(end, self.mesh.peer(link));
            }
            (Sender::Ventilator, Frame::Tally(tally)) => self.ending.tally = Some(*tally),
            (Sender::Ventilator, Frame::Bye) => self.ventilator_leaves(link, turn),
            (Sender::Client, Frame::Await(units)) => {
                turn.request(Request::Await { link, units });
            }
            (Sender::Client, Frame::Fetched(units)) => turn.request(Request::Fetched(units)),
            (Sender::Client, Frame::Follow(unit)) => self.follow(link, unit, turn),
            (Sender::Other, Frame::Part(part)) => self.heard_part(link, part, turn),
            (Sender::Client, Frame::Bye) => {
                self.client_left(link, turn);
                self.mesh.send(link, Frame::Bye, turn.out);
                self.mesh.hang_up(link, turn.out);
            }
            (Sender::Other, Frame::Bye) => self.leavers.push(link),
            (Sender::Ventilator | Sender::Client | Sender::Other, _) => {}
        }
    }

    fn heard_results(&mut self, link: LinkId, results: Results, turn: &mut Turn<'_>) {
        let (units, bytes) = weight(&results);
        if self.intake.received(link, units, bytes) {
            self.take(link, self.mesh.peer(link), results, turn);
        } else {
            warn!("a worker does not keep to its credit; it has to begin anew");
            self.mesh.overdrawn(turn, link);
        }
    }

    /// A look at what a unit has given so far. It is passed on at once, so credit for it comes back at once.
    fn heard_part(&mut self, link: LinkId, part: Part, turn: &mut Turn<'_>) {
        let bytes = part.values.len();
        if !self.intake.received(link, 0, bytes) {
            warn!("a worker does not keep to its credit; it has to begin anew");
            return self.mesh.overdrawn(turn, link);
        }
        self.intake.processed(link, 0, bytes);
        let is_open = part.unit < self.takes_below() && !self.run.committed.contains(part.unit);
        if let Some(clients) = self.clients.as_mut().filter(|_| is_open)
            && let Some((new, followers)) = clients.streams.take(part)
        {
            for follower in followers {
                self.mesh.send(*follower, Frame::Part(new.clone()), turn.out);
            }
        }
    }

    fn follow(&mut self, link: LinkId, unit: UnitId, turn: &mut Turn<'_>) {
        let is_open = unit < self.takes_below() && !self.run.committed.contains(unit);
        if let Some(clients) = self.clients.as_mut().filter(|_| is_open) {
            for part in clients.streams.follow(link, unit) {
                self.mesh.send(link, Frame::Part(part.clone()), turn.out);
            }
        }
    }

    /// A worker that was given up for dead has done its work all the same. Nothing bounds what comes
    /// from it, so it is heard only while there is room; others do its units anyway.
    fn heard_stray(&mut self, envelope: Envelope, turn: &mut Turn<'_>) {
        let ours = envelope.run == self.run.run;
        let room = self.pending.bytes() < self.limits.window_bytes_max;
        match envelope.frame {
            Frame::Results(results) if ours && room => {
                self.take(LinkId::MAX, Some(envelope.from), results, turn);
            }
            _ => self.mesh.turn_away(Unwanted::Stray),
        }
    }

    fn asked(&mut self, link: LinkId, peer: PeerId, hello: Hello, turn: &mut Turn<'_>) {
        match hello.role {
            HelloRole::Ventilator { plan, run, stages } => {
                if run != 0 && run != self.run.run {
                    // It will see that this is another run, and say what that means.
                    warn!("a ventilator of another run has called");
                }
                self.ending.begin(turn.now);
                info!(peer = %hello.name, "worker joined");
                self.remember(peer, hello.name);
                self.arrivals.retain(|known| self.mesh.peer(known).is_some());
                self.arrivals.add(Arrival { link, ventilator: peer, plan, stages });
                self.answer_arrivals(turn);
            }
            HelloRole::Worker { .. } => {
                self.remember(peer, hello.name);
                self.mesh.welcome(link, Welcome::Peer, turn.out);
                self.intake.join(link);
            }
            HelloRole::Client { .. } => match &mut self.clients {
                Some(clients) => {
                    clients.join(link);
                    self.mesh.welcome(link, Welcome::Peer, turn.out);
                }
                None => self.mesh.refuse(link, Refusal::NoService, turn.out),
            },
            HelloRole::Observer => {
                self.mesh.welcome(link, Welcome::Peer, turn.out);
                self.observers.join(link);
                // At once: a launcher has to see that a run gets on whose sink never lives long.
                self.mesh.send(link, Frame::Report(Box::new(self.progress(turn.now))), turn.out);
            }
        }
    }

    /// Names outlive sessions, since results do; but not without end.
    fn remember(&mut self, peer: PeerId, name: String) {
        if self.names.len() >= NAMES_MAX {
            self.names.pop_first();
        }
        self.names.insert(peer, name.into());
    }

    /// Answers the ventilators that have said Hello, one after the other, as far as what the
    /// answer counts on is recorded.
    fn answer_arrivals(&mut self, turn: &mut Turn<'_>) {
        while let Some(next) = self.arrivals.next(self.run.plan.as_deref()) {
            match next {
                Next::Refuse(link) => self.mesh.refuse(link, Refusal::OtherPlan, turn.out),
                Next::Welcome(link) => self.welcome_ventilator(link, turn),
                Next::Record(Arrival { ventilator, plan, stages, .. }) => {
                    info!("recording that the run begins");
                    let committed = self.run.committed.len();
                    let window_units = self.limits.window_units_max;
                    turn.request(Request::Begin {
                        ventilator,
                        committed,
                        plan,
                        stages,
                        window_units,
                    });
                }
            }
        }
    }

    fn begun(&mut self, turn: &mut Turn<'_>) {
        if let Some(plan) = self.arrivals.recorded() {
            self.run.plan = Some(plan);
        }
        self.answer_arrivals(turn);
        self.end_if_alone();
    }

    fn welcome_ventilator(&mut self, link: LinkId, turn: &mut Turn<'_>) {
        if self.mesh.peer(link).is_none() {
            return;
        }
        self.ventilators.push(link);
        self.ending.lost = None;
        self.forget_end_of_others();
        let (horizon, epoch) = (self.move_horizon(), self.run.epoch);
        let mut parts = whole(&self.run.committed, horizon, self.ending.is_complete()).into_iter();
        let commit = parts.next().unwrap_or_default();
        self.mesh.welcome(link, Welcome::Resume { commit, epoch }, turn.out);
        for part in parts {
            self.mesh.send(link, Frame::Commit(part), turn.out);
        }
        self.intake.join(link);
        if self.ending.is_draining {
            self.mesh.send(link, Frame::Leaving, turn.out);
        }
    }

    fn forget_end_of_others(&mut self) {
        let there = self.ventilators.iter().map(|link| self.mesh.peer(*link));
        self.ending.forget_end_of_others(there);
    }

    fn ventilator_leaves(&mut self, link: LinkId, turn: &mut Turn<'_>) {
        self.lose_ventilator(link);
        self.intake.leave(link);
        self.mesh.send(link, Frame::Bye, turn.out);
        self.mesh.hang_up(link, turn.out);
        match self.ending.phase {
            Phase::Closed { .. } => self.conclude(turn),
            Phase::Running => self.abandon_if_left(turn),
            Phase::Closing => self.ending.has_parted = true,
            Phase::Concluding | Phase::Concluded => {}
        }
    }

    /// A ventilator that was asked to end says goodbye before everything is done when no worker is
    /// left who could do it: the run stops with what is recorded.
    fn abandon_if_left(&mut self, turn: &mut Turn<'_>) {
        let left = self.ventilators.is_empty() && self.arrivals.is_empty();
        if left && self.ending.end().is_some_and(|end| end.drained) {
            self.ending.is_abandoned = true;
            self.ending.phase = Phase::Closing;
            turn.request(Request::Close { units: None });
        }
    }

    /// Answers the goodbyes of those of whom nothing is left to be recorded.
    fn let_go(&mut self, turn: &mut Turn<'_>) {
        let (stay, go): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leavers).into_iter().partition(|link| self.pending.has(*link));
        self.leavers = stay;
        for link in go {
            self.intake.leave(link);
            self.observers.leave(link);
            self.mesh.send(link, Frame::Bye, turn.out);
            self.mesh.hang_up(link, turn.out);
        }
    }

    fn broken(&mut self, link: LinkId, loss: Loss, turn: &mut Turn<'_>) {
        self.intake.leave(link);
        self.leavers.retain(|leaver| *leaver != link);
        self.observers.leave(link);
        self.client_left(link, turn);
        let was_one = self.lose_ventilator(link);
        self.forget_end_of_others();
        if !was_one || !self.ventilators.is_empty() {
            return;
        }
        if self.ending.is_draining {
            self.ending.lost = Some(turn.now);
        }
        match self.ending.phase {
            // One that is cut off or on its way back has still to be told.
            Phase::Closed { .. } if loss == Loss::Disconnected && !self.run.durable => {
                self.conclude(turn);
            }
            Phase::Running | Phase::Closing | Phase::Closed { .. } => {
                warn!(?loss, "lost the ventilator; waiting for it");
            }
            Phase::Concluding | Phase::Concluded => {}
        }
    }

    fn client_left(&mut self, link: LinkId, turn: &mut Turn<'_>) {
        if self.clients.as_mut().is_some_and(|clients| clients.leave(link)) {
            turn.request(Request::ClientLeft(link));
        }
    }

    /// Whether it was one.
    fn lose_ventilator(&mut self, link: LinkId) -> bool {
        let before = self.ventilators.len();
        self.ventilators.retain(|known| *known != link);
        self.ventilators.len() < before
    }

    /// Takes in what is new of these outcomes, and asks for it to be recorded.
    fn take(&mut self, link: LinkId, peer: Option<PeerId>, results: Results, turn: &mut Turn<'_>) {
        let (units, bytes) = weight(&results);
        if self.ending.is_abandoned {
            // The outputs are closed, or about to be; what is not recorded is not acknowledged.
            return self.mesh.turn_away(Unwanted::Stray);
        }
        let name =
            peer.and_then(|peer| self.names.get(&peer).cloned()).unwrap_or_else(|| "?".into());
        let allowed = self.takes_below();
        if reach(&results) > allowed {
            return self.unpromised(link, turn);
        }
        let end = self.ending.end().map_or(allowed, |end| end.units.min(allowed));
        let entries = self.accept.take(results, &name, end);
        if entries.is_empty() {
            self.intake.processed(link, units, bytes);
            return;
        }
        let new: u64 = entries.iter().map(|entry| entry.count).sum();
        self.horizon.learn(new, entries.iter().map(Entry::bytes).sum());
        let ranges = entries.iter().map(|entry| (entry.first, entry.first + entry.count)).collect();
        let number = self.pending.add(turn.now, link, ranges, (units, bytes));
        let duplicates = self.accept.duplicates();
        turn.request(Request::Record { number, entries, duplicates });
    }

    /// Outcomes of units that no sink has let be sent are not taken, and must not count as taken:
    /// with the session, its sender forgets that it has sent them.
    fn unpromised(&mut self, link: LinkId, turn: &mut Turn<'_>) {
        if self.mesh.is_open(link) {
            warn!("a worker sends outcomes of units beyond the window; it has to begin anew");
            self.mesh.overdrawn(turn, link);
        } else {
            self.mesh.turn_away(Unwanted::Stray);
        }
    }

    fn reply(&mut self, reply: Reply, turn: &mut Turn<'_>) {
        match reply {
            Reply::Begun => self.begun(turn),
            Reply::Recorded { number, waiting, waiting_bytes, dead } => {
                self.pending.hold(waiting_bytes);
                self.run.dead = dead;
                self.recorded(number, &waiting);
                let unit = self.run.committed.watermark();
                self.awaited.note(turn.now, unit, waiting_bytes);
            }
            Reply::Closed => self.closed(turn),
            Reply::Concluded(summary) => self.concluded(&summary, turn),
            Reply::Failing(failing) => self.failing = failing,
            Reply::Outcomes(link, outcomes) => {
                self.mesh.send(link, Frame::Outcomes(outcomes), turn.out);
            }
            Reply::Kept(units, bytes) => {
                if let Some(clients) = &mut self.clients {
                    clients.keeps(units, bytes);
                }
            }
            Reply::ReaderGone => self.drain(turn),
            Reply::Failed(problem) => {
                error!(%problem, "cannot record any further");
                self.ending.exit = Some(exit::OUTPUT);
            }
        }
    }

    /// Up to this batch everything is safe but what waits: now it may be acknowledged.
    fn recorded(&mut self, number: u64, waiting: &[u64]) {
        let Self { pending, run, untold, intake, clients, .. } = self;
        pending.recorded(number, waiting, |batch| {
            for (start, end) in &batch.ranges {
                untold.add(run.committed.insert(*start..*end));
                clients.iter_mut().for_each(|all| all.streams.committed(*start..*end));
            }
            intake.processed(batch.link, batch.units, batch.bytes);
        });
        self.ranges_max = self.ranges_max.max(self.run.committed.ranges() as u64);
        self.has_news = true;
    }

    fn closed(&mut self, turn: &mut Turn<'_>) {
        self.ending.close(turn.now);
        self.has_news = true;
        // A ventilator that is on its way back has still to be told; nobody else is.
        let Ending { is_draining, is_abandoned, has_parted, .. } = self.ending;
        let over = is_draining || is_abandoned || has_parted || !self.run.durable;
        if self.ventilators.is_empty() && over {
            self.conclude(turn);
        }
    }

    /// Where the ventilator must stop, now that so much is committed.
    fn move_horizon(&mut self) -> UnitId {
        let committed = &self.run.committed;
        let held = Held {
            incomplete_bytes: self.accept.open_bytes(),
            waiting_bytes: self.pending.waiting_bytes(),
        };
        self.horizon.update(committed.watermark(), committed.len(), held)
    }

    fn conclude(&mut self, turn: &mut Turn<'_>) {
        self.ending.phase = Phase::Concluding;
        let committed = &self.run.committed;
        let end = self.ending.end();
        let end = end.unwrap_or(End { units: committed.watermark(), drained: true });
        turn.request(Request::Conclude(Box::new(Conclusion {
            units: end.units,
            committed_here: committed.len() - self.inherited,
            drained: end.drained,
            duplicates: self.accept.duplicates(),
            ranges_max: self.ranges_max,
            elapsed: self.ending.elapsed(),
            turned_away: *self.mesh.turned_away(),
            tally: self.ending.tally.take(),
        })));
    }

    fn concluded(&mut self, summary: &str, turn: &mut Turn<'_>) {
        self.ending.phase = Phase::Concluded;
        let code = self.ending.code(self.run.dead);
        let report = Report {
            finished: Some(code),
            summary: Some(summary.to_owned()),
            ..self.progress(turn.now)
        };
        for link in self.observers.links() {
            self.mesh.send(link, Frame::Report(Box::new(report.clone())), turn.out);
            self.mesh.send(link, Frame::Bye, turn.out);
        }
        self.ending.exit = Some(code);
    }

    fn progress(&self, now: Time) -> Report {
        Report {
            awaited: self.awaited.report(now),
            total: self.ending.end().map(|end| end.units),
            committed: self.run.committed.len(),
            dead: self.run.dead,
            failing: self.failing.clone(),
            service: self.clients.as_ref().map(Clients::standing),
            ..Report::default()
        }
    }

    /// The ventilator reads no further; the run ends with what has begun.
    fn drain(&mut self, turn: &mut Turn<'_>) {
        if self.ending.is_draining {
            return;
        }
        self.ending.is_draining = true;
        info!("draining: what has begun is finished");
        for link in &self.ventilators {
            self.mesh.send(*link, Frame::Leaving, turn.out);
        }
        self.end_if_alone();
    }

    /// A run that was asked to end and has no ventilator ends here. One that is about to be answered is
    /// told then, and says itself where it stops, unless it has gone by then.
    fn end_if_alone(&mut self) {
        if self.ending.is_draining && self.ventilators.is_empty() && self.arrivals.is_empty() {
            let units = self.run.committed.watermark();
            self.ending.ends_at(End { units, drained: true }, None);
        }
    }

    /// The ventilator does not come back: it was asked to end as well, before it had met this sink.
    fn give_up(&mut self, turn: &mut Turn<'_>) {
        match self.ending.lost.take() {
            Some(_) if self.ending.phase == Phase::Running => self.end_if_alone(),
            _ => self.conclude(turn),
        }
    }

    fn close_if_all(&mut self, turn: &mut Turn<'_>) {
        if let Some(end) = self.ending.is_reached(self.run.committed.watermark()) {
            self.ending.phase = Phase::Closing;
            turn.request(Request::Close { units: (!end.drained).then_some(end.units) });
        }
    }

    /// A process that waits says so, and for whom.
    fn look_for_ventilator(&mut self, now: Time) {
        let waits = self.ending.phase == Phase::Running && self.ending.exit.is_none();
        if !waits || !self.ventilators.is_empty() || !self.arrivals.is_empty() {
            self.lonely.met();
        } else if let Some(lasted) = self.lonely.told(now) {
            let seconds = lasted.as_secs();
            warn!(
                seconds,
                "no ventilator is here; waiting for one, which needs this sink's endpoint as its --sink"
            );
        }
    }

    /// What follows from the state, whatever the event was.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        if let Some(code) = self.ending.exit {
            turn.exit(code);
            return;
        }
        if self.ending.gives_up_at(self.patience()).is_some_and(|at| at <= turn.now) {
            self.give_up(turn);
        }
        self.close_if_all(turn);
        if self.pending.becomes_late(turn.now) {
            turn.request(Request::LogWaiting);
        }
        self.let_go(turn);
        if self.clients.as_mut().is_some_and(|clients| clients.is_due(turn.now)) {
            turn.request(Request::Expire);
        }
        for (link, credit) in self.intake.grants() {
            self.mesh.grant(link, credit, turn.out);
        }
        self.tell_ventilators(turn);
        self.tell_observers(turn);
        self.tell_awaited(turn.now);
    }

    fn tell_ventilators(&mut self, turn: &mut Turn<'_>) {
        if !self.has_news || self.ventilators.is_empty() {
            return;
        }
        self.has_news = false;
        let horizon = self.move_horizon();
        let parts = self.untold.take(&self.run.committed, horizon, self.ending.is_complete());
        for link in &self.ventilators {
            for part in &parts {
                self.mesh.send(*link, Frame::Commit(part.clone()), turn.out);
            }
        }
    }

    fn tell_observers(&mut self, turn: &mut Turn<'_>) {
        for link in self.observers.due(turn.now) {
            self.mesh.send(link, Frame::Report(Box::new(self.progress(turn.now))), turn.out);
        }
    }

    /// Nobody watches who would show it.
    fn tell_awaited(&mut self, now: Time) {
        let told = self.awaited.told(now);
        if let Some((unit, lasted)) = told.filter(|_| self.observers.links().next().is_none()) {
            let seconds = lasted.as_secs();
            warn!(unit, seconds, "the output waits for this unit; results of later ones are kept");
        }
    }

    /// How long a ventilator is waited for that knows more of a run than this sink.
    fn patience(&self) -> Duration {
        Duration::from_millis(2 * self.limits.liveness_ms + 1)
    }
}

/// The first unit beyond all that results are of.
pub fn reach(results: &Results) -> UnitId {
    let spans = results.units.spans().iter().chain(&results.filtered);
    let dead = results.dead.iter().map(|dead| dead.root.saturating_add(1));
    spans.map(|span| span.roots().end).chain(dead).max().unwrap_or_default()
}

impl role::Role for Sink {
    type Request = Request;
    type Reply = Reply;

    fn handle(&mut self, now: Time, event: Event<Reply>, out: &mut Vec<Effect<Request>>) {
        if self.ending.exit.is_some() {
            return;
        }
        let mut turn = Turn::new(now, out);
        match self.mesh.handle(&mut turn, event) {
            Some(Event::Reply(reply)) => self.reply(reply, &mut turn),
            Some(Event::Drain) => self.drain(&mut turn),
            _ => {}
        }
        while let Some(event) = self.mesh.poll() {
            self.mesh_event(event, &mut turn);
        }
        self.advance(&mut turn);
        self.look_for_ventilator(now);
    }

    fn deadline(&self) -> Option<Time> {
        let report = self.observers.deadline();
        let gives_up = self.ending.gives_up_at(self.patience());
        let (late, awaited) = (self.pending.late_at(), self.awaited.due());
        let clients = self.clients.as_ref().map(Clients::due);
        [self.mesh.deadline(), report, gives_up, late, awaited, self.lonely.due(), clients]
            .into_iter()
            .flatten()
            .min()
    }
}
