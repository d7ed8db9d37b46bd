//! What a ledger writes, and what it does with results that an output cannot hold.

use std::{fs, path::Path};

use proto::{units::Units, value::from_json};

use crate::{
    SinkConfig,
    accept::entry::{Batch, Entry, Expanded, Origin, Outcome, Outputs, dead},
    config::{Order, OutputSpec},
    ledger::{Ledger, checkpoint::Checkpoint, counts::Counts},
    output::test_rows::claim_in,
};

fn pack(json: &str) -> Vec<u8> {
    let mut value = Vec::new();
    from_json(json.as_bytes(), &mut value).unwrap();
    value
}

fn origin() -> Origin {
    Origin { stage: 1, attempt: 2, worker: "w".into() }
}

/// Consecutive units with one value each.
fn values(first: u64, values: &[&str]) -> Entry {
    let mut units = Units::new();
    for (id, json) in (first..).zip(values) {
        units.push(proto::units::Span::one(id, vec![]), &pack(json));
    }
    let timing = vec![(values.len() as u32, 5)];
    let outcome = Outcome::Values { origin: origin(), units, timing };
    Entry { first, count: values.len() as u64, outcome }
}

/// One unit with several values.
fn expanded(first: u64, values: &[&str]) -> Entry {
    expanded_to(first, values.iter().map(|json| pack(json)))
}

fn expanded_to(first: u64, values: impl Iterator<Item = Vec<u8>>) -> Entry {
    let mut units = Units::new();
    for (id, value) in (0..).zip(values) {
        units.push(proto::units::Span::one(id, vec![]), &value);
    }
    let count = units.len() as u32;
    let runs = vec![Outputs { indices: vec![0], batch: 0, from: 0, count }];
    let batch = Batch::new(origin(), units, &[(count, 5)]);
    Entry { first, count: 1, outcome: Outcome::Expanded(Expanded::new(runs, vec![batch])) }
}

fn filtered(first: u64, count: u64, stage: u32) -> Entry {
    Entry { first, count, outcome: Outcome::Filtered(stage) }
}

fn config(folder: &Path, order: Order) -> SinkConfig {
    SinkConfig {
        output: Some(OutputSpec::Csv(folder.join("out.csv"))),
        order,
        aggregate: vec![crate::config::Aggregate::Count],
        ..SinkConfig::default()
    }
}

fn open(config: &SinkConfig, checkpoint: Option<&Checkpoint>) -> Ledger {
    let claim = claim_in(config.dead_path().parent().unwrap());
    let mut ledger = Ledger::open(config.clone(), false, checkpoint, &claim).unwrap();
    ledger.set_stages(["one", "two"].map(String::from).to_vec());
    ledger
}

/// Everything that a reader of the folder sees.
fn written(folder: &Path) -> (String, String) {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    (read("out.csv"), read("out.csv.dead.jsonl"))
}

