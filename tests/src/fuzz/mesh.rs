//! Sessions with peers that say anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::frame::{Envelope, Frame, Hello, HelloRole, Refusal, VERSION, Welcome};
use proto::limits::Limits;
use proto::role::{Effect, Event, LinkId, Turn};
use proto::rules::mesh::{Mesh, MeshEvent};
use proto::time::Time;

use super::script::{Script, about, note};

type Effects = Vec<Effect<()>>;

const RUN: u64 = 7;
const PEERS_MAX: u32 = 6;
/// Who is honest at the end; strangers may have used its number before.
const HONEST: u64 = 1;

fn limits() -> Limits {
    Limits { peers_max: PEERS_MAX, ..Limits::default() }
}

fn hello(name: &str) -> Hello {
    let role = HelloRole::Worker { stage: None, own: false };
    let endpoints = vec![format!("inproc://{name}")];
    Hello { role, name: name.into(), endpoints, host: "h".into(), pid: 1 }
}

struct Scene {
    mesh: Mesh,
    now: Time,
    lanes: BTreeMap<LinkId, Vec<String>>,
    dialled: BTreeSet<LinkId>,
    asked: BTreeSet<LinkId>,
    open: BTreeSet<LinkId>,
    quiet: BTreeSet<LinkId>,
    // The last frame of each session that was passed on, by its number.
    heard: BTreeMap<LinkId, u64>,
    sent: Vec<Envelope>,
    seen: u64,
}

/// Frames, lanes and time in any order: sessions stay in order, lanes are bounded, and an honest
/// peer still gets in.
pub fn mesh(data: &[u8]) -> u64 {
    let script = &mut Script::new(data);
    let mut mesh = Mesh::new(99, hello("subject"), &limits());
    if script.coin() {
        mesh.join(RUN);
    }
    let mut scene = Scene {
        mesh,
        now: Time::from_ms(1),
        lanes: BTreeMap::new(),
        dialled: BTreeSet::new(),
        asked: BTreeSet::new(),
        open: BTreeSet::new(),
        quiet: BTreeSet::new(),
        heard: BTreeMap::new(),
        sent: Vec::new(),
        seen: 0,
    };
    while !script.is_over() {
        scene.step(script);
    }
    scene.lets_an_honest_peer_in();
    scene.seen
}

impl Scene {
    fn step(&mut self, script: &mut Script<'_>) {
        let link = script.below(12) as LinkId;
        let mut out = Effects::new();
        match script.below(14) {
            0..6 => return self.tell(Event::Frame(envelope(script))),
            6 => return self.tell(Event::LaneUp { link, inbox: vec!["inproc://me".into()] }),
            7 => return self.tell(Event::LaneDown { link }),
            8 => {
                self.now = self.now + Duration::from_millis(script.number() % 30_000);
                return self.tell(Event::Tick);
            }
            9 if script.below(4) == 0 => {
                return self.tell(Event::Asleep(Duration::from_millis(script.number() % 60_000)));
            }
            9 if self.dialled.len() < 4 => {
                let link = self.mesh.dial(vec!["inproc://sink".into()], None, &mut out);
                self.dialled.insert(link);
            }
            10 if self.asked.remove(&link) => {
                self.mesh.welcome(link, Welcome::Peer, &mut out);
                if self.mesh.is_open(link) {
                    self.begins(link);
                }
            }
            10 => self.mesh.send(link, Frame::Leaving, &mut out),
            11 if self.asked.remove(&link) => self.mesh.refuse(link, Refusal::OtherRun, &mut out),
            12 => {
                let credit = proto::frame::Credit { units: script.number(), bytes: 1 };
                self.mesh.grant(link, credit, &mut out);
            }
            13 if script.below(4) == 0 => {
                self.mesh.hang_up(link, &mut out);
                self.open.remove(&link);
                self.asked.remove(&link);
            }
            _ => {}
        }
        self.carry_out(out);
    }

    fn begins(&mut self, link: LinkId) {
        assert!(self.open.insert(link), "a session begins in a session");
        self.quiet.remove(&link);
        self.heard.insert(link, 0);
        note(&mut self.seen, 1);
    }

    fn tell(&mut self, event: Event<()>) {
        let mut out = Effects::new();
        self.mesh.handle(&mut Turn::new(self.now, &mut out), event);
        while let Some(event) = self.mesh.poll() {
            match event {
                MeshEvent::Asked { link, .. } => {
                    assert!(!self.open.contains(&link));
                    self.asked.insert(link);
                }
                MeshEvent::Opened { link, .. } => self.begins(link),
                MeshEvent::Broken { link, .. } => {
                    assert!(self.open.remove(&link), "what is not open can't break");
                }
                MeshEvent::Quiet { link, since } => {
                    assert!(self.open.contains(&link), "quiet outside of a session");
                    assert!(self.quiet.insert(link), "quiet twice");
                    let heartbeat = Duration::from_millis(limits().heartbeat_interval_ms);
                    assert!(self.now.since(since) > 2 * heartbeat, "quiet too soon");
                    note(&mut self.seen, 4);
                }
                MeshEvent::Back { link } => {
                    assert!(self.quiet.remove(&link), "back although it was not quiet");
                    note(&mut self.seen, 5);
                }
                MeshEvent::Frame { link, frame } => {
                    assert!(self.open.contains(&link), "a frame outside of a session");
                    let last = self.heard.get_mut(&link).expect("it is open");
                    // Heartbeats take a number too, and are not passed on.
                    if let Frame::Retract(number) = frame {
                        assert!(number > *last, "frames are passed on in order, and once");
                        *last = number;
                    }
                    note(&mut self.seen, about(*last));
                }
                MeshEvent::Refused { .. } | MeshEvent::Stray(_) => note(&mut self.seen, 2),
            }
        }
        self.carry_out(out);
    }

