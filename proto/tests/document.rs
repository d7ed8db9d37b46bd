//! `PROTOCOL.md` against the encoder: whoever writes a process from the document speaks to ours.
//!
//! Each table of frames and structures is compared with one of each as it is encoded, by the names
//! of its fields and their order; each example with its bytes.
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proto::{
    frame::{
        Code, Commit, Contact, Credit, Dead, Done, End, Envelope, Failed, Frame, Hello, HelloRole,
        Pause, Plan, Refusal, Results, Welcome, Work, WorkerTally,
    },
    limits::Limits,
    plan::{Function, Stage},
    service::{
        Access, CancelState, Cancelled, Declined, Part, Reason, Standing, Submit, Terms, Ticketed,
    },
    turned_away::TurnedAway,
    unit::Step,
    units::{Span, Units},
};
use rmpv::Value;
use serde::Serialize;

const DOCUMENT: &str = include_str!("../PROTOCOL.md");

/// The cells of the row that begins with this one.
fn row(first: &str) -> Vec<&'static str> {
    let start = format!("| {first} |");
    let line = DOCUMENT.lines().find(|line| line.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("PROTOCOL.md has no row {first}"));
    line.split('|').skip(1).map(str::trim).collect()
}

/// The names between the first brackets behind `before` in this row.
fn fields_in_document(first: &str, before: &str) -> Vec<String> {
    let cells = row(first).join(" | ");
    let cells = cells.split_once('|').map_or("", |(_, rest)| rest);
    let from = cells.find(before).unwrap_or_else(|| panic!("{first}: no {before}"));
    let listed = cells[from + before.len()..].split_once('[').map(|(_, rest)| rest);
    let (names, _) = listed.and_then(|rest| rest.split_once(']')).expect("a list of fields");
    names.split(", ").map(str::to_lowercase).collect()
}

/// A value as it is written when structures are maps: that is where their fields have names.
fn named<T: Serialize>(value: &T) -> Value {
    let mut bytes = Vec::new();
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
    value.serialize(&mut serializer).unwrap();
    rmpv::decode::read_value(&mut &bytes[..]).unwrap()
}

fn names(value: &Value) -> Vec<String> {
    let entries = value.as_map().unwrap_or_else(|| panic!("a structure, not {value}"));
    entries.iter().map(|(name, _)| name.as_str().unwrap().to_lowercase()).collect()
}

/// The content of an enum's variant.
fn content(value: &Value) -> &Value {
    &value.as_map().expect("a variant with content")[0].1
}

fn stage() -> Stage {
    Stage::new("square", Function::Run("square".into()))
}

fn plan() -> Plan {
    Plan {
        stage_index: 0,
        stages: 1,
        stage: stage(),
        next: None,
        sink: vec!["ipc:///s".into()],
        limits: Limits::default(),
        carries_input: false,
    }
}

fn hello() -> Hello {
    Hello {
        role: HelloRole::Worker { stage: None, own: false },
        name: "w".into(),
        endpoints: vec!["ipc:///w".into()],
        host: "box-1a2b3c4d".into(),
        pid: 5,
    }
}

fn dead() -> Dead {
    Dead {
        root: 0,
        path: Vec::new(),
        stage: 0,
        input: vec![1],
        error: String::new(),
        attempts: 1,
        worker: String::new(),
    }
}

/// One of each frame.
fn frames() -> Vec<Frame> {
    let units = Units::from_source(5, vec![1, 2, 3], vec![1, 2, 3]);
    vec![
        Frame::Hello(hello().into()),
        Frame::Welcome(Box::new(Welcome::Peer)),
        Frame::Refused(Refusal::OtherPlan),
        Frame::Reset,
        Frame::Beat,
        Frame::Credit(Credit { units: 64, bytes: 300 }),
        Frame::Roster(Vec::new()),
        Frame::Work(Work { parcel: 1, attempt: 1, units }),
        Frame::Retract(4),
        Frame::Returned { parcel: 4, keep: 2 },
        Frame::Done(Done { parcel: 1, busy_ns: 0, failed: Vec::new() }),
        Frame::Results(Results::default()),
        Frame::Commit(Commit::default()),
        Frame::End(End { units: 1, drained: false }),
        Frame::Tally(Box::default()),
        Frame::Figures(WorkerTally::default()),
        Frame::Report(Box::default()),
        Frame::Leaving,
        Frame::Stop,
        Frame::Bye,
        Frame::Concurrency(500),
        Frame::Code(Box::new(Code { id: 1, bytes: None })),
        Frame::Pause(Pause { pass: 1, on: true }),
        Frame::Submit(Box::new(Submit {
            known: 0,
            terms: Terms::default(),
            units: Units::from_source(5, vec![1], vec![1]),
        })),
        Frame::Accepted(Vec::new()),
        Frame::Declined(Declined { number: 1, count: 1, reason: Reason::Draining }),
        Frame::Await(Vec::new()),
        Frame::Outcomes(Box::default()),
        Frame::Fetched(Vec::new()),
        Frame::Cancel(Vec::new()),
        Frame::Cancelled(Vec::new()),
        Frame::Vacant(true),
        Frame::Follow(7),
        Frame::Part(Part { unit: 7, index: 0, values: Bytes::new() }),
    ]
}

