//! What a sink takes in, told as scripts of events in and requests out.

use proto::{
    frame::{End, Envelope, Frame, Hello, HelloRole, Results, VERSION},
    limits::Limits,
    ranges::RangeSet,
    role::{Effect, Event, Role},
    time::Time,
    units::Units,
};

use super::{Reply, Request, ResumePoint, Sink};

const RUN: u64 = 7;
const COMMITTED: u64 = 1_000;
const WINDOW: u64 = 50_000;

fn sink(plan: Option<&str>) -> Sink {
    let hello = Hello {
        role: HelloRole::Observer,
        name: "sink".into(),
        endpoints: Vec::new(),
        host: "here".into(),
        pid: 1,
    };
    let limits = Limits { window_units_max: WINDOW, ..Limits::default() };
    let mut committed = RangeSet::default();
    committed.insert(0..COMMITTED);
    let plan = plan.map(str::to_owned);
    let point = ResumePoint {
        run: RUN,
        epoch: 2,
        committed,
        plan,
        durable: true,
        ..ResumePoint::default()
    };
    Sink::new(1, hello, limits, point).0
}

/// The units that the sink wants to have recorded after a worker has sent the result of `unit`.
fn recorded(sink: &mut Sink, unit: u64) -> Vec<u64> {
    let units = Units::from_source(unit, vec![5], vec![1]);
    let results = Results { units, timing: vec![(1, 1)], ..Results::default() };
    let frame = Frame::Results(results);
    let envelope = Envelope { version: VERSION, run: RUN, from: 9, session: 3, seq: 5, frame };
    let mut out = Vec::new();
    sink.handle(Time::default(), Event::Frame(envelope), &mut out);
    let asked = out.into_iter().filter_map(|effect| match effect {
        Effect::Request(Request::Record { entries, .. }) => Some(entries),
        _ => None,
    });
    asked.flatten().map(|entry| entry.first).collect()
}

#[test]
fn a_restarted_sink_keeps_the_horizon_that_its_predecessor_promised() {
    let mut sink = sink(Some("plan"));
    // Sent before the restart, far beyond the window that a new sink begins with: it is on its
    // way, and nobody will send it again.
    let last = COMMITTED + WINDOW - 1;
    assert_eq!(recorded(&mut sink, last), [last]);
    assert_eq!(recorded(&mut sink, last), [0; 0], "it is taken once");
    assert_eq!(recorded(&mut sink, last + 1), [0; 0], "no sink can have promised that");
}

#[test]
fn a_new_sink_has_promised_nothing() {
    // No ventilator has been told anything, so nothing can be on its way.
    let mut sink = sink(None);
    assert_eq!(recorded(&mut sink, COMMITTED + WINDOW - 1), [0; 0]);
}

fn hears(sink: &mut Sink, from: u64, seq: u64, frame: Frame) -> Vec<Effect<Request>> {
    let mut out = Vec::new();
    let envelope = Envelope { version: VERSION, run: RUN, from, session: from as u32, seq, frame };
    sink.handle(Time::from_ms(1), Event::Frame(envelope), &mut out);
    out
}

/// A ventilator says Hello; the lane back to it.
fn hello_of(sink: &mut Sink, from: u64) -> u32 {
    let role = HelloRole::Ventilator { plan: "plan".into(), run: 0, stages: vec!["s".into()] };
    let (name, host, endpoints) = ("v".into(), "here".into(), vec!["v".into()]);
    let hello = Frame::Hello(Box::new(Hello { role, name, endpoints, host, pid: 1 }));
    let opened = hears(sink, from, 0, hello).into_iter().find_map(|effect| match effect {
        Effect::Open { link, .. } => Some(link),
        _ => None,
    });
    opened.unwrap()
}

/// A lane back to a peer has reached it; what it is sent, and what is asked for.
fn reached(sink: &mut Sink, link: u32) -> Vec<Effect<Request>> {
    let mut out = Vec::new();
    sink.handle(Time::from_ms(1), Event::LaneUp { link, inbox: vec![] }, &mut out);
    out
}

fn begun(sink: &mut Sink) -> Vec<Effect<Request>> {
    let mut out = Vec::new();
    sink.handle(Time::from_ms(1), Event::Reply(Reply::Begun), &mut out);
    out
}

/// The frames that are sent on a lane.
fn said(out: &[Effect<Request>], to: u32) -> Vec<&Frame> {
    let sent = out.iter().filter_map(|effect| match effect {
        Effect::Send { link, envelope } if *link == to => Some(&envelope.frame),
        _ => None,
    });
    sent.collect()
}

