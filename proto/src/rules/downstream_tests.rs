//! Scripts of a sender: what it is told, and what it sends to whom.

use super::*;
use crate::{
    frame::{Envelope, Failed, Hello, HelloRole, VERSION, Welcome},
    plan::Function,
    role::Event,
};

const GENEROUS: Credit = Credit { units: 1 << 40, bytes: 1 << 40 };

/// What a witness has been told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Notes(Vec<String>);

impl Witness<()> for Notes {
    fn sent(&mut self, _: &mut Turn<'_, Effect<()>>, worker: &str, work: &Work) {
        self.0.push(format!("{} to {worker}", work.units.len()));
    }
    fn failed(&mut self, _: &mut Turn<'_, Effect<()>>, worker: &str, failure: Failure<'_>) {
        self.0.push(format!("{} failed at {worker}: {}", failure.unit, failure.error));
    }
    fn dead(&mut self, dead: &Dead) {
        self.0.push(format!("{} dead", dead.root));
    }
    fn committed(&mut self, latencies: Vec<(Duration, usize)>) {
        let units: usize = latencies.iter().map(|(_, units)| units).sum();
        if units > 0 {
            self.0.push(format!("{units} committed"));
        }
    }
}

/// A sender to the workers of two stages, and to the sink.
struct Script {
    now: Time,
    mesh: Mesh,
    downstream: Downstream<Notes>,
    out: Vec<Effect<()>>,
}

impl Script {
    fn new() -> Self {
        let role = HelloRole::Worker { stage: None, own: false };
        let (name, host) = ("sender".into(), "h".into());
        let hello = Hello { role, name, endpoints: vec![], host, pid: 1 };
        let mut mesh = Mesh::new(1, hello, &Limits::default());
        let now = Time::from_ms(1_000);
        let sink = open(&mut mesh, now);
        let mut downstream = Downstream::new(sink, &Limits::default(), Notes::default());
        let stage = Stage { retries: 0, ..Stage::new("s", Function::Own) };
        for index in [1, 2] {
            downstream.feed(index, &stage, &Limits::default());
        }
        downstream.sink_opened();
        downstream.sink_granted(GENEROUS);
        Self { now, mesh, downstream, out: Vec::new() }
    }

    /// A worker of this stage is there.
    fn join(&mut self, stage: u32, name: &str) -> LinkId {
        let link = open(&mut self.mesh, self.now);
        self.downstream.join(stage, link, name);
        self.downstream.granted(link, GENEROUS);
        link
    }

    fn add(&mut self, stage: u32, first: UnitId, count: u32) {
        let units = Units::from_source(first, vec![1; count as usize], (1..=count).collect());
        self.downstream.add(stage, units);
    }

    /// What is sent now, and on which link.
    fn sends(&mut self) -> Vec<(LinkId, Frame)> {
        self.downstream.send(&mut Turn::new(self.now, &mut self.out), &mut self.mesh);
        let sent = self.out.drain(..).filter_map(|effect| match effect {
            Effect::Send { link, envelope } => Some((link, envelope.frame)),
            _ => None,
        });
        sent.collect()
    }

    /// To whom units are sent now: the link, the parcel and the first unit.
    fn parcels(&mut self) -> Vec<(LinkId, ParcelId, UnitId)> {
        let works = self.sends().into_iter().filter_map(|(link, frame)| match frame {
            Frame::Work(work) => Some((link, work.parcel, work.units.spans()[0].first)),
            _ => None,
        });
        works.collect()
    }

    fn done(&mut self, link: LinkId, parcel: ParcelId, failed: Vec<Failed>) {
        let done = Done { parcel, busy_ns: 1, failed };
        let turn = &mut Turn::new(self.now, &mut self.out);
        self.downstream.done(turn, &mut self.mesh, link, &done);
    }

    fn commit(&mut self, watermark: UnitId) -> bool {
        let commit = Commit { watermark, ..Commit::default() };
        self.downstream.commit(&Turn::new(self.now, &mut self.out), &commit)
    }
}

