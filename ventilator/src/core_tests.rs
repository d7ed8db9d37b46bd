//! What a ventilator does with a pause, and with units that are dead too late, as stories: what is said to
//! it, and what it sends then.

use proto::{
    frame::{Commit, Credit, Dead, Envelope, RunId, VERSION},
    limits::Limits,
    plan::{Function, Stage},
    role::Role,
    unit::UnitId,
    units::Units,
};

use super::*;
use crate::queue::News;

const RUN: RunId = 7;
const PASS: u64 = 5;
/// Who speaks, each with its own number.
const SINK: PeerId = 10;
const WORKER: PeerId = 20;
const OBSERVER: PeerId = 30;
const STRANGER: PeerId = 31;
/// Workers that come later.
const FIRST_OTHER: PeerId = 40;

/// A ventilator that has met a sink, a worker and two observers, with a thousand units read.
struct Script {
    ventilator: Ventilator,
    now: Time,
    // How many frames each peer has said in its session.
    said: std::collections::BTreeMap<PeerId, (u32, u64)>,
}

impl Script {
    fn new() -> Self {
        let config = Config {
            stages: vec![Stage::new("s", Function::Run("echo".into()))],
            limits: Limits::default(),
            sink: vec!["inproc://sink".into()],
            digest: "d".into(),
            carries_input: false,
        };
        let kind = HelloRole::Ventilator { plan: "d".into(), run: 0, stages: vec!["s".into()] };
        let (mut ventilator, _) = Ventilator::new(99, hello(kind), config);
        ventilator.steered_with(PASS);
        let now = Time::from_ms(1_000);
        let mut script = Self { ventilator, now, said: Default::default() };
        script.meet_sink();
        script.meet(OBSERVER, HelloRole::Observer);
        script.meet(STRANGER, HelloRole::Observer);
        script.meet(WORKER, HelloRole::Worker { stage: None, own: false });
        script
    }

    fn meet_sink(&mut self) {
        let link = self.ventilator.downstream.sink();
        let out = self.event(Event::LaneUp { link, inbox: vec!["inproc://v".into()] });
        let session = sent(&out).next().expect("it says Hello").1.session;
        self.said.insert(SINK, (session, 0));
        let commit = Commit { horizon: 1 << 30, ..Commit::default() };
        self.says(SINK, Frame::Welcome(Box::new(Welcome::Resume { commit, epoch: 1 })));
        let credit = Credit { units: 1 << 30, bytes: 1 << 40 };
        self.says(SINK, Frame::Credit(credit));
        let (values, count) = (vec![1; 1_000], 1_000);
        let units = Units::from_source(0, values, (1..=count).collect());
        self.event(Event::Reply(Reply::Read { units, ended: false }));
    }

    fn meet(&mut self, peer: PeerId, role: HelloRole) {
        self.said.insert(peer, (1, 0));
        let out = self.says(peer, Frame::Hello(Box::new(hello(role))));
        let opened = out.iter().find_map(|effect| match effect {
            Effect::Open { link, .. } => Some(*link),
            _ => None,
        });
        let link = opened.expect("it calls back");
        self.event(Event::LaneUp { link, inbox: vec!["inproc://v".into()] });
    }

    fn says(&mut self, peer: PeerId, frame: Frame) -> Effects {
        let (session, seq) = self.said.get_mut(&peer).expect("it has been met");
        let envelope = Envelope {
            version: VERSION,
            run: RUN,
            from: peer,
            session: *session,
            seq: *seq,
            frame,
        };
        *seq += 1;
        self.event(Event::Frame(envelope))
    }

    fn event(&mut self, event: Event<Reply>) -> Effects {
        let mut out = Effects::new();
        self.ventilator.handle(self.now, event, &mut out);
        out
    }

    fn pause(&mut self, peer: PeerId, pass: u64, on: bool) -> Effects {
        self.says(peer, Frame::Pause(Pause { pass, on }))
    }