/// A worker says Hello and is welcomed; its lane.
fn worker(sink: &mut Sink, from: u64) -> u32 {
    let role = HelloRole::Worker { stage: None, own: false };
    let (name, host, endpoints) = (format!("w{from}"), "here".into(), vec![format!("w{from}")]);
    let hello = Frame::Hello(Box::new(Hello { role, name, endpoints, host, pid: 1 }));
    let opened = hears(sink, from, 0, hello).into_iter().find_map(|effect| match effect {
        Effect::Open { link, .. } => Some(link),
        _ => None,
    });
    reached(sink, opened.unwrap());
    opened.unwrap()
}

fn result_of(unit: u64) -> Frame {
    let units = Units::from_source(unit, vec![5], vec![1]);
    Frame::Results(Results { units, timing: vec![(1, 1)], ..Results::default() })
}

/// The sink dies while it records the first Hello: nobody may have been sent anything by then.
#[test]
fn a_ventilator_hears_nothing_before_it_is_recorded_that_the_run_has_begun() {
    let mut sink = sink(None);
    let link = hello_of(&mut sink, 50);
    let out = reached(&mut sink, link);
    assert!(out.iter().any(|e| matches!(e, Effect::Request(Request::Begin { .. }))), "{out:?}");
    assert_eq!(said(&out, link), [&Frame::Beat; 0]);
    let out = begun(&mut sink);
    assert!(matches!(said(&out, link)[..], [Frame::Welcome(_), ..]), "{out:?}");
}

/// Nor may one be refused because of a plan that the next sink may not know of.
#[test]
fn a_ventilator_of_another_plan_is_refused_once_the_first_one_is_recorded() {
    let mut sink = sink(None);
    let first = hello_of(&mut sink, 50);
    reached(&mut sink, first);
    let role = HelloRole::Ventilator { plan: "other".into(), run: 0, stages: vec!["s".into()] };
    let (name, host, endpoints) = ("v".into(), "here".into(), vec!["o".into()]);
    let hello = Frame::Hello(Box::new(Hello { role, name, endpoints, host, pid: 1 }));
    let out = hears(&mut sink, 60, 0, hello);
    let other = first + 1;
    assert!(out.iter().any(|e| matches!(e, Effect::Open { link, .. } if *link == other)));
    assert_eq!(said(&reached(&mut sink, other), other), [&Frame::Beat; 0]);
    let out = begun(&mut sink);
    assert!(matches!(said(&out, first)[..], [Frame::Welcome(_), ..]), "{out:?}");
    assert!(matches!(said(&out, other)[..], [Frame::Refused(_)]), "{out:?}");
}

/// What a sink drops without recording it never counts as taken.
#[test]
fn outcomes_that_no_sink_has_let_be_sent_end_their_session_so_that_they_come_again() {
    let mut sink = sink(None);
    let link = worker(&mut sink, 9);
    let out = hears(&mut sink, 9, 1, result_of(COMMITTED));
    assert_eq!(said(&out, link), [&Frame::Reset], "nobody has been told to send that");
    let ventilator = hello_of(&mut sink, 50);
    reached(&mut sink, ventilator);
    begun(&mut sink);
    let link = worker(&mut sink, 10);
    let out = hears(&mut sink, 10, 1, result_of(COMMITTED));
    assert!(out.iter().any(|e| matches!(e, Effect::Request(Request::Record { .. }))), "{out:?}");
    assert_eq!(said(&out, link), [&Frame::Beat; 0]);
}

/// The limits of a sink that is started again may be others; what its predecessor allowed stays.
#[test]
fn a_restarted_sink_with_a_smaller_window_keeps_what_its_predecessor_promised() {
    let hello = Hello {
        role: HelloRole::Observer,
        name: "sink".into(),
        endpoints: Vec::new(),
        host: "here".into(),
        pid: 1,
    };
    let limits = Limits { window_units_max: 100, ..Limits::default() };
    let (plan, window_units) = (Some("plan".into()), Some(WINDOW));
    let point = ResumePoint {
        run: RUN,
        epoch: 2,
        plan,
        window_units,
        durable: true,
        ..ResumePoint::default()
    };
    let mut sink = Sink::new(1, hello, limits, point).0;
    assert_eq!(recorded(&mut sink, WINDOW - 1), [WINDOW - 1]);
    assert_eq!(recorded(&mut sink, WINDOW), [0; 0]);
}