/// The name of a frame. A new one does not compile until it is here, and in [`frames`].
fn name(frame: &Frame) -> (&'static str, usize) {
    match frame {
        Frame::Hello(_) => ("Hello", 0),
        Frame::Welcome(_) => ("Welcome", 1),
        Frame::Refused(_) => ("Refused", 2),
        Frame::Reset => ("Reset", 3),
        Frame::Beat => ("Beat", 4),
        Frame::Credit(_) => ("Credit", 5),
        Frame::Roster(_) => ("Roster", 6),
        Frame::Work(_) => ("Work", 7),
        Frame::Retract(_) => ("Retract", 8),
        Frame::Returned { .. } => ("Returned", 9),
        Frame::Done(_) => ("Done", 10),
        Frame::Results(_) => ("Results", 11),
        Frame::Commit(_) => ("Commit", 12),
        Frame::End(_) => ("End", 13),
        Frame::Tally(_) => ("Tally", 14),
        Frame::Figures(_) => ("Figures", 15),
        Frame::Report(_) => ("Report", 16),
        Frame::Leaving => ("Leaving", 17),
        Frame::Stop => ("Stop", 18),
        Frame::Bye => ("Bye", 19),
        Frame::Concurrency(_) => ("Concurrency", 20),
        Frame::Code(_) => ("Code", 21),
        Frame::Pause(_) => ("Pause", 22),
        Frame::Submit(_) => ("Submit", 23),
        Frame::Accepted(_) => ("Accepted", 24),
        Frame::Declined(_) => ("Declined", 25),
        Frame::Await(_) => ("Await", 26),
        Frame::Outcomes(_) => ("Outcomes", 27),
        Frame::Fetched(_) => ("Fetched", 28),
        Frame::Cancel(_) => ("Cancel", 29),
        Frame::Cancelled(_) => ("Cancelled", 30),
        Frame::Vacant(_) => ("Vacant", 31),
        Frame::Follow(_) => ("Follow", 32),
        Frame::Part(_) => ("Part", 33),
    }
}

#[test]
fn every_frame_has_a_row_with_its_fields_in_their_order() {
    for (index, frame) in frames().iter().enumerate() {
        let (name, place) = name(frame);
        assert_eq!(index, place, "{name}");
        let first = format!("`{name}`");
        let listed = row(&first)[1];
        let value = named(frame);
        if value.is_str() {
            assert_eq!(listed, "", "{name} has no content");
        } else if content(&value).is_map() {
            assert_eq!(fields_in_document(&first, ""), names(content(&value)), "{name}");
        }
    }
}

#[test]
fn the_table_of_frames_lists_none_that_does_not_exist() {
    let known: Vec<_> = frames().iter().map(|frame| format!("`{}`", name(frame).0)).collect();
    let table = DOCUMENT.split("### Bodies").nth(1).unwrap();
    let rows = table.trim_start().lines().skip(2).take_while(|line| line.starts_with('|'));
    let listed: Vec<_> = rows.map(|row| row.split('|').nth(1).unwrap().trim()).collect();
    assert_eq!(listed, known);
}