    fn carry_out(&mut self, out: Effects) {
        for effect in out {
            match effect {
                Effect::Open { link, endpoints, .. } => {
                    assert!(self.lanes.insert(link, endpoints).is_none(), "a lane is opened twice");
                }
                Effect::Close { link } => {
                    assert!(self.lanes.remove(&link).is_some(), "a lane is closed twice");
                    self.asked.remove(&link);
                }
                Effect::Send { link, envelope } => {
                    assert!(self.lanes.contains_key(&link), "sent on no lane");
                    self.sent.push(envelope);
                }
                Effect::Request(()) | Effect::Exit(_) => unreachable!("a mesh does neither"),
            }
        }
        let most = self.dialled.len() + 2 * PEERS_MAX as usize;
        assert!(self.lanes.len() <= most, "{} lanes", self.lanes.len());
    }

    fn lets_an_honest_peer_in(&mut self) {
        let mut honest = Mesh::new(HONEST, hello("honest"), &limits());
        let mut out = Effects::new();
        let lane = honest.dial(vec!["inproc://subject".into()], None, &mut out);
        let mut to_honest = Vec::new();
        let up = Event::LaneUp { link: lane, inbox: hello("honest").endpoints };
        honest.handle::<(), ()>(&mut Turn::new(self.now, &mut out), up);
        for _ in 0..200 {
            self.sent.clear();
            for effect in std::mem::take(&mut out) {
                match effect {
                    Effect::Send { envelope, .. } => self.tell(Event::Frame(envelope)),
                    // It dials anew after some Hellos without an answer.
                    Effect::Open { link, .. } => {
                        let up = Event::LaneUp { link, inbox: hello("honest").endpoints };
                        honest.handle::<(), ()>(&mut Turn::new(self.now, &mut out), up);
                    }
                    Effect::Close { .. } | Effect::Request(()) | Effect::Exit(_) => {}
                }
            }
            self.answers();
            to_honest.append(&mut self.sent);
            for envelope in to_honest.drain(..) {
                honest.handle::<(), ()>(&mut Turn::new(self.now, &mut out), Event::Frame(envelope));
            }
            while honest.poll().is_some() {}
            if honest.is_open(lane) {
                return;
            }
            self.now = self.now + Duration::from_millis(limits().heartbeat_interval_ms);
            honest.handle::<(), ()>(&mut Turn::new(self.now, &mut out), Event::Tick);
            self.tell(Event::Tick);
            to_honest.append(&mut self.sent);
        }
        panic!("an honest peer is kept out");
    }

    /// Lanes to the honest peer are up, and whoever asks is welcome.
    fn answers(&mut self) {
        let towards_honest = |lane: &&(LinkId, Vec<String>)| lane.1 == hello("honest").endpoints;
        let lanes: Vec<_> = self.lanes.clone().into_iter().collect();
        for (link, _) in lanes.iter().filter(towards_honest) {
            self.tell(Event::LaneUp { link: *link, inbox: Vec::new() });
            if self.asked.remove(link) {
                let mut out = Effects::new();
                self.mesh.welcome(*link, Welcome::Peer, &mut out);
                if self.mesh.is_open(*link) {
                    self.begins(*link);
                }
                self.carry_out(out);
            }
        }
    }
}

fn envelope(script: &mut Script<'_>) -> Envelope {
    let run = [RUN, RUN, RUN, 0, 8][script.below(5) as usize];
    let from = if script.below(8) == 0 { script.number() } else { script.below(5) };
    let session = if script.below(8) == 0 { script.number32() } else { script.below(6) as u32 };
    let seq = if script.below(8) == 0 { script.number() } else { script.below(5) };
    let frame = match script.below(10) {
        0..4 => Frame::Hello(Box::new(hello(["a", "b", "honest"][script.below(3) as usize]))),
        4 => Frame::Welcome(Box::new(Welcome::Peer)),
        5 => Frame::Refused(Refusal::OtherRun),
        6 => Frame::Reset,
        7 => Frame::Beat,
        _ => Frame::Retract(seq),
    };
    let seq = if matches!(frame, Frame::Hello(_)) { 0 } else { seq };
    Envelope { version: VERSION, run, from, session, seq, frame }
}
