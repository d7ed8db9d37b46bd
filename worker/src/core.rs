//! A worker's part in the pipeline, as a state machine.
//!
//! Owns what it was sent and has not done, what it did and the sink has not committed, and its
//! leaving; refuses sockets, threads and the function itself. Towards its senders it is a
//! receiver with an intake; towards the next stage, if there is one, it is a sender like the
//! ventilator.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    time::Duration,
};

use proto::{
    frame::{
        Contact, Dead, Done, Failed, Frame, Hello, ParcelId, PeerId, Plan, Refusal, Results, Role,
        RunId, Welcome, Work, WorkerTally,
    },
    limits::Limits,
    net::endpoint::seen_from,
    role::{Effect, Event, LinkId},
    rules::{
        commit::Committed,
        credit::Intake,
        dispatch::{Dispatch, Order, PARCELS_PER_PEER},
        mesh::{Loss, Mesh, MeshEvent},
        outbox::Outbox,
        patience::Patience,
    },
    time::Time,
    turned_away::Unwanted,
    units::Units,
};
use tracing::{error, info, warn};

use crate::product::Product;

/// Outputs that are ready are fetched from a long parcel as often.
const COLLECT_INTERVAL: Duration = Duration::from_millis(25);
/// The ventilator is told of this worker's figures as often.
const FIGURES_INTERVAL: Duration = Duration::from_millis(500);

/// What a worker that is full has not begun is given back after it was full for so long.
const FULL_PATIENCE: Duration = Duration::from_millis(100);

/// How long a worker that leaves waits for the ventilator to have heard it.
const PARTING: Duration = Duration::from_secs(2);

/// Which parcel the executor has, counted by this worker.
pub type Ticket = u64;

/// What a worker asks for.
#[derive(Debug)]
pub enum Request {
    /// Make the function that the plan names, ready.
    Load(Box<Plan>),
    /// Execute these units in order.
    Execute {
        /// The parcel, as this worker counts.
        ticket: Ticket,
        /// Which try.
        attempt: u32,
        /// The executions of these units are numbered from here.
        execution: u64,
        /// The units.
        units: Units,
    },
    /// Give up units that are not begun; answered at once with [`Reply::Curtailed`].
    Curtail {
        /// All of them, or half.
        share: Share,
    },
    /// Hand over what is ready; answered at once with [`Reply::Product`], if anything is.
    Collect,
}

/// How much of what is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Half, rounded up.
    Half,
    /// All.
    All,
}

/// What comes back.
#[derive(Debug)]
pub enum Reply {
    /// The function is ready.
    Loaded,
    /// The function cannot work here.
    Unfit(String),
    /// Outputs.
    Product {
        /// Of which parcel.
        ticket: Ticket,
        /// The outputs.
        product: Product,
        /// Nanoseconds in the function for the whole parcel, if this ends it.
        finished: Option<u64>,
    },
    /// The executor keeps only the first units of its parcel.
    Curtailed {
        /// Of which parcel.
        ticket: Ticket,
        /// How many.
        keep: u32,
    },
}

/// Exit codes of a worker.
pub mod exit {
    /// The run is over, or the worker was asked to leave and has handed everything over.
    pub const LEFT: i32 = 0;
    /// The ventilator has no place for it.
    pub const REFUSED: i32 = 64;
    /// Its function cannot work here, or no ventilator has answered for too long.
    pub const UNFIT: i32 = 69;
}

#[derive(Debug)]
struct Parcel {
    link: LinkId,
    work: Work,
    // It came without credit, and is not given back to make way.
    pressed: bool,
}

#[derive(Debug)]
struct Executing {
    ticket: Ticket,
    link: LinkId,
    parcel: ParcelId,
    attempt: u32,
    units: usize,
    bytes: usize,
    failed: Vec<Failed>,
    collected: Time,
    // Units not begun have been given back already.
    curtailed: bool,
    // Of a run that is over.
    void: bool,
}