/// A ventilator was asked to stop early, and died; the one in its place goes on beyond.
#[test]
fn where_a_dead_ventilator_stopped_is_not_where_its_successor_does() {
    let mut sink = sink(Some("plan"));
    let dead = hello_of(&mut sink, 50);
    reached(&mut sink, dead);
    begun(&mut sink);
    let end = End { units: COMMITTED + 1, drained: true };
    hears(&mut sink, 50, 1, Frame::End(end));
    sink.handle(Time::from_ms(1), Event::LaneDown { link: dead }, &mut Vec::new());
    let alive = hello_of(&mut sink, 60);
    reached(&mut sink, alive);
    begun(&mut sink);
    assert_eq!(recorded(&mut sink, COMMITTED), [COMMITTED]);
    let reply = Reply::Recorded { number: 0, waiting: vec![], waiting_bytes: 0, dead: 0 };
    let mut out = Vec::new();
    sink.handle(Time::from_ms(1), Event::Reply(reply), &mut out);
    assert!(!out.iter().any(|e| matches!(e, Effect::Request(Request::Close { .. }))), "{out:?}");
    assert_eq!(recorded(&mut sink, COMMITTED + 1), [COMMITTED + 1]);
}

/// A lane of a dead ventilator that leads to the one in its place says nothing of that one's end.
#[test]
fn a_dead_ventilators_lane_does_not_make_the_sink_forget_the_end() {
    let mut sink = sink(Some("plan"));
    let (dead, alive) = (hello_of(&mut sink, 50), hello_of(&mut sink, 60));
    reached(&mut sink, alive);
    begun(&mut sink);
    hears(&mut sink, 60, 1, Frame::End(End { units: COMMITTED + 1, drained: false }));
    reached(&mut sink, dead);
    begun(&mut sink);
    assert_eq!(recorded(&mut sink, COMMITTED), [COMMITTED]);
    let reply = Reply::Recorded { number: 0, waiting: vec![], waiting_bytes: 0, dead: 0 };
    let mut out = Vec::new();
    sink.handle(Time::from_ms(1), Event::Reply(reply), &mut out);
    assert!(out.iter().any(|e| matches!(e, Effect::Request(Request::Close { .. }))), "{out:?}");
}

#[test]
fn a_dead_ventilator_whose_lane_reaches_its_successor_does_not_take_its_place() {
    let mut sink = sink(Some("plan"));
    let dead = hello_of(&mut sink, 50);
    let alive = hello_of(&mut sink, 60);
    for link in [alive, dead] {
        reached(&mut sink, link);
        begun(&mut sink);
    }
    let end = Frame::End(End { units: COMMITTED, drained: false });
    let out = hears(&mut sink, 60, 1, end);
    assert!(out.iter().any(|e| matches!(e, Effect::Request(Request::Close { .. }))));
}

#[test]
fn the_recorder_is_told_once_that_something_is_late() {
    let mut sink = sink(Some("plan"));
    assert_eq!(recorded(&mut sink, COMMITTED), [COMMITTED]);
    assert_eq!(recorded(&mut sink, COMMITTED + 2), [COMMITTED + 2]);
    let mut told = |ms, event| {
        let mut out = Vec::new();
        sink.handle(Time::from_ms(ms), event, &mut out);
        out.iter().filter(|effect| matches!(effect, Effect::Request(Request::LogWaiting))).count()
    };
    let answer = |number| {
        Event::Reply(Reply::Recorded { number, waiting: Vec::new(), waiting_bytes: 0, dead: 0 })
    };
    assert_eq!((told(99, Event::Tick), told(100, Event::Tick), told(101, Event::Tick)), (0, 1, 0));
    assert_eq!(told(110, answer(0)), 0);
    assert_eq!(told(500, Event::Tick), 0, "both were there when it was told");
    assert_eq!(told(500, answer(1)), 0);
    assert_eq!(told(900, Event::Tick), 0, "nothing waits");
}

#[test]
fn a_batch_that_waits_is_not_acknowledged_with_those_behind_it() {
    let mut sink = sink(Some("plan"));
    assert_eq!(recorded(&mut sink, COMMITTED + 2), [COMMITTED + 2]);
    assert_eq!(recorded(&mut sink, COMMITTED), [COMMITTED]);
    let mut unanswered = |waiting| {
        let reply = Reply::Recorded { number: 1, waiting, waiting_bytes: 0, dead: 0 };
        sink.handle(Time::from_ms(1), Event::Reply(reply), &mut Vec::new());
        sink.intake().0
    };
    assert_eq!((unanswered(vec![0]), unanswered(vec![])), (1, 0));
}

#[test]
fn only_a_ventilator_says_where_the_source_ends() {
    let mut sink = sink(Some("plan"));
    let closes = |out: &[Effect<Request>]| {
        out.iter().any(|effect| matches!(effect, Effect::Request(Request::Close { .. })))
    };
    let end = || Frame::End(End { units: COMMITTED, drained: false });
    worker(&mut sink, 9);
    assert!(!closes(&hears(&mut sink, 9, 1, end())));
    let ventilator = hello_of(&mut sink, 50);
    reached(&mut sink, ventilator);
    begun(&mut sink);
    assert!(closes(&hears(&mut sink, 50, 1, end())));
}

