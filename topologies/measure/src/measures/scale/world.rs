//! A ventilator, a sink, and as many workers as are asked for, in one process.
//!
//! Owns the frames between them and the time that passes. The workers are made up: one of those
//! that have something is done next, at random, so that results come in any order.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use fastrand::Rng;
use proto::{
    frame::{
        Commit, Credit, Done, Envelope, Frame, Hello, HelloRole, PeerId, Results, VERSION, Work,
    },
    limits::Limits,
    plan::{Function, Stage},
    role::{Effect, Event, Role},
    rules::{credit::Allowance, outbox::weight},
    time::Time,
    units::Units,
};
use sink::core::{ResumePoint, Sink};
use ventilator::core::{Config, Ventilator};

use super::Load;

const RUN: u64 = 7;
const VENTILATOR: PeerId = 1;
const SINK: PeerId = 2;
/// Workers are the peers from here on.
const FIRST_WORKER: PeerId = 1_000;
/// As often as a process lets a stranger in.
const HELLO_INTERVAL: Duration = Duration::from_millis(20);
/// Between two parcels that are done anywhere.
const STEP: Duration = Duration::from_micros(5);
/// So many parcels are recorded together.
const BATCH: usize = 16;
const BUSY_NS: u64 = 1_000;

type Made<R> = Vec<Effect<<R as Role>::Request>>;

/// A role, the time that was spent in it, and what it wants.
struct Timed<R: Role> {
    role: R,
    time: Duration,
    effects: Made<R>,
}

impl<R: Role> Timed<R> {
    fn new((role, effects): (R, Made<R>)) -> Self {
        Self { role, time: Duration::ZERO, effects }
    }

    fn handle(&mut self, now: Time, event: Event<R::Reply>) {
        let start = Instant::now();
        self.role.handle(now, event, &mut self.effects);
        self.time += start.elapsed();
    }

    /// What the driver does in every turn: a tick, if one is due.
    fn turn(&mut self, now: Time) {
        let start = Instant::now();
        if self.role.deadline().is_some_and(|due| due <= now) {
            self.role.handle(now, Event::Tick, &mut self.effects);
        }
        self.time += start.elapsed();
    }
}

/// A worker that is made up.
#[derive(Debug, Default)]
struct Fake {
    // How many frames it has sent to each.
    to_ventilator: u64,
    to_sink: u64,
    work: VecDeque<Work>,
    allowance: Allowance,
    taken: Credit,
}

/// Everything that there is.
pub(super) struct World {
    load: Load,
    now: Time,
    rng: Rng,
    ventilator: Timed<Ventilator>,
    sink: Timed<Sink>,
    fakes: Vec<Fake>,
    // The numbers of the workers that have something, in no order.
    busy: Vec<usize>,
    next: u64,
    recording: Vec<u64>,
    parcels: u64,
    committed: Commit,
}

impl World {
    pub fn new(load: Load) -> Self {
        let limits = Limits {
            peers_max: load.workers + 8,
            parcel_units_max: load.parcel_units_max,
            // To let thousands in takes minutes of made-up time, in which nobody says anything.
            liveness_ms: 3_600_000,
            ..Limits::default()
        };
        let names = vec!["square".to_owned()];
        let role = HelloRole::Ventilator { plan: "plan".into(), run: 0, stages: names };
        let config = Config {
            stages: vec![Stage::new("square", Function::Run("square".into()))],
            limits: limits.clone(),
            sink: vec!["made-up://sink".into()],
            digest: "plan".into(),
            carries_input: false,
        };
        let point = ResumePoint { run: RUN, ..ResumePoint::default() };
        let greeting = hello(HelloRole::Observer, "sink");
        Self {
            load,
            now: Time::default(),
            rng: Rng::with_seed(4),
            ventilator: Timed::new(Ventilator::new(VENTILATOR, hello(role, "ventilator"), config)),
            sink: Timed::new(Sink::new(SINK, greeting, limits, point)),
            fakes: (0..load.workers).map(|_| Fake::default()).collect(),
            busy: Vec::new(),
            next: 0,
            recording: Vec::new(),
            parcels: 0,
            committed: Commit::default(),
        }
    }

    /// Brings everybody together; nothing is counted of it.
    pub fn connect(&mut self) {
        self.settle();
        for number in 0..self.fakes.len() {
            self.now = self.now + HELLO_INTERVAL;
            let role = HelloRole::Worker { stage: None, own: false };
            let greeting = hello(role, &format!("square-{number}"));
            self.tell_sink(number, Frame::Hello(Box::new(greeting.clone())));
            self.tell_ventilator(number, Frame::Hello(Box::new(greeting)));
            self.settle();
        }
        for number in 0..self.fakes.len() {
            let credit = Credit { units: 1 << 16, bytes: 1 << 22 };
            self.fakes[number].taken = credit;
            self.tell_ventilator(number, Frame::Credit(credit));
            self.settle();
        }
    }

    /// From here on it counts.
    pub fn forget_times(&mut self) {
        (self.ventilator.time, self.sink.time) = (Duration::ZERO, Duration::ZERO);
    }

    /// Until every unit is committed, or nothing happens any more.
    pub fn work(&mut self) {
        while self.committed() < self.load.units {
            self.now = self.now + STEP;
            let at = (!self.busy.is_empty()).then(|| self.rng.usize(..self.busy.len()));
            let done = at.is_some_and(|at| self.one_is_done(at));
            if self.recording.len() >= BATCH || !done {
                if self.recording.is_empty() && self.busy.is_empty() {
                    return;
                }
                self.recorded();
            }
            self.ventilator.turn(self.now);
            self.sink.turn(self.now);
            self.settle();
        }
    }

    pub fn committed(&self) -> u64 {
        self.committed.watermark
    }

