//! What a peer may say: any frame, with any numbers in it.

use proto::frame::{
    Code, Commit, Contact, Credit, Dead, Done, End, Failed, Frame, HelloRole, Pause, Plan, Refusal,
    Results, Tally, Welcome, Work, WorkerTally,
};
use proto::limits::Limits;
use proto::plan::{Function, Stage};
use proto::service::{
    Access, CancelState, Cancelled, Declined, Outcomes, Part, Reason, Submit, Terms, Ticketed,
};
use proto::unit::Step;
use proto::units::{Span, Units};

use super::roles::limits;
use super::script::Script;

/// What a peer says that it is.
pub(super) fn kind(script: &mut Script<'_>) -> HelloRole {
    match script.below(8) {
        6 | 7 => HelloRole::Client {
            client: ["a", "b"][script.below(2) as usize].into(),
            cancels: script.coin(),
        },
        0 | 1 => HelloRole::Ventilator {
            plan: if script.below(8) == 0 { "other" } else { "d" }.into(),
            run: if script.below(8) == 0 { script.number() } else { 0 },
            stages: vec!["one".into()],
        },
        2 => HelloRole::Observer,
        _ => {
            let stage = [None, Some("one"), Some("two"), Some("none")][script.below(4) as usize];
            HelloRole::Worker { stage: stage.map(str::to_owned), own: script.coin() }
        }
    }
}

/// Any frame but Hello.
pub(super) fn frame(script: &mut Script<'_>) -> Frame {
    match script.below(32) {
        23..=31 => client(script),
        0 | 1 => Frame::Welcome(Box::new(welcome(script))),
        2 => Frame::Refused(refusal(script)),
        3 => Frame::Reset,
        4 => Frame::Beat,
        5 | 6 => Frame::Credit(Credit { units: script.number(), bytes: script.number() }),
        7 => Frame::Roster((0..script.below(4)).map(|_| contact(script)).collect()),
        8 | 9 => {
            let parcel = script.number();
            Frame::Work(Work { parcel, attempt: script.number32(), units: units(script) })
        }
        10 => Frame::Retract(script.number()),
        11 => Frame::Returned { parcel: script.number(), keep: script.number32() },
        12 => Frame::Done(Done {
            parcel: script.number(),
            busy_ns: script.number(),
            failed: (0..script.below(3))
                .map(|_| Failed { index: script.number32(), error: "e\n\u{1b}[2J".into() })
                .collect(),
        }),
        13 | 14 => Frame::Results(results(script)),
        15 => Frame::Commit(commit(script)),
        16 => Frame::End(End { units: script.number(), drained: script.coin() }),
        17 => Frame::Tally(Box::new(Tally {
            attempts: script.number(),
            recovery_ms: [None, Some(f64::NAN), Some(-1.0)][script.below(3) as usize],
            ..Tally::default()
        })),
        18 => Frame::Figures(WorkerTally {
            name: "w".into(),
            stage: script.number32(),
            units: script.number(),
            busy_ns: script.number(),
            ..WorkerTally::default()
        }),
        19 => Frame::Concurrency(script.number32()),
        20 => Frame::Code(Box::new(code(script))),
        21 => Frame::Pause(Pause { pass: script.below(2), on: script.coin() }),
        _ => [Frame::Leaving, Frame::Stop, Frame::Bye][script.below(3) as usize].clone(),
    }
}

/// What clients say and are told.
fn client(script: &mut Script<'_>) -> Frame {
    let ranges = |script: &mut Script<'_>| -> Vec<(u64, u64)> {
        (0..script.below(3)).map(|_| (script.number(), script.number())).collect()
    };
    match script.below(9) {
        0 | 1 => Frame::Submit(Box::new(Submit {
            known: script.number(),
            terms: Terms {
                priority: script.below(12) as u8,
                delay_ms: if script.coin() { script.number() } else { 0 },
                ttl_ms: script.coin().then(|| script.number()),
                unique: script.coin().then(|| "k".into()),
                once: script.coin().then(|| "o".into()),
            },
            units: units(script),
        })),
        2 => Frame::Accepted(
            (0..script.below(3))
                .map(|_| Ticketed {
                    number: script.number(),
                    count: script.number(),
                    ticket: script.number(),
                })
                .collect(),
        ),
        3 => Frame::Declined(Declined {
            number: script.number(),
            count: script.number(),
            reason: Reason::Draining,
        }),
        4 => Frame::Await(ranges(script)),
        5 => {
            let results = results(script);
            Frame::Outcomes(Box::new(Outcomes {
                units: results.units,
                filtered: results.filtered,
                dead: results.dead,
                expired: ranges(script),
                unknown: ranges(script),
            }))
        }
        6 => Frame::Fetched(ranges(script)),
        7 => Frame::Cancel(ranges(script)),
        _ => match script.coin() {
            true if script.coin() => Frame::Follow(script.number()),
            true if script.coin() => Frame::Part(Part {
                unit: script.number(),
                index: script.number32(),
                values: vec![1; script.below(9) as usize].into(),
            }),
            true => Frame::Vacant(script.coin()),
            false => Frame::Cancelled(vec![Cancelled {
                ticket: script.number(),
                state: CancelState::Over,
            }]),
        },
    }
}