/// What the worker is part of.
struct Membership {
    plan: Box<Plan>,
    sink: LinkId,
    outbox: Outbox,
    next: Option<Dispatch>,
    next_links: BTreeMap<PeerId, LinkId>,
    next_names: BTreeMap<LinkId, String>,
    committed: Committed,
}

/// A worker.
pub struct Worker {
    mesh: Mesh,
    limits: Limits,
    ventilator: LinkId,
    // Where that is, for people.
    at: String,
    patience: Patience,
    give_up_after: Option<Duration>,
    membership: Option<Membership>,
    loaded: bool,
    intake: Intake,
    senders: Vec<LinkId>,
    queue: VecDeque<Parcel>,
    executing: Option<Executing>,
    // Said once the results are on their way: those somebody waits for.
    done: Vec<(LinkId, Done)>,
    // What it keeps takes all the memory that it may; and units and bytes by sender that were
    // given back for that reason, for which credit grows only once there is room.
    full_since: Option<Time>,
    withheld: BTreeMap<LinkId, (usize, usize)>,
    next_ticket: Ticket,
    next_execution: u64,
    figures: WorkerTally,
    figures_told: (Time, u64),
    joined: Time,
    leaving: bool,
    // Everything is said; the ventilator has to say that it heard.
    parting: Option<Time>,
    exit: Option<i32>,
}

type Effects = Vec<Effect<Request>>;

impl Worker {
    /// A worker that looks for its ventilator. `me` is drawn at random once a start, and so
    /// numbers this start's executions.
    pub fn new(me: PeerId, hello: Hello, ventilator: Vec<String>) -> (Self, Effects) {
        let limits = Limits::default();
        let figures = WorkerTally { name: hello.name.clone(), ..WorkerTally::default() };
        let mut mesh = Mesh::new(me, hello, &limits);
        let mut out = Effects::new();
        let at = ventilator.join(", ");
        let ventilator = mesh.dial(ventilator, None, &mut out);
        let worker = Self {
            mesh,
            ventilator,
            at,
            patience: Patience::default(),
            give_up_after: None,
            membership: None,
            loaded: false,
            intake: Intake::new(limits.intake_units_max, limits.intake_bytes_max),
            senders: Vec::new(),
            queue: VecDeque::new(),
            executing: None,
            done: Vec::new(),
            full_since: None,
            withheld: BTreeMap::new(),
            next_ticket: 0,
            next_execution: me,
            figures,
            figures_told: (Time::default(), 0),
            joined: Time::default(),
            leaving: false,
            parting: None,
            exit: None,
            limits,
        };
        (worker, out)
    }

    /// Leaves when no ventilator has answered for so long; otherwise it waits for ever.
    pub fn give_up_after(&mut self, patience: Duration) {
        self.give_up_after = Some(patience);
    }

    /// Units that it was sent and has not done, and bytes of their values.
    pub fn intake(&self) -> (usize, usize) {
        let queued = self.queue.iter().map(|p| (p.work.units.len(), p.work.units.bytes()));
        let begun = self.executing.iter().map(|executing| (executing.units, executing.bytes));
        queued.chain(begun).fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    }

    /// The next stage's units, and who has them.
    pub fn dispatch(&self) -> Option<&Dispatch> {
        self.membership.as_ref()?.next.as_ref()
    }

    fn mesh_event(&mut self, now: Time, event: MeshEvent, out: &mut Effects) {
        match event {
            MeshEvent::Asked { link, hello, .. } => self.asked(link, &hello, out),
            MeshEvent::Opened { link, welcome, run } => self.opened(now, link, *welcome, run, out),
            MeshEvent::Refused { link, refusal } => self.refused(link, &refusal),
            MeshEvent::Broken { link, loss, .. } => self.broken(now, link, loss, out),
            MeshEvent::Quiet { link, since } => self.quiet(link, since),
            MeshEvent::Back { link } => self.back(link, out),
            MeshEvent::Frame { link, frame } if link == self.ventilator => {
                self.ventilator_says(now, frame, out);
            }
            MeshEvent::Frame { link, frame } => self.peer_says(now, link, frame, out),
            MeshEvent::Stray(_) => self.mesh.turn_away(Unwanted::Stray),
        }
    }

