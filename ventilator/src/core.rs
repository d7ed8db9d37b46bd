//! The ventilator's part in the pipeline, as a state machine.
//!
//! Owns what a frame means, depending on who it comes from, and the way from the first Hello to the
//! end of the run. What it is made of has a file each: the plans, how far the source is read, the
//! roster, the rounds in which commits are told; what it sends and keeps is the sender that every
//! worker has too. Refuses sockets, files and clocks.

mod serving;

use std::time::Duration;

use proto::{
    diary,
    frame::{
        Code, Commit, Done, End, Frame, Hello, HelloRole, OLDEST_MAX, OpenUnit, Pause, PeerId,
        Refusal, Report, Running, TALLIES_MAX, Tally, Welcome,
    },
    ranges::RangeSet,
    role::{Effect, Event, LinkId},
    rules::{
        dispatch::Dispatch,
        downstream::Downstream,
        mesh::{Loss, Mesh, MeshEvent},
        observers::Observers,
        patience::Patience,
    },
    time::Time,
    turned_away::Unwanted,
};
use tracing::{error, info, warn};

use crate::{
    chronicle::Chronicle,
    clients::Clients,
    codes::Codes,
    commit_rounds::CommitRounds,
    draining::{Company, Draining},
    plans::Plans,
    queue::Ask,
    reading::Reading,
    request::Turn,
    roster::Roster,
    seniority::Seniority,
    vacancies::Vacancies,
};
pub use crate::{
    plans::Config,
    request::{Reply, Request},
};

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

/// The stage that the source's units are for.
const FIRST_STAGE: u32 = 0;

/// What is due after a time is looked at a moment later.
const MOMENT: Duration = Duration::from_millis(1);

/// Who a frame comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Sink,
    /// Of whatever stage.
    Worker,
    Observer,
    /// Of a service.
    Client,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Everything is committed; the workers have been told to stop. Those that are not heard are
    /// not waited for once they had time enough.
    Stopping {
        since: Time,
        look_at: Time,
    },
    /// The workers are gone; the sink has been told everything, and has to say that it heard.
    Parting {
        since: Time,
    },
}

/// The ventilator.
pub struct Ventilator {
    plans: Plans,
    codes: Codes,
    mesh: Mesh,
    downstream: Downstream<Chronicle>,
    reading: Reading,
    roster: Roster,
    // Workers that asked before the run was known.
    waiting: Vec<(LinkId, Box<Hello>)>,
    vacancies: Vacancies,
    draining: Draining,
    rounds: CommitRounds,
    observers: Observers,
    // Of a service, whose units come from them.
    clients: Option<Clients>,
    seniority: Seniority,
    // Who knows it may have this ventilator pause.
    pass: Option<u64>,
    // How long the sink has been waited for, and which start of it was heard last.
    patience: Patience,
    epoch: u64,
    // Since when it goes on with a run of a predecessor, whose workers may be on their way here.
    resumed: Option<Time>,
    phase: Phase,
    exit: Option<i32>,
}

type Effects = Vec<Effect<Request>>;

impl Ventilator {
    /// A ventilator that has not begun; carry the effects out, then feed it events.
    pub fn new(me: PeerId, hello: Hello, config: Config) -> (Self, Effects) {
        let mut mesh = Mesh::new(me, hello, &config.limits);
        let mut out = Effects::new();
        let sink = mesh.dial(config.sink.clone(), None, &mut out);
        let mut downstream = Downstream::new(sink, &config.limits, Chronicle::default());
        if let Some(first) = config.stages.first() {
            downstream.feed(FIRST_STAGE, first, &config.limits);
        }
        let ventilator = Self {
            plans: Plans::new(config),
            codes: Codes::default(),
            mesh,
            downstream,
            reading: Reading::default(),
            roster: Roster::default(),
            waiting: Vec::new(),
            vacancies: Vacancies::default(),
            draining: Draining::default(),
            rounds: CommitRounds::default(),
            observers: Observers::default(),
            clients: None,
            seniority: Seniority::default(),
            pass: None,
            patience: Patience::default(),
            epoch: 0,
            resumed: None,
            phase: Phase::Running,
            exit: None,
        };
        (ventilator, out)
    }

    /// Tells workers that are not on this machine, `host`, to find the sink at `endpoints`.
    pub fn sink_elsewhere(&mut self, host: String, endpoints: Vec<String>) {
        self.plans.sink_elsewhere(host, endpoints);
    }

