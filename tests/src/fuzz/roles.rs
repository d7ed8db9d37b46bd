//! Whole roles among peers that say anything.
//!
//! A role is driven as the driver does it, with peers that keep to the form of sessions often enough
//! to be heard, and to nothing else. It must not panic, not spin, and use only lanes that it has.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto::frame::{Envelope, Frame, Hello, HelloRole, VERSION};
use proto::limits::Limits;
use proto::plan::{Function, Stage};
use proto::role::{Effect, Event, LinkId, Role};
use proto::service::Outcomes;
use proto::time::Time;
use proto::units::Units;
use ventilator::queue::{Queue, QueueLimits, memory::Memory, store::Safety};

use super::says::{frame, kind};
use super::script::{Script, about, note};

/// The run of these scenes.
pub(super) const RUN: u64 = 7;
/// More effects than one event can have.
const EFFECTS_MAX: usize = 100_000;

pub(super) fn limits() -> Limits {
    Limits {
        peers_max: 5,
        window_units_max: 200,
        window_bytes_max: 4_000,
        parcel_units_max: 40,
        intake_units_max: 100,
        intake_bytes_max: 2_000,
        expansion_units_max: 50,
        ..Limits::default()
    }
}

pub(super) fn hello(role: HelloRole, name: &str) -> Hello {
    let endpoints = vec![format!("inproc://{name}")];
    Hello { role, name: name.into(), endpoints, host: "h".into(), pid: 1 }
}

#[derive(Debug)]
struct Lane {
    peer: u64,
    session: u32,
    seq: u64,
}

struct World<P: Role> {
    role: P,
    now: Time,
    lanes: BTreeMap<LinkId, Lane>,
    requests: VecDeque<P::Request>,
    // What a process that does not matter to the role answers at once.
    at_once: fn(&P::Request) -> Option<P::Reply>,
    left: bool,
    seen: u64,
}

impl<P: Role> World<P> {
    fn new(role: P, first: Vec<Effect<P::Request>>) -> Self {
        let mut world = Self {
            role,
            now: Time::from_ms(1),
            lanes: BTreeMap::new(),
            requests: VecDeque::new(),
            at_once: |_| None,
            left: false,
            seen: 0,
        };
        world.carry_out(first, None);
        world
    }

