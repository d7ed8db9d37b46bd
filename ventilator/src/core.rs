//! The ventilator's part in the pipeline, as a state machine.
//!
//! Owns the window between source and commit, the roster of workers, and the end of the run;
//! refuses sockets, files and clocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proto::{
    diary,
    frame::{
        Contact, Dead, Done, End, Frame, Hello, PeerId, Plan, Refusal, Report, Results, Role,
        RunId, Tally, Welcome, Work, WorkerTally,
    },
    limits::Limits,
    plan::{Function, Stage},
    role::{Effect, Event, LinkId},
    rules::{
        commit::Committed,
        dispatch::{Dispatch, Order},
        mesh::{Loss, Mesh, MeshEvent},
        outbox::Outbox,
        patience::Patience,
    },
    time::Time,
    turned_away::Unwanted,
    unit::UnitId,
    units::Units,
};
use tracing::{error, info, warn};

use crate::{latency::Latency, obituary::Obituary};

/// How often stages are looked through for one that has no worker.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Units that are asked of the source at once.
const READ_UNITS: u64 = 32 << 10;
/// Units that wait for each worker, at least: what waits is shared by all of them, and a parcel
/// costs the same however small it is.
const READY_UNITS_PER_WORKER: u64 = 64;
/// Large values that wait for each worker, in parcels. Those that wait for long leave the
/// processor's cache, and are sent from memory.
const READY_PARCELS_PER_WORKER: u64 = 4;
/// So many workers are told of commits at a time, in turn, and the next ones after this interval:
/// telling them costs the same however many they are.
const COMMIT_INTERVAL: Duration = Duration::from_millis(2);
const COMMIT_WORKERS: usize = 40;
/// They are told less often while there is little to forget: a frame takes more time on its way
/// than a short unit.
const COMMIT_INTERVAL_MAX: Duration = Duration::from_millis(100);
const COMMIT_UNITS: u64 = READ_UNITS;
const COMMIT_BYTES: usize = 1 << 20;
/// Onlookers are told of progress as often.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// What a ventilator runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The stages, at least one.
    pub stages: Vec<Stage>,
    /// The limits of the run.
    pub limits: Limits,
    /// Where the sink listens.
    pub sink: Vec<String>,
    /// A digest of source and stages.
    pub digest: String,
    /// The source gives pairs: what it read, twice; workers keep the first.
    pub carries_input: bool,
}

/// What the ventilator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Go on reading at this unit; those before are committed. Once, before anything is read.
    Seek {
        /// The run that goes on.
        run: RunId,
        /// The unit.
        unit: UnitId,
    },
    /// Read up to so many units.
    Read(u64),
    /// Note what has happened, for those who ask afterwards.
    Note(diary::Event),
}

/// What comes back.
#[derive(Debug)]
pub enum Reply {
    /// Units in order, and whether the source has ended behind them.
    Read {
        /// The units; none only at the end.
        units: Units,
        /// Nothing follows.
        ended: bool,
    },
    /// The source cannot be read further.
    Failed(String),
    /// The source is not the one that the run has read before.
    Changed(String),
}

/// Exit codes of a ventilator.
pub mod exit {
    /// Everything is committed.
    pub const COMPLETE: i32 = 0;
    /// The sink holds an unfinished run of something else, or of another source.
    pub const OTHER_PLAN: i32 = 78;
    /// The sink has lost what it had committed.
    pub const AMNESIA: i32 = 70;
    /// The source could not be read to its end.
    pub const SOURCE: i32 = 74;
    /// Stopped before the end of the source; what was begun is committed.
    pub const DRAINED: i32 = 75;
}

#[derive(Debug)]
struct Member {
    peer: PeerId,
    name: String,
    stage: usize,
    contact: Contact,
    figures: WorkerTally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Everything is committed; the workers have been told to stop.
    Stopping {
        since: Time,
    },
    /// The workers are gone; the sink has been told everything, and has to say that it heard.
    Parting {
        since: Time,
    },
}