    pub fn parcels(&self) -> u64 {
        self.parcels
    }

    pub fn times(&self) -> (Duration, Duration) {
        (self.ventilator.time, self.sink.time)
    }

    /// A worker is done with its oldest parcel, if the sink lets it send the results.
    fn one_is_done(&mut self, at: usize) -> bool {
        let number = self.busy[at];
        let fake = &mut self.fakes[number];
        if fake.allowance.room().is_none() {
            return false;
        }
        let Some(Work { parcel, attempt, units }) = fake.work.pop_front() else { return false };
        if fake.work.is_empty() {
            self.busy.swap_remove(at);
        }
        fake.taken.units += units.len() as u64;
        fake.taken.bytes += units.bytes() as u64;
        let credit = fake.taken;
        let timing = vec![(units.len() as u32, 1)];
        let results = Results { parcel, attempt, units, timing, ..Results::default() };
        let (units, bytes) = weight(&results);
        fake.allowance.sent(units, bytes);
        self.parcels += 1;
        self.tell_sink(number, Frame::Results(results));
        self.tell_ventilator(
            number,
            Frame::Done(Done { parcel, busy_ns: BUSY_NS, failed: Vec::new() }),
        );
        self.tell_ventilator(number, Frame::Credit(credit));
        true
    }

    fn recorded(&mut self) {
        if let Some(number) = self.recording.pop() {
            self.recording.clear();
            let reply = sink::core::Reply::Recorded {
                number,
                waiting: Vec::new(),
                waiting_bytes: 0,
                dead: 0,
            };
            self.sink.handle(self.now, Event::Reply(reply));
        }
    }

    fn tell_sink(&mut self, number: usize, frame: Frame) {
        let envelope = envelope(number, &mut self.fakes[number].to_sink, frame);
        self.sink.handle(self.now, Event::Frame(envelope));
    }

    fn tell_ventilator(&mut self, number: usize, frame: Frame) {
        let envelope = envelope(number, &mut self.fakes[number].to_ventilator, frame);
        self.ventilator.handle(self.now, Event::Frame(envelope));
    }

    /// Carries out what both want, and what follows from it.
    fn settle(&mut self) {
        while !(self.ventilator.effects.is_empty() && self.sink.effects.is_empty()) {
            for effect in std::mem::take(&mut self.ventilator.effects) {
                self.ventilator_wants(effect);
            }
            for effect in std::mem::take(&mut self.sink.effects) {
                self.sink_wants(effect);
            }
        }
    }

    fn ventilator_wants(&mut self, effect: Effect<ventilator::core::Request>) {
        use ventilator::core::{Reply, Request};
        match effect {
            Effect::Open { link, .. } => {
                let inbox = vec!["made-up://ventilator".into()];
                self.ventilator.handle(self.now, Event::LaneUp { link, inbox });
            }
            // Its first lane is the one to the sink; the others are opened as workers say Hello.
            Effect::Send { link: 0, envelope } => {
                self.sink.handle(self.now, Event::Frame(envelope));
            }
            Effect::Send { link, envelope } => {
                let number = link as usize - 1;
                if let (Frame::Work(work), Some(fake)) =
                    (envelope.frame, self.fakes.get_mut(number))
                {
                    if fake.work.is_empty() {
                        self.busy.push(number);
                    }
                    fake.work.push_back(work);
                }
            }
            Effect::Request(Request::Read(most)) => {
                let count = most.min(self.load.units - self.next);
                let units = ones(self.next, count as u32);
                self.next += count;
                let ended = self.next == self.load.units;
                self.ventilator.handle(self.now, Event::Reply(Reply::Read { units, ended }));
            }
            Effect::Request(_) | Effect::Close { .. } | Effect::Exit(_) => {}
        }
    }

    fn sink_wants(&mut self, effect: Effect<sink::core::Request>) {
        use sink::core::{Reply, Request};
        match effect {
            Effect::Open { link, .. } => {
                let inbox = vec!["made-up://sink".into()];
                self.sink.handle(self.now, Event::LaneUp { link, inbox });
            }
            // The ventilator was the first to say Hello.
            Effect::Send { link: 0, envelope } => {
                if let Frame::Commit(commit) = &envelope.frame {
                    self.committed = commit.clone();
                }
                self.ventilator.handle(self.now, Event::Frame(envelope));
            }
            Effect::Send { link, envelope } => {
                if let (Frame::Credit(credit), Some(fake)) =
                    (envelope.frame, self.fakes.get_mut(link as usize - 1))
                {
                    fake.allowance.granted(credit);
                }
            }
            Effect::Request(Request::Record { number, .. }) => self.recording.push(number),
            Effect::Request(Request::Begin { .. }) => {
                self.sink.handle(self.now, Event::Reply(Reply::Begun));
            }
            Effect::Request(Request::Close { .. }) => {
                self.sink.handle(self.now, Event::Reply(Reply::Closed));
            }
            Effect::Request(_) | Effect::Close { .. } | Effect::Exit(_) => {}
        }
    }
}

fn hello(role: HelloRole, name: &str) -> Hello {
    let endpoints = vec![format!("made-up://{name}")];
    Hello { role, name: name.into(), endpoints, host: "here".into(), pid: 1 }
}

fn envelope(number: usize, sent: &mut u64, frame: Frame) -> Envelope {
    let seq = *sent;
    *sent += 1;
    Envelope {
        version: VERSION,
        run: RUN,
        from: FIRST_WORKER + number as u64,
        session: 1,
        seq,
        frame,
    }
}

/// Units whose values are a byte each.
fn ones(first: u64, count: u32) -> Units {
    Units::from_source(first, vec![1; count as usize], (1..=count).collect())
}