    fn run(
        mut self,
        script: &mut Script<'_>,
        mut answer: impl FnMut(P::Request, &mut Script<'_>) -> Option<P::Reply>,
    ) -> u64 {
        let mut sessions = 0;
        while !script.is_over() && !self.left {
            match script.below(16) {
                0 => {
                    let from = script.below(7);
                    sessions += 1;
                    let session = if script.below(8) == 0 { script.number32() } else { sessions };
                    let hello = hello(kind(script), ["a", "b"][script.below(2) as usize]);
                    let frame = Frame::Hello(Box::new(hello));
                    self.says((0, from, session, 0), frame, Some((from, session)));
                }
                1..3 => {
                    let link = self.link(script);
                    self.tell(Event::LaneUp { link, inbox: vec!["inproc://me".into()] }, None);
                }
                3 if script.below(4) == 0 => {
                    let link = self.link(script);
                    self.tell(Event::LaneDown { link }, None);
                }
                4..10 => {
                    let link = self.link(script);
                    let Some(lane) = self.lanes.get_mut(&link) else { continue };
                    let place = (RUN, lane.peer, lane.session, lane.seq);
                    lane.seq += 1;
                    self.says(place, frame(script), None);
                }
                10 => {
                    let place =
                        (script.number(), script.number(), script.number32(), script.number());
                    self.says(place, frame(script), None);
                }
                11..13 => {
                    let Some(request) = self.requests.pop_front() else { continue };
                    let Some(reply) = answer(request, script) else { continue };
                    self.tell(Event::Reply(reply), None);
                }
                13 => {
                    self.now = self.now + Duration::from_millis(script.number() % 30_000);
                    self.tick();
                }
                14 if script.below(16) == 0 => self.tell(Event::Drain, None),
                15 if script.below(8) == 0 => {
                    let gap = Duration::from_millis(script.number() % 60_000);
                    self.tell(Event::Asleep(gap), None);
                }
                _ => self.tick(),
            }
        }
        self.seen
    }

    fn tick(&mut self) {
        for _ in 0..3 {
            self.tell(Event::Tick, None);
        }
        let due = self.role.deadline().filter(|_| !self.left);
        assert!(due.is_none_or(|due| due > self.now), "due at {due:?}, and it is {:?}", self.now);
    }

    /// A lane that there is, most often.
    fn link(&self, script: &mut Script<'_>) -> LinkId {
        let nth = script.below(16) as usize;
        self.lanes.keys().nth(nth % self.lanes.len().max(1)).copied().unwrap_or(nth as LinkId)
    }

    fn says(
        &mut self,
        (run, from, session, seq): (u64, u64, u32, u64),
        frame: Frame,
        asks: Option<(u64, u32)>,
    ) {
        let envelope = Envelope { version: VERSION, run, from, session, seq, frame };
        // As it comes off the wire: what can't be read is not heard.
        if let Ok(envelope) = Envelope::decode(envelope.encode()) {
            self.tell(Event::Frame(envelope), asks);
        }
    }

    fn tell(&mut self, event: Event<P::Reply>, asks: Option<(u64, u32)>) {
        let mut out = Vec::new();
        self.role.handle(self.now, event, &mut out);
        self.carry_out(out, asks);
    }

    fn carry_out(&mut self, out: Vec<Effect<P::Request>>, asks: Option<(u64, u32)>) {
        let mut queue: VecDeque<_> = out.into();
        let mut count = 0;
        while let Some(effect) = queue.pop_front() {
            count += 1;
            assert!(count < EFFECTS_MAX, "one event has no end of effects");
            match effect {
                Effect::Open { link, .. } => {
                    let (peer, session) = asks.unwrap_or((1_000 + u64::from(link), 0));
                    let seq = u64::from(asks.is_some());
                    let lane = Lane { peer, session, seq };
                    assert!(self.lanes.insert(link, lane).is_none(), "a lane is opened twice");
                }
                Effect::Close { link } => {
                    assert!(self.lanes.remove(&link).is_some(), "a lane is closed twice");
                }
                Effect::Send { link, envelope } => self.sent(link, envelope),
                Effect::Request(request) => match (self.at_once)(&request) {
                    Some(reply) => {
                        let mut out = Vec::new();
                        self.role.handle(self.now, Event::Reply(reply), &mut out);
                        queue.extend(out);
                    }
                    None => self.requests.push_back(request),
                },
                Effect::Exit(code) => {
                    self.left = true;
                    note(&mut self.seen, code as u64);
                    return;
                }
            }
        }
    }

    fn sent(&mut self, link: LinkId, envelope: Envelope) {
        let lane = self.lanes.get_mut(&link).expect("sent on a lane that there is");
        if matches!(envelope.frame, Frame::Hello(_)) {
            (lane.session, lane.seq) = (envelope.session, 0);
        }
        let size = match &envelope.frame {
            Frame::Work(work) => work.units.len() as u64,
            Frame::Commit(commit) => commit.watermark,
            _ => 0,
        };
        // The name of the frame is the first text in it.
        let bytes = envelope.encode();
        let name = bytes.iter().position(|byte| byte.is_ascii_uppercase()).unwrap_or_default();
        note(&mut self.seen, about(size) << 16 | u64::from(bytes[name]) << 8 | u64::from(link));
    }
}

/// A sink among workers and ventilators that say anything.
pub fn sink(data: &[u8]) -> u64 {
    use sink::core::{Reply, Request, ResumePoint, Sink};
    let script = &mut Script::new(data);
    let point =
        ResumePoint { run: RUN, epoch: 1, durable: script.coin(), ..ResumePoint::default() };
    let (mut role, first) = Sink::new(99, hello(HelloRole::Observer, "sink"), limits(), point);
    if script.coin() {
        role.serve_clients(100);
    }
    let mut recorded = proto::ranges::RangeSet::new();
    World::new(role, first).run(script, |request, script| match request {
        Request::Record { number, entries, .. } => {
            for entry in entries {
                let range = entry.first..entry.first + entry.count;
                assert!(!recorded.intersects(range.clone()), "{range:?} is recorded twice");
                recorded.insert(range);
            }
            let waiting_bytes = script.below(500) * 40;
            let (waiting, dead) = (Vec::new(), script.below(3));
            Some(Reply::Recorded { number, waiting, waiting_bytes, dead })
        }
        Request::Await { link, units, .. } => {
            let told = Outcomes { expired: units, ..Outcomes::default() };
            Some(Reply::Outcomes(link, Box::new(told)))
        }
        Request::Expire => Some(Reply::Kept(script.number(), script.number())),
        Request::LogWaiting | Request::Fetched(_) | Request::ClientLeft(_) => None,
        Request::Begin { .. } => Some(Reply::Begun),
        Request::Close { .. } => Some(Reply::Closed),
        Request::Conclude(_) => Some(Reply::Concluded("{}".into())),
    })
}

/// A ventilator between a sink and workers that say anything.
pub fn ventilator(data: &[u8]) -> u64 {
    use ventilator::core::{Config, Reply, Request, Ventilator};
    let script = &mut Script::new(data);
    let stage = |name| Stage { backoff_ms: 50, ..Stage::new(name, Function::Run("echo".into())) };
    let stages = if script.coin() { vec![stage("one")] } else { vec![stage("one"), stage("two")] };
    let config = Config {
        stages,
        limits: limits(),
        sink: vec!["inproc://sink".into()],
        digest: "d".into(),
        carries_input: false,
    };
    let kind = HelloRole::Ventilator { plan: "d".into(), run: 0, stages: vec!["one".into()] };
    let (mut role, first) = Ventilator::new(99, hello(kind, "ventilator"), config);
    if script.coin() {
        role.serve_clients(100);
    }
    let queue_limits = QueueLimits {
        units_max: 100,
        bytes_max: 4_000,
        safety: Safety::Power,
        retain: Duration::from_secs(5),
    };
    let mut queue = Queue::open(Memory::default(), queue_limits, 0).expect("it is in memory");
    let mut now = 0;
    let mut next = 0u64;
    World::new(role, first).run(script, |request, script| match request {
        Request::Seek { unit, .. } => {
            next = unit;
            None
        }
        // A source that was sought behind its end has nothing.
        Request::Read(_) if next > 1 << 40 => {
            Some(Reply::Read { units: Units::new(), ended: true })
        }
        Request::Read(most) => {
            let count = most.min(script.below(40)) as u32;
            let units = Units::from_source(next, vec![1; count as usize], (1..=count).collect());
            next += u64::from(count);
            match script.below(32) {
                0 => Some(Reply::Failed("no more".into())),
                byte => Some(Reply::Read { units, ended: byte == 1 || count == 0 }),
            }
        }
        // The queue itself, which has to bear whatever clients say.
        Request::Queue(ask) => {
            now += script.below(400);
            let news = queue.serve(now, vec![ask]).expect("it is in memory");
            Some(Reply::Queue(Box::new(news)))
        }
        Request::Note(_) => None,
    })
}

/// A worker of any stage between peers that say anything.
pub fn worker(data: &[u8]) -> u64 {
    use worker::core::{Busy, Reply, Request, WorkerRole};
    use worker::product::Product;
    let script = &mut Script::new(data);
    let kind = HelloRole::Worker { stage: None, own: false };
    let (mut role, first) =
        WorkerRole::new(99, hello(kind, "worker"), vec!["inproc://ventilator".into()]);
    role.keep_diary();
    let mut world = World::new(role, first);
    world.at_once = |request| match request {
        // The executor has begun everything.
        Request::Truncate { ticket, .. } => {
            Some(Reply::Truncated { ticket: *ticket, keep: u32::MAX })
        }
        _ => None,
    };
    world.run(script, |request, script| match request {
        Request::Load(_) if script.below(16) == 0 => Some(Reply::Unfit("no".into())),
        Request::Define(_) => None,
        Request::Load(_) => Some(Reply::Loaded { open: 1 + script.below(6) as u32 }),
        Request::Execute { ticket, units, .. } => {
            let mut product = Product::default();
            match script.below(3) {
                0 => product.filtered = units.spans().to_vec(),
                1 => {
                    let error = "e".to_owned();
                    product.failed.push(proto::frame::Failed { index: 0, error });
                }
                _ => {
                    product.timing = vec![(units.len() as u32, 1)];
                    product.units = units;
                }
            }
            let busy = Busy { wall_ns: script.number(), open_ns: script.number() };
            Some(Reply::Product { ticket, product, finished: Some(busy) })
        }
        Request::Truncate { .. } | Request::Collect | Request::Note(_) => None,
    })
}