    /// A worker of the stage before wants to send.
    fn asked(&mut self, link: LinkId, hello: &Hello, out: &mut Effects) {
        match (&hello.role, &self.membership) {
            (Role::Worker { .. }, Some(member)) if member.plan.stage_index > 0 && !self.leaving => {
                self.mesh.welcome(link, Welcome::Peer, out);
                self.join_sender(link);
            }
            _ => self.mesh.refuse(link, Refusal::OtherRun, out),
        }
    }

    fn join_sender(&mut self, link: LinkId) {
        self.intake.join(link);
        self.senders.push(link);
    }

    fn opened(&mut self, now: Time, link: LinkId, welcome: Welcome, run: RunId, out: &mut Effects) {
        if let Welcome::Plan(plan) = welcome {
            return self.planned(now, plan, run, out);
        }
        let met = self.mesh.peer(link);
        let Some(member) = &mut self.membership else { return };
        if link == member.sink {
            member.outbox.opened();
            return;
        }
        let wanted = member.next_links.iter().find(|(_, known)| **known == link);
        if let Some(gone) = wanted.map(|(peer, _)| *peer).filter(|peer| Some(*peer) != met) {
            // Another process listens now where the one that was dialled did. It has, or will
            // have, a link of its own: two of them would take the session from each other.
            member.next_links.remove(&gone);
            member.next_names.remove(&link);
            self.mesh.send(link, Frame::Bye, out);
            self.mesh.hang_up(link, out);
        } else if let Some(next) = &mut member.next {
            let name = member.next_names.get(&link).cloned().unwrap_or_default();
            next.join(link, &name);
        }
    }

    /// The ventilator says what to be.
    fn planned(&mut self, now: Time, plan: Box<Plan>, run: RunId, out: &mut Effects) {
        let same = self.membership.as_ref().is_some_and(|member| {
            self.mesh.run() == run && member.plan.stage_index == plan.stage_index
        });
        if !same {
            self.forget(out);
            self.mesh.join(run);
            self.mesh.adopt(&plan.limits);
            self.limits = plan.limits.clone();
            self.intake = Intake::new(self.limits.intake_units_max, self.limits.intake_bytes_max);
            self.figures.stage = plan.stage_index;
            self.joined = now;
            self.loaded = false;
            out.push(Effect::Request(Request::Load(plan.clone())));
            let next_index = plan.stage_index.saturating_add(1);
            let next = plan.next.as_ref().map(|s| Dispatch::new(next_index, s, &self.limits));
            self.membership = Some(Membership {
                sink: self.mesh.dial(seen_from(plan.sink.clone(), &self.at), None, out),
                outbox: Outbox::new(&self.limits),
                next,
                next_links: BTreeMap::new(),
                next_names: BTreeMap::new(),
                committed: Committed::default(),
                plan,
            });
        }
        if self.membership.as_ref().is_some_and(|member| member.plan.stage_index == 0) {
            self.join_sender(self.ventilator);
        }
        if self.leaving {
            self.mesh.send(self.ventilator, Frame::Leaving, out);
        }
    }

    /// Everything that belonged to another run is void.
    fn forget(&mut self, out: &mut Effects) {
        if let Some(member) = self.membership.take() {
            self.mesh.hang_up(member.sink, out);
            for link in member.next_links.into_values() {
                self.mesh.hang_up(link, out);
            }
        }
        for link in std::mem::take(&mut self.senders) {
            self.lose_sender(link, out);
            if link != self.ventilator {
                self.mesh.hang_up(link, out);
            }
        }
        // The executor goes on to its next unit; what it makes of it is thrown away.
        if let Some(executing) = &mut self.executing {
            executing.void = true;
        }
    }

    fn refused(&mut self, link: LinkId, refusal: &Refusal) {
        if link == self.ventilator {
            error!(%refusal, "the ventilator has no place for this worker");
            self.exit = Some(exit::REFUSED);
        }
    }