    /// Others can start workers that find it at this endpoint, and are told so when one is missing.
    pub fn join_at(&mut self, endpoint: String) {
        self.plans.announce(endpoint);
    }

    /// Once it was asked to end, what workers work on is waited for only so long; without this for
    /// ever.
    pub fn drain_limit(&mut self, limit: Duration) {
        self.draining.limit(limit);
    }

    /// Observers that know this number may have it pause. It must be known to nobody but who starts it;
    /// without one nobody may.
    pub fn steered_with(&mut self, pass: u64) {
        self.pass = Some(pass);
    }

    /// Units come from clients, by a queue that answers [`Request::Queue`], instead of a source. All clients
    /// together may have sent no more that is not accepted than may wait there.
    pub fn serve_clients(&mut self, queue_units_max: u64) {
        self.clients = Some(Clients::new(self.plans.limits(), queue_units_max));
        self.reading.read_from_queue();
    }

    /// What it knows to be committed.
    pub fn committed(&self) -> &RangeSet {
        self.downstream.committed().set()
    }

    /// Units that it has read and that are not committed.
    pub fn in_flight(&self) -> u64 {
        self.downstream.committed().in_flight(self.reading.next())
    }

    /// Bytes of values that it keeps for workers, and of outcomes that it keeps for the sink.
    pub fn kept_bytes(&self) -> (usize, usize) {
        (self.downstream.unit_bytes(), self.downstream.outcome_bytes())
    }

    /// The units for each stage that it sends to, and who has them.
    pub fn stages(&self) -> impl Iterator<Item = &Dispatch> {
        self.downstream.stages()
    }

    fn mesh_event(&mut self, turn: &mut Turn<'_>, event: MeshEvent) {
        match event {
            MeshEvent::Asked { link, hello, .. } => self.asked(turn, link, hello),
            MeshEvent::Opened { welcome, run, .. } => self.sink_opened(turn, *welcome, run),
            MeshEvent::Refused { refusal, .. } => self.refused(&refusal),
            MeshEvent::Broken { link, loss, .. } => self.broken(turn, link, loss),
            MeshEvent::Quiet { link, since } => self.quiet(turn.now, link, since),
            MeshEvent::Back { link } => self.downstream.back(turn, &mut self.mesh, link),
            MeshEvent::Frame { link, frame } => self.heard(turn, link, frame),
            MeshEvent::Stray(_) => self.mesh.turn_away(Unwanted::Stray),
        }
    }

    fn speaker(&self, link: LinkId) -> Speaker {
        match link {
            sink if sink == self.downstream.sink() => Speaker::Sink,
            observer if self.observers.has(observer) => Speaker::Observer,
            client if self.clients.as_ref().is_some_and(|clients| clients.has(client)) => {
                Speaker::Client
            }
            _ => Speaker::Worker,
        }
    }

    /// All that is ever said to a ventilator. What is not here means nothing from that peer.
    fn heard(&mut self, turn: &mut Turn<'_>, link: LinkId, frame: Frame) {
        match (self.speaker(link), frame) {
            (Speaker::Sink, Frame::Commit(commit)) => self.heard_commit(turn, &commit),
            (Speaker::Sink, Frame::Credit(credit)) => self.downstream.sink_granted(credit),
            (Speaker::Sink, Frame::Leaving) => self.drain(turn),
            (Speaker::Sink, Frame::Bye) => self.exit = Some(self.code()),
            (Speaker::Worker, Frame::Credit(credit)) => self.downstream.granted(link, credit),
            (Speaker::Worker, Frame::Concurrency(units)) => self.opens(turn, link, units),
            (Speaker::Worker, Frame::Done(done)) => self.done(turn, link, &done),
            (Speaker::Worker, Frame::Returned { parcel, keep }) => {
                self.downstream.returned(link, parcel, keep);
            }
            (Speaker::Worker, Frame::Figures(figures)) => self.roster.figures(link, figures),
            (Speaker::Worker, Frame::Report(report)) => {
                self.roster.running(link, turn.now, report.running);
            }
            (Speaker::Worker, Frame::Leaving) => self.leaving(turn, link),
            (Speaker::Worker, Frame::Bye) => self.left(turn, link),
            (Speaker::Observer, Frame::Pause(pause)) => self.pause(pause),
            (Speaker::Observer, Frame::Bye) => {
                self.observers.leave(link);
                self.say_goodbye(turn, link);
            }
            (Speaker::Client, Frame::Submit(submit)) => self.submitted(turn, link, submit),
            (Speaker::Client, Frame::Await(tickets)) => {
                turn.request(Request::Queue(Ask::Known { link, tickets }));
            }
            (Speaker::Client, Frame::Cancel(tickets)) => {
                turn.request(Request::Queue(Ask::Cancel { link, tickets }));
            }
            (Speaker::Client, Frame::Bye) => self.client_left(turn, link),
            (Speaker::Sink | Speaker::Worker | Speaker::Observer | Speaker::Client, _) => {}
        }
    }

