//! What a sink takes in, told as scripts of events in and requests out.

use proto::{
    frame::{Envelope, Frame, Hello, Results, Role as Who, VERSION},
    limits::Limits,
    ranges::RangeSet,
    role::{Effect, Event, Role},
    time::Time,
    units::Units,
};

use crate::core::{Request, Sink, Standing};

const RUN: u64 = 7;
const COMMITTED: u64 = 1_000;
const WINDOW: u64 = 50_000;

fn sink(plan: Option<&str>) -> Sink {
    let hello = Hello {
        role: Who::Onlooker,
        name: "sink".into(),
        endpoints: Vec::new(),
        host: "here".into(),
        pid: 1,
    };
    let limits = Limits { window_units_max: WINDOW, ..Limits::default() };
    let mut committed = RangeSet::default();
    committed.insert(0..COMMITTED);
    let plan = plan.map(str::to_owned);
    let standing =
        Standing { run: RUN, epoch: 2, committed, plan, durable: true, ..Standing::default() };
    Sink::new(1, hello, limits, standing).0
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
