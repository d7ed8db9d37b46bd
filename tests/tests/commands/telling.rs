//! What programs tell on stderr: those that are started by hand whom they wait for, and with
//! `--log-format json` all of them nothing but objects.

use serde_json::Value;
use tests::hand::Hand;
use tests::place::{Place, Transport};
use tests::{programs, wait};

fn count(text: &str, wanted: &str) -> usize {
    text.lines().filter(|line| line.contains(wanted)).count()
}

#[test]
fn programs_that_are_started_by_hand_say_once_whom_they_wait_for() {
    let hand = Hand::over(Transport::Tcp);
    let (mut sink, mut ventilator) = (hand.sink(&[]), hand.ventilator("range:1..10", &[]));
    let mut worker = hand.worker(&["--run", "square"]);
    let (at, to) = (hand.ventilator_endpoint(), hand.sink_endpoint());
    let sink = sink.ends_well().stderr;
    assert_eq!(
        count(&sink, &format!("sink: listening on {to}, waiting for a ventilator")),
        1,
        "{sink}"
    );
    let ventilator = ventilator.ends_well().stderr;
    let line =
        format!("ventilator: listening on {at}, waiting for a worker and for the sink at {to}");
    assert_eq!(count(&ventilator, &line), 1, "{ventilator}");
    let worker = worker.ends_well().stderr;
    let line = format!("worker: waiting for work from the ventilator at {at}");
    assert_eq!(count(&worker, &line), 1, "{worker}");
}

#[test]
fn several_workers_say_it_together() {
    let hand = Hand::over(Transport::Ipc);
    let (mut sink, mut ventilator) = (hand.sink(&["--quiet"]), hand.ventilator("range:1..10", &[]));
    let waits = "until test -e go; do sleep 0.01; done; echo $1";
    let mut crowd = hand.worker(&["-j", "2", "--exec", "sh", "-c", waits, "sh", "{}"]);
    // One that comes when all is done would wait for another run.
    wait::until("both take part", || {
        (count(&ventilator.stderr(), "worker joined") == 2).then_some(())
    });
    hand.place.write("go", "");
    let said = crowd.ends_well().stderr;
    assert_eq!(count(&said, "waiting for work"), 1, "{said}");
    assert_eq!(count(&said, "worker: 2 workers, waiting for work"), 1, "{said}");
    ventilator.ends_well();
    let said = sink.ends_well().stderr;
    assert_eq!(count(&said, "listening on"), 0, "--quiet: {said}");
}

/// A topology with a unit that fails, so that there is something to tell.
fn topology(place: &Place) {
    place.write(
        "t.toml",
        "source = { kind = \"range\", from = 1, to = 20 }\n\
         stage = [{ name = \"a\", run = \"square\" }]\n\
         sink = { output = \"t.jsonl\", aggregate = [\"count\"] }\n",
    );
}

#[test]
fn what_a_launcher_starts_announces_nothing() {
    let place = Place::new();
    topology(&place);
    let ended = place.run("pipeline", &["up", "t.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(count(&ended.stderr, "waiting for"), 0, "{}", ended.stderr);
}

#[test]
fn for_scripts_every_line_of_a_run_is_an_object_that_names_its_process() {
    let place = Place::new();
    topology(&place);
    let ended = place.run("pipeline", &["up", "t.toml", "--log-format", "json"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{}", ended.stderr);
    let lines: Vec<Value> = objects(&ended.stderr);
    for line in &lines {
        for key in ["timestamp", "level", "process", "message"] {
            assert!(line[key].is_string(), "{line}");
        }
    }
    let process = |name: &str| lines.iter().any(|line| line["process"] == name);
    assert!(process("pipeline") && process("ventilator"), "{}", ended.stderr);
    let summary = lines.iter().find(|line| line["summary"].is_object()).expect("a summary");
    assert_eq!(summary["summary"]["results"], 20);
    // The same on standard output.
    let again = place.run("pipeline", &["up", "t.toml", "--fresh", "--output", "json"]);
    let summary: Value = serde_json::from_str(&again.stdout).expect("one object");
    assert_eq!((again.code, &summary["results"]), (Some(0), &Value::from(20)));
    assert_eq!(count(&again.stderr, "results"), 0, "told once: {}", again.stderr);
}

/// Also what the launcher, or a program that was started by hand, logs for its own part.
#[test]
fn for_scripts_lines_of_the_log_name_their_process() {
    let place = Place::new();
    topology(&place);
    let bind = ["--bind", "ipc://x", "--key", "no-such"];
    let by_hand = [&bind[..], &["--log-format", "json"]].concat();
    let up = ["up", "t.toml", "--log-format", "json"];
    for (program, args) in [("pipeline", &up[..]), ("sink", &by_hand)] {
        let mut command = place.command(programs::program(program));
        // Of which each program warns in its log.
        command.args(args).env("PIPELINE_LOG", "no=level=at=all");
        let said = place.start_command(program, command).ends().stderr;
        let lines = objects(&said);
        assert!(lines.iter().all(|line| line["process"].is_string()), "{said}");
        let warns = |line: &&Value| {
            line["message"].as_str().is_some_and(|text| text.contains("which is no level"))
        };
        let warning = lines.iter().find(warns).unwrap_or_else(|| panic!("no warning: {said}"));
        assert_eq!((&warning["process"], &warning["level"]), (&program.into(), &"WARN".into()));
    }
}

#[test]
fn for_scripts_programs_that_are_started_by_hand_say_objects_too() {
    let hand = Hand::over(Transport::Ipc);
    let json = ["--log-format", "json"];
    let (mut sink, mut ventilator) = (hand.sink(&json), hand.ventilator("range:1..10", &json));
    let mut worker = hand.worker(&[&["--run", "square"], &json[..]].concat());
    for process in [&mut sink, &mut ventilator, &mut worker] {
        let said = process.ends_well().stderr;
        let lines = objects(&said);
        let waits = |line: &&Value| {
            line["message"].as_str().is_some_and(|text| text.contains("waiting for"))
        };
        assert_eq!(lines.iter().filter(waits).count(), 1, "{said}");
    }
    let said =
        hand.place.run("sink", &["--bind", "ipc://x", "--key", "no-such", "--log-format", "json"]);
    assert_eq!((said.code, objects(&said.stderr)[0]["level"].as_str()), (Some(78), Some("ERROR")));
}

fn objects(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    text.lines().map(parse).collect()
}
