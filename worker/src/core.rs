//! A worker's part in the pipeline, as a state machine.
//!
//! Owns what a frame means, depending on who it comes from, what the worker is part of, and its
//! leaving. Towards its senders it is a receiver: that is `parcels`. Towards the workers of
//! the next stage, if there is one, and the sink it is a sender, the same as the ventilator.
//! Refuses sockets, threads and the function itself.

use std::time::Duration;

use proto::{
    frame::{
        Contact, Envelope, Frame, Hello, HelloRole, PeerId, Plan, Refusal, Report, Results, RunId,
        Running, Welcome,
    },
    limits::Limits,
    net::endpoint::seen_from,
    ranges::RangeSet,
    role::{Effect, Event, LinkId},
    rules::{
        dispatch::Dispatch,
        downstream::Downstream,
        mesh::{Loss, Mesh, MeshEvent},
        patience::Patience,
    },
    service::Part,
    time::Time,
    turned_away::Unwanted,
};
use tracing::{error, info, warn};

pub use crate::request::{Busy, Reply, Request, Share, Ticket};
use crate::{
    chronicle::Chronicle,
    figures::Figures,
    parcels::{Finished, Parcels, Room},
    product::Product,
    receivers::{Met, Receivers},
    request::Turn,
};

/// How long a worker that leaves waits for the ventilator to have heard it.
const PARTING: Duration = Duration::from_secs(2);

/// How long a ventilator is waited for that was there a moment ago.
const INHERITED: Duration = Duration::from_secs(10);

/// Exit codes of a worker.
pub mod exit {
    /// The run is over, or the worker was asked to leave and has handed everything over.
    pub const LEFT: i32 = 0;
    /// The ventilator has no place for it.
    pub const REFUSED: i32 = 64;
    /// Its function cannot work here, or no ventilator has answered for too long.
    pub const UNFIT: i32 = 69;
    /// It has left, for another worker to take its place in this process. No process ends with it.
    pub const REPLACED: i32 = -1;
}

/// Who a frame comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    /// The ventilator; it sends units as well, if this worker is of the first stage.
    Ventilator,
    Sink,
    /// A worker of a stage before.
    Sender,
    /// A worker of a stage that comes next.
    Receiver,
    /// A peer that is none of these, any more or yet.
    Nobody,
}

/// Where the ventilator is, and how long it has been waited for.
#[derive(Debug)]
struct Home {
    link: LinkId,
    // Where that is, for people.
    at: String,
    patience: Patience,
    give_up_after: Option<Duration>,
    // It was there a moment ago, for the worker before this one.
    inherited: bool,
    // Which start of it said what to be.
    planned_by: Option<PeerId>,
}

/// What the worker is part of.
struct Membership {
    plan: Box<Plan>,
    downstream: Downstream<Chronicle>,
    // The stage that outputs are for; none if they are results.
    next: Option<u32>,
    receivers: Receivers,
}

/// The way out of a run that was asked to end. What is done is handed over to the sink, also of units
/// that others will not complete any more and that will never be committed: so it is not the commits
/// that say that the sink has it, but its goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handover {
    /// Something is still worked on, or on its way to the sink.
    Due,
    /// The sink was sent everything in this session, and was told so.
    Told,
    /// The sink has it all.
    Heard,
}

/// A worker.
pub struct WorkerRole {
    mesh: Mesh,
    home: Home,
    membership: Option<Membership>,
    // Workers that asked before it knew what it is.
    early: Vec<LinkId>,
    parcels: Parcels,
    figures: Figures,
    chronicle: Chronicle,
    // The run was asked to end: what is left of it is for whoever goes on.
    handover: Option<Handover>,
    // What the ventilator was told last that is worked on then.
    told_running: Option<(u64, Time)>,
    // Everything is said; the ventilator has to say that it heard.
    parting: Option<Time>,
    // What it leaves with then.
    parting_code: i32,
    exit: Option<i32>,
}

type Effects = Vec<Effect<Request>>;

impl WorkerRole {
    /// A worker that looks for its ventilator. `me` is drawn at random once a start, and so
    /// numbers this start's executions.
    pub fn new(me: PeerId, hello: Hello, ventilator: Vec<String>) -> (Self, Effects) {
        let limits = Limits::default();
        let figures = Figures::new(hello.name.clone());
        let mut mesh = Mesh::new(me, hello, &limits);
        let mut out = Effects::new();
        let at = ventilator.join(", ");
        let link = mesh.dial(ventilator, None, &mut out);
        let worker = Self {
            mesh,
            home: Home {
                link,
                at,
                patience: Patience::default(),
                give_up_after: None,
                inherited: false,
                planned_by: None,
            },
            membership: None,
            early: Vec::new(),
            parcels: Parcels::new(&limits, me),
            figures,
            chronicle: Chronicle::default(),
            handover: None,
            told_running: None,
            parting: None,
            parting_code: exit::LEFT,
            exit: None,
        };
        (worker, out)
    }