/// The ventilator.
pub struct Ventilator {
    config: Config,
    mesh: Mesh,
    sink: LinkId,
    // Workers that asked before the run was known.
    waiting: Vec<(LinkId, Box<Hello>)>,
    members: BTreeMap<LinkId, Member>,
    // Workers whose session is over although nothing says that they are dead.
    astray: BTreeSet<PeerId>,
    // Since when it goes on with a run of a predecessor, whose workers may be on their way here.
    resumed: Option<Time>,
    former: Vec<WorkerTally>,
    onlookers: Vec<LinkId>,
    patience: Patience,
    lonely: Patience,
    looked: Time,
    // This machine, and where workers on others find the sink.
    elsewhere: Option<(String, Vec<String>)>,
    dispatch: Dispatch,
    outbox: Outbox,
    committed: Committed,
    // Which start of the sink was heard last.
    epoch: u64,
    next: UnitId,
    reading: bool,
    end: Option<End>,
    failure: bool,
    drain: bool,
    phase: Phase,
    told: Option<Time>,
    // There is something that not every worker has been told; who is next.
    news: bool,
    telling: Option<LinkId>,
    // What was committed since the last of these rounds began: units known then, and bytes since.
    told_units: u64,
    untold_bytes: usize,
    reported: Time,
    dead: u64,
    obituary: Obituary,
    latency: Latency,
    exit: Option<i32>,
}

type Effects = Vec<Effect<Request>>;

impl Ventilator {
    /// A ventilator that has not begun; carry the effects out, then feed it events.
    #[expect(clippy::indexing_slicing, reason = "a plan has a first stage")]
    pub fn new(me: PeerId, hello: Hello, config: Config) -> (Self, Effects) {
        let mut mesh = Mesh::new(me, hello, &config.limits);
        let mut out = Effects::new();
        let sink = mesh.dial(config.sink.clone(), None, &mut out);
        let ventilator = Self {
            mesh,
            sink,
            waiting: Vec::new(),
            members: BTreeMap::new(),
            astray: BTreeSet::new(),
            resumed: None,
            former: Vec::new(),
            onlookers: Vec::new(),
            patience: Patience::default(),
            lonely: Patience::default(),
            looked: Time::default(),
            elsewhere: None,
            dispatch: Dispatch::new(0, &config.stages[0], &config.limits),
            outbox: Outbox::new(&config.limits),
            committed: Committed::default(),
            epoch: 0,
            next: 0,
            reading: false,
            end: None,
            failure: false,
            drain: false,
            phase: Phase::Running,
            told: None,
            news: false,
            telling: None,
            told_units: 0,
            untold_bytes: 0,
            reported: Time::default(),
            dead: 0,
            obituary: Obituary::default(),
            latency: Latency::default(),
            exit: None,
            config,
        };
        (ventilator, out)
    }

    /// Tells workers that are not on this machine, `host`, to find the sink at `endpoints`.
    pub fn sink_elsewhere(&mut self, host: String, endpoints: Vec<String>) {
        self.elsewhere = Some((host, endpoints));
    }

    /// How far beyond the watermark it has read.
    pub fn window_units(&self) -> u64 {
        self.next.saturating_sub(self.committed.set().watermark())
    }

    /// Bytes of values that it keeps for workers, and of outcomes that it keeps for the sink.
    pub fn kept_bytes(&self) -> (usize, usize) {
        (self.dispatch.bytes(), self.outbox.bytes())
    }