    fn broken(&mut self, now: Time, link: LinkId, loss: Loss, out: &mut Effects) {
        if self.parting.is_some() {
            // Nobody but the ventilator is waited for, and now not even it.
            if link == self.ventilator {
                self.exit = Some(exit::LEFT);
            }
            return;
        }
        if link == self.ventilator {
            warn!(?loss, "lost the ventilator; waiting for it");
        }
        if self.senders.contains(&link) {
            self.lose_sender(link, out);
        }
        let Some(member) = &mut self.membership else { return };
        if link == member.sink {
            warn!(?loss, "lost the sink; waiting for it");
            member.outbox.broken();
        } else if let Some(next) = &mut member.next {
            let mut orders = Vec::new();
            next.lost(now, link, loss, member.committed.set(), &mut orders);
            self.order(orders, out);
        }
    }

    /// A worker of the next stage may be stopped, or only late: others are given its units too.
    fn quiet(&mut self, link: LinkId, since: Time) {
        if let Some(Membership { next: Some(next), committed, .. }) = &mut self.membership {
            next.quiet(link, since, committed.set());
        }
    }

    fn back(&mut self, link: LinkId, out: &mut Effects) {
        let mut orders = Vec::new();
        if let Some(Membership { next: Some(next), .. }) = &mut self.membership {
            next.back(link, &mut orders);
        }
        self.order(orders, out);
    }

    /// A sender that is gone has its units sent to others; those not begun here are dropped.
    fn lose_sender(&mut self, link: LinkId, out: &mut Effects) {
        self.senders.retain(|sender| *sender != link);
        self.intake.leave(link);
        self.withheld.remove(&link);
        self.queue.retain(|parcel| parcel.link != link);
        if self.executing.as_ref().is_some_and(|executing| executing.link == link) {
            out.push(Effect::Request(Request::Curtail { share: Share::All }));
        }
    }

    fn ventilator_says(&mut self, now: Time, frame: Frame, out: &mut Effects) {
        match frame {
            Frame::Roster(contacts) => self.roster(contacts, out),
            Frame::Commit(commit) => {
                let Some(member) = &mut self.membership else { return };
                if member.committed.apply(&commit) {
                    member.outbox.committed(member.committed.set());
                    if let Some(next) = &mut member.next {
                        next.committed(now, member.committed.set(), member.committed.news());
                        next.take_latencies();
                    }
                }
            }
            Frame::End(_) => {
                if let Some(Membership { next: Some(next), .. }) = &mut self.membership {
                    next.ending();
                }
            }
            Frame::Stop if self.parting.is_none() => self.leave(now, out),
            Frame::Bye if self.parting.is_some() => self.exit = Some(exit::LEFT),
            frame => self.peer_says(now, self.ventilator, frame, out),
        }
    }

    /// The workers of the next stage: those that are new are dialled, those gone are given up.
    fn roster(&mut self, contacts: Vec<Contact>, out: &mut Effects) {
        let Some(member) = &mut self.membership else { return };
        let gone: Vec<PeerId> = member
            .next_links
            .keys()
            .filter(|peer| !contacts.iter().any(|contact| contact.peer == **peer))
            .copied()
            .collect();
        for peer in gone {
            // An open session ends by itself, with what it still carries.
            if let Some(link) = member.next_links.get(&peer).copied()
                && !self.mesh.is_open(link)
            {
                member.next_links.remove(&peer);
                member.next_names.remove(&link);
                self.mesh.hang_up(link, out);
            }
        }
        for contact in contacts {
            if let Entry::Vacant(place) = member.next_links.entry(contact.peer) {
                let endpoints = seen_from(contact.endpoints, &self.at);
                let link = self.mesh.dial(endpoints, Some(contact.host), out);
                place.insert(link);
                member.next_names.insert(link, contact.name);
            }
        }
    }

