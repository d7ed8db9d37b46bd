//! The sink's part in the pipeline, as a state machine.
//!
//! Owns what is accepted and what is committed, the credit of the workers, and the end of the
//! run; refuses sockets, files and clocks. Nothing is acknowledged before the recorder has said
//! that it is recorded.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use proto::{
    frame::{End, Envelope, Frame, Hello, PeerId, Refusal, Report, Results, Role, Tally, Welcome},
    limits::Limits,
    role::{self, Effect, Event, LinkId},
    rules::{
        commit::report,
        credit::Intake,
        mesh::{Loss, Mesh, MeshEvent},
        outbox::weight,
        patience::Patience,
    },
    time::Time,
    turned_away::{TurnedAway, Unwanted},
    unit::UnitId,
};
use tracing::{error, info, warn};

use super::{
    requests::{Conclusion, Reply, Request, exit},
    resume_point::ResumePoint,
};
use crate::accept::{
    arrivals::{Arrival, Arrivals, Turn},
    dedupe::Accept,
    entry::Entry,
    horizon::Horizon,
};

/// Onlookers are told of progress as often.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// A batch that is not safe after so long waits for an outcome that is late.
const LATE: Duration = Duration::from_millis(100);

/// Names of workers that are kept, those that are gone included.
const NAMES_MAX: usize = 16 << 10;

#[derive(Debug)]
struct Recording {
    number: u64,
    since: Time,
    ranges: Vec<(UnitId, UnitId)>,
    link: LinkId,
    units: usize,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Closing,
    /// The outputs are closed; the ventilator still has to say what it knows.
    Closed {
        since: Time,
    },
    Concluding,
    /// Onlookers are told; then this process goes.
    Concluded {
        since: Time,
    },
}

/// The sink.
pub struct Sink {
    limits: Limits,
    mesh: Mesh,
    run: ResumePoint,
    // Units that were committed before this start.
    inherited: u64,
    committed_units: u64,
    accept: Accept,
    horizon: Horizon,
    horizon_at: UnitId,
    // Up to here the sinks before this one may have let units be sent. They are on their way, and
    // will not be sent to this one again.
    promised: UnitId,
    intake: Intake,
    names: BTreeMap<PeerId, Arc<str>>,
    arrivals: Arrivals,
    // Mostly one. A dead one's lane may reach its successor, whatever came first.
    ventilators: Vec<LinkId>,
    lonely: Patience,
    onlookers: Vec<LinkId>,
    reported: Time,
    recording: VecDeque<Recording>,
    recording_bytes: u64,
    next_number: u64,
    // The recorder was told that something is late, when this was the next batch.
    late_told: u64,
    held_bytes: u64,
    end: Option<End>,
    // Who said so.
    end_by: Option<PeerId>,
    began: Option<Time>,
    finished: Time,
    phase: Phase,
    tally: Option<Tally>,
    drain: bool,
    news: bool,
    exit: Option<i32>,
}

type Effects = Vec<Effect<Request>>;

impl Sink {
    /// A sink for the run that `run` describes. `me` is drawn at random once a start.
    pub fn new(me: PeerId, hello: Hello, limits: Limits, run: ResumePoint) -> (Self, Effects) {
        let mut mesh = Mesh::new(me, hello, &limits);
        mesh.join(run.run);
        let watermark = run.committed.watermark();
        let horizon = Horizon::new(&limits, watermark, run.committed.len());
        let promised = match run.plan {
            Some(_) => {
                let window = run.window_units.unwrap_or_default();
                watermark.saturating_add(window.max(limits.window_units_max))
            }
            None => 0,
        };
        let sink = Self {
            mesh,
            inherited: run.committed.len(),
            committed_units: run.committed.len(),
            accept: Accept::new(run.committed.clone()),
            horizon,
            horizon_at: watermark,
            promised,
            // Outcomes are taken in as fast as they can be recorded; what may wait in order is
            // bounded by the horizon.
            intake: Intake::new(
                limits.intake_units_max.saturating_mul(4),
                limits.window_bytes_max / 2,
            ),
            names: BTreeMap::new(),
            arrivals: Arrivals::default(),
            ventilators: Vec::new(),
            lonely: Patience::default(),
            onlookers: Vec::new(),
            reported: Time::default(),
            recording: VecDeque::new(),
            recording_bytes: 0,
            next_number: 0,
            late_told: 0,
            held_bytes: 0,
            end: run.units.map(|units| End { units, drained: false }),
            end_by: None,
            began: None,
            finished: Time::default(),
            phase: Phase::Running,
            tally: None,
            drain: false,
            news: false,
            exit: None,
            run,
            limits,
        };
        let mut sink = sink;
        let mut out = Effects::new();
        // A sink that died between the last commit and its goodbyes has only these to do.
        sink.close_if_all(&mut out);
        (sink, out)
    }