    /// The first stage's units, and who has them.
    pub fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }

    fn mesh_event(&mut self, now: Time, event: MeshEvent, out: &mut Effects) {
        match event {
            MeshEvent::Asked { link, hello, .. } => self.asked(link, hello, out),
            MeshEvent::Opened { welcome, run, .. } => self.sink_opened(now, *welcome, run, out),
            MeshEvent::Refused { refusal, .. } => self.refused(&refusal),
            MeshEvent::Broken { link, loss, .. } => self.broken(now, link, loss, out),
            MeshEvent::Quiet { link, since } => self.quiet(now, link, since),
            MeshEvent::Back { link } => {
                let mut orders = Vec::new();
                self.dispatch.back(link, &mut orders);
                self.order(orders, out);
            }
            MeshEvent::Frame { link, frame } if link == self.sink => {
                self.sink_says(now, frame, out)
            }
            MeshEvent::Frame { link, frame } => self.worker_says(now, link, frame, out),
            MeshEvent::Stray(_) => self.mesh.turn_away(Unwanted::Stray),
        }
    }

    /// The sink's answer: where the run stands.
    fn sink_opened(&mut self, now: Time, welcome: Welcome, run: u64, out: &mut Effects) {
        let Welcome::Resume { commit, epoch } = welcome else { return };
        let first = self.mesh.run() == 0;
        let known = self.committed.set().watermark();
        let past = epoch < self.epoch;
        if !first && (run != self.mesh.run() || commit.watermark < known || past) {
            error!(
                "the sink has lost what it had committed; a run that must survive its sink needs --run-dir there"
            );
            self.exit = Some(exit::AMNESIA);
            return;
        }
        self.epoch = epoch;
        self.mesh.join(run);
        self.committed.apply(&commit);
        self.forget(now);
        self.outbox.opened();
        if first {
            self.next = commit.watermark;
            if !self.committed.set().is_empty() {
                info!(unit = self.next, "resuming");
                self.resumed = Some(now);
            }
            out.push(Effect::Request(Request::Seek { run, unit: self.next }));
            for (link, hello) in std::mem::take(&mut self.waiting) {
                self.admit(link, *hello, out);
            }
        }
        if let Some(end) = self.end {
            self.mesh.send(self.sink, Frame::End(end), out);
        }
        self.news = true;
        for link in self.onlookers.clone() {
            self.report(link, out);
        }
        if self.committed.complete() {
            self.stop(now, out);
        }
    }

    fn refused(&mut self, refusal: &Refusal) {
        error!(%refusal, "the sink refuses this run");
        if matches!(refusal, Refusal::OtherPlan) {
            self.exit = Some(exit::OTHER_PLAN);
        }
    }

    fn asked(&mut self, link: LinkId, hello: Box<Hello>, out: &mut Effects) {
        match hello.role {
            Role::Onlooker => {
                self.mesh.welcome(link, Welcome::Peer, out);
                self.onlookers.push(link);
                self.report(link, out);
            }
            Role::Worker { .. } if self.mesh.run() == 0 => self.waiting.push((link, hello)),
            Role::Worker { .. } => self.admit(link, *hello, out),
            Role::Ventilator { .. } => self.mesh.refuse(link, Refusal::OtherRun, out),
        }
    }

    fn admit(&mut self, link: LinkId, hello: Hello, out: &mut Effects) {
        let Role::Worker { stage: asked, own } = hello.role else { return };
        let stage = match self.stage_of(asked.as_deref()) {
            Ok(stage) => stage,
            Err(refusal) => return self.mesh.refuse(link, refusal, out),
        };
        let Some(plan) = self.config.stages.get(stage) else { return };
        if plan.function == Function::Own && !own {
            let refusal = Refusal::NoFunction { stage: plan.name.clone() };
            return self.mesh.refuse(link, refusal, out);
        }
        let stage_name = plan.name.clone();
        let plan = Plan {
            stage_index: stage as u32,
            stages: self.config.stages.len() as u32,
            stage: plan.clone(),
            next: self.config.stages.get(stage + 1).cloned(),
            sink: self.sink_for(&hello.host),
            limits: self.config.limits.clone(),
            carries_input: self.config.carries_input,
        };
        let Some(peer) = self.mesh.peer(link) else { return };
        self.mesh.welcome(link, Welcome::Plan(Box::new(plan)), out);
        self.mesh.send(link, Frame::Commit(self.committed.report()), out);
        if let Some(end) = self.end {
            self.mesh.send(link, Frame::End(end), out);
        }
        if self.phase != Phase::Running {
            self.mesh.send(link, Frame::Stop, out);
        }
        info!(peer = %hello.name, stage = %stage_name, "worker joined");
        let figures =
            WorkerTally { name: hello.name.clone(), stage: stage as u32, ..Default::default() };
        self.astray.remove(&peer);
        let Hello { name, host, endpoints, .. } = hello;
        let contact = Contact { peer, name: name.clone(), host, endpoints };
        self.members.insert(link, Member { peer, name, stage, contact, figures });
        if stage == 0 {
            self.dispatch.join(link, &self.name_of(link));
        } else {
            self.tell_roster(stage, out);
        }
        self.send_roster(link, stage + 1, out);
    }

    /// Where a worker on a machine finds the sink.
    fn sink_for(&self, host: &str) -> Vec<String> {
        match &self.elsewhere {
            Some((here, endpoints)) if here != host => endpoints.clone(),
            _ => self.config.sink.clone(),
        }
    }

    fn stage_of(&self, asked: Option<&str>) -> Result<usize, Refusal> {
        let Some(asked) = asked else { return Ok(0) };
        let found = self.config.stages.iter().position(|stage| stage.name == asked);
        found.ok_or_else(|| Refusal::Stage {
            asked: asked.into(),
            stages: self.config.stages.iter().map(|stage| stage.name.clone()).collect(),
        })
    }

    /// Tells the workers before `stage` who is in it.
    fn tell_roster(&mut self, stage: usize, out: &mut Effects) {
        let before: Vec<LinkId> = self
            .members
            .iter()
            .filter(|(_, m)| m.stage + 1 == stage)
            .map(|(link, _)| *link)
            .collect();
        for link in before {
            self.send_roster(link, stage, out);
        }
    }

    fn send_roster(&mut self, link: LinkId, stage: usize, out: &mut Effects) {
        if stage < self.config.stages.len() {
            let members = self.members.values().filter(|member| member.stage == stage);
            let roster = members.map(|member| member.contact.clone()).collect();
            self.mesh.send(link, Frame::Roster(roster), out);
        }
    }

    fn broken(&mut self, now: Time, link: LinkId, loss: Loss, out: &mut Effects) {
        if link == self.sink {
            self.outbox.broken();
            if matches!(self.phase, Phase::Parting { .. }) {
                self.exit = Some(self.code());
            } else {
                warn!(?loss, "lost the sink; waiting for it");
            }
            return;
        }
        self.onlookers.retain(|onlooker| *onlooker != link);
        let Some(member) = self.members.remove(&link) else { return };
        if loss != Loss::Disconnected && self.astray.len() < self.config.limits.peers_max as usize {
            self.astray.insert(member.peer);
        }
        if self.phase == Phase::Running {
            warn!(peer = %member.name, ?loss, "lost a worker; its units go to others");
        }
        let (worker, loss_told) = (member.name.clone(), format!("{loss:?}").to_lowercase());
        let event = diary::Event::Lost { worker, loss: loss_told };
        out.push(Effect::Request(Request::Note(event)));
        self.former.push(member.figures);
        if member.stage == 0 {
            let mut orders = Vec::new();
            self.dispatch.lost(now, link, loss, self.committed.set(), &mut orders);
            self.order(orders, out);
        } else {
            self.tell_roster(member.stage, out);
        }
    }

    /// A worker may be stopped, or only late: others are given its units too.
    fn quiet(&mut self, now: Time, link: LinkId, since: Time) {
        if let Some(member) = self.members.get(&link).filter(|member| member.stage == 0) {
            let ms = now.since(since).as_millis() as u64;
            info!(peer = %member.name, ms, "a worker is not heard; others get its units too");
            self.dispatch.quiet(link, since, self.committed.set());
        }
    }

    fn sink_says(&mut self, now: Time, frame: Frame, out: &mut Effects) {
        match frame {
            Frame::Commit(commit) => {
                if self.committed.apply(&commit) {
                    self.news = true;
                    self.forget(now);
                }
                if self.committed.complete() {
                    self.stop(now, out);
                }
            }
            Frame::Credit(credit) => self.outbox.granted(credit),
            Frame::Leaving => self.drain(out),
            Frame::Bye => self.exit = Some(self.code()),
            _ => {}
        }
    }

    /// What the last report has added needs not be kept.
    fn forget(&mut self, now: Time) {
        let before = self.dispatch.bytes();
        self.dispatch.committed(now, self.committed.set(), self.committed.news());
        self.untold_bytes += before.saturating_sub(self.dispatch.bytes());
        self.outbox.committed(self.committed.set());
        self.latency.record(self.dispatch.take_latencies());
    }

    fn worker_says(&mut self, now: Time, link: LinkId, frame: Frame, out: &mut Effects) {
        let mut orders = Vec::new();
        match frame {
            Frame::Credit(credit) => self.dispatch.granted(link, credit),
            Frame::Done(done) => {
                self.note_failed(link, &done, out);
                self.dispatch.done(now, link, &done, self.committed.set(), &mut orders);
            }
            Frame::Returned { parcel, keep } => {
                self.dispatch.returned(link, parcel, keep, self.committed.set());
            }
            Frame::Figures(figures) => {
                if let Some(member) = self.members.get_mut(&link) {
                    member.figures = WorkerTally { name: member.name.clone(), ..figures };
                }
            }
            Frame::Leaving => self.leaving(link, out),
            Frame::Bye => self.left(now, link, out),
            _ => {}
        }
        self.order(orders, out);
    }

    fn leaving(&mut self, link: LinkId, out: &mut Effects) {
        self.dispatch.leaving(link);
        if let Some(member) = self.members.get(&link) {
            info!(peer = %member.name, "worker is leaving");
            let stage = member.stage;
            // The workers before it see its own Leaving; new ones must not learn of it.
            let peer = member.peer;
            let before = self.members.iter().filter(|(_, m)| m.stage + 1 == stage);
            let links: Vec<LinkId> = before.map(|(link, _)| *link).collect();
            for link in links {
                let others = self.members.values().filter(|m| m.stage == stage && m.peer != peer);
                let roster = others.map(|m| m.contact.clone()).collect();
                self.mesh.send(link, Frame::Roster(roster), out);
            }
        }
    }

    fn left(&mut self, now: Time, link: LinkId, out: &mut Effects) {
        if let Some(member) = self.members.remove(&link) {
            info!(peer = %member.name, "worker left");
            self.former.push(member.figures);
            let mut orders = Vec::new();
            self.dispatch.lost(now, link, Loss::Replaced, self.committed.set(), &mut orders);
            self.order(orders, out);
            self.tell_roster(member.stage, out);
        }
        // A process that leaves waits for this, so that nothing it said is lost with it.
        self.mesh.send(link, Frame::Bye, out);
        self.mesh.hang_up(link, out);
    }

    fn order(&mut self, orders: Vec<Order>, out: &mut Effects) {
        for order in orders {
            match order {
                Order::Send(link, work) => {
                    self.note_sent(link, &work, out);
                    self.mesh.send(link, Frame::Work(work), out);
                }
                Order::Retract(link, parcel) => self.mesh.send(link, Frame::Retract(parcel), out),
                Order::Dead(dead) => self.bury(dead),
            }
        }
    }

    fn note_sent(&self, link: LinkId, work: &Work, out: &mut Effects) {
        let worker = self.name_of(link);
        for span in work.units.spans() {
            let (first, count, attempt) = (span.first, span.count, work.attempt);
            let event = diary::Event::Sent { first, count, worker: worker.clone(), attempt };
            out.push(Effect::Request(Request::Note(event)));
        }
    }

    fn note_failed(&self, link: LinkId, done: &Done, out: &mut Effects) {
        for failed in &done.failed {
            if let Some(unit) = self.dispatch.unit_of(link, done.parcel, failed.index) {
                let (worker, error) = (self.name_of(link), failed.error.clone());
                let event = diary::Event::Failed { unit, worker, error };
                out.push(Effect::Request(Request::Note(event)));
            }
        }
    }

    fn name_of(&self, link: LinkId) -> String {
        self.members.get(&link).map(|member| member.name.clone()).unwrap_or_default()
    }

    fn bury(&mut self, dead: Dead) {
        self.obituary.note(&dead);
        self.dead += 1;
        let attempt = dead.attempts;
        self.outbox.push(Results { attempt, dead: vec![dead], ..Results::default() });
    }

    fn reply(&mut self, reply: Reply, out: &mut Effects) {
        self.reading = false;
        match reply {
            // Read too late: the run ends before these units.
            Reply::Read { .. } if self.end.is_some() => {}
            Reply::Read { units, ended } => {
                self.next += units.len() as u64;
                self.dispatch.add(units.without(self.committed.set()));
                if ended && self.end.is_none() {
                    self.ended(false, out);
                }
            }
            Reply::Failed(problem) => {
                error!(%problem, "cannot read the source any further");
                self.failure = true;
                self.ended(true, out);
            }
            // No unit of it may get in among the results.
            Reply::Changed(problem) => {
                error!(
                    %problem,
                    "the run cannot go on: give its source as it was, or start over with --fresh or in another run directory"
                );
                self.exit = Some(exit::OTHER_PLAN);
            }
        }
    }

    fn ended(&mut self, drained: bool, out: &mut Effects) {
        let end = End { units: self.next, drained };
        self.end = Some(end);
        self.dispatch.ending();
        self.mesh.send(self.sink, Frame::End(end), out);
        for link in self.members.keys() {
            self.mesh.send(*link, Frame::End(end), out);
        }
    }

    /// Reads no further; what is in the window is finished.
    fn drain(&mut self, out: &mut Effects) {
        if self.drain || self.end.is_some() {
            return;
        }
        info!("draining: what has begun is finished");
        self.drain = true;
        if self.mesh.run() == 0 {
            self.exit = Some(exit::DRAINED);
        } else {
            self.ended(true, out);
        }
    }

    /// Everything is committed: the workers may go, and the sink learns the figures.
    fn stop(&mut self, now: Time, out: &mut Effects) {
        if self.phase != Phase::Running {
            return;
        }
        self.phase = Phase::Stopping { since: now };
        for link in self.members.keys() {
            self.mesh.send(*link, Frame::Stop, out);
        }
    }

    fn tally(&self) -> Tally {
        Tally {
            attempts: self.dispatch.attempts(),
            latency_us: self.latency.percentiles_us(),
            recovery_ms: self.dispatch.recovery().map(|recovery| recovery.as_secs_f64() * 1e3),
            workers: self
                .members
                .values()
                .map(|m| m.figures.clone())
                .chain(self.former.clone())
                .collect(),
            turned_away: *self.mesh.turned_away(),
        }
    }

    fn code(&self) -> i32 {
        match self.end {
            _ if self.failure => exit::SOURCE,
            Some(End { drained: false, .. }) => exit::COMPLETE,
            // Started again after the sink had everything.
            None if self.committed.complete() => exit::COMPLETE,
            _ => exit::DRAINED,
        }
    }

    fn report(&mut self, link: LinkId, out: &mut Effects) {
        let report = Report {
            read: self.next,
            total: self.end.map(|end| end.units),
            committed: self.committed.set().len(),
            dead: self.dead,
            workers: self.members.len() as u32,
            ..Report::default()
        };
        self.mesh.send(link, Frame::Report(Box::new(report)), out);
    }

    /// A sink that is not there may not have been started yet, or may come back.
    fn look_for_sink(&mut self, now: Time) {
        if self.mesh.is_open(self.sink) {
            self.patience.met();
        } else if let Some(lasted) = self.patience.told(now) {
            let (at, seconds) = (self.config.sink.join(", "), lasted.as_secs());
            match self.mesh.is_reached(self.sink) {
                true => warn!(%at, seconds, "the sink does not answer; waiting for it"),
                false => warn!(%at, seconds, "no sink can be reached there; waiting for one"),
            }
        }
    }

    /// A stage without a worker is waited for; which one is told.
    fn look_for_workers(&mut self, now: Time) {
        let due = self.lonely.due().is_some_and(|due| due <= now);
        if !due && now.since(self.looked) < LOOK_INTERVAL {
            return;
        }
        self.looked = now;
        let staffed = |index| self.members.values().any(|member| member.stage == index);
        let mut stages = self.config.stages.iter().enumerate();
        let missing = stages.find(|(index, _)| !staffed(*index));
        let Some((_, stage)) = missing.filter(|_| self.mesh.is_open(self.sink)) else {
            return self.lonely.met();
        };
        if let Some(lasted) = self.lonely.told(now) {
            let (stage, seconds) = (&stage.name, lasted.as_secs());
            warn!(%stage, seconds, "no worker of this stage is here; waiting for one");
        }
    }

    /// What follows from the state, whatever the event was.
    fn advance(&mut self, now: Time, out: &mut Effects) {
        if let Some(code) = self.exit {
            out.push(Effect::Exit(code));
            return;
        }
        self.look_for_sink(now);
        if self.phase != Phase::Running {
            return self.part(now, out);
        }
        self.look_for_workers(now);
        self.read(out);
        let mut orders = Vec::new();
        self.dispatch.dispatch(now, self.committed.set(), &mut orders);
        self.order(orders, out);
        while let Some(results) = self.outbox.take() {
            self.mesh.send(self.sink, Frame::Results(results), out);
        }
        if self.commit_due().is_some_and(|due| due <= now) {
            self.tell_commit(now, out);
        }
        if !self.onlookers.is_empty() && now.since(self.reported) >= REPORT_INTERVAL {
            self.reported = now;
            for link in self.onlookers.clone() {
                self.report(link, out);
            }
        }
    }

    /// When the next workers are told what is committed.
    fn commit_due(&self) -> Option<Time> {
        let much = self.telling.is_some()
            || self.untold_bytes >= COMMIT_BYTES
            || self.committed.set().len() - self.told_units >= COMMIT_UNITS;
        let interval = if much { COMMIT_INTERVAL } else { COMMIT_INTERVAL_MAX };
        let untold = self.news || self.telling.is_some();
        untold.then(|| self.told.map_or(Time::default(), |told| told + interval))
    }

    fn tell_commit(&mut self, now: Time, out: &mut Effects) {
        self.told = Some(now);
        let first = self.telling.take().unwrap_or_else(|| {
            self.news = false;
            self.told_units = self.committed.set().len();
            self.untold_bytes = 0;
            0
        });
        let commit = self.committed.report();
        let mut members = self.members.range(first..);
        for (link, _) in members.by_ref().take(COMMIT_WORKERS) {
            self.mesh.send(*link, Frame::Commit(commit.clone()), out);
        }
        self.telling = members.next().map(|(link, _)| *link);
    }

    /// The run is over: waits for the workers to go, then for the sink to have heard the figures.
    fn part(&mut self, now: Time, out: &mut Effects) {
        let patience = Duration::from_millis(self.config.limits.liveness_ms);
        let awaited = self.resumed.is_some_and(|since| now.since(since) <= patience);
        let gone = self.members.is_empty() && self.astray.is_empty() && !awaited;
        match self.phase {
            Phase::Stopping { since } if gone || now.since(since) > patience => {
                self.obituary.tell();
                self.mesh.send(self.sink, Frame::Tally(Box::new(self.tally())), out);
                self.mesh.send(self.sink, Frame::Bye, out);
                self.phase = Phase::Parting { since: now };
            }
            Phase::Parting { since } if now.since(since) > patience => {
                self.exit = Some(self.code());
                out.push(Effect::Exit(self.code()));
            }
            _ => {}
        }
    }

    /// Asks for more units while the window has room and the workers could use them.
    fn read(&mut self, out: &mut Effects) {
        let limits = &self.config.limits;
        let horizon = self
            .committed
            .horizon()
            .min(self.committed.set().watermark().saturating_add(limits.window_units_max));
        let room = horizon.saturating_sub(self.next);
        let ahead = READ_UNITS.max(READY_UNITS_PER_WORKER * self.dispatch.peers() as u64);
        let bytes = READY_PARCELS_PER_WORKER
            .saturating_mul(limits.parcel_bytes_max.max(1))
            .saturating_mul(self.dispatch.peers().max(1) as u64);
        let wanted = !self.reading
            && self.end.is_none()
            && self.mesh.run() != 0
            && room > 0
            && (self.dispatch.bytes() as u64) < limits.window_bytes_max
            && (self.dispatch.ready() as u64) < ahead
            && (self.dispatch.ready_bytes() as u64) < bytes;
        if wanted {
            self.reading = true;
            out.push(Effect::Request(Request::Read(room.min(READ_UNITS))));
        }
    }
}