/// A conversation in which both sides may send.
fn open(mesh: &mut Mesh, now: Time) -> LinkId {
    let mut out: Vec<Effect<()>> = Vec::new();
    let link = mesh.dial(vec!["inproc://p".into()], None, &mut out);
    let turn = &mut Turn::new(now, &mut out);
    mesh.handle::<(), ()>(turn, Event::LaneUp { link, inbox: vec![] });
    let session = turn.out.iter().find_map(|effect| match effect {
        Effect::Send { envelope, .. } => Some(envelope.session),
        _ => None,
    });
    let frame = Frame::Welcome(Box::new(Welcome::Peer));
    let (session, from) = (session.unwrap(), 100 + u64::from(link));
    let envelope = Envelope { version: VERSION, run: 7, from, session, seq: 0, frame };
    mesh.handle::<(), ()>(turn, Event::Frame(envelope));
    assert!(mesh.is_open(link));
    link
}

#[test]
fn units_stay_with_the_workers_of_their_stage_whoever_is_lost() {
    let mut script = Script::new();
    let (a, other) = (script.join(1, "a"), script.join(2, "other"));
    script.add(1, 0, 1);
    assert_eq!(script.parcels(), [(a, 0, 0)]);
    let turn = &mut Turn::new(script.now, &mut script.out);
    script.downstream.lost(turn, &mut script.mesh, a, Loss::Silent);
    assert_eq!(script.parcels(), [], "the other stage's worker is no replacement");
    let b = script.join(1, "b");
    script.add(2, 1, 1);
    let mut parcels = script.parcels();
    parcels.sort();
    assert_eq!(parcels, [(other, 0, 1), (b, 1, 0)]);
    assert_eq!(script.downstream.witness().0, ["1 to a", "1 to b", "1 to other"]);
}

#[test]
fn a_commit_ends_what_is_kept_for_every_stage_and_for_the_sink() {
    let mut script = Script::new();
    script.join(1, "a");
    script.join(2, "b");
    script.add(1, 0, 1);
    script.add(2, 1, 1);
    let filtered = vec![crate::units::Span { first: 2, count: 1, path: vec![] }];
    script.downstream.push(Results { filtered, ..Results::default() });
    for (link, frame) in script.sends() {
        if let Frame::Work(work) = frame {
            script.done(link, work.parcel, vec![]);
        }
    }
    assert!(script.commit(1) && !script.commit(0) && !script.downstream.is_empty());
    assert!(script.commit(3) && script.downstream.is_empty());
    let kept = (script.downstream.unit_bytes(), script.downstream.outcome_bytes());
    assert_eq!(kept, (0, 0));
    let notes = ["1 to a", "1 to b", "1 committed", "1 committed"];
    assert_eq!(script.downstream.witness().0, notes);
}

#[test]
fn a_unit_that_fails_for_good_is_an_outcome_for_the_sink() {
    let mut script = Script::new();
    let a = script.join(1, "a");
    script.add(1, 3, 1);
    let (_, parcel, _) = script.parcels()[0];
    script.done(a, parcel, vec![Failed { index: 0, error: "no".into() }]);
    let sink = script.downstream.sink();
    let sent = script.sends();
    let [(link, Frame::Results(results))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((*link, results.stage, results.dead[0].root), (sink, 1, 3));
    assert_eq!(script.downstream.witness().0, ["1 to a", "3 failed at a: no", "3 dead"]);
}

#[test]
fn a_sink_that_is_lost_is_sent_everything_again_in_its_next_session() {
    let mut script = Script::new();
    let filtered = vec![crate::units::Span { first: 0, count: 1, path: vec![] }];
    script.downstream.push(Results { filtered, ..Results::default() });
    assert_eq!(script.sends().len(), 1);
    assert!(script.downstream.is_told());
    script.downstream.sink_lost();
    assert!(!script.downstream.is_told());
    script.downstream.sink_opened();
    assert_eq!(script.sends(), [], "no credit yet");
    script.downstream.sink_granted(GENEROUS);
    assert_eq!(script.sends().len(), 1);
}
