//! The world of one run: everything that happens, one thing after the other, in simulated time.
//!
//! Owns the queue of what is going to happen, and who is told of it; what a process makes of it
//! is its role's business, and what goes wrong is the plan's. What only a service has is `serving`'s.

mod serving;

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use fastrand::Rng;
use proto::{
    frame::{Envelope, Frame},
    ranges::RangeSet,
    role::LinkId,
};

use super::{
    actor::{Context, Deed, Happening},
    bounds::{self, Load},
    check::{self, Broken},
    clock::Moment,
    coverage::{Coverage, Seen},
    faults::{Blow, Cast, Cut, FaultPlan, between},
    lane::{Connection, Incarnation, Network},
    losses::Losses,
    model::Disk,
    process::{Duty, Life, Process, SINK, Surroundings, VENTILATOR, WORKERS, endpoint},
    scenario::Scenario,
    service::{Premises, audit},
    trace::{Detail, Short, Trace, is_news},
};

/// After the sink has left, those that could not hear of it are told so, as people or
/// `pipeline up` would tell them.
const REMINDER: Duration = Duration::from_secs(10);
/// When another process is started in place of one that leaves.
const REPLACED: Duration = Duration::from_secs(1);
/// A process that died in the middle of something is started again after such a time.
const BACK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(2));
/// How often it is looked who knows what.
const LOOK: Duration = Duration::from_millis(500);
/// What was committed so long ago is known to everyone: what was said before may have been lost, in
/// two sessions one after the other.
const LATE_LIVENESSES: u32 = 3;
/// So many wake-ups in a row for nothing are too many.
const SPINS_MAX: u32 = 200;
/// A process that was stopped for longer notices, as the driver does.
const ASLEEP_AFTER: Duration = Duration::from_millis(1_500);
/// The exit code of a sink or a ventilator that stopped before the end of the source.
const DRAINED: i32 = sink::core::exit::DRAINED;
/// The way of a frame that is not late.
const WAY: (Duration, Duration) = (Duration::from_micros(20), Duration::from_micros(300));

/// What is going to happen.
#[derive(Debug)]
enum Occurrence {
    Arrive(Connection, Vec<u8>),
    Connect(Incarnation, LinkId),
    Tell(Incarnation, Happening),
    Wake(Incarnation, u64),
    Blow(Blow),
    Continue(Incarnation),
    Start(usize),
    Remind,
    Look,
}

/// One run.
pub(super) struct World<'a> {
    scenario: &'a Scenario,
    plan: FaultPlan,
    rng: Rng,
    now: Moment,
    queue: BTreeMap<(Moment, u64), Occurrence>,
    order: u64,
    processes: Vec<Process>,
    network: Network,
    disk: Rc<RefCell<Disk>>,
    // Of a service; it has ended once all clients have what they wanted.
    premises: Option<Rc<Premises>>,
    served: bool,
    // Since when they have it.
    done_since: Option<Moment>,
    trace: Trace,
    deeds: Vec<Deed>,
    broken: Option<Broken>,
    // Since when nothing has gone wrong any more.
    calm_since: Moment,
    losses: Losses,
    events: u64,
    reminded: u32,
    coverage: Coverage,
    // The run was asked to end, and nobody has taken it up again: who is started is asked too, and no
    // worker is.
    draining: bool,
    // What each worker and ventilator may keep, and the sink.
    most: [Load; 2],
    // The widest window that the sink has allowed.
    widest: u64,
    // What the sink had committed at moments of late, the oldest first.
    committed: VecDeque<(Moment, RangeSet)>,
}

/// How a run went.
pub(super) struct Course {
    pub broken: Option<Broken>,
    pub digest: u64,
    pub lines: Vec<String>,
    pub events: u64,
    pub ended_at: Moment,
    pub reminded: u32,
    pub coverage: Coverage,
}