    /// Leaves when no ventilator has answered for so long; otherwise it waits for ever.
    pub fn give_up_after(&mut self, patience: Duration) {
        self.home.give_up_after = Some(patience);
    }

    /// When it is asked to leave, it waits no longer than that for units that are worked on.
    pub fn grace(&mut self, grace: Duration) {
        self.parcels.grace(grace);
    }

    /// What becomes of units that it sends to other workers is to be noted, with [`Request::Note`].
    pub fn keep_diary(&mut self) {
        self.chronicle = Chronicle::Written;
    }

    /// Takes the place of a worker that had met the ventilator. If that is gone, so is the run: it may have
    /// ended in between, and who is not part of it is not told.
    pub fn inherit(&mut self) {
        self.home.inherited = true;
    }

    /// Units that it was sent and has not done, and bytes of their values.
    pub fn intake(&self) -> (usize, usize) {
        self.parcels.intake()
    }

    /// The units for each stage that it sends to, and who has them.
    pub fn stages(&self) -> impl Iterator<Item = &Dispatch> {
        self.membership.iter().flat_map(|member| member.downstream.stages())
    }

    /// What it knows to be committed, once it is part of a run.
    pub fn committed(&self) -> Option<&RangeSet> {
        self.membership.as_ref().map(|member| member.downstream.committed().set())
    }

    /// Bytes that are on their way downstream, or kept until they are committed.
    pub fn kept_bytes(&self) -> usize {
        self.membership.as_ref().map_or(0, Membership::kept_bytes)
    }

    fn mesh_event(&mut self, turn: &mut Turn<'_>, event: MeshEvent) {
        match event {
            MeshEvent::Asked { link, hello, .. } => self.asked(turn, link, &hello.role),
            MeshEvent::Opened { link, welcome, run } => self.opened(turn, link, *welcome, run),
            MeshEvent::Refused { link, refusal } => self.refused(link, &refusal),
            MeshEvent::Broken { link, loss, .. } => self.broken(turn, link, loss),
            // It may be stopped, or only late: others are given its units too.
            MeshEvent::Quiet { link, since } => self.send(|to, _| to.quiet(link, since)),
            MeshEvent::Back { link } => self.send(|to, mesh| to.back(turn, mesh, link)),
            MeshEvent::Frame { link, frame } => self.heard(turn, link, frame),
            MeshEvent::Stray(envelope) => self.heard_stray(turn, &envelope),
        }
    }

    fn speaker(&self, link: LinkId) -> Speaker {
        let member = self.membership.as_ref();
        if link == self.home.link {
            Speaker::Ventilator
        } else if self.parcels.senders().contains(&link) {
            Speaker::Sender
        } else if member.is_some_and(|member| member.downstream.sink() == link) {
            Speaker::Sink
        } else if member.is_some_and(|member| member.receivers.has(link)) {
            Speaker::Receiver
        } else {
            Speaker::Nobody
        }
    }