    fn peer_says(&mut self, now: Time, link: LinkId, frame: Frame, out: &mut Effects) {
        match frame {
            Frame::Work(work) if self.senders.contains(&link) => self.take(now, link, work, out),
            Frame::Retract(parcel) => self.retract(link, parcel, out),
            Frame::Bye if self.senders.contains(&link) => {
                self.lose_sender(link, out);
                self.mesh.hang_up(link, out);
            }
            frame => self.receiver_says(now, link, frame, out),
        }
    }

    /// The sink or a worker of the next stage.
    fn receiver_says(&mut self, now: Time, link: LinkId, frame: Frame, out: &mut Effects) {
        let Some(member) = &mut self.membership else { return };
        if link == member.sink {
            if let Frame::Credit(credit) = frame {
                member.outbox.granted(credit);
            }
            return;
        }
        let Some(next) = &mut member.next else { return };
        let committed = member.committed.set();
        let mut orders = Vec::new();
        match frame {
            Frame::Credit(credit) => next.granted(link, credit),
            Frame::Done(done) => next.done(now, link, &done, committed, &mut orders),
            Frame::Returned { parcel, keep } => next.returned(link, parcel, keep, committed),
            Frame::Leaving => next.leaving(link),
            Frame::Bye => {
                next.lost(now, link, Loss::Replaced, committed, &mut orders);
                member.next_links.retain(|_, known| *known != link);
                member.next_names.remove(&link);
                self.mesh.hang_up(link, out);
            }
            _ => {}
        }
        self.order(orders, out);
    }

    fn take(&mut self, now: Time, link: LinkId, work: Work, out: &mut Effects) {
        let (units, bytes) = (work.units.len(), work.units.bytes());
        let within = self.intake.received(link, units, bytes);
        let pressed = !within && self.may_press(link, &work);
        if pressed {
            self.intake.overdrawn(link, units, bytes);
        }
        if !within && !pressed {
            warn!("a sender does not keep to its credit; it has to begin anew");
            self.mesh.overdrawn(now, link, out);
        } else if self.leaving {
            self.give_back(link, work.parcel, 0, &work.units, out);
        } else {
            self.queue.push_back(Parcel { link, work, pressed });
        }
    }

    /// Whether a parcel may come without credit: it is part of one unit, which everything else may
    /// wait for, and there are no more of its kind than a sender may have under way.
    fn may_press(&self, link: LinkId, work: &Work) -> bool {
        let others = self.queue.iter().filter(|known| known.link == link && known.pressed).count();
        self.senders.contains(&link) && others < PARCELS_PER_PEER && work.units.has_one_root()
    }

    fn give_back(
        &mut self,
        link: LinkId,
        parcel: ParcelId,
        keep: u32,
        units: &Units,
        out: &mut Effects,
    ) {
        self.intake.processed(link, units.len(), units.bytes());
        self.mesh.send(link, Frame::Returned { parcel, keep }, out);
    }

    fn retract(&mut self, link: LinkId, parcel: ParcelId, out: &mut Effects) {
        let here = |known: &Parcel| known.link == link && known.work.parcel == parcel;
        if let Some(index) = self.queue.iter().position(here) {
            if let Some(Parcel { work, .. }) = self.queue.remove(index) {
                self.give_back(link, parcel, 0, &work.units, out);
            }
        } else if let Some(executing) = &self.executing
            && (executing.link, executing.parcel) == (link, parcel)
        {
            out.push(Effect::Request(Request::Curtail { share: Share::Half }));
        }
    }

    fn reply(&mut self, now: Time, reply: Reply, out: &mut Effects) {
        match reply {
            Reply::Loaded => self.loaded = true,
            Reply::Unfit(problem) => {
                error!(%problem, "the function cannot work here");
                self.exit = Some(exit::UNFIT);
            }
            Reply::Curtailed { ticket, keep } => self.curtailed(ticket, keep, out),
            Reply::Product { ticket, product, finished } => {
                self.produced(now, ticket, product, finished);
            }
        }
    }