impl<'a> World<'a> {
    /// A run that has not begun.
    pub fn new(seed: u64, scenario: &'a Scenario, detail: Detail) -> Self {
        let mut rng = Rng::with_seed(seed);
        let processes = Process::all(scenario);
        let workers = processes.iter().filter(|process| process.is_worker()).count();
        let cast = Cast { workers, clients: processes.len() - WORKERS - workers };
        let plan = FaultPlan::draw(&mut rng, &scenario.faults, cast, scenario.storm());
        let disk = Rc::new(RefCell::new(Disk::new(rng.u64(1..))));
        let service = scenario.service.as_ref();
        let premises =
            service.map(|service| Rc::new(Premises::new(service, &mut rng, scenario.mutation)));
        let lasts = service.map(|service| Moment::default() + service.lasts());
        let mut world = Self {
            scenario,
            rng,
            now: Moment::default(),
            queue: BTreeMap::new(),
            order: 0,
            processes,
            network: Network::default(),
            disk,
            premises,
            served: false,
            done_since: None,
            trace: Trace::new(detail),
            deeds: Vec::new(),
            broken: None,
            calm_since: lasts.unwrap_or_default().max(plan.quiet_at),
            losses: Losses::default(),
            events: 0,
            reminded: 0,
            coverage: Coverage::default(),
            draining: false,
            most: [false, true].map(|is_sink| bounds::most(scenario, is_sink)),
            widest: 0,
            committed: VecDeque::new(),
            plan,
        };
        world.trace.say(world.now, || format!("{:?}", world.plan));
        for process in 0..world.processes.len() {
            let at = world.comes_at(process) + world.some(Duration::from_millis(50));
            world.put(at, Occurrence::Start(process));
        }
        world.put(world.now + LOOK, Occurrence::Look);
        for (at, blow) in std::mem::take(&mut world.plan.blows) {
            world.put(at, Occurrence::Blow(blow));
        }
        world
    }

    /// Lets everything happen that follows.
    pub fn run(mut self) -> Course {
        let patience = self.scenario.patience();
        while self.broken.is_none() && !(self.is_over() && self.is_complete()) {
            match self.queue.pop_first() {
                Some(((at, _), occurrence)) if at <= self.calm_since + patience => {
                    self.now = at;
                    self.events += 1;
                    self.occur(occurrence);
                }
                _ => self.broken = Some(Broken::Endless { left: self.left() }),
            }
        }
        let disk = self.disk.borrow();
        let mut coverage = self.coverage;
        coverage.saw(Seen::Duplicate, disk.duplicates());
        coverage.saw(Seen::RecordedUntold, disk.untold());
        coverage.saw(Seen::LostInMemory, disk.lost());
        coverage.saw(Seen::Reminded, u64::from(self.reminded));
        if let Some(premises) = &self.premises {
            audit::note(premises, &mut coverage);
        }
        let ended = check::Ended {
            scenario: self.scenario,
            processes: &self.processes,
            disk: &disk,
            losses: &self.losses,
            premises: self.premises.as_deref(),
        };
        let broken = self.broken.take().or_else(|| ended.check().err());
        Course {
            broken,
            digest: self.trace.digest(),
            lines: self.trace.into_lines(),
            events: self.events,
            ended_at: self.now,
            reminded: self.reminded,
            coverage,
        }
    }

    /// Whether nobody is there any more, and the sink has left by itself.
    fn is_over(&self) -> bool {
        matches!(self.processes[SINK].life, Life::Left(_))
            && self.processes.iter().all(|each| each.life != Life::Up || !each.is_part())
    }

    /// Whether a run that is over is complete; one that was drained is taken up again.
    fn is_complete(&mut self) -> bool {
        if self.served || self.processes[SINK].life != Life::Left(DRAINED) {
            return true;
        }
        self.coverage.saw(Seen::Drained, 1);
        self.take_up();
        false
    }

    /// Somebody starts the same run again, whoever of it has left.
    fn take_up(&mut self) {
        self.draining = false;
        self.calm_since = self.calm_since.max(self.now);
        self.disk.borrow_mut().reopen();
        self.trace.say(self.now, || "the run is taken up again".to_owned());
        for process in 0..self.processes.len() {
            let known = &mut self.processes[process];
            if let Life::Left(_) = known.life
                && known.is_part()
            {
                known.life = Life::Down;
            }
            if known.life == Life::Down {
                let at = self.now + self.some(Duration::from_millis(50));
                self.put(at, Occurrence::Start(process));
            }
        }
        if self.premises.is_some() {
            self.put(self.now + LOOK, Occurrence::Look);
        }
    }

    fn left(&self) -> Vec<String> {
        let there = self.processes.iter().filter(|p| !matches!(p.life, Life::Left(_)));
        there.map(|process| process.name.clone()).collect()
    }

