//! Scripts of sessions: what comes, and what a mesh makes of it.

use std::time::Duration;

use super::*;

type Effects = Vec<Effect<()>>;

fn hello(name: &str) -> Hello {
    Hello {
        role: HelloRole::Worker { stage: None, own: false },
        name: name.into(),
        endpoints: vec![],
        host: "h".into(),
        pid: 1,
    }
}

/// Two processes and the lanes between them; frames are delivered when told.
struct Pair {
    now: Time,
    dialler: Mesh,
    acceptor: Mesh,
    link: LinkId,
    to_acceptor: Vec<Envelope>,
    to_dialler: Vec<Envelope>,
    /// What the acceptor learned, but for who asked.
    heard: VecDeque<MeshEvent>,
}

impl Pair {
    fn new() -> Self {
        let limits = Limits::default();
        let mut dialler = Mesh::new(1, hello("dialler"), &limits);
        let acceptor = Mesh::new(2, hello("acceptor"), &limits);
        let mut out = Effects::new();
        let link = dialler.dial(vec!["inproc://a".into()], None, &mut out);
        let now = Time::from_ms(1);
        let (to_acceptor, to_dialler, heard) = Default::default();
        Self { now, dialler, acceptor, link, to_acceptor, to_dialler, heard }
    }

    fn opened() -> Self {
        let mut pair = Self::new();
        pair.tell_dialler(Event::LaneUp { link: pair.link, inbox: vec!["inproc://d".into()] });
        pair.deliver();
        assert!(matches!(pair.dialler.poll(), Some(MeshEvent::Opened { .. })));
        pair
    }

    fn sort(effects: Effects, queue: &mut Vec<Envelope>) -> Vec<LinkId> {
        let mut opened = vec![];
        for effect in effects {
            match effect {
                Effect::Send { envelope, .. } => queue.push(envelope),
                Effect::Open { link, .. } => opened.push(link),
                _ => {}
            }
        }
        opened
    }

    fn tell_dialler(&mut self, event: Event<()>) {
        let mut out = Effects::new();
        self.dialler.handle(&mut Turn::new(self.now, &mut out), event);
        Self::sort(out, &mut self.to_acceptor);
    }

    fn tell_acceptor(&mut self, event: Event<()>) {
        let mut out = Effects::new();
        self.acceptor.handle(&mut Turn::new(self.now, &mut out), event);
        for link in Self::sort(out, &mut self.to_dialler) {
            self.tell_acceptor(Event::LaneUp { link, inbox: vec![] });
        }
        while let Some(event) = self.acceptor.poll() {
            if let MeshEvent::Asked { link, .. } = event {
                let mut out = Effects::new();
                self.acceptor.welcome(link, Welcome::Peer, &mut out);
                Self::sort(out, &mut self.to_dialler);
            } else {
                self.heard.push_back(event);
            }
        }
    }