    fn curtailed(&mut self, ticket: Ticket, keep: u32, out: &mut Effects) {
        let Some(executing) = &mut self.executing else { return };
        if executing.ticket != ticket {
            return;
        }
        let given = executing.units.saturating_sub(keep as usize);
        let bytes = (executing.bytes * given).checked_div(executing.units).unwrap_or_default();
        executing.units -= given;
        executing.bytes -= bytes;
        let (link, parcel) = (executing.link, executing.parcel);
        self.intake.processed(link, given, bytes);
        self.mesh.send(link, Frame::Returned { parcel, keep }, out);
    }

    fn produced(&mut self, now: Time, ticket: Ticket, product: Product, finished: Option<u64>) {
        let Some(executing) = self.executing.as_mut().filter(|known| known.ticket == ticket) else {
            return;
        };
        if executing.void {
            if finished.is_some() {
                self.executing = None;
            }
            return;
        }
        executing.collected = now;
        self.figures.outputs += product.units.len() as u64;
        executing.failed.extend(product.failed);
        let attempt = executing.attempt;
        if let Some(member) = &mut self.membership {
            let stage = member.plan.stage_index;
            let mut results =
                Results { stage, attempt, filtered: product.filtered, ..Results::default() };
            match &mut member.next {
                Some(next) => next.add(product.units),
                None => (results.units, results.timing) = (product.units, product.timing),
            }
            member.outbox.push(results);
        }
        if let Some(busy_ns) = finished
            && let Some(done) = self.executing.take()
        {
            self.figures.units += done.units as u64;
            self.figures.busy_ns = self.figures.busy_ns.saturating_add(busy_ns);
            self.intake.processed(done.link, done.units, done.bytes);
            let frame = Done { parcel: done.parcel, busy_ns, failed: done.failed };
            self.done.push((done.link, frame));
        }
    }

    fn order(&mut self, orders: Vec<Order>, out: &mut Effects) {
        for order in orders {
            match order {
                Order::Send(link, work) => self.mesh.send(link, Frame::Work(work), out),
                Order::Retract(link, parcel) => self.mesh.send(link, Frame::Retract(parcel), out),
                Order::Dead(dead) => self.bury(dead),
            }
        }
    }

    fn bury(&mut self, dead: Dead) {
        if let Some(member) = &mut self.membership {
            let (stage, attempt) = (dead.stage, dead.attempts);
            member.outbox.push(Results { stage, attempt, dead: vec![dead], ..Results::default() });
        }
    }

    /// Takes no more; what is not begun goes back, what is done is handed over first.
    fn drain(&mut self, out: &mut Effects) {
        if self.leaving {
            return;
        }
        info!("leaving: what has begun is finished, the rest goes back");
        self.leaving = true;
        for Parcel { link, work, .. } in std::mem::take(&mut self.queue) {
            self.give_back(link, work.parcel, 0, &work.units, out);
        }
        if self.executing.is_some() {
            out.push(Effect::Request(Request::Curtail { share: Share::All }));
        }
        self.mesh.send(self.ventilator, Frame::Leaving, out);
        for link in self.senders.iter().filter(|link| **link != self.ventilator) {
            self.mesh.send(*link, Frame::Leaving, out);
        }
    }

    /// Nothing is left to do: says so to everyone, and goes.
    fn leave(&mut self, now: Time, out: &mut Effects) {
        self.tell_figures(now, out);
        let mut links = self.senders.clone();
        if let Some(member) = &self.membership {
            links.extend(member.next_links.values());
            links.push(member.sink);
        }
        links.retain(|link| *link != self.ventilator);
        links.push(self.ventilator);
        for link in links {
            self.mesh.send(link, Frame::Bye, out);
        }
        self.parting = Some(now);
        if !self.mesh.is_open(self.ventilator) {
            self.exit = Some(exit::LEFT);
        }
    }

    fn tell_figures(&mut self, now: Time, out: &mut Effects) {
        self.figures_told = (now, self.figures.units);
        self.figures.turned_away = *self.mesh.turned_away();
        self.figures.present_ns = now.since(self.joined).as_nanos() as u64;
        self.mesh.send(self.ventilator, Frame::Figures(self.figures.clone()), out);
    }