    /// All that is ever said to a worker. What is not here means nothing from that peer.
    fn heard(&mut self, turn: &mut Turn<'_>, link: LinkId, frame: Frame) {
        use Speaker::{Nobody, Receiver, Sender, Sink, Ventilator};
        match (self.speaker(link), frame) {
            (Ventilator, Frame::Roster(contacts)) => self.roster(turn, contacts),
            (Ventilator, Frame::Commit(commit)) => {
                self.send(|to, _| _ = to.commit(turn, &commit));
                if let Some(member) = &self.membership {
                    self.parcels.committed(member.downstream.committed().set());
                }
            }
            (Ventilator, Frame::End(_)) => self.send(|to, _| to.ending()),
            (Ventilator, Frame::Leaving) => self.finish(turn),
            (Ventilator, Frame::Code(code)) => turn.request(Request::Define(code)),
            (Ventilator, Frame::Stop) => self.leave(turn, exit::LEFT),
            (Ventilator, Frame::Bye) if self.parting.is_some() => {
                self.exit = Some(self.parting_code);
            }
            (Ventilator | Sender, Frame::Work(work)) => {
                self.parcels.take(turn, &mut self.mesh, link, work);
            }
            (Ventilator | Sender, Frame::Retract(parcel)) => {
                self.parcels.retract(turn, &mut self.mesh, link, parcel);
            }
            (Ventilator | Sender, Frame::Bye) => {
                self.parcels.lose(turn, link);
                self.mesh.hang_up(link, turn.out);
            }
            (Sink, Frame::Credit(credit)) => self.send(|to, _| to.sink_granted(credit)),
            (Sink, Frame::Bye) if self.handover == Some(Handover::Told) => {
                self.handover = Some(Handover::Heard);
            }
            (Receiver, Frame::Credit(credit)) => self.send(|to, _| to.granted(link, credit)),
            (Receiver, Frame::Concurrency(units)) => self.send(|to, _| to.opens(link, units)),
            (Receiver, Frame::Done(done)) => self.send(|to, mesh| to.done(turn, mesh, link, &done)),
            (Receiver, Frame::Returned { parcel, keep }) => {
                self.send(|to, _| to.returned(link, parcel, keep));
            }
            (Receiver, Frame::Leaving) => self.send(|to, _| to.leaving(link)),
            (Receiver, Frame::Bye) => self.receiver_left(turn, link),
            (Ventilator | Sender | Sink | Receiver | Nobody, _) => {}
        }
    }

    /// Does something as a sender, if it is part of anything.
    fn send(&mut self, act: impl FnOnce(&mut Downstream<Chronicle>, &mut Mesh)) {
        if let Some(member) = &mut self.membership {
            act(&mut member.downstream, &mut self.mesh);
        }
    }

    /// A worker of a stage before wants to send.
    fn asked(&mut self, turn: &mut Turn<'_>, link: LinkId, role: &HelloRole) {
        match (role, &self.membership) {
            (HelloRole::Worker { .. }, Some(_)) => self.admit(turn, link),
            // Of the same ventilator, which has told it first. Who is refused asks much later again.
            (HelloRole::Worker { .. }, None) => self.early.push(link),
            _ => self.mesh.refuse(link, Refusal::OtherRun, turn.out),
        }
    }

    /// A worker of a stage before wants to send units here.
    fn admit(&mut self, turn: &mut Turn<'_>, link: LinkId) {
        let has_senders =
            self.membership.as_ref().is_some_and(|member| member.plan.stage_index > 0);
        if !has_senders || self.parcels.is_closed() {
            return self.mesh.refuse(link, Refusal::OtherRun, turn.out);
        }
        self.mesh.welcome(link, Welcome::Peer, turn.out);
        if self.mesh.is_open(link) {
            self.parcels.join(link);
        }
    }

    fn opened(&mut self, turn: &mut Turn<'_>, link: LinkId, welcome: Welcome, run: RunId) {
        if let Welcome::Plan(plan) = welcome {
            return self.planned(turn, plan, run);
        }
        let peer = self.mesh.peer(link);
        let Some(member) = &mut self.membership else { return };
        if link == member.downstream.sink() {
            self.handover = self.handover.map(|_| Handover::Due);
            return member.downstream.sink_opened();
        }
        match (member.receivers.met(link, peer), member.next) {
            (Met::Receiver(name), Some(stage)) => member.downstream.join(stage, link, name),
            (Met::Another, _) => {
                // It has, or will have, a link of its own: two of them would take the session from
                // each other.
                member.receivers.forget(link);
                self.mesh.send(link, Frame::Bye, turn.out);
                self.mesh.hang_up(link, turn.out);
            }
            (Met::Receiver(_) | Met::Nobody, _) => {}
        }
    }

    /// The ventilator says what to be.
    fn planned(&mut self, turn: &mut Turn<'_>, plan: Box<Plan>, run: RunId) {
        self.home.planned_by = self.mesh.peer(self.home.link);
        let same = self.membership.as_ref().is_some_and(|member| {
            self.mesh.run() == run && member.plan.stage_index == plan.stage_index
        });
        let is_first = plan.stage_index == 0;
        if !same {
            self.handover = None;
            self.forget(turn);
            self.mesh.join(run);
            self.mesh.adopt(&plan.limits);
            self.parcels.begin_anew(&plan.limits);
            self.figures.join(turn.now, plan.stage_index);
            turn.request(Request::Load(plan.clone()));
            let sink = seen_from(plan.sink.clone(), &self.home.at);
            let sink = self.mesh.dial(sink, None, turn.out);
            self.membership = Some(Membership::new(plan, sink, self.chronicle));
        }
        if is_first {
            self.parcels.join(self.home.link);
        }
        for link in std::mem::take(&mut self.early) {
            self.admit(turn, link);
        }
        if same {
            self.tell_open(turn);
        }
        if self.parcels.is_closed() {
            self.mesh.send(self.home.link, Frame::Leaving, turn.out);
        }
    }