/// Among them some that do not fit under the header `a,b`, alone and as one of several.
fn some_unwritable() -> Vec<Entry> {
    vec![
        values(0, &[r#"{"a":1,"b":2}"#, r#"{"a":1,"c":2}"#, r#"{"a":3}"#]),
        expanded(3, &[r#"{"a":5}"#, "6", r#"{"a":7}"#]),
        expanded(4, &[r#"{"a":8}"#, r#"{"b":9}"#]),
    ]
}

const CSV: &str = "a,b\n1,2\n3,\n8,\n,9\n";
const LETTERS: &str = r#"{"id":1,"stage":"[sink]","input":{"a":1,"c":2},"error":"the result of unit 1 has the field `c`, for which the csv header has no column","attempts":2,"worker":"w","offset_bytes":8}
{"id":3,"path":[1],"stage":"[sink]","input":6,"error":"the result of unit 3 has no fields, but the csv header names some","attempts":2,"worker":"w","offset_bytes":11}
"#;

/// Only in the order of the input a unit has a place.
fn letters(order: Order) -> String {
    match order {
        Order::Input => LETTERS.into(),
        Order::Completion => {
            LETTERS.replace(",\"offset_bytes\":8", "").replace(",\"offset_bytes\":11", "")
        }
    }
}

#[test]
fn a_result_that_the_output_cannot_hold_is_a_dead_letter_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(&config(folder.path(), Order::Input), None);
    ledger.take(some_unwritable()).unwrap();
    ledger.flush().unwrap();
    assert_eq!(written(folder.path()), (CSV.into(), LETTERS.into()));
    assert_eq!(ledger.counts(), Counts { results: 3, outputs: 4, filtered: 0, dead: 2 });
    assert_eq!(ledger.aggregates().report()["count"], 4);
    let flow = ledger.flow().stages(ledger.stages(), ledger.counts());
    let results: Vec<_> = flow.iter().map(|stage| (stage.units_in, stage.results)).collect();
    assert_eq!(results, [(5, 5), (5, 5)], "they came through all stages");
    assert_eq!(ledger.take_unwritable().len(), 2);
    assert_eq!(ledger.take_unwritable(), []);
}

#[test]
fn a_sink_that_dies_anywhere_decides_the_same_when_it_writes_once_more() {
    for order in [Order::Input, Order::Completion] {
        let entries = some_unwritable();
        for covered in 0..=entries.len() {
            let folder = tempfile::tempdir().unwrap();
            let config = config(folder.path(), order);
            let mut ledger = open(&config, None);
            ledger.take(entries[..covered].to_vec()).unwrap();
            let checkpoint = ledger.snapshot(1, String::new()).unwrap();
            ledger.take(entries[covered..].to_vec()).unwrap();
            ledger.flush().unwrap();
            drop(ledger);
            let mut ledger = open(&config, Some(&checkpoint));
            ledger.take(entries.clone()).unwrap();
            ledger.flush().unwrap();
            assert_eq!(written(folder.path()), (CSV.into(), letters(order)), "{covered}");
            assert_eq!(ledger.counts(), Counts { results: 3, outputs: 4, filtered: 0, dead: 2 });
        }
    }
}

#[test]
fn in_input_order_it_does_not_matter_in_which_order_outcomes_come() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(&config(folder.path(), Order::Input), None);
    let mut entries = some_unwritable();
    entries.reverse();
    for entry in entries {
        ledger.take(vec![entry]).unwrap();
    }
    ledger.flush().unwrap();
    assert_eq!(written(folder.path()), (CSV.into(), LETTERS.into()));
}

#[test]
fn several_outputs_larger_than_the_buffer_are_taken_back_from_a_stream_too() {
    let folder = tempfile::tempdir().unwrap();
    let config = SinkConfig {
        output: Some(OutputSpec::Jsonl("/dev/null".into())),
        dead: Some(folder.path().join("dead.jsonl")),
        ..SinkConfig::default()
    };
    let mut ledger = open(&config, None);
    let large = format!("\"{}\"", "x".repeat(200 << 10));
    // A map that is keyed by an array has no JSON form.
    let outputs = [pack(&large), pack(&large), vec![0x81, 0x91, 1, 2]];
    let entry = expanded_to(0, outputs.into_iter());
    ledger.take(vec![entry, values(1, &["5"])]).unwrap();
    let checkpoint = ledger.snapshot(1, String::new()).unwrap();
    assert_eq!(checkpoint.output.unwrap().bytes, 2);
    assert_eq!(ledger.counts(), Counts { results: 1, outputs: 1, filtered: 0, dead: 1 });
}

#[test]
fn how_far_units_got_is_exact_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let config = SinkConfig { output: None, ..config(folder.path(), Order::Input) };
    let config = SinkConfig { dead: Some(folder.path().join("dead.jsonl")), ..config };
    let entries =
        [values(0, &["1", "2"]), filtered(2, 3, 0), dead(5), filtered(6, 1, 1), values(7, &["3"])];
    let mut checkpoint = None;
    for (index, _) in entries.iter().enumerate() {
        // Each life takes one more outcome in, and those of the last one again from its log.
        let mut ledger = open(&config, checkpoint.as_ref());
        ledger.take(entries[index.saturating_sub(1)..=index].to_vec()).unwrap();
        checkpoint = Some(ledger.snapshot(1, String::new()).unwrap());
    }
    let ledger = open(&config, checkpoint.as_ref());
    let flow = ledger.flow().stages(ledger.stages(), ledger.counts());
    let told: Vec<_> = flow.iter().map(|s| (s.units_in, s.results, s.filtered, s.dead)).collect();
    assert_eq!(told, [(8, 4, 3, 1), (4, 3, 1, 0)]);
}