    /// A ventilator that is not there may not have been started yet, or may come back.
    fn look_for_ventilator(&mut self, now: Time) {
        if self.mesh.is_open(self.ventilator) || self.parting.is_some() {
            return self.patience.met();
        }
        let seconds = self.patience.lasted(now).as_secs();
        if self.give_up_after.is_some_and(|most| self.patience.lasted(now) >= most) {
            error!(at = %self.at, seconds, "no ventilator has answered; giving up");
            self.exit = Some(exit::UNFIT);
        } else if self.patience.told(now).is_some() {
            let at = &self.at;
            match self.mesh.is_reached(self.ventilator) {
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
    fn advance(&mut self, now: Time, out: &mut Effects) {
        self.look_for_ventilator(now);
        if self.parting.is_some_and(|since| now.since(since) > PARTING) {
            self.exit = Some(exit::LEFT);
        }
        if self.exit.is_none() && self.parting.is_none() {
            self.execute(now, out);
            self.pass_on(now, out);
            for (link, done) in std::mem::take(&mut self.done) {
                self.mesh.send(link, Frame::Done(done), out);
            }
            // A worker whose function cannot work here must never have been sent anything.
            let grants = if self.loaded { self.intake.grants() } else { Vec::new() };
            for (link, credit) in grants {
                self.mesh.grant(link, credit, out);
            }
            let (told, units) = self.figures_told;
            if self.figures.units != units && now.since(told) >= FIGURES_INTERVAL {
                self.tell_figures(now, out);
            }
            if self.leaving && self.is_done() {
                self.leave(now, out);
            }
        }
        if let Some(code) = self.exit {
            out.push(Effect::Exit(code));
        }
    }

    fn is_done(&self) -> bool {
        let kept = self.membership.as_ref().is_some_and(|member| {
            !member.outbox.is_empty() || member.next.as_ref().is_some_and(|next| !next.is_empty())
        });
        self.executing.is_none() && !kept
    }

    /// Starts the next parcel. While too much waits downstream that is one with the oldest unit
    /// that is not committed: everything that is kept may wait for it.
    fn execute(&mut self, now: Time, out: &mut Effects) {
        let full = self.kept_bytes() as u64 >= self.limits.window_bytes_max;
        self.full_since = full.then(|| self.full_since.unwrap_or(now));
        if !full {
            for (link, (units, bytes)) in std::mem::take(&mut self.withheld) {
                self.intake.processed(link, units, bytes);
            }
        }
        if self.executing.is_some() {
            return self.look_after(now, full, out);
        }
        if !self.loaded {
            return;
        }
        let next = if full { self.take_oldest() } else { self.queue.pop_front() };
        match next {
            Some(parcel) => self.begin(now, parcel, full, out),
            None if self.is_stuck(now) => self.make_way(out),
            None => {}
        }
    }

    /// Fetches what a long parcel has ready; gives back the rest of it if there is no room.
    fn look_after(&mut self, now: Time, full: bool, out: &mut Effects) {
        let Some(executing) = &mut self.executing else { return };
        if full && !executing.curtailed {
            // Its outputs fill the memory: what is not begun may come again later.
            executing.curtailed = true;
            out.push(Effect::Request(Request::Curtail { share: Share::All }));
        }
        if now.since(executing.collected) >= COLLECT_INTERVAL {
            executing.collected = now;
            out.push(Effect::Request(Request::Collect));
        }
    }

    /// The parcel that everything may wait for: not while the sink still has to hear what is done,
    /// since then that is waited for. What its sender took for part of the oldest unit counts too,
    /// if that is committed by now: it is in the way.
    fn take_oldest(&mut self) -> Option<Parcel> {
        let member = self.membership.as_ref().filter(|member| member.outbox.is_sent())?;
        let oldest = member.committed.set().watermark();
        let must = |Parcel { work, pressed, .. }: &Parcel| {
            let late = *pressed && work.units.spans().iter().all(|span| span.first < oldest);
            late || work.units.find_root(oldest, 0).is_some()
        };
        let place = self.queue.iter().position(must)?;
        self.queue.remove(place)
    }

    fn is_stuck(&self, now: Time) -> bool {
        self.full_since.is_some_and(|since| now.since(since) >= FULL_PATIENCE)
    }

    /// What cannot be begun takes the place of what can: it goes back, and credit for it comes
    /// once there is room.
    fn make_way(&mut self, out: &mut Effects) {
        let (stays, goes) = std::mem::take(&mut self.queue).into_iter().partition(|p| p.pressed);
        self.queue = stays;
        let goes: VecDeque<Parcel> = goes;
        for Parcel { link, work, .. } in goes {
            let (units, bytes) = self.withheld.entry(link).or_default();
            *units += work.units.len();
            *bytes += work.units.bytes();
            self.mesh.send(link, Frame::Returned { parcel: work.parcel, keep: 0 }, out);
        }
    }

    fn begin(&mut self, now: Time, parcel: Parcel, full: bool, out: &mut Effects) {
        let Parcel { link, work, .. } = parcel;
        let ticket = self.next_ticket;
        let execution = self.next_execution;
        self.next_ticket += 1;
        self.next_execution = execution.wrapping_add(work.units.len() as u64);
        self.executing = Some(Executing {
            ticket,
            link,
            parcel: work.parcel,
            attempt: work.attempt,
            units: work.units.len(),
            bytes: work.units.bytes(),
            failed: Vec::new(),
            collected: now,
            // Without room only what must be is begun, and finished.
            curtailed: full,
            void: false,
        });
        let Work { attempt, units, .. } = work;
        out.push(Effect::Request(Request::Execute { ticket, attempt, execution, units }));
    }

    /// Bytes that are on their way downstream, or kept until they are committed.
    pub fn kept_bytes(&self) -> usize {
        self.membership.as_ref().map_or(0, |member| {
            member.outbox.bytes() + member.next.as_ref().map_or(0, Dispatch::bytes)
        })
    }

    fn pass_on(&mut self, now: Time, out: &mut Effects) {
        let Some(member) = &mut self.membership else { return };
        let mut orders = Vec::new();
        if let Some(next) = &mut member.next {
            next.dispatch(now, member.committed.set(), &mut orders);
        }
        while let Some(results) = member.outbox.take() {
            self.mesh.send(member.sink, Frame::Results(results), out);
        }
        self.order(orders, out);
    }
}

impl proto::role::Role for Worker {
    type Request = Request;
    type Reply = Reply;

    fn handle(&mut self, now: Time, event: Event<Reply>, out: &mut Effects) {
        if self.exit.is_some() {
            return;
        }
        match self.mesh.handle(now, event, out) {
            Some(Event::Reply(reply)) => self.reply(now, reply, out),
            Some(Event::Drain) => self.drain(out),
            _ => {}
        }
        while let Some(event) = self.mesh.poll() {
            self.mesh_event(now, event, out);
        }
        self.advance(now, out);
    }

    fn deadline(&self) -> Option<Time> {
        if let Some(since) = self.parting {
            // Nothing else is done any more, so nothing else is due.
            let parted = since + PARTING + Duration::from_millis(1);
            return [self.mesh.deadline(), Some(parted)].into_iter().flatten().min();
        }
        // The heartbeats' deadline is soon enough for the ventilator that is waited for.
        let collect = self.executing.as_ref().map(|e| e.collected + COLLECT_INTERVAL);
        let next = self.membership.as_ref().and_then(|member| member.next.as_ref()?.deadline());
        let waits = self.loaded
            && self.executing.is_none()
            && self.queue.iter().any(|parcel| !parcel.pressed);
        let stuck = self.full_since.filter(|_| waits).map(|since| since + FULL_PATIENCE);
        [self.mesh.deadline(), collect, next, stuck].into_iter().flatten().min()
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