    /// Units that wait for the recorder, and their bytes.
    pub fn intake(&self) -> (usize, usize) {
        let each = self.recording.iter().map(|recording| (recording.units, recording.bytes));
        each.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    }

    /// What it has turned away so far.
    pub fn turned_away(&self) -> &TurnedAway {
        self.mesh.turned_away()
    }

    /// How far beyond the watermark it has let the ventilator read.
    pub fn window_units(&self) -> u64 {
        self.horizon_at.saturating_sub(self.run.committed.watermark())
    }

    fn mesh_event(&mut self, now: Time, event: MeshEvent, out: &mut Effects) {
        match event {
            MeshEvent::Asked { link, peer, hello } => self.asked(now, link, peer, *hello, out),
            MeshEvent::Broken { link, loss, .. } => self.broken(link, loss, out),
            MeshEvent::Frame { link, frame: Frame::Results(results) } => {
                let (units, bytes) = weight(&results);
                if self.intake.received(link, units, bytes) {
                    let peer = self.mesh.peer(link);
                    self.results(now, link, peer, results, out);
                } else {
                    warn!("a worker does not keep to its credit; it has to begin anew");
                    self.mesh.overdrawn(&mut role::Turn::new(now, out), link);
                }
            }
            MeshEvent::Frame { link, frame } if self.ventilators.contains(&link) => {
                self.ventilator_says(link, frame, out);
            }
            MeshEvent::Frame { link, frame: Frame::Bye } => self.mesh.hang_up(link, out),
            // A worker that was given up for dead has done its work all the same.
            MeshEvent::Stray(envelope) => self.stray(now, envelope, out),
            _ => {}
        }
    }

    /// A worker that was given up for dead has done its work all the same. Nothing bounds what comes
    /// from it, so it is heard only while there is room; others do its units anyway.
    fn stray(&mut self, now: Time, envelope: Envelope, out: &mut Effects) {
        let ours = envelope.run == self.run.run;
        let room = self.recording_bytes < self.limits.window_bytes_max;
        match envelope.frame {
            Frame::Results(results) if ours && room => {
                self.results(now, LinkId::MAX, Some(envelope.from), results, out);
            }
            _ => self.mesh.turn_away(Unwanted::Stray),
        }
    }