    /// The sink's answer: where the run stands.
    fn sink_opened(&mut self, turn: &mut Turn<'_>, welcome: Welcome, run: u64) {
        let Welcome::Resume { commit, epoch } = welcome else { return };
        let first = self.mesh.run() == 0;
        let known = self.downstream.committed().set().watermark();
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
        self.forget(turn, &commit);
        self.downstream.sink_opened();
        if first {
            self.resume(turn, commit.watermark);
        }
        if let Some(end) = self.reading.end() {
            self.mesh.send(self.downstream.sink(), Frame::End(end), turn.out);
        }
        self.tell_open(turn);
        for link in self.observers.links() {
            self.report(turn, link);
        }
        if self.downstream.committed().complete() {
            self.stop(turn);
        }
    }

    /// The run is known now, and what of it is committed: reading and admitting begin.
    fn resume(&mut self, turn: &mut Turn<'_>, unit: u64) {
        if self.clients.is_none() {
            self.reading.seek(unit);
            turn.request(Request::Seek { run: self.mesh.run(), unit });
        }
        if !self.downstream.committed().set().is_empty() {
            info!(unit, "resuming");
            self.resumed = Some(turn.now);
        }
        for (link, hello) in std::mem::take(&mut self.waiting) {
            self.asked(turn, link, hello);
        }
    }

    fn refused(&mut self, refusal: &Refusal) {
        error!(%refusal, "the sink refuses this run");
        if matches!(refusal, Refusal::OtherPlan) {
            self.exit = Some(exit::OTHER_PLAN);
        }
    }

    fn asked(&mut self, turn: &mut Turn<'_>, link: LinkId, hello: Box<Hello>) {
        match hello.role {
            HelloRole::Observer => {
                self.mesh.welcome(link, Welcome::Peer, turn.out);
                self.observers.join(link);
                self.report(turn, link);
            }
            HelloRole::Worker { .. } if self.mesh.run() == 0 => self.waiting.push((link, hello)),
            HelloRole::Worker { .. } => self.admit(turn, link, *hello),
            HelloRole::Ventilator { .. } => self.mesh.refuse(link, Refusal::OtherRun, turn.out),
            HelloRole::Client { .. } if self.clients.is_none() => {
                self.mesh.refuse(link, Refusal::NoService, turn.out);
            }
            HelloRole::Client { .. } if self.mesh.run() == 0 => self.waiting.push((link, hello)),
            HelloRole::Client { client, cancels } => {
                self.admit_client(turn, link, (client, cancels), &hello.host);
            }
        }
    }

    /// What is with workers is finished, and nothing further is sent, or all that there is.
    fn pause(&mut self, Pause { pass, on }: Pause) {
        if self.pass != Some(pass) {
            return self.mesh.turn_away(Unwanted::Stray);
        }
        info!(on, "pause");
        self.downstream.pause(on);
    }

    fn admit(&mut self, turn: &mut Turn<'_>, link: LinkId, hello: Hello) {
        let plan = match self.plans.plan_for(&hello) {
            Ok(plan) => plan,
            Err(refusal) => return self.mesh.refuse(link, refusal, turn.out),
        };
        let Some(peer) = self.mesh.peer(link) else { return };
        let stage = plan.stage_index;
        info!(peer = %hello.name, stage = %plan.stage.name, "worker joined");
        self.mesh.welcome(link, Welcome::Plan(Box::new(plan)), turn.out);
        if stage == FIRST_STAGE {
            self.codes.tell(link, &mut self.mesh, turn.out);
        }
        let urgent = self.urgent();
        for part in self.downstream.committed().whole() {
            self.mesh.send(link, Frame::Commit(Commit { urgent, ..part }), turn.out);
        }
        if let Some(end) = self.reading.end() {
            self.mesh.send(link, Frame::End(end), turn.out);
        }
        if self.phase != Phase::Running {
            self.mesh.send(link, Frame::Stop, turn.out);
        } else if self.draining.is_on() {
            self.mesh.send(link, Frame::Leaving, turn.out);
        }
        self.downstream.join(stage, link, &hello.name);
        self.roster.admit(link, peer, stage, hello);
        self.roster.tell(stage, &mut self.mesh, turn.out);
        self.roster.introduce(link, self.plans.stage_count(), &mut self.mesh, turn.out);
    }