    fn put(&mut self, at: Moment, occurrence: Occurrence) {
        self.queue.insert((at, self.order), occurrence);
        self.order += 1;
    }

    /// Some time up to `most`.
    fn some(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.rng.f64())
    }

    fn storms(&self) -> bool {
        self.now < self.plan.quiet_at
    }

    fn incarnation(&self, process: usize) -> Incarnation {
        Incarnation { process, start: self.processes[process].start }
    }

    fn is_up(&self, who: Incarnation) -> bool {
        let process = &self.processes[who.process];
        process.life == Life::Up && process.start == who.start
    }

    fn occur(&mut self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Arrive(connection, bytes) => self.arrive(connection, bytes),
            Occurrence::Connect(who, link) => self.connect(who, link),
            Occurrence::Tell(who, happening) => self.tell(who, happening),
            Occurrence::Wake(who, wake) => {
                if self.processes[who.process].wake == wake {
                    self.tell(who, Happening::Tick);
                }
            }
            Occurrence::Blow(blow) => self.blow(blow),
            Occurrence::Continue(who) => self.go_on(who),
            Occurrence::Start(process) => self.start(process),
            Occurrence::Remind => self.remind(),
            Occurrence::Look => self.look(),
        }
    }

    fn start(&mut self, process: usize) {
        // Nobody starts another worker for a run that is complete, or asked to end.
        let over = matches!(self.processes[SINK].life, Life::Left(_))
            || process >= WORKERS && (self.draining || self.disk.borrow().is_closed());
        let needed = process == VENTILATOR && matches!(self.processes[process].life, Life::Left(_));
        if over || !(needed || self.processes[process].life == Life::Down) {
            return;
        }
        let comes_back = process == SINK && known_wide(self.widest, &self.disk.borrow());
        self.coverage.saw(Seen::WideRestart, u64::from(comes_back));
        let me = self.rng.u64(1..);
        let known = &mut self.processes[process];
        known.start += 1;
        known.life = Life::Up;
        known.started = self.now;
        known.stopped = None;
        known.waiting.clear();
        known.spins = 0;
        known.load = Load::default();
        known.joined = false;
        known.leaving = false;
        let doom = self.plan.dooms.iter().position(|(doomed, _)| *doomed == process);
        let doom = doom.map(|place| self.plan.dooms.remove(place).1);
        let surroundings = Surroundings {
            scenario: self.scenario,
            plan: &self.plan,
            disk: self.disk.clone(),
            premises: self.premises.clone(),
            now: self.now,
            doom,
        };
        let actor = surroundings.start(&self.processes[process], me);
        self.processes[process].actor = Some(actor);
        let name = &self.processes[process].name;
        self.trace.say(self.now, || format!("{name} starts as {me:x}"));
        self.trace.note(self.now, process, 1, &[]);
        self.act(process, Vec::new());
        let gone = self.processes[VENTILATOR].life == Life::Left(DRAINED);
        if self.draining && (process == VENTILATOR || process == SINK && gone) {
            self.tell(self.incarnation(process), Happening::Drain);
        }
    }

    /// A process dies, or leaves.
    fn end(&mut self, process: usize, life: Life) {
        let name = &self.processes[process].name;
        self.trace.say(self.now, || format!("{name} is {life:?}"));
        self.trace.note(self.now, process, 2, &[]);
        let early = self.processes[process].leaving && life == Life::Left(0);
        self.coverage.saw(Seen::Left, u64::from(early && !self.disk.borrow().is_closed()));
        let known = &mut self.processes[process];
        known.life = life;
        known.actor = None;
        known.waiting.clear();
        self.losses.gone(process);
        let cut = self.now + self.some(Duration::from_millis(2));
        let lanes = self.network.lose(process, cut);
        self.lost(process, lanes);
        if process == VENTILATOR && life == Life::Left(DRAINED) {
            // As `pipeline up` does: the two may never have met.
            let due = self.now + self.some(Duration::from_millis(50));
            self.put(due, Occurrence::Tell(self.incarnation(SINK), Happening::Drain));
        }
        if process <= SINK && matches!(self.processes[SINK].life, Life::Left(_)) {
            self.put(self.now + REMINDER, Occurrence::Remind);
        }
    }

    /// Lanes have lost their peers: their owners learn of it, and the lanes try again.
    fn lost(&mut self, _by: usize, lanes: Vec<(usize, LinkId)>) {
        for (owner, link) in lanes {
            let wanted = self.network.wanted(owner, link).map(str::to_owned);
            let peer = wanted.and_then(|endpoint| self.listener(&endpoint));
            let parted = peer.and_then(|peer| self.network.parted(owner, peer, self.now));
            let soon = self.some(Duration::from_millis(5));
            let due = parted.map_or(self.now, |(until, _)| until) + soon;
            let due = self.network.tell(owner, link, due);
            let who = self.incarnation(owner);
            self.put(due, Occurrence::Tell(who, Happening::LaneDown { link }));
            let pause = self.network.pause(owner, link);
            self.put(due + pause, Occurrence::Connect(who, link));
        }
    }

    /// The process that listens, or listened, at an endpoint.
    fn listener(&self, wanted: &str) -> Option<usize> {
        let same = self.plan.same_endpoint;
        (0..self.processes.len())
            .find(|process| endpoint(*process, self.processes[*process].start, same) == wanted)
    }

    fn connect(&mut self, who: Incarnation, link: LinkId) {
        if !self.is_up(who) {
            return;
        }
        let Some(wanted) = self.network.wanted(who.process, link).map(str::to_owned) else {
            return;
        };
        let reached = self.listener(&wanted).filter(|peer| {
            self.processes[*peer].acts()
                && self.processes[who.process].acts()
                && self.network.parted(who.process, *peer, self.now).is_none()
        });
        let Some(peer) = reached else {
            let pause = self.network.pause(who.process, link);
            return self.put(self.now + pause, Occurrence::Connect(who, link));
        };
        self.network.connect(who.process, link, self.incarnation(peer));
        let due = self.now + self.some(Duration::from_millis(2));
        let due = self.network.tell(who.process, link, due);
        let inbox = endpoint(who.process, who.start, self.plan.same_endpoint);
        self.put(due, Occurrence::Tell(who, Happening::LaneUp { link, inbox }));
    }

    fn arrive(&mut self, connection: Connection, bytes: Vec<u8>) {
        let Some((from, to)) = self.network.arrives(connection, self.now) else { return };
        match self.network.parted(from, to.process, self.now) {
            None => self.tell(to, Happening::Frame(bytes)),
            Some((until, Cut::Hold)) => self.put(until, Occurrence::Arrive(connection, bytes)),
            Some((_, Cut::Drop | Cut::Reset)) => {}
        }
    }

    /// Something happens to a start of a process, if it is still there.
    fn tell(&mut self, who: Incarnation, happening: Happening) {
        if !self.is_up(who) {
            return;
        }
        let process = &mut self.processes[who.process];
        if process.stopped.is_some() {
            process.waiting.push(happening);
        } else {
            self.act(who.process, vec![happening]);
        }
    }

    /// A process that was stopped goes on: first what its threads noted, then the frames.
    fn go_on(&mut self, who: Incarnation) {
        if !self.is_up(who) {
            return;
        }
        let process = &mut self.processes[who.process];
        let Some(since) = process.stopped.take() else { return };
        let (frames, notes): (Vec<_>, Vec<_>) = std::mem::take(&mut process.waiting)
            .into_iter()
            .partition(|waiting| matches!(waiting, Happening::Frame(_)));
        let gap = self.now.since(since);
        let mut happenings = Vec::new();
        if gap > ASLEEP_AFTER {
            self.coverage.saw(Seen::Asleep, 1);
            happenings.push(Happening::Asleep(gap));
        }
        happenings.extend(notes);
        happenings.extend(frames);
        let name = &process.name;
        self.trace.say(self.now, || format!("{name} goes on after {gap:?}"));
        self.act(who.process, happenings);
    }

    /// Whether everyone knows what was committed a good while ago, once nothing goes wrong any more.
    fn look(&mut self) {
        let known = self.processes[SINK].actor.as_ref().and_then(|sink| sink.knows());
        if let Some(known) = known {
            self.committed.push_back((self.now, known.clone()));
        }
        let late = LATE_LIVENESSES * Duration::from_millis(self.scenario.limits.liveness_ms);
        let mut old = None;
        while self.committed.front().is_some_and(|(at, _)| self.now.since(*at) >= late) {
            old = self.committed.pop_front();
        }
        // A ventilator that was asked to end may have left, and tells nobody anything.
        let lasts = |(at, _): &(Moment, _)| *at >= self.calm_since && !self.draining;
        if let Some((at, committed)) = old.filter(lasts) {
            let settled = |process: &&Process| process.acts() && process.started <= at;
            let missing = self.processes.iter().filter(settled).find_map(|process| {
                let known = process.actor.as_ref()?.knows()?;
                let unit =
                    committed.iter().find_map(|range| Some(known.gaps(range).first()?.start))?;
                Some(Broken::Unknowing { process: process.name.clone(), unit })
            });
            self.broken = self.broken.take().or(missing);
        }
        self.look_after_service();
        if !matches!(self.processes[SINK].life, Life::Left(_)) {
            self.put(self.now + LOOK, Occurrence::Look);
        }
    }

    /// A process acts on what happens, and on the time, as in one turn of the driver.
    fn act(&mut self, process: usize, happenings: Vec<Happening>) {
        let Some(mut actor) = self.processes[process].actor.take() else { return };
        let time = self.now.seen_since(self.processes[process].started);
        let begins = happenings.is_empty();
        if begins {
            let mut context = Context { now: self.now, rng: &mut self.rng, deeds: &mut self.deeds };
            actor.begin(&mut context);
        }
        for happening in happenings.into_iter().chain([Happening::Tick]) {
            self.note(process, &happening);
            let before = self.deeds.len();
            let mut context = Context { now: self.now, rng: &mut self.rng, deeds: &mut self.deeds };
            actor.happen(time, happening, &mut context);
            let is_dead = context.is_dead();
            self.note_given(process, before);
            if is_dead {
                break;
            }
        }
        self.weigh(process, actor.load());
        let deadline = actor.deadline();
        self.processes[process].actor = Some(actor);
        self.wake_at(process, deadline.map(|at| at.since(time)));
        for deed in std::mem::take(&mut self.deeds) {
            self.carry_out(process, deed);
            if self.processes[process].life != Life::Up {
                break;
            }
        }
    }

    /// What a process gives its workers, and which of them it gives up, from this deed on.
    fn note_given(&mut self, process: usize, from: usize) {
        for deed in self.deeds.iter().skip(from) {
            match deed {
                Deed::Send { link, envelope } => self.losses.sent(process, *link, envelope),
                Deed::Close { link } => self.losses.closed(process, *link),
                _ => {}
            }
        }
    }

    /// Holds what a process keeps against its limits.
    fn weigh(&mut self, process: usize, load: Load) {
        let before = std::mem::replace(&mut self.processes[process].load, load);
        self.coverage.saw(Seen::Speculated, load.copies.saturating_sub(before.copies));
        self.coverage.saw(Seen::Lent, load.lent.saturating_sub(before.lent));
        self.coverage.saw(Seen::Pressed, load.pressed.saturating_sub(before.pressed));
        self.coverage.saw(Seen::Recalled, load.recalled.saturating_sub(before.recalled));
        if process == SINK {
            self.widest = self.widest.max(load.in_flight);
        }
        if let Some(excess) = load.excess(&self.most[usize::from(process == SINK)]) {
            let process = self.processes[process].name.clone();
            self.broken.get_or_insert(Broken::Excess { process, excess });
        }
    }

    fn note(&mut self, process: usize, happening: &Happening) {
        let name = &self.processes[process].name;
        let (what, bytes): (u64, &[u8]) = match happening {
            Happening::Tick => return,
            Happening::Frame(bytes) => (3, bytes),
            Happening::LaneUp { .. } => (4, &[]),
            Happening::LaneDown { .. } => (5, &[]),
            Happening::Timer(_) => (6, &[]),
            Happening::Drain => (7, &[]),
            Happening::Asleep(_) => (8, &[]),
        };
        self.trace.note(self.now, process, what, bytes);
        let frame = match happening {
            Happening::Frame(bytes) => Envelope::decode(bytes.clone()).ok(),
            Happening::LaneDown { link } => {
                let link = *link;
                self.note_loss(process);
                let name = &self.processes[process].name;
                self.losses.lane_down(self.now, self.incarnation(process), link);
                return self.trace.say(self.now, || format!("{name} : {happening:?}"));
            }
            other => return self.trace.say(self.now, || format!("{name} : {other:?}")),
        };
        if matches!(frame, Some(Envelope { frame: Frame::Reset, .. })) {
            self.coverage.saw(Seen::Reset, 1);
        }
        if let Some(envelope) = &frame {
            self.losses.heard(process, envelope);
        }
        if let Some(envelope) = frame.filter(is_news) {
            let from = envelope.from;
            self.trace.say(self.now, || format!("{name} <- {from:x} {}", Short(&envelope)));
        }
    }

    /// Wakes a process after a wait, rounded up as the driver's is.
    fn wake_at(&mut self, process: usize, wait: Option<Duration>) {
        let known = &mut self.processes[process];
        known.wake += 1;
        let Some(wait) = wait else { return };
        known.spins = if wait.is_zero() { known.spins + 1 } else { 0 };
        if known.spins > SPINS_MAX {
            let process = known.name.clone();
            self.broken.get_or_insert(Broken::Spins { process });
        }
        let ms = wait.as_micros().div_ceil(1000).max(1) as u64;
        let occurrence = Occurrence::Wake(self.incarnation(process), self.processes[process].wake);
        self.put(self.now + Duration::from_millis(ms), occurrence);
    }

    fn carry_out(&mut self, process: usize, deed: Deed) {
        let who = self.incarnation(process);
        match deed {
            Deed::Open { link, endpoint } => {
                self.network.open(process, link, endpoint.unwrap_or_default());
                let at = self.now + self.some(Duration::from_millis(3));
                self.put(at, Occurrence::Connect(who, link));
            }
            Deed::Close { link } => {
                self.note_loss(process);
                self.network.close(process, link);
            }
            Deed::Send { link, envelope } => self.send(process, link, envelope),
            Deed::Timer { after, token } => {
                self.put(self.now + after, Occurrence::Tell(who, Happening::Timer(token)));
            }
            Deed::Joined => self.processes[process].joined = true,
            Deed::Began(unit) => self.note_begun(unit),
            Deed::Exit(code) => self.end(process, Life::Left(code)),
            Deed::Die => {
                self.end(process, Life::Down);
                let back = self.now + self.some(Duration::from_millis(500));
                self.put(back, Occurrence::Start(process));
            }
            Deed::Crash(fate) => {
                self.coverage.died(fate.job, fate.extent);
                self.trace.say(self.now, || format!("{fate:?}"));
                self.calm_since = self.calm_since.max(self.now);
                let back = between(&mut self.rng, BACK.0, BACK.1);
                self.kill(process, back);
            }
            Deed::Violation(what) => {
                let process = self.processes[process].name.clone();
                self.broken.get_or_insert(Broken::Seen { process, what });
            }
        }
    }

    /// Someone starts a worker in the place of one that is asked to leave, and asks it.
    fn replace(&mut self, process: usize) {
        let known = &mut self.processes[process];
        if known.life != Life::Up || std::mem::replace(&mut known.leaving, true) {
            return;
        }
        let other = Process::new(format!("{}'", known.name), known.duty);
        let who = self.incarnation(process);
        self.put(self.now + REPLACED, Occurrence::Start(self.processes.len()));
        self.processes.push(other);
        self.tell(who, Happening::Drain);
    }

    fn send(&mut self, process: usize, link: LinkId, envelope: Envelope) {
        let whole = self.is_whole(process);
        let name = &self.processes[process].name;
        let mut way = WAY.0 + (WAY.1 - WAY.0).mul_f64(self.rng.f64());
        if whole && self.rng.f64() < self.plan.late {
            self.coverage.saw(Seen::Late, 1);
            way += self.plan.late_max.mul_f64(self.rng.f64());
        }
        let put = self.network.put(process, link, self.now + way);
        let lost = whole && self.rng.f64() < self.plan.loss;
        let fate = if put.is_none() {
            " (no peer)"
        } else if lost {
            " (lost)"
        } else {
            ""
        };
        if is_news(&envelope) || !fate.is_empty() {
            self.trace.say(self.now, || format!("{name} -> {link}{fate} {}", Short(&envelope)));
        }
        self.coverage.sent(&envelope);
        self.coverage.saw(Seen::Lost, u64::from(lost && put.is_some()));
        let Some((connection, due)) = put.filter(|_| !lost) else { return };
        let bytes = envelope.encode();
        if whole && self.rng.f64() < self.plan.duplicate {
            self.coverage.saw(Seen::Doubled, 1);
            let again = due + self.some(Duration::from_secs(1));
            self.put(again, Occurrence::Arrive(connection, bytes.clone()));
        }
        self.put(due, Occurrence::Arrive(connection, bytes));
    }

    /// Whether the network may still maltreat frames of a process.
    fn is_whole(&self, _process: usize) -> bool {
        self.storms()
    }

    /// A process dies, and is started again after a while.
    fn kill(&mut self, process: usize, back_after: Duration) {
        self.end(process, Life::Down);
        self.put(self.now + back_after, Occurrence::Start(process));
        // One that has left already is needed to tell the new sink so.
        if process == SINK && matches!(self.processes[VENTILATOR].life, Life::Left(_)) {
            self.put(self.now + REPLACED, Occurrence::Start(VENTILATOR));
        }
    }

    fn blow(&mut self, blow: Blow) {
        self.trace.say(self.now, || format!("{blow:?}"));
        match blow {
            Blow::Kill { process, back_after } => {
                if self.processes[process].life == Life::Up {
                    self.coverage.saw(killed(self.processes[process].duty), 1);
                    self.kill(process, back_after);
                }
            }
            Blow::Stop { process, lasts } => {
                let known = &mut self.processes[process];
                if known.acts() {
                    self.coverage.saw(Seen::Stopped, 1);
                    known.stopped = Some(self.now);
                    let who = self.incarnation(process);
                    self.put(self.now + lasts, Occurrence::Continue(who));
                }
            }
            Blow::Partition { inside, lasts, how } => {
                self.coverage.saw(Seen::Partitioned, 1);
                let lanes = self.network.part(inside, self.now + lasts, how);
                self.lost(usize::MAX, lanes);
            }
            Blow::Reset { process } => {
                self.coverage.saw(Seen::Disconnected, 1);
                let cut = self.now + self.some(Duration::from_millis(1));
                let lanes = self.network.reset(process, cut);
                self.lost(process, lanes);
            }
            Blow::Leave { process } => self.replace(process),
            Blow::Drain => self.drain(),
        }
    }

    /// Somebody asks the run to end.
    fn drain(&mut self) {
        if [VENTILATOR, SINK].iter().all(|process| self.processes[*process].life == Life::Up) {
            self.draining = true;
            let who = self.incarnation(VENTILATOR);
            self.tell(who, Happening::Drain);
        }
    }

    /// The sink has left some time ago: nobody who can be reached is needed any more. A ventilator
    /// that could not hear of it is told by a sink that is started again in the same place; then
    /// the workers that could not are told to leave.
    fn remind(&mut self) {
        if !matches!(self.processes[SINK].life, Life::Left(_)) {
            return;
        }
        if self.processes[VENTILATOR].life != Life::Up {
            return self.send_home();
        }
        if !self.scenario.faults.cut_off() {
            self.broken = Some(Broken::Endless { left: self.left() });
        }
        self.reminded += 1;
        self.processes[SINK].life = Life::Down;
        self.start(SINK);
    }

    fn send_home(&mut self) {
        for process in WORKERS..self.processes.len() {
            let known = &self.processes[process];
            if known.life == Life::Up && known.is_part() {
                if self.processes[process].joined && !self.scenario.faults.cut_off() {
                    self.broken = Some(Broken::Endless { left: self.left() });
                }
                self.reminded += 1;
                let who = self.incarnation(process);
                self.tell(who, Happening::Drain);
                if self.processes[process].life == Life::Up {
                    self.end(process, Life::Down);
                }
            }
        }
    }
}

/// The window that a sink starts with, at most.
const WINDOW_AT_START: u64 = 64;

/// Whether a sink that starts now follows one that had let the window grow.
fn known_wide(widest: u64, disk: &Disk) -> bool {
    widest > WINDOW_AT_START && !disk.is_closed()
}

fn killed(duty: Duty) -> Seen {
    match duty {
        Duty::Ventilator => Seen::VentilatorKilled,
        Duty::Sink => Seen::SinkKilled,
        Duty::Worker(_) => Seen::WorkerKilled,
        Duty::Client(_) => Seen::ClientKilled,
    }
}
