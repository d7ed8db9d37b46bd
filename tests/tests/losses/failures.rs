//! What becomes of units that fail: tried again as often as the run says, then dead-lettered with
//! the error's own text, while every other unit goes on.

use serde_json::{Value, json};
use tests::hand::Hand;
use tests::outcome::{Outcome, json_lines, lines};
use tests::place::Transport;

/// A run in which some units die for good.
struct Failed {
    outcome: Outcome,
    letters: Vec<Value>,
    results: Vec<String>,
}

/// Runs `range:1..units` through one worker; the sink has to end with 1, since units are dead.
fn run_with_dead(units: u64, retries: &str, run: &[&str]) -> Failed {
    let hand = Hand::over(Transport::Ipc);
    let mut sink = hand.sink(&[]);
    let mut ventilator = hand.ventilator(&format!("range:1..{units}"), &["--retries", retries]);
    let mut worker = hand.worker(run);
    assert_eq!(sink.ends().code, Some(1));
    ventilator.ends_well();
    worker.ends_well();
    Failed {
        outcome: hand.outcome(),
        letters: json_lines(&hand.place.path("out.jsonl.dead.jsonl")),
        results: lines(&hand.output()),
    }
}

/// Everything from 1 to `units` but `missing`, as lines.
fn all_but(units: u64, missing: u64) -> Vec<String> {
    (1..=units).filter(|n| *n != missing).map(|n| n.to_string()).collect()
}

fn error(letter: &Value) -> &str {
    letter["error"].as_str().expect("a letter has an error")
}

#[test]
fn a_unit_that_always_fails_is_tried_as_often_as_the_run_says() {
    let failed = run_with_dead(3, "1", &["--name", "w", "--run", "fail"]);
    let letter = |id: u64| {
        json!({
            "id": id,
            "stage": "work",
            "input": id + 1,
            "error": format!("asked to fail, with {}", id + 1),
            "attempts": 2,
            "worker": "w",
            "offset_bytes": 0,
        })
    };
    let mut letters = failed.letters;
    letters.sort_by_key(|letter| letter["id"].as_u64());
    assert_eq!(letters, [letter(0), letter(1), letter(2)]);
    assert_eq!(failed.results, Vec::<String>::new());
    assert_eq!(failed.outcome.count("attempts"), 6);
}

#[test]
fn an_exec_that_fails_leaves_its_stderr_in_the_dead_letter() {
    let script = "test {} -ne 3 || { echo 'three is too many' >&2; exit 7; }; echo {}";
    let failed = run_with_dead(20, "2", &["--exec", "sh", "-c", script]);
    assert_eq!(failed.letters.len(), 1);
    let letter = &failed.letters[0];
    assert!(error(letter).contains("three is too many"), "{letter}");
    assert_eq!((&letter["input"], &letter["attempts"]), (&json!(3), &json!(3)));
    assert_eq!(failed.results, all_but(20, 3));
}

#[test]
fn an_exec_that_fails_once_succeeds_when_it_is_tried_again() {
    let hand = Hand::over(Transport::Ipc);
    let seen = hand.place.path("seen");
    let script = format!(
        "test {{}} -ne 3 || test -e '{seen}' || {{ touch '{seen}'; exit 1; }}; echo {{}}",
        seen = seen.display()
    );
    let mut sink = hand.sink(&["--fields", "value,attempt"]);
    let mut ventilator = hand.ventilator("range:1..5", &[]);
    let mut worker = hand.worker(&["--exec", "sh", "-c", &script]);
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    let attempts: Vec<Value> =
        json_lines(&hand.output()).iter().map(|line| line["attempt"].clone()).collect();
    assert_eq!(attempts, [1, 1, 2, 1, 1].map(Value::from));
    assert!(!hand.place.path("out.jsonl.dead.jsonl").exists());
}

#[test]
fn a_pipe_that_dies_is_that_units_error_and_is_started_again() {
    let script = r#"while read n; do
        if [ "$n" = 5 ]; then echo 'five is my limit' >&2; exit 3; fi; echo "$n"; done"#;
    let failed = run_with_dead(20, "1", &["--pipe", "sh", "-c", script]);
    assert_eq!(failed.letters.len(), 1);
    let letter = &failed.letters[0];
    assert!(error(letter).contains("five is my limit"), "{letter}");
    assert_eq!((&letter["input"], &letter["attempts"]), (&json!(5), &json!(2)));
    assert_eq!(failed.results, all_but(20, 5));
}

#[test]
fn a_pipe_that_prints_rubbish_fails_for_that_unit_only() {
    let script =
        r#"while read n; do if [ "$n" = 5 ]; then echo 'rub{bish'; else echo "$n"; fi; done"#;
    let failed = run_with_dead(20, "1", &["--pipe", "sh", "-c", script]);
    assert_eq!(failed.letters.len(), 1);
    let letter = &failed.letters[0];
    assert!(error(letter).contains("rub{bish"), "{letter}");
    assert_eq!((&letter["input"], &letter["attempts"]), (&json!(5), &json!(2)));
    assert_eq!(failed.results, all_but(20, 5));
}

#[test]
fn a_unit_that_kills_its_worker_is_found_and_the_rest_goes_on() {
    const UNITS: u64 = 60;
    let hand = Hand::over(Transport::Ipc);
    let script = "if [ {} = 37 ]; then kill -9 $PPID; sleep 1; fi; echo {}";
    let start = || hand.worker(&["--exec", "sh", "-c", script]);
    let mut sink = hand.sink(&[]);
    let mut ventilator = hand.ventilator(&format!("range:1..{UNITS}"), &[]);
    let mut workers = [start(), start()];
    let mut deaths = 0;
    let ended = tests::wait::until("the sink ends", || {
        for worker in &mut workers {
            if sink.is_running() && ventilator.is_running() && !worker.is_running() {
                deaths += 1;
                *worker = start();
            }
        }
        (!sink.is_running()).then(|| sink.ends())
    });
    assert_eq!(ended.code, Some(1));
    ventilator.ends_well();
    let letters = json_lines(&hand.place.path("out.jsonl.dead.jsonl"));
    assert_eq!(letters.len(), 1, "no innocent dies with it: {letters:?}");
    assert_eq!(letters[0]["input"], 37);
    assert!(error(&letters[0]).contains("workers died while executing it"), "{}", letters[0]);
    assert_eq!(lines(&hand.output()), all_but(UNITS, 37));
    assert!(deaths >= 3, "{deaths}");
}