    fn broken(&mut self, turn: &mut Turn<'_>, link: LinkId, loss: Loss) {
        if link == self.downstream.sink() {
            self.downstream.sink_lost();
            if matches!(self.phase, Phase::Parting { .. }) {
                self.exit = Some(self.code());
            } else {
                warn!(?loss, "lost the sink; waiting for it");
            }
            return;
        }
        self.observers.leave(link);
        if let Some(clients) = &mut self.clients
            && let Some(ask) = clients.lost(turn.now, link)
        {
            turn.request(Request::Queue(ask));
            return;
        }
        let peers_max = self.plans.limits().peers_max;
        let Some(member) = self.roster.lost(link, loss, peers_max) else { return };
        if self.phase == Phase::Running {
            warn!(peer = %member.name(), ?loss, "lost a worker; its units go to others");
        }
        turn.request(Request::Note(diary::Event::lost(member.name(), loss)));
        self.downstream.lost(turn, &mut self.mesh, link, loss);
        self.roster.tell(member.stage, &mut self.mesh, turn.out);
    }

    /// A worker has so many units open at once. The sink has to let as many be sent.
    fn opens(&mut self, turn: &mut Turn<'_>, link: LinkId, units: u32) {
        self.downstream.opens(link, units);
        self.roster.opens(link, units);
        self.tell_open(turn);
    }

    fn tell_open(&mut self, turn: &mut Turn<'_>) {
        let open = self.roster.open();
        if open > 0 {
            self.mesh.send(self.downstream.sink(), Frame::Concurrency(open), turn.out);
        }
    }

    /// A worker may be stopped, or only late: others are given its units too.
    fn quiet(&mut self, now: Time, link: LinkId, since: Time) {
        let Some(member) = self.roster.get(link) else { return };
        if self.downstream.feeds(member.stage) {
            let ms = now.since(since).as_millis() as u64;
            info!(peer = %member.name(), ms, "a worker is not heard; others get its units too");
            self.downstream.quiet(link, since);
        }
    }

    fn heard_commit(&mut self, turn: &mut Turn<'_>, commit: &Commit) {
        self.forget(turn, commit);
        if self.downstream.committed().complete() {
            self.stop(turn);
        }
    }

    /// What is committed needs not be kept, here or by workers.
    fn forget(&mut self, turn: &mut Turn<'_>, commit: &Commit) {
        if self.clients.is_some() {
            turn.request(Request::Queue(Ask::Committed(commit.clone())));
        }
        let before = self.downstream.unit_bytes();
        if self.downstream.commit(turn, commit) {
            self.rounds.news(self.downstream.committed().news());
        }
        self.rounds.freed(before.saturating_sub(self.downstream.unit_bytes()));
        // The last part of what was committed before names the horizon.
        if commit.horizon > 0
            && let Some(clients) = &mut self.clients
            && clients.begin()
        {
            self.reading.seek(self.downstream.committed().set().len());
            turn.request(Request::Queue(Ask::Begin));
        }
    }

    fn done(&mut self, turn: &mut Turn<'_>, link: LinkId, done: &Done) {
        self.downstream.done(turn, &mut self.mesh, link, done);
    }

    fn leaving(&mut self, turn: &mut Turn<'_>, link: LinkId) {
        self.downstream.leaving(link);
        if let Some(member) = self.roster.get(link) {
            info!(peer = %member.name(), "worker is leaving");
            self.roster.tell_leaving(link, &mut self.mesh, turn.out);
        }
    }

    fn left(&mut self, turn: &mut Turn<'_>, link: LinkId) {
        if let Some(member) = self.roster.left(link) {
            info!(peer = %member.name(), "worker left");
            self.downstream.lost(turn, &mut self.mesh, link, Loss::Replaced);
            self.roster.tell(member.stage, &mut self.mesh, turn.out);
        }
        self.say_goodbye(turn, link);
    }