    fn asked(&mut self, now: Time, link: LinkId, peer: PeerId, hello: Hello, out: &mut Effects) {
        match hello.role {
            Role::Ventilator { plan, run, stages } => {
                if run != 0 && run != self.run.run {
                    // It will see that this is another run, and say what that means.
                    warn!("a ventilator of another run has called");
                }
                self.began.get_or_insert(now);
                self.remember(peer, hello.name);
                self.arrivals.retain(|known| self.mesh.peer(known).is_some());
                self.arrivals.add(Arrival { link, ventilator: peer, plan, stages });
                self.answer_arrivals(out);
            }
            Role::Worker { .. } => {
                self.remember(peer, hello.name);
                self.mesh.welcome(link, Welcome::Peer, out);
                self.intake.join(link);
            }
            Role::Onlooker => {
                self.mesh.welcome(link, Welcome::Peer, out);
                self.onlookers.push(link);
                // At once: a launcher has to see that a run gets on whose sink never lives long.
                self.mesh.send(link, Frame::Report(Box::new(self.progress())), out);
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
    fn answer_arrivals(&mut self, out: &mut Effects) {
        while let Some(turn) = self.arrivals.next(self.run.plan.as_deref()) {
            match turn {
                Turn::Refuse(link) => self.mesh.refuse(link, Refusal::OtherPlan, out),
                Turn::Welcome(link) => self.welcome_ventilator(link, out),
                Turn::Record(Arrival { ventilator, plan, stages, .. }) => {
                    let committed = self.run.committed.len();
                    let window_units = self.limits.window_units_max;
                    out.push(Effect::Request(Request::Begin {
                        ventilator,
                        committed,
                        plan,
                        stages,
                        window_units,
                    }));
                }
            }
        }
    }

    fn begun(&mut self, out: &mut Effects) {
        if let Some(plan) = self.arrivals.recorded() {
            self.run.plan = Some(plan);
        }
        self.answer_arrivals(out);
    }

    fn welcome_ventilator(&mut self, link: LinkId, out: &mut Effects) {
        if self.mesh.peer(link).is_none() {
            return;
        }
        self.ventilators.push(link);
        self.forget_end();
        let (commit, epoch) = (self.report(), self.run.epoch);
        self.mesh.welcome(link, Welcome::Resume { commit, epoch }, out);
        self.intake.join(link);
        if self.drain {
            self.mesh.send(link, Frame::Leaving, out);
        }
    }

    /// Where a ventilator stopped, or saw the source end, is of no use to the one that has taken
    /// its place: that may send what is beyond, and says itself where it ends.
    fn forget_end(&mut self) {
        let mut there = self.ventilators.iter().map(|link| self.mesh.peer(*link));
        if self.phase == Phase::Running
            && self.end_by.is_some()
            && !self.ventilators.is_empty()
            && !there.any(|peer| peer == self.end_by)
        {
            (self.end, self.end_by) = (None, None);
        }
    }

    fn broken(&mut self, link: LinkId, loss: Loss, out: &mut Effects) {
        self.intake.leave(link);
        self.onlookers.retain(|onlooker| *onlooker != link);
        let lost = self.lose_ventilator(link);
        self.forget_end();
        if lost && self.ventilators.is_empty() {
            match self.phase {
                // One that is cut off or on its way back has still to be told.
                Phase::Closed { .. } if loss == Loss::Disconnected && !self.run.durable => {
                    self.conclude(out);
                }
                Phase::Running | Phase::Closing | Phase::Closed { .. } => {
                    warn!(?loss, "lost the ventilator; waiting for it");
                }
                Phase::Concluding | Phase::Concluded { .. } => {}
            }
        }
    }

    /// Whether it was one.
    fn lose_ventilator(&mut self, link: LinkId) -> bool {
        let before = self.ventilators.len();
        self.ventilators.retain(|known| *known != link);
        self.ventilators.len() < before
    }

    fn results(
        &mut self,
        now: Time,
        link: LinkId,
        peer: Option<PeerId>,
        results: Results,
        out: &mut Effects,
    ) {
        let (units, bytes) = weight(&results);
        let name =
            peer.and_then(|peer| self.names.get(&peer).cloned()).unwrap_or_else(|| "?".into());
        let allowed = self.takes_below();
        if reach(&results) > allowed {
            return self.unpromised(now, link, out);
        }
        let end = self.end.map_or(allowed, |end| end.units.min(allowed));
        let entries = self.accept.take(results, &name, end);
        if entries.is_empty() {
            self.intake.processed(link, units, bytes);
            return;
        }
        let new: u64 = entries.iter().map(|entry| entry.count).sum();
        self.horizon.learn(new, entries.iter().map(Entry::bytes).sum());
        let ranges = entries.iter().map(|entry| (entry.first, entry.first + entry.count)).collect();
        let number = self.next_number;
        self.next_number += 1;
        self.recording_bytes += bytes as u64;
        self.recording.push_back(Recording { number, since: now, ranges, link, units, bytes });
        let duplicates = self.accept.duplicates();
        out.push(Effect::Request(Request::Record { number, entries, duplicates }));
    }

    /// Units below this one have been let be sent, by this sink or by those before it.
    pub fn takes_below(&self) -> UnitId {
        self.horizon_at.max(self.promised)
    }

    /// Outcomes of units that no sink has let be sent are not taken, and must not count as taken:
    /// with the session, its sender forgets that it has sent them.
    fn unpromised(&mut self, now: Time, link: LinkId, out: &mut Effects) {
        if self.mesh.is_open(link) {
            warn!("a worker sends outcomes of units beyond the window; it has to begin anew");
            self.mesh.overdrawn(&mut role::Turn::new(now, out), link);
        } else {
            self.mesh.turn_away(Unwanted::Stray);
        }
    }

    fn ventilator_says(&mut self, link: LinkId, frame: Frame, out: &mut Effects) {
        match frame {
            Frame::End(end) => (self.end, self.end_by) = (Some(end), self.mesh.peer(link)),
            Frame::Tally(tally) => self.tally = Some(*tally),
            Frame::Bye => {
                self.lose_ventilator(link);
                self.intake.leave(link);
                self.mesh.send(link, Frame::Bye, out);
                self.mesh.hang_up(link, out);
                if matches!(self.phase, Phase::Closed { .. }) {
                    self.conclude(out);
                }
            }
            _ => {}
        }
    }

    fn reply(&mut self, now: Time, reply: Reply, out: &mut Effects) {
        match reply {
            Reply::Begun => self.begun(out),
            Reply::Recorded { number, waiting, held_bytes, dead } => {
                self.held_bytes = held_bytes;
                self.run.dead = dead;
                self.recorded(number, &waiting);
            }
            Reply::Closed => {
                self.phase = Phase::Closed { since: now };
                self.finished = now;
                self.news = true;
                // A ventilator that is on its way back has still to be told; nobody else is.
                if self.ventilators.is_empty() && (self.drain || !self.run.durable) {
                    self.conclude(out);
                }
            }
            Reply::Concluded(summary) => self.concluded(now, summary, out),
            Reply::ReaderGone => self.drain(out),
            Reply::Failed(problem) => {
                error!(%problem, "cannot record any further");
                self.exit = Some(exit::OUTPUT);
            }
        }
    }

    /// Up to this batch everything is safe but what waits: now it may be acknowledged.
    fn recorded(&mut self, number: u64, waiting: &[u64]) {
        let Self { recording, run, intake, .. } = self;
        let (mut units, mut bytes) = (0, 0);
        recording.retain(|batch| {
            if batch.number > number || waiting.contains(&batch.number) {
                return true;
            }
            for (start, end) in &batch.ranges {
                run.committed.insert(*start..*end);
                units += end - start;
            }
            bytes += batch.bytes as u64;
            intake.processed(batch.link, batch.units, batch.bytes);
            false
        });
        self.committed_units += units;
        self.recording_bytes -= bytes;
        self.news = true;
    }

    /// When the oldest batch will have waited for too long, unless that was told.
    fn late(&self) -> Option<Time> {
        let oldest = self.recording.front().filter(|oldest| oldest.number >= self.late_told)?;
        Some(oldest.since + LATE)
    }

    fn report(&mut self) -> proto::frame::Commit {
        let watermark = self.run.committed.watermark();
        let held = self.held_bytes + self.accept.open_bytes();
        self.horizon_at = self.horizon.update(watermark, self.committed_units, held);
        let complete = !matches!(self.phase, Phase::Running | Phase::Closing);
        report(&self.run.committed, self.horizon_at, complete)
    }

    fn conclude(&mut self, out: &mut Effects) {
        self.phase = Phase::Concluding;
        let end = self.end.unwrap_or(End { units: self.run.committed.watermark(), drained: true });
        out.push(Effect::Request(Request::Conclude(Box::new(Conclusion {
            units: end.units,
            committed_here: self.run.committed.len() - self.inherited,
            drained: end.drained,
            duplicates: self.accept.duplicates(),
            elapsed: self.finished.since(self.began.unwrap_or_default()),
            turned_away: *self.mesh.turned_away(),
            tally: self.tally.take(),
        }))));
    }

    fn concluded(&mut self, now: Time, summary: String, out: &mut Effects) {
        self.phase = Phase::Concluded { since: now };
        for link in self.onlookers.clone() {
            let report = Report {
                finished: Some(self.code()),
                summary: Some(summary.clone()),
                ..self.progress()
            };
            self.mesh.send(link, Frame::Report(Box::new(report)), out);
            self.mesh.send(link, Frame::Bye, out);
        }
        self.exit = Some(self.code());
    }

    fn code(&self) -> i32 {
        match self.end {
            Some(End { drained: false, .. }) if self.run.dead > 0 => exit::DEAD,
            Some(End { drained: false, .. }) => exit::COMPLETE,
            _ => exit::DRAINED,
        }
    }

    fn progress(&self) -> Report {
        Report {
            total: self.end.map(|end| end.units),
            committed: self.run.committed.len(),
            dead: self.run.dead,
            ..Report::default()
        }
    }

    /// The ventilator reads no further; the run ends with what has begun.
    fn drain(&mut self, out: &mut Effects) {
        if self.drain {
            return;
        }
        self.drain = true;
        info!("draining: what has begun is finished");
        for link in &self.ventilators {
            self.mesh.send(*link, Frame::Leaving, out);
        }
        // One that is about to be answered is told then, and says itself where it stops.
        if self.ventilators.is_empty() && self.arrivals.is_empty() {
            let units = self.run.committed.watermark();
            self.end = Some(End { units, drained: true });
        }
    }

    fn close_if_all(&mut self, out: &mut Effects) {
        let watermark = self.run.committed.watermark();
        if let Some(end) = self.end.filter(|end| watermark >= end.units)
            && self.phase == Phase::Running
        {
            self.phase = Phase::Closing;
            let units = (!end.drained).then_some(end.units);
            out.push(Effect::Request(Request::Close { units }));
        }
    }

    /// A process that waits says so, and for whom.
    fn look_for_ventilator(&mut self, now: Time) {
        let waits = self.phase == Phase::Running && self.exit.is_none();
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
    fn advance(&mut self, now: Time, out: &mut Effects) {
        if let Some(code) = self.exit {
            out.push(Effect::Exit(code));
            return;
        }
        self.close_if_all(out);
        if let Phase::Closed { since } = self.phase
            && now.since(since) > Duration::from_millis(2 * self.limits.liveness_ms)
        {
            self.conclude(out);
        }
        if self.late().is_some_and(|late| late <= now) {
            self.late_told = self.next_number;
            out.push(Effect::Request(Request::LogWaiting));
        }
        for (link, credit) in self.intake.grants() {
            self.mesh.grant(link, credit, out);
        }
        if self.news && !self.ventilators.is_empty() {
            self.news = false;
            let commit = self.report();
            for link in &self.ventilators {
                self.mesh.send(*link, Frame::Commit(commit.clone()), out);
            }
        }
        if !self.onlookers.is_empty() && now.since(self.reported) >= REPORT_INTERVAL {
            self.reported = now;
            for link in self.onlookers.clone() {
                self.mesh.send(link, Frame::Report(Box::new(self.progress())), out);
            }
        }
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

    fn handle(&mut self, now: Time, event: Event<Reply>, out: &mut Effects) {
        if self.exit.is_some() {
            return;
        }
        match self.mesh.handle(&mut role::Turn::new(now, out), event) {
            Some(Event::Reply(reply)) => self.reply(now, reply, out),
            Some(Event::Drain) => self.drain(out),
            _ => {}
        }
        while let Some(event) = self.mesh.poll() {
            self.mesh_event(now, event, out);
        }
        self.advance(now, out);
        self.look_for_ventilator(now);
    }

    fn deadline(&self) -> Option<Time> {
        let report = (!self.onlookers.is_empty()).then(|| self.reported + REPORT_INTERVAL);
        let closed = match self.phase {
            Phase::Closed { since } => {
                Some(since + Duration::from_millis(2 * self.limits.liveness_ms + 1))
            }
            _ => None,
        };
        [self.mesh.deadline(), report, closed, self.late(), self.lonely.due()]
            .into_iter()
            .flatten()
            .min()
    }
}