fn welcome(script: &mut Script<'_>) -> Welcome {
    match script.below(5) {
        4 => Welcome::Access(Box::new(Access {
            sink: vec!["inproc://sink".into()],
            limits: limits(),
            vacant: script.coin(),
        })),
        0 => Welcome::Peer,
        1 | 2 => Welcome::Resume { commit: commit(script), epoch: script.number() },
        _ => Welcome::Plan(Box::new(plan(script))),
    }
}

fn plan(script: &mut Script<'_>) -> Plan {
    let stage = |name: &str| Stage::new(name, Function::Run("echo".into()));
    let limits = match script.below(4) {
        0 => Limits {
            window_units_max: script.number(),
            window_bytes_max: script.number(),
            parcel_units_max: script.number32(),
            parcel_bytes_max: script.number(),
            frame_bytes_max: script.number(),
            expansion_units_max: script.number32(),
            intake_units_max: script.number(),
            intake_bytes_max: script.number(),
            parcel_target_ms: script.number(),
            heartbeat_interval_ms: script.number(),
            liveness_ms: script.number(),
            peers_max: script.number32(),
            waiting_bytes_max: script.number(),
        },
        _ => limits(),
    };
    Plan {
        stage_index: if script.below(8) == 0 { script.number32() } else { script.below(2) as u32 },
        stages: script.number32(),
        stage: stage("one"),
        next: script.coin().then(|| stage("two")),
        sink: vec!["inproc://sink".into()],
        limits,
        carries_input: script.coin(),
    }
}

fn code(script: &mut Script<'_>) -> Code {
    let bytes = script.coin().then(|| vec![0xc0; script.below(9) as usize]);
    Code { id: script.below(4), bytes }
}

fn refusal(script: &mut Script<'_>) -> Refusal {
    match script.below(6) {
        5 => Refusal::NoService,
        0 => Refusal::Stage { asked: "x".into(), stages: Vec::new() },
        1 => Refusal::NoFunction { stage: "x".into() },
        2 => Refusal::OtherPlan,
        3 => Refusal::OtherRun,
        _ => Refusal::Full { max: script.number32() },
    }
}

fn contact(script: &mut Script<'_>) -> Contact {
    let endpoints = vec![["inproc://a", "rubbish"][script.below(2) as usize].to_owned()];
    Contact { peer: script.below(6), name: "w".into(), host: "h".into(), endpoints }
}

fn commit(script: &mut Script<'_>) -> Commit {
    let above = (0..script.below(3)).map(|_| (script.number(), script.number())).collect();
    let (watermark, horizon) = (script.number(), script.number());
    let urgent = script.coin().then(|| script.number());
    Commit { watermark, above, horizon, complete: script.below(8) == 0, urgent }
}

fn path(script: &mut Script<'_>) -> Vec<Step> {
    (0..script.below(3))
        .map(|_| Step {
            execution: script.below(4),
            index: script.number32(),
            of: script.number32(),
        })
        .collect()
}

/// A span of any form; the reader of the frame has to refuse those that can't be.
fn span(script: &mut Script<'_>) -> Span {
    let path = if script.coin() { path(script) } else { Vec::new() };
    Span { first: script.number(), count: script.number32(), path }
}

fn units(script: &mut Script<'_>) -> Units {
    let mut units = Units::new();
    for _ in 0..script.below(4) {
        let first = script.number().min(u64::MAX - 300);
        let count = script.below(30) as u32;
        units.append(&Units::from_source(first, vec![1; count as usize], (1..=count).collect()));
        if script.coin() {
            let index = script.below(3) as u32;
            let step = Step { execution: script.below(4), index, of: index + 1 };
            units.push(Span::one(first, vec![step]), &[1]);
        }
    }
    units
}

fn results(script: &mut Script<'_>) -> Results {
    let mut results = Results {
        parcel: script.number(),
        stage: script.number32(),
        attempt: script.number32(),
        units: units(script),
        ..Results::default()
    };
    results.filtered = (0..script.below(3)).map(|_| span(script)).collect();
    results.timing = (0..script.below(3)).map(|_| (script.number32(), script.number32())).collect();
    if script.below(4) == 0 {
        results.dead.push(Dead {
            root: script.number(),
            path: path(script),
            stage: script.number32(),
            input: script.bytes().to_vec(),
            error: "e".into(),
            attempts: script.number32(),
            worker: "w".into(),
        });
    }
    results
}