    /// That the run is over is true whenever it is heard: a worker that was stopped when its
    /// ventilator left finds this behind the news of that.
    fn heard_stray(&mut self, turn: &mut Turn<'_>, envelope: &Envelope) {
        let ours = self.membership.is_some() && envelope.run == self.mesh.run();
        let known = self.home.planned_by == Some(envelope.from);
        if ours && known && envelope.frame == Frame::Stop && self.parting.is_none() {
            self.leave(turn, exit::LEFT);
        } else {
            self.mesh.turn_away(Unwanted::Stray);
        }
    }

    /// Everything that belonged to another run is void.
    fn forget(&mut self, turn: &mut Turn<'_>) {
        if let Some(member) = self.membership.take() {
            self.mesh.hang_up(member.downstream.sink(), turn.out);
            for link in member.receivers.links() {
                self.mesh.hang_up(link, turn.out);
            }
        }
        for link in self.parcels.senders().to_vec() {
            self.parcels.lose(turn, link);
            if link != self.home.link {
                self.mesh.hang_up(link, turn.out);
            }
        }
    }

    fn refused(&mut self, link: LinkId, refusal: &Refusal) {
        if link == self.home.link {
            error!(%refusal, "the ventilator has no place for this worker");
            self.exit = Some(exit::REFUSED);
        }
    }

    fn broken(&mut self, turn: &mut Turn<'_>, link: LinkId, loss: Loss) {
        if self.parting.is_some() {
            // Nobody but the ventilator is waited for, and now not even it.
            if link == self.home.link {
                self.exit = Some(self.parting_code);
            }
            return;
        }
        if link == self.home.link {
            warn!(?loss, "lost the ventilator; waiting for it");
        }
        if self.parcels.senders().contains(&link) {
            self.parcels.lose(turn, link);
        }
        let Some(member) = &mut self.membership else { return };
        if link == member.downstream.sink() {
            warn!(?loss, "lost the sink; waiting for it");
            member.downstream.sink_lost();
        } else {
            if let Some(worker) = member.receivers.name(link) {
                self.chronicle.lost(turn, worker, loss);
            }
            member.downstream.lost(turn, &mut self.mesh, link, loss);
        }
    }

    /// The workers of the next stage.
    fn roster(&mut self, turn: &mut Turn<'_>, contacts: Vec<Contact>) {
        if let Some(member) = &mut self.membership {
            member.receivers.meet(turn, &mut self.mesh, contacts, &self.home.at);
        }
    }

    fn receiver_left(&mut self, turn: &mut Turn<'_>, link: LinkId) {
        if let Some(member) = &mut self.membership {
            member.downstream.lost(turn, &mut self.mesh, link, Loss::Replaced);
            member.receivers.forget(link);
            self.mesh.hang_up(link, turn.out);
        }
    }

    fn reply(&mut self, turn: &mut Turn<'_>, reply: Reply) {
        match reply {
            Reply::Loaded { open } => {
                self.parcels.loaded(open);
                self.tell_open(turn);
            }
            Reply::Several(replies) => {
                replies.into_iter().for_each(|reply| self.reply(turn, reply));
            }
            Reply::Unfit(problem) => {
                error!(%problem, "the function cannot work here");
                self.exit = Some(exit::UNFIT);
            }
            // Unless it was asked to leave meanwhile.
            Reply::Replaced if self.parcels.is_closed() => self.leave(turn, exit::LEFT),
            Reply::Replaced => self.leave(turn, exit::REPLACED),
            Reply::Truncated { ticket, keep } => {
                self.parcels.truncated(turn, &mut self.mesh, ticket, keep);
            }
            Reply::Product { ticket, product, finished } => {
                self.produced(turn.now, ticket, product, finished);
            }
            Reply::Part(part) => self.show(turn, part),
        }
    }

    /// What a unit gave so far is shown if the sink takes it now: it is a look ahead, and comes again with
    /// the outcome.
    fn show(&mut self, turn: &mut Turn<'_>, part: Part) {
        if let Some(member) = &mut self.membership
            && member.downstream.spend(part.values.len())
        {
            self.mesh.send(member.downstream.sink(), Frame::Part(part), turn.out);
        }
    }