    /// Delivers everything both ways until nothing is left.
    fn deliver(&mut self) {
        while !self.to_acceptor.is_empty() || !self.to_dialler.is_empty() {
            for envelope in std::mem::take(&mut self.to_acceptor) {
                self.tell_acceptor(Event::Frame(envelope));
            }
            for envelope in std::mem::take(&mut self.to_dialler) {
                self.tell_dialler(Event::Frame(envelope));
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
    }
}

#[test]
fn a_frame_that_arrives_twice_counts_once() {
    let mut pair = Pair::opened();
    let mut out = Effects::new();
    pair.dialler.send(pair.link, Frame::Leaving, &mut out);
    Pair::sort(out, &mut pair.to_acceptor);
    let copy = pair.to_acceptor[0].clone();
    pair.to_acceptor.push(copy);
    pair.deliver();
    assert!(matches!(pair.heard.pop_front(), Some(MeshEvent::Frame { frame: Frame::Leaving, .. })));
    assert_eq!(pair.heard.pop_front(), None);
}

/// Time passes in small steps, and the acceptor acts on it: what it learns of the other's
/// silence, and when.
fn silence_of(pair: &mut Pair, ms: u64) -> Vec<(u64, MeshEvent)> {
    let start = pair.now;
    let mut learned = Vec::new();
    for _ in 0..ms / 5 {
        pair.pass(5);
        if pair.acceptor.deadline().is_some_and(|due| due <= pair.now) {
            pair.tell_acceptor(Event::Tick);
        }
        let at = pair.now.since(start).as_millis() as u64;
        learned.extend(pair.heard.drain(..).map(|event| (at, event)));
    }
    learned
}

#[test]
fn a_peer_is_quiet_after_two_missed_heartbeats_and_back_with_the_next_frame() {
    let mut pair = Pair::opened();
    silence_of(&mut pair, 600);
    pair.tell_dialler(Event::Tick);
    pair.deliver();
    let learned = silence_of(&mut pair, 4_000);
    assert!(
        matches!(learned[..], [(1_001..=1_100, MeshEvent::Quiet { .. })]),
        "once, before a third could have come: {learned:?}"
    );
    pair.tell_dialler(Event::Tick);
    pair.deliver();
    assert!(matches!(pair.heard.pop_front(), Some(MeshEvent::Back { .. })));
    let learned = silence_of(&mut pair, 6_000);
    assert!(
        matches!(
            learned[..],
            [(_, MeshEvent::Quiet { .. }), (_, MeshEvent::Broken { loss: Loss::Silent, .. })]
        ),
        "{learned:?}"
    );
}

#[test]
fn a_peer_whose_heartbeats_come_is_not_quiet_however_long_it_says_nothing_else() {
    let mut pair = Pair::opened();
    for _ in 0..20 {
        // One heartbeat of two comes, and late.
        assert_eq!(silence_of(&mut pair, 990), []);
        pair.tell_dialler(Event::Tick);
        pair.deliver();
    }
}

#[test]
fn a_process_that_was_late_itself_takes_nobody_for_quiet() {
    let mut pair = Pair::opened();
    silence_of(&mut pair, 600);
    // Both are stopped for a while, and the other one needs a moment more.
    pair.pass(1_200);
    assert_eq!(silence_of(&mut pair, 400), []);
    pair.tell_dialler(Event::Tick);
    pair.deliver();
    assert_eq!(silence_of(&mut pair, 900), []);
}

#[test]
fn what_has_come_and_is_not_read_yet_is_waited_for_before_a_peer_is_taken_for_quiet() {
    let mut pair = Pair::opened();
    let learned = silence_of(&mut pair, 1_040);
    assert_eq!(learned, []);
    pair.tell_dialler(Event::Tick);
    pair.deliver();
    assert_eq!(silence_of(&mut pair, 900), []);
}

#[test]
fn a_lost_frame_ends_the_session_and_a_new_one_begins() {
    let mut pair = Pair::opened();
    let mut out = Effects::new();
    pair.dialler.send(pair.link, Frame::Leaving, &mut out);
    pair.dialler.send(pair.link, Frame::Bye, &mut out);
    Pair::sort(out, &mut pair.to_acceptor);
    pair.to_acceptor.remove(0);
    pair.deliver();
    assert!(matches!(pair.heard.pop_front(), Some(MeshEvent::Broken { loss: Loss::Gap, .. })));
    assert!(matches!(pair.dialler.poll(), Some(MeshEvent::Broken { loss: Loss::Reset, .. })));
    assert!(matches!(pair.dialler.poll(), Some(MeshEvent::Opened { .. })));
    assert!(pair.dialler.is_open(pair.link));
}

/// A worker that met a wrong server first: one that takes frames and never answers.
#[test]
fn a_lane_on_which_nobody_answers_hello_is_made_anew() {
    let mut pair = Pair::new();
    pair.tell_dialler(Event::LaneUp { link: pair.link, inbox: vec![] });
    let mut effects = Effects::new();
    for _ in 0..20 {
        pair.now = pair.now + Duration::from_millis(Limits::default().liveness_ms / 2 + 501);
        pair.dialler.handle::<(), ()>(&mut Turn::new(pair.now, &mut effects), Event::Tick);
    }
    let link = pair.link;
    let is_anew = |two: &[Effect<()>]| {
        matches!(two, [Effect::Close { link: closed }, Effect::Open { link: opened, endpoints, .. }]
            if *closed == link && *opened == link && endpoints == &["inproc://a"])
    };
    assert!(effects.windows(2).any(is_anew), "{effects:?}");
    pair.tell_dialler(Event::LaneUp { link, inbox: vec![] });
    pair.deliver();
    assert!(pair.dialler.is_open(link), "the right one is there now");
}

#[test]
fn a_lost_welcome_is_asked_for_again() {
    let mut pair = Pair::new();
    pair.tell_dialler(Event::LaneUp { link: pair.link, inbox: vec![] });
    for envelope in std::mem::take(&mut pair.to_acceptor) {
        pair.tell_acceptor(Event::Frame(envelope));
    }
    pair.to_dialler.clear();
    pair.pass(Limits::default().liveness_ms / 2 + 1);
    pair.tell_dialler(Event::Tick);
    pair.deliver();
    assert!(pair.dialler.is_open(pair.link));
    assert!(matches!(pair.heard.pop_front(), Some(MeshEvent::Broken { loss: Loss::Replaced, .. })));
}

#[test]
fn what_comes_after_a_lost_welcome_tells_of_it() {
    let mut pair = Pair::new();
    pair.tell_dialler(Event::LaneUp { link: pair.link, inbox: vec![] });
    for envelope in std::mem::take(&mut pair.to_acceptor) {
        pair.tell_acceptor(Event::Frame(envelope));
    }
    pair.to_dialler.clear();
    pair.pass(Limits::default().heartbeat_interval_ms);
    pair.tell_acceptor(Event::Tick);
    pair.deliver();
    assert!(pair.dialler.is_open(pair.link));
}

#[test]
fn silence_ends_a_session_on_both_sides() {
    let mut pair = Pair::opened();
    pair.pass(Limits::default().liveness_ms + 1);
    pair.tell_acceptor(Event::Tick);
    assert!(matches!(pair.heard.pop_front(), Some(MeshEvent::Broken { loss: Loss::Silent, .. })));
    pair.tell_dialler(Event::Tick);
    assert!(matches!(pair.dialler.poll(), Some(MeshEvent::Broken { loss: Loss::Silent, .. })));
    pair.deliver();
    assert!(pair.dialler.is_open(pair.link));
}

#[test]
fn heartbeats_keep_a_session_and_repeat_the_credit() {
    let mut pair = Pair::opened();
    let mut out = Effects::new();
    pair.dialler.grant(pair.link, Credit { units: 5, bytes: 9 }, &mut out);
    for _ in 0..40 {
        pair.pass(Limits::default().heartbeat_interval_ms);
        pair.tell_dialler(Event::Tick);
        pair.to_acceptor.iter().for_each(|sent| assert!(matches!(sent.frame, Frame::Credit(_))));
        pair.to_acceptor.clear();
        pair.tell_acceptor(Event::Tick);
        pair.deliver();
        if pair.heard.pop_front().is_some() {
            return; // silence from the dialler, whose heartbeats were thrown away above
        }
    }
    panic!("a silent dialler was never noticed");
}

#[test]
fn a_process_that_slept_blames_nobody_and_says_hello_again() {
    let mut pair = Pair::opened();
    pair.pass(60_000);
    pair.tell_dialler(Event::Asleep(Duration::from_secs(60)));
    assert!(matches!(pair.dialler.poll(), Some(MeshEvent::Broken { loss: Loss::Asleep, .. })));
    pair.deliver();
    assert!(matches!(pair.heard.pop_front(), Some(MeshEvent::Broken { loss: Loss::Replaced, .. })));
    assert!(pair.dialler.is_open(pair.link));
}

#[test]
fn a_lane_that_lost_its_peer_waits_for_the_next() {
    let mut pair = Pair::opened();
    pair.tell_dialler(Event::LaneDown { link: pair.link });
    assert!(matches!(
        pair.dialler.poll(),
        Some(MeshEvent::Broken { loss: Loss::Disconnected, .. })
    ));
    assert!(pair.to_acceptor.is_empty());
    pair.tell_dialler(Event::LaneUp { link: pair.link, inbox: vec!["inproc://d".into()] });
    pair.deliver();
    assert!(pair.dialler.is_open(pair.link));
}

fn knock(mesh: &mut Mesh, now: Time, from: PeerId, session: u32, name: &str) -> Effects {
    let mut out = Effects::new();
    let hello = Box::new(Hello { endpoints: vec![format!("inproc://{name}")], ..hello(name) });
    let (version, run, seq, frame) = (VERSION, 0, 0, Frame::Hello(hello));
    let envelope = Envelope { version, run, from, session, seq, frame };
    mesh.handle::<(), ()>(&mut Turn::new(now, &mut out), Event::Frame(envelope));
    out
}

#[test]
fn ten_thousand_hellos_open_a_few_hundred_lanes_and_time_brings_the_next() {
    let mut mesh = Mesh::new(2, hello("acceptor"), &Limits::default());
    let now = Time::from_ms(1);
    let (mut opened, mut closed) = (0, 0);
    let mut count = |effects: Effects| {
        for effect in effects {
            match effect {
                Effect::Open { .. } => opened += 1,
                Effect::Close { .. } => closed += 1,
                _ => {}
            }
        }
        (opened, closed)
    };
    let mut told = (0, 0);
    for session in 1..=10_000 {
        count(knock(&mut mesh, now, u64::from(session % 3), session, "same"));
        told = count(knock(&mut mesh, now, 10 + u64::from(session), session, "other"));
    }
    assert!(told.0 <= 65 && told.0 - told.1 <= 65, "{told:?}");
    assert!(mesh.turned_away().hellos >= 9_000);
    let later = now + Duration::from_millis(100);
    assert!(count(knock(&mut mesh, later, 9, 1, "late")).0 > told.0);
}

#[test]
fn nobody_takes_the_name_of_a_peer_that_is_there() {
    let mut pair = Pair::opened();
    let out = knock(&mut pair.acceptor, pair.now, 1, 99, "thief");
    assert!(out.is_empty());
    assert_eq!(pair.acceptor.turned_away().impostors, 1);
    pair.tell_dialler(Event::Tick);
    pair.deliver();
    assert!(pair.heard.is_empty(), "the session goes on");
    pair.pass(Limits::default().liveness_ms + 1);
    pair.tell_acceptor(Event::Tick);
    assert_ne!(knock(&mut pair.acceptor, pair.now, 1, 99, "heir").len(), 0);
}

#[test]
fn a_second_welcome_in_a_session_opens_nothing() {
    let mut pair = Pair::opened();
    let (session, seq) = (1, 1);
    let frame = Frame::Welcome(Box::new(Welcome::Peer));
    let envelope = Envelope { version: VERSION, run: 0, from: 2, session, seq, frame };
    pair.tell_dialler(Event::Frame(envelope));
    assert_eq!(pair.dialler.poll(), None);
}

#[test]
fn a_peer_that_overdraws_its_credit_has_to_begin_anew() {
    let mut pair = Pair::opened();
    let mut out = Effects::new();
    pair.acceptor.overdrawn(&mut Turn::new(pair.now, &mut out), 0);
    Pair::sort(out, &mut pair.to_dialler);
    pair.deliver();
    let lost = pair.heard.pop_front();
    assert!(matches!(lost, Some(MeshEvent::Broken { loss: Loss::Overdrawn, .. })), "{lost:?}");
    assert_eq!(pair.acceptor.turned_away().over_credit, 1);
}

#[test]
fn frames_of_another_run_are_dropped() {
    let mut pair = Pair::opened();
    pair.acceptor.join(77);
    let mut out = Effects::new();
    pair.dialler.join(78);
    pair.dialler.send(pair.link, Frame::Leaving, &mut out);
    Pair::sort(out, &mut pair.to_acceptor);
    pair.deliver();
    assert_eq!(pair.heard.pop_front(), None);
}

#[test]
fn what_was_meant_for_a_dead_process_is_not_taken_by_the_one_in_its_place() {
    let limits = Limits::default();
    let mut welcome = None;
    for me in [1 << 50, 2 << 50] {
        let mut mesh = Mesh::new(me, hello("ventilator"), &limits);
        let mut out = Effects::new();
        let link = mesh.dial(vec!["inproc://s".into()], None, &mut out);
        let now = Time::from_ms(1);
        mesh.handle::<(), ()>(&mut Turn::new(now, &mut out), Event::LaneUp { link, inbox: vec![] });
        let session = out.iter().find_map(|effect| match effect {
            Effect::Send { envelope, .. } => Some(envelope.session),
            _ => None,
        });
        let answer = Envelope {
            version: VERSION,
            run: 5,
            from: 9,
            session: session.unwrap(),
            seq: 0,
            frame: Frame::Welcome(Box::new(Welcome::Peer)),
        };
        let for_the_dead = welcome.replace(answer.clone()).unwrap_or(answer.clone());
        let is_first = for_the_dead == answer;
        mesh.handle::<(), ()>(&mut Turn::new(now, &mut out), Event::Frame(for_the_dead));
        assert_eq!(mesh.is_open(link), is_first);
    }
}