    /// A process that leaves waits for this, so that nothing it said is lost with it.
    fn say_goodbye(&mut self, turn: &mut Turn<'_>, link: LinkId) {
        self.mesh.send(link, Frame::Bye, turn.out);
        self.mesh.hang_up(link, turn.out);
    }

    fn reply(&mut self, turn: &mut Turn<'_>, reply: Reply) {
        let reply = match reply {
            Reply::Queue(news) => return self.queue_told(turn, *news),
            reply => reply,
        };
        self.reading.answered();
        match reply {
            Reply::Queue(_) => {}
            Reply::Named { codes, units, ended } => {
                codes.into_iter().for_each(|code| self.code_is(turn, code));
                self.reply(turn, Reply::Read { units, ended });
            }
            // Read too late: the run ends before these units.
            Reply::Read { .. } if self.reading.end().is_some() => {}
            Reply::Read { units, ended } => {
                self.reading.read(units.len() as u64);
                self.downstream.add(FIRST_STAGE, units.without(self.downstream.committed().set()));
                if ended {
                    self.ended(turn, false);
                }
            }
            Reply::Failed(problem) => {
                error!(%problem, "cannot read the source any further");
                self.reading.fail();
                self.ended(turn, true);
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

    /// Units that are read from now on may name this code, or none does any more. What is sent in a
    /// session comes in order, so a worker has it before the first of them.
    fn code_is(&mut self, turn: &mut Turn<'_>, code: Code) {
        for link in self.roster.links_of(FIRST_STAGE) {
            self.mesh.send(link, Frame::Code(Box::new(code.clone())), turn.out);
        }
        self.codes.note(code);
    }

    fn ended(&mut self, turn: &mut Turn<'_>, drained: bool) {
        let end = self.reading.finish(drained);
        self.downstream.ending();
        self.mesh.send(self.downstream.sink(), Frame::End(end), turn.out);
        for link in self.roster.links() {
            self.mesh.send(link, Frame::End(end), turn.out);
        }
    }

    /// Reads and sends no further, and asks the workers to finish what they work on, give back the
    /// rest, and leave. What was read and is not done then is left for whoever goes on.
    fn drain(&mut self, turn: &mut Turn<'_>) {
        if self.draining.is_on() {
            return;
        }
        self.draining.begin(turn.now);
        info!("draining: what is being worked on is finished");
        if self.mesh.run() == 0 {
            self.exit = Some(exit::DRAINED);
            return;
        }
        if self.clients.is_some() {
            turn.request(Request::Queue(Ask::Close));
        }
        if self.reading.end().is_none() {
            self.ended(turn, true);
        }
        self.downstream.close();
        for link in self.roster.links() {
            self.mesh.send(link, Frame::Leaving, turn.out);
        }
    }

    /// A run that was asked to end does so once nobody is left who works on anything, or after as long
    /// as it may take.
    fn end_if_drained(&mut self, turn: &mut Turn<'_>) {
        if !self.draining.is_on() || self.is_all_committed() {
            return;
        }
        let overdue = self.draining.is_overdue(turn.now);
        if overdue {
            let units = self.roster.all_running(turn.now).map_or(0, |running| running.units);
            warn!(units, "what is being worked on takes too long: it is left undone");
        }
        // What is done has to be safe before.
        let unsafe_yet =
            self.downstream.outcome_bytes() > 0 && self.mesh.is_open(self.downstream.sink());
        let company = if unsafe_yet { Company::Here } else { self.company(turn.now) };
        if self.draining.is_alone(turn.now, company) || overdue {
            let end = self.reading.finish(true);
            self.mesh.send(self.downstream.sink(), Frame::End(end), turn.out);
            self.stop(turn);
        } else if self.draining.told(turn.now).is_some() && self.observers.links().next().is_none()
        {
            self.tell_running(turn.now);
        }
    }

    /// Then the sink closes the run, and says so.
    fn is_all_committed(&self) -> bool {
        let watermark = self.downstream.committed().set().watermark();
        self.reading.end().is_some_and(|end| watermark >= end.units)
    }

    /// Nobody watches who would show it.
    fn tell_running(&self, now: Time) {
        if let Some(Running { units, longest_ms }) = self.roster.all_running(now) {
            let longest_s = longest_ms / 1_000;
            warn!(
                units,
                longest_s,
                "draining: what is being worked on is finished; a second signal stops at once"
            );
        }
    }

    /// Who of the workers is there, or may still come.
    fn company(&self, now: Time) -> Company {
        let patience = self.patience();
        if self.roster.len() > 0 {
            Company::Here
        } else if self.roster.has_astray()
            // Those of a predecessor may be on their way here.
            || self.resumed.is_some_and(|since| now.since(since) < patience)
        {
            Company::Astray(patience)
        } else {
            Company::Gone
        }
    }

    /// Workers that are cut off may be on their way back for so long.
    fn absence(&self) -> Duration {
        let waits = self.roster.has_astray() || self.resumed.is_some();
        if waits { self.patience() } else { Duration::ZERO }
    }

    /// Everything is committed: the workers may go, and the sink learns the figures.
    fn stop(&mut self, turn: &mut Turn<'_>) {
        if self.phase != Phase::Running {
            return;
        }
        let look_at = turn.now + self.patience_with_quiet() + MOMENT;
        self.phase = Phase::Stopping { since: turn.now, look_at };
        for link in self.roster.links() {
            self.mesh.send(link, Frame::Stop, turn.out);
        }
    }

    fn tally(&self) -> Tally {
        let recovery = self.stages().filter_map(Dispatch::recovery).max();
        Tally {
            attempts: self.stages().map(Dispatch::attempts).sum(),
            latency_us: self.downstream.witness().latency_us(),
            recovery_ms: recovery.map(|recovery| recovery.as_secs_f64() * 1e3),
            workers: self.roster.tallies(),
            turned_away: *self.mesh.turned_away(),
        }
    }

    fn code(&self) -> i32 {
        match self.reading.end() {
            _ if self.reading.has_failed() => exit::SOURCE,
            Some(End { drained: false, .. }) => exit::COMPLETE,
            // Started again after the sink had everything.
            None if self.downstream.committed().complete() => exit::COMPLETE,
            _ => exit::DRAINED,
        }
    }

    fn report(&mut self, turn: &mut Turn<'_>, link: LinkId) {
        let report = Report {
            read: self.reading.next(),
            total: self.reading.end().map(|end| end.units),
            committed: self.downstream.committed().set().len(),
            dead: self.downstream.witness().dead(),
            workers: self.roster.len() as u32,
            running: self.running(turn.now),
            tallies: self.roster.present().take(TALLIES_MAX).collect(),
            stages: self.roster.stages(self.plans.stages().len()),
            oldest: self.oldest(turn.now),
            passed: self.roster.passed().cloned().collect(),
            service: self.standing(turn.now),
            ..Report::default()
        };
        self.mesh.send(link, Frame::Report(Box::new(report)), turn.out);
    }

    /// The units that workers have had longest.
    fn oldest(&self, now: Time) -> Vec<OpenUnit> {
        let mut oldest: Vec<_> = self.stages().flat_map(Dispatch::first_of_each).collect();
        oldest.sort_unstable();
        let told = oldest.into_iter().take(OLDEST_MAX).map(|(since, unit, worker)| OpenUnit {
            unit,
            worker: worker.to_owned(),
            ms: now.since(since).as_millis() as u64,
        });
        told.collect()
    }

    /// What is waited for, of a run that was asked to end.
    fn running(&self, now: Time) -> Option<Running> {
        let is_waiting = self.draining.is_on() && self.phase == Phase::Running;
        is_waiting.then(|| self.roster.all_running(now)).flatten()
    }

    /// A sink that is not there may not have been started yet, or may come back.
    fn look_for_sink(&mut self, now: Time) {
        let sink = self.downstream.sink();
        if self.mesh.is_open(sink) {
            self.patience.met();
        } else if let Some(lasted) = self.patience.told(now) {
            let (at, seconds) = (self.plans.sink().join(", "), lasted.as_secs());
            match self.mesh.is_reached(sink) {
                true => warn!(%at, seconds, "the sink does not answer; waiting for it"),
                false => warn!(%at, seconds, "no sink can be reached there; waiting for one"),
            }
        }
    }

    /// A stage without a worker is waited for; which one is told.
    fn look_for_workers(&mut self, now: Time) {
        if self.vacancies.is_due(now) {
            let stages = (0..).zip(self.plans.stages());
            let mut vacant = stages.filter(|(index, _)| !self.roster.has_stage(*index));
            let vacant = vacant.next().filter(|_| self.mesh.is_open(self.downstream.sink()));
            self.vacancies.found(now, vacant.map(|(_, stage)| stage), self.plans.join_at());
        }
    }

    /// What follows from the state, whatever the event was.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        if let Some(code) = self.exit {
            return turn.exit(code);
        }
        self.look_for_sink(turn.now);
        if self.phase != Phase::Running {
            return self.part(turn);
        }
        self.end_if_drained(turn);
        if self.phase != Phase::Running {
            return self.part(turn);
        }
        self.look_for_workers(turn.now);
        self.look_after_clients(turn);
        if self.mesh.run() != 0
            && self.clients.as_ref().is_none_or(Clients::has_begun)
            && let Some(units) = self.reading.ask(self.plans.limits(), &self.downstream)
        {
            turn.request(match self.clients {
                Some(_) => Request::Queue(Ask::Read(units)),
                None => Request::Read(units),
            });
        }
        self.look_for_urgent();
        self.look_for_recalled(turn);
        self.downstream.send(turn, &mut self.mesh);
        if self.commit_due().is_some_and(|due| due <= turn.now) {
            self.tell_commit(turn);
        }
        for link in self.observers.due(turn.now) {
            self.report(turn, link);
        }
    }

    /// When the next workers are told what is committed.
    fn commit_due(&self) -> Option<Time> {
        self.rounds.due(self.downstream.committed().set().len())
    }

    fn tell_commit(&mut self, turn: &mut Turn<'_>) {
        let urgent = self.urgent();
        let Self { downstream, rounds, roster, mesh, .. } = self;
        let workers = |first| roster.links_from(first);
        let (links, parts) = rounds.turn(turn.now, downstream.committed(), workers);
        for (link, part) in links.iter().flat_map(|link| parts.iter().map(move |part| (link, part)))
        {
            mesh.send(*link, Frame::Commit(Commit { urgent, ..part.clone() }), turn.out);
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.plans.limits().liveness_ms)
    }

    /// How long workers that are not heard, and may be stopped, are waited for at the end.
    fn patience_with_quiet(&self) -> Duration {
        let beats = self.plans.limits().heartbeat_interval_ms.saturating_mul(2);
        Duration::from_millis(beats).min(self.patience())
    }

    /// Whether nobody is left who could hear that the run is over. Who is not heard for a while
    /// finds it in its inbox, whenever it goes on.
    fn is_alone(&self, now: Time, since: Time) -> bool {
        let (patience, waited) = (self.patience(), now.since(since));
        let awaited = self.resumed.is_some_and(|since| now.since(since) <= patience);
        let unheard = waited > self.patience_with_quiet()
            && self.roster.is_unheard(|link| self.mesh.is_quiet(link));
        waited > patience || !awaited && (unheard || self.roster.is_gone())
    }

    /// The run is over: waits for the workers to go, then for the sink to have heard the figures.
    fn part(&mut self, turn: &mut Turn<'_>) {
        let (now, patience) = (turn.now, self.patience());
        if let Phase::Stopping { since, look_at } = &mut self.phase
            && *look_at <= now
        {
            *look_at = *since + patience + MOMENT;
        }
        match self.phase {
            Phase::Stopping { since, .. } if self.is_alone(now, since) => {
                self.downstream.witness_mut().close();
                let (sink, tally) = (self.downstream.sink(), Box::new(self.tally()));
                self.mesh.send(sink, Frame::Tally(tally), turn.out);
                self.mesh.send(sink, Frame::Bye, turn.out);
                self.phase = Phase::Parting { since: now };
            }
            Phase::Parting { since } if now.since(since) > patience => {
                self.exit = Some(self.code());
                turn.exit(self.code());
            }
            _ => {}
        }
    }
}

impl proto::role::Role for Ventilator {
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
        let due = match self.phase {
            // Nothing else is done any more, so nothing else is due.
            Phase::Stopping { look_at, .. } => [Some(look_at), None, None, None, None, None],
            Phase::Parting { since } => {
                [Some(since + self.patience() + MOMENT), None, None, None, None, None]
            }
            Phase::Running => [
                self.downstream.deadline(),
                self.commit_due(),
                self.observers.deadline(),
                self.vacancies.deadline(),
                self.clients.as_ref().and_then(Clients::deadline),
                // All that is waited for otherwise is the sink.
                (!self.is_all_committed())
                    .then(|| self.draining.deadline(self.absence()))
                    .flatten(),
            ],
        };
        due.into_iter().chain([self.mesh.deadline()]).flatten().min()
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