    /// The ventilator hears of it also where others send the units.
    fn tell_open(&mut self, turn: &mut Turn<'_>) {
        if let Some(units) = self.parcels.open() {
            self.mesh.send(self.home.link, Frame::Concurrency(units), turn.out);
            self.parcels.introduced(self.home.link);
        }
    }

    fn produced(&mut self, now: Time, ticket: Ticket, product: Product, finished: Option<Busy>) {
        let Some(made) = self.parcels.produced(now, ticket, product, finished) else { return };
        self.figures.made(&made.product.units);
        if let Some(member) = &mut self.membership {
            member.produced(made.attempt, made.product);
        }
        if let Some(Finished { units, failed, busy }) = made.finished {
            self.figures.finished(units, failed, busy);
        }
    }

    /// Takes no more; what is not begun goes back, what is done is handed over first.
    fn drain(&mut self, turn: &mut Turn<'_>) {
        // Who would take its place would not know of it.
        self.parting_code = exit::LEFT;
        if self.parcels.is_closed() {
            return;
        }
        info!("leaving: what has begun is finished, the rest goes back");
        self.parcels.close(turn, &mut self.mesh);
        self.mesh.send(self.home.link, Frame::Leaving, turn.out);
        for link in self.parcels.senders().iter().filter(|link| **link != self.home.link) {
            self.mesh.send(*link, Frame::Leaving, turn.out);
        }
    }

    /// The run was asked to end: what the function works on is finished, the rest goes back, and what
    /// would be for others to do is not sent.
    fn finish(&mut self, turn: &mut Turn<'_>) {
        if self.handover.is_some() {
            return;
        }
        self.handover = Some(Handover::Due);
        self.parcels.wait_for_all();
        self.drain(turn);
        self.send(|to, _| to.close());
    }

    /// Tells the sink once it was sent everything, and the ventilator what is still worked on.
    fn hand_over(&mut self, turn: &mut Turn<'_>) {
        let Some(member) = &self.membership else { return };
        let is_told = self.parcels.is_idle() && member.downstream.is_told();
        if is_told && self.handover == Some(Handover::Due) {
            self.handover = Some(Handover::Told);
            self.mesh.send(member.downstream.sink(), Frame::Bye, turn.out);
        }
        let running = self.parcels.running();
        if self.handover.is_some() && running != self.told_running {
            self.told_running = running;
            let running = running.map(|(units, since)| Running {
                units,
                longest_ms: turn.now.since(since).as_millis() as u64,
            });
            let report = Report { running, ..Report::default() };
            self.mesh.send(self.home.link, Frame::Report(Box::new(report)), turn.out);
        }
    }

    /// Nothing is left to do: says so to everyone, to the ventilator last, and goes.
    fn leave(&mut self, turn: &mut Turn<'_>, code: i32) {
        if self.parting.is_some() {
            // Who leaves for good comes back as nobody else.
            self.parting_code = if code == exit::LEFT { code } else { self.parting_code };
            return;
        }
        self.parting_code = code;
        if code != exit::REPLACED {
            self.tell_figures(turn);
        }
        let mut links = self.parcels.senders().to_vec();
        if let Some(member) = &self.membership {
            links.extend(member.receivers.links());
            links.push(member.downstream.sink());
        }
        links.retain(|link| *link != self.home.link);
        links.push(self.home.link);
        for link in links {
            self.mesh.send(link, Frame::Bye, turn.out);
        }
        self.parting = Some(turn.now);
        if !self.mesh.is_open(self.home.link) {
            self.exit = Some(code);
        }
    }

    fn tell_figures(&mut self, turn: &mut Turn<'_>) {
        let figures = self.figures.tell(turn.now, *self.mesh.turned_away());
        self.mesh.send(self.home.link, Frame::Figures(figures), turn.out);
    }