    /// Whether it sends units to a worker that comes and takes some.
    fn sends(&mut self) -> bool {
        let worker = self.said.keys().max().map_or(FIRST_OTHER, |last| last + 1).max(FIRST_OTHER);
        self.meet(worker, HelloRole::Worker { stage: None, own: false });
        has_work(&self.says(worker, Frame::Credit(Credit { units: 10, bytes: 1 << 30 })))
    }
}

fn hello(role: HelloRole) -> Hello {
    let endpoints = vec!["inproc://peer".into()];
    Hello { role, name: "p".into(), endpoints, host: "h".into(), pid: 1 }
}

fn sent(out: &Effects) -> impl Iterator<Item = (LinkId, &Envelope)> {
    out.iter().filter_map(|effect| match effect {
        Effect::Send { link, envelope } => Some((*link, envelope)),
        _ => None,
    })
}

fn has_work(out: &Effects) -> bool {
    sent(out).any(|(_, envelope)| matches!(envelope.frame, Frame::Work(_)))
}

#[test]
fn a_paused_ventilator_sends_nothing_until_it_goes_on() {
    let mut script = Script::new();
    assert!(script.sends());
    script.pause(OBSERVER, PASS, true);
    assert!(!script.sends() && !script.sends());
    // Said twice it is one pause.
    script.pause(OBSERVER, PASS, true);
    assert!(has_work(&script.pause(OBSERVER, PASS, false)), "at once");
    assert!(script.sends());
}

/// Whoever is let in over tcp can watch, and has not what only the launcher has.
#[test]
fn nobody_else_has_it_pause() {
    let mut script = Script::new();
    script.pause(STRANGER, PASS + 1, true);
    script.pause(OBSERVER, 0, true);
    script.pause(WORKER, PASS, true);
    assert!(script.sends());
    script.pause(OBSERVER, PASS, true);
    script.pause(STRANGER, PASS + 1, false);
    assert!(!script.sends());
    script.ventilator.pass = None;
    script.pause(OBSERVER, PASS, false);
    assert!(!script.sends(), "one that has no launcher");
}

#[test]
fn units_of_a_lost_worker_wait_for_the_end_of_the_pause() {
    let mut script = Script::new();
    let credit = Frame::Credit(Credit { units: 10, bytes: 1 << 30 });
    assert!(has_work(&script.says(WORKER, credit)));
    script.pause(OBSERVER, PASS, true);
    assert!(!script.sends());
    let lost = script.says(WORKER, Frame::Bye);
    assert!(!has_work(&lost));
    assert!(has_work(&script.pause(OBSERVER, PASS, false)));
}

#[test]
fn a_paused_run_can_be_asked_to_end() {
    let mut script = Script::new();
    script.pause(OBSERVER, PASS, true);
    let out = script.event(Event::Drain);
    let tells = |frame: fn(&Frame) -> bool| sent(&out).any(|(_, said)| frame(&said.frame));
    assert!(tells(|frame| matches!(frame, Frame::Leaving)));
    assert!(tells(|frame| matches!(frame, Frame::End(End { drained: true, .. }))));
}

/// The sink takes nothing behind the end, so the ventilator would keep it, and wait, for good.
#[test]
fn what_is_dead_behind_the_end_is_left_for_whoever_goes_on() {
    let mut script = Script::new();
    script.ventilator.serve_clients(1_000);
    let mut told = |next: UnitId, roots: &[UnitId]| {
        let dead = |root: &UnitId| Dead {
            root: *root,
            path: Vec::new(),
            stage: 0,
            input: Vec::new(),
            error: "waited longer than its ttl".into(),
            attempts: 0,
            worker: String::new(),
        };
        let dead = roots.iter().map(dead).collect();
        let news = News { next, dead, ..News::default() };
        let out = script.event(Event::Reply(Reply::Queue(Box::new(news))));
        let dead = sent(&out).filter_map(|(_, envelope)| match &envelope.frame {
            Frame::Results(results) => Some(results.dead.iter().map(|dead| dead.root).collect()),
            _ => None,
        });
        let dead: Vec<Vec<UnitId>> = dead.collect();
        if roots.is_empty() {
            script.event(Event::Drain);
        }
        dead.concat()
    };
    told(5, &[]);
    assert_eq!(told(7, &[3, 5, 6]), [3]);
}