/// Of units that others have left a part of nothing is ever committed: who leaves can't wait for that.
#[test]
fn who_says_goodbye_is_answered_once_what_it_sent_is_recorded() {
    let mut sink = sink(Some("plan"));
    let (leaver, other) = (worker(&mut sink, 8), worker(&mut sink, 9));
    hears(&mut sink, 8, 1, result_of(COMMITTED));
    hears(&mut sink, 9, 1, result_of(COMMITTED + 1));
    let is_answered = |out: &[Effect<Request>], link| said(out, link).contains(&&Frame::Bye);
    let out = hears(&mut sink, 8, 2, Frame::Bye);
    assert!(!is_answered(&out, leaver), "it is not recorded: {out:?}");
    let reply = Reply::Recorded { number: 0, waiting: vec![], waiting_bytes: 0, dead: 0 };
    let mut out = Vec::new();
    sink.handle(Time::from_ms(1), Event::Reply(reply), &mut out);
    assert!(is_answered(&out, leaver) && !is_answered(&out, other), "{out:?}");
}

/// What was said to end early was complete by then.
#[test]
fn a_run_that_is_being_closed_as_complete_is_not_cut_short_any_more() {
    let mut sink = sink(Some("plan"));
    let alive = hello_of(&mut sink, 60);
    reached(&mut sink, alive);
    begun(&mut sink);
    hears(&mut sink, 60, 1, Frame::End(End { units: COMMITTED, drained: false }));
    hears(&mut sink, 60, 2, Frame::End(End { units: COMMITTED, drained: true }));
    sink.handle(Time::from_ms(1), Event::Reply(Reply::Closed), &mut Vec::new());
    let out = hears(&mut sink, 60, 3, Frame::Bye);
    let conclusions = out.iter().filter_map(|effect| match effect {
        Effect::Request(Request::Conclude(conclusion)) => Some(conclusion.drained),
        _ => None,
    });
    assert_eq!(conclusions.collect::<Vec<_>>(), [false]);
}

/// It has nothing more to say, so nobody is on the way back.
#[test]
fn a_goodbye_that_comes_while_the_outputs_are_closed_is_not_waited_for_again() {
    let mut sink = sink(Some("plan"));
    let asked = hello_of(&mut sink, 60);
    reached(&mut sink, asked);
    begun(&mut sink);
    let out = hears(&mut sink, 60, 1, Frame::End(End { units: COMMITTED, drained: true }));
    assert!(out.iter().any(|e| matches!(e, Effect::Request(Request::Close { .. }))), "{out:?}");
    hears(&mut sink, 60, 2, Frame::Bye);
    let mut out = Vec::new();
    sink.handle(Time::from_ms(2), Event::Reply(Reply::Closed), &mut out);
    assert!(out.iter().any(|e| matches!(e, Effect::Request(Request::Conclude(_)))), "{out:?}");
}

/// The simulation has found it: the ventilator that was killed came back, was asked to end too, and
/// left before it had met the sink.
#[test]
fn a_run_that_is_asked_to_end_does_not_wait_for_good_for_a_ventilator_that_is_lost() {
    let mut sink = sink(Some("plan"));
    let killed = hello_of(&mut sink, 50);
    reached(&mut sink, killed);
    begun(&mut sink);
    let mut out = Vec::new();
    sink.handle(Time::from_ms(1), Event::Drain, &mut out);
    sink.handle(Time::from_ms(2), Event::LaneDown { link: killed }, &mut out);
    let closes = |out: &[Effect<Request>]| {
        out.iter().any(|effect| matches!(effect, Effect::Request(Request::Close { .. })))
    };
    sink.handle(Time::from_ms(9_000), Event::Tick, &mut out);
    assert!(!closes(&out), "it may come back: {out:?}");
    sink.handle(Time::from_ms(11_000), Event::Tick, &mut out);
    assert!(closes(&out), "{out:?}");
}

/// The simulation has found it: nobody else would have told the sink where to stop.
#[test]
fn a_ventilator_that_goes_before_it_is_answered_does_not_keep_a_run_from_ending() {
    let mut sink = sink(Some("plan"));
    let gone = hello_of(&mut sink, 50);
    reached(&mut sink, gone);
    sink.handle(Time::from_ms(1), Event::LaneDown { link: gone }, &mut Vec::new());
    sink.handle(Time::from_ms(1), Event::Drain, &mut Vec::new());
    let out = begun(&mut sink);
    assert!(out.iter().any(|e| matches!(e, Effect::Request(Request::Close { .. }))), "{out:?}");
}