/// The first line of an error, for a log.
impl proto::role::Role for Ventilator {
    type Request = Request;
    type Reply = Reply;

    fn handle(&mut self, now: Time, event: Event<Reply>, out: &mut Effects) {
        if self.exit.is_some() {
            return;
        }
        match self.mesh.handle(now, event, out) {
            Some(Event::Reply(reply)) => self.reply(reply, out),
            Some(Event::Drain) => self.drain(out),
            _ => {}
        }
        while let Some(event) = self.mesh.poll() {
            self.mesh_event(now, event, out);
        }
        self.advance(now, out);
    }

    fn deadline(&self) -> Option<Time> {
        let commit = self.commit_due();
        let report = (!self.onlookers.is_empty()).then(|| self.reported + REPORT_INTERVAL);
        let due = match self.phase {
            // Nothing else is done any more, so nothing else is due.
            Phase::Stopping { since } | Phase::Parting { since } => {
                let stop = since + Duration::from_millis(self.config.limits.liveness_ms + 1);
                [self.mesh.deadline(), Some(stop), None, None]
            }
            Phase::Running => {
                let due = [self.mesh.deadline(), self.dispatch.deadline(), commit, report];
                return due.into_iter().chain([self.lonely.due()]).flatten().min();
            }
        };
        due.into_iter().flatten().min()
    }
}