    /// A ventilator that is not there may not have been started yet, or may come back.
    fn look_for_ventilator(&mut self, now: Time) {
        let Home { link, at, patience, give_up_after, inherited, planned_by } = &mut self.home;
        if self.mesh.is_open(*link) || self.parting.is_some() {
            return patience.met();
        }
        let lasted = patience.lasted(now);
        let seconds = lasted.as_secs();
        if *inherited && planned_by.is_none() && lasted >= INHERITED {
            info!(%at, "the run has ended while this worker took another one's place");
            self.exit = Some(exit::LEFT);
        } else if give_up_after.is_some_and(|most| lasted >= most) {
            error!(%at, seconds, "no ventilator has answered; giving up");
            self.exit = Some(exit::UNFIT);
        } else if patience.told(now).is_some() {
            match self.mesh.is_reached(*link) {
                true => {
                    warn!(%at, seconds, "the ventilator is there but has no work to give yet; it waits for its sink, most likely")
                }
                false => {
                    warn!(%at, seconds, "no ventilator can be reached there; waiting for one, unless the run is over and nobody is to come")
                }
            }
        }
    }

    /// What follows from the state, whatever the event was.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        self.look_for_ventilator(turn.now);
        if self.parting.is_some_and(|since| turn.now.since(since) > PARTING) {
            self.exit = Some(self.parting_code);
        }
        if self.exit.is_none() && self.parting.is_none() {
            let room = self.membership.as_ref().map_or(Room::Free, Membership::room);
            self.parcels.execute(turn, &mut self.mesh, room);
            self.send(|to, mesh| to.send(turn, mesh));
            self.parcels.tell(turn, &mut self.mesh);
            if self.figures.are_due(turn.now) {
                self.tell_figures(turn);
            }
            if self.parcels.is_closed() && self.parcels.is_overdue(turn.now) {
                self.parcels.abandon();
            }
            self.hand_over(turn);
            if self.parcels.is_closed() && self.is_done() {
                self.leave(turn, exit::LEFT);
            }
        }
        if let Some(code) = self.exit {
            turn.exit(code);
        }
    }

    fn is_done(&self) -> bool {
        let kept = self.membership.as_ref().is_some_and(|member| !member.downstream.is_empty());
        let is_handed_over = !kept || self.handover == Some(Handover::Heard);
        self.parcels.is_idle() && is_handed_over
    }
}

impl Membership {
    fn new(plan: Box<Plan>, sink: LinkId, chronicle: Chronicle) -> Self {
        let mut downstream = Downstream::new(sink, &plan.limits, chronicle);
        let next = plan.next.as_ref().map(|stage| {
            let index = plan.stage_index.saturating_add(1);
            downstream.feed(index, stage, &plan.limits);
            index
        });
        Self { plan, downstream, next, receivers: Receivers::default() }
    }

    fn kept_bytes(&self) -> usize {
        self.downstream.outcome_bytes() + self.downstream.unit_bytes()
    }

    /// Whether what is kept leaves room for more, and what everything may wait for if not: that is
    /// the urgent unit, once the sink has heard of all that is done.
    fn room(&self) -> Room {
        if (self.kept_bytes() as u64) < self.plan.limits.window_bytes_max {
            return Room::Free;
        }
        let urgent = self.downstream.committed().urgent();
        Room::Full { urgent: self.downstream.is_told().then_some(urgent) }
    }

    /// What was made goes to the next stage; to the sink if there is none, or if nothing was made.
    fn produced(&mut self, attempt: u32, product: Product) {
        let Product { units, filtered, timing, .. } = product;
        let stage = self.plan.stage_index;
        let mut results = Results { stage, attempt, filtered, ..Results::default() };
        match self.next {
            Some(next) => self.downstream.add(next, units),
            None => (results.units, results.timing) = (units, timing),
        }
        self.downstream.push(results);
    }
}

impl proto::role::Role for WorkerRole {
    type Request = Request;
    type Reply = Reply;

    fn handle(&mut self, now: Time, event: Event<Reply>, out: &mut Effects) {
        if self.exit.is_some() {
            return;
        }
        let turn = &mut Turn::new(now, out);
        match self.mesh.handle(turn, event) {
            Some(Event::Reply(reply)) => self.reply(turn, reply),
            Some(Event::Drain) => self.drain(turn),
            _ => {}
        }
        while let Some(event) = self.mesh.poll() {
            self.mesh_event(turn, event);
        }
        self.advance(turn);
    }

    fn deadline(&self) -> Option<Time> {
        if let Some(since) = self.parting {
            // Nothing else is done any more, so nothing else is due.
            let parted = since + PARTING + Duration::from_millis(1);
            return self.mesh.deadline().into_iter().chain([parted]).min();
        }
        // The heartbeats' deadline is soon enough for the ventilator that is waited for.
        let sends = self.membership.as_ref().and_then(|member| member.downstream.deadline());
        [self.mesh.deadline(), self.parcels.deadline(), sends].into_iter().flatten().min()
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