#[test]
fn every_structure_has_a_row_with_its_fields_in_their_order() {
    let ventilator =
        HelloRole::Ventilator { plan: String::new(), run: 0, stages: vec!["square".into()] };
    let worker = HelloRole::Worker { stage: None, own: false };
    let resume = Welcome::Resume { commit: Commit::default(), epoch: 1 };
    let no_stage = Refusal::Stage { asked: String::new(), stages: Vec::new() };
    let no_function = Refusal::NoFunction { stage: String::new() };
    let contact = Contact { peer: 1, name: "w".into(), host: String::new(), endpoints: vec![] };
    let step = Step { execution: 1, index: 0, of: 2 };
    let span = Span { first: 5, count: 3, path: Vec::new() };
    let client = HelloRole::Client { client: String::new(), cancels: false };
    let access = Access { sink: Vec::new(), limits: Limits::default(), vacant: false };
    let ticketed = Ticketed { number: 1, count: 1, ticket: 1 };
    let cancelled = Cancelled { ticket: 1, state: CancelState::Over };
    let table = [
        ("role", r#""Client""#, names(content(&named(&client)))),
        ("Access", "", names(&named(&access))),
        ("terms", "", names(&named(&Terms::default()))),
        ("`Accepted`", "", names(&named(&ticketed))),
        ("`Cancelled`", "", names(&named(&cancelled))),
        ("`Report`", "but for a service:", names(&named(&Standing::default()))),
        ("role", r#""Ventilator""#, names(content(&named(&ventilator)))),
        ("role", r#""Worker""#, names(content(&named(&worker)))),
        ("Welcome", r#""Resume""#, names(content(&named(&resume)))),
        ("Plan", "", names(&named(&plan()))),
        ("Stage", "", names(&named(&stage()))),
        ("Contact", "", names(&named(&contact))),
        ("Refusal", r#""Stage""#, names(content(&named(&no_stage)))),
        ("Refusal", r#""NoFunction""#, names(content(&named(&no_function)))),
        ("Refusal", r#""Full""#, names(content(&named(&Refusal::Full { max: 1 })))),
        ("Dead", "", names(&named(&dead()))),
        ("turned_away", "", names(&named(&TurnedAway::default()))),
        ("Span", "", names(&named(&span))),
        ("Step", "", names(&named(&step))),
        ("`Figures`", "WorkerTally", names(&named(&WorkerTally::default()))),
        ("`Done`", "array of", names(&named(&Failed { index: 0, error: String::new() }))),
    ];
    for (first, before, encoded) in table {
        assert_eq!(fields_in_document(first, before), encoded, "{first} {before}");
    }
    let refusals = &row("Refusal")[1].matches(['"']).count();
    assert_eq!(*refusals, 2 * 6, "as many refusals as there are");
}

#[test]
fn the_limits_stand_in_the_order_in_which_a_plan_carries_them() {
    let table = DOCUMENT.split("## Limits").nth(1).unwrap();
    let rows = table.trim_start().lines().skip_while(|line| !line.starts_with("| `"));
    let rows = rows.take_while(|line| line.starts_with("| `"));
    let listed: Vec<_> = rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect();
    assert_eq!(listed, names(&named(&Limits::default())));
}

#[test]
fn every_example_is_encoded_to_the_bytes_beside_it() {
    let envelope =
        |run, session, seq, frame| Envelope { version: 1, run, from: 9, session, seq, frame };
    let mut examples: Vec<(&str, Envelope)> = Vec::new();
    for frame in frames() {
        let (name, _) = name(&frame);
        if matches!(name, "Beat" | "Retract" | "Returned" | "Work" | "Credit") {
            examples.push((name, envelope(7, 1, 3, frame)));
        }
    }
    examples.push(("Hello", envelope(0, 1, 0, Frame::Hello(hello().into()))));
    let welcome = Welcome::Plan(Box::new(plan()));
    examples.push(("Welcome", envelope(7, 1, 0, Frame::Welcome(welcome.into()))));
    let documented: Vec<(&str, Vec<u8>)> = DOCUMENT
        .lines()
        .filter_map(|line| line.split_once("` | `96 01 ").or(line.split_once(" | `96 01 ")))
        .map(|(frame, hex)| {
            let hex: String = hex.trim_end_matches("` |").split(' ').collect();
            let bytes = (0..hex.len()).step_by(2).map(|at| {
                u8::from_str_radix(&hex[at..at + 2], 16).unwrap_or_else(|_| panic!("{hex}"))
            });
            (frame, [0x96, 0x01].into_iter().chain(bytes).collect())
        })
        .collect();
    assert_eq!(documented.len(), examples.len());
    for (name, envelope) in examples {
        let quoted = format!("\"{name}\"");
        let found = documented.iter().find(|(frame, _)| frame.contains(&quoted));
        let (_, bytes) = found.unwrap_or_else(|| panic!("no example of {name}"));
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(bytes), hex(&envelope.encode()), "{name}");
        assert_eq!(Envelope::decode(bytes.clone()).unwrap(), envelope);
    }
}
