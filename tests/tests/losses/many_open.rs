//! Workers with many units open at once: what is open when they are killed, leave or are stopped is
//! neither lost nor doubled, whatever finishes first.
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::Value;
use tests::hand::Hand;
use tests::outcome::{assert_same_lines, lines};
use tests::place::{Place, Transport};
use tests::wait;

/// Milliseconds that a unit sleeps: they differ, so that units finish in another order.
fn sleeps(unit: usize) -> usize {
    300 + unit * 7 % 400
}

fn expected(units: usize) -> Vec<String> {
    (0..units).map(|unit| format!(r#"{{"id":{unit},"value":{}}}"#, sleeps(unit))).collect()
}

/// A pipeline by hand whose units sleep.
fn sleeping(units: usize) -> (Hand, String) {
    let hand = Hand::over(Transport::Ipc);
    let text: String = (0..units).map(|unit| format!("{}\n", sleeps(unit))).collect();
    let source = format!("jsonl:{}", hand.place.write("units.jsonl", text).display());
    (hand, source)
}

/// How many units the workers had open at once, in the mean.
fn open_at_once(summary: &Value) -> f64 {
    let workers = summary["workers"].as_array().unwrap();
    workers.iter().map(|worker| worker["open"].as_f64().unwrap()).sum()
}

#[test]
fn two_thousand_sleeps_at_500_come_out_exact_from_one_worker() {
    let (hand, source) = sleeping(2_000);
    let mut sink = hand.sink(&["--fields", "id,value"]);
    let mut ventilator = hand.ventilator(&source, &[]);
    let mut worker = hand.worker(&["--run", "sleep", "--concurrency", "500"]);
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    assert_same_lines(&lines(&hand.output()), &expected(2_000));
    let outcome = hand.outcome();
    assert_eq!(outcome.count("attempts"), 2_000);
    let summary = serde_json::json!({"workers": outcome.field("workers")});
    assert!(open_at_once(&summary) > 100.0, "{summary}");
}

#[test]
fn ten_kills_of_workers_with_a_thousand_open_lose_and_double_nothing() {
    const UNITS: usize = 12_000;
    let (hand, source) = sleeping(UNITS);
    let flags = ["--run", "sleep", "--concurrency", "1000"];
    let mut sink = hand.sink(&["--fields", "id,value"]);
    let mut ventilator = hand.ventilator(&source, &[]);
    let mut workers = [hand.worker(&flags), hand.worker(&flags)];
    let (mut kills, mut rounds) = (0, 0);
    while sink.is_running() {
        rounds += 1;
        assert!(rounds < 300, "the run gets nowhere");
        wait::pace(Duration::from_millis(500), || !sink.is_running());
        if kills < 10 && sink.is_running() && hand.lines_so_far() < UNITS {
            let victim = &mut workers[kills % 2];
            victim.kill();
            *victim = hand.worker(&flags);
            kills += 1;
        }
    }
    sink.ends_well();
    ventilator.ends_well();
    assert_same_lines(&lines(&hand.output()), &expected(UNITS));
    assert_eq!(hand.outcome().count("dead"), 0, "innocent units");
    assert_eq!(kills, 10);
}

/// What happens to a worker that was stopped with a thousand open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It goes on when others have done its units.
    GoesOn,
    /// It dies without having gone on.
    Dies,
}

fn stopped_with_a_thousand_open(fate: Fate) {
    const UNITS: usize = 6_000;
    let (hand, source) = sleeping(UNITS);
    let flags = ["--run", "sleep", "--concurrency", "1000"];
    let mut sink = hand.sink(&["--fields", "id,value"]);
    let mut ventilator = hand.ventilator(&source, &[]);
    let mut victim = hand.worker(&flags);
    wait::until("the first results", || (hand.lines_so_far() > 0).then_some(()));
    let mut other = hand.worker(&flags);
    victim.stop();
    let so_far = hand.lines_so_far();
    assert!(so_far < UNITS - 1_000, "the run is nearly over before anyone was stopped");
    // In the order of the units, so these have to wait for what the stopped one had.
    let due = so_far + 1_500;
    wait::until("its units are done by another one", || (hand.lines_so_far() >= due).then_some(()));
    match fate {
        Fate::GoesOn => victim.go_on(),
        Fate::Dies => victim.kill(),
    }
    for process in [&mut sink, &mut ventilator, &mut other] {
        process.ends_well();
    }
    if fate == Fate::GoesOn {
        victim.ends_well();
    }
    assert_same_lines(&lines(&hand.output()), &expected(UNITS));
    assert_eq!(hand.outcome().count("dead"), 0, "innocent units");
}

#[test]
fn a_thousand_open_in_a_worker_that_is_stopped_and_goes_on_come_out_once() {
    stopped_with_a_thousand_open(Fate::GoesOn);
}

#[test]
fn a_thousand_open_in_a_worker_that_is_stopped_and_killed_come_out_once() {
    stopped_with_a_thousand_open(Fate::Dies);
}

#[test]
fn a_worker_that_leaves_finishes_what_it_has_open_and_gives_the_rest_back() {
    let (hand, source) = sleeping(3_000);
    let flags = ["--run", "sleep", "--concurrency", "200"];
    let mut sink = hand.sink(&["--fields", "id,value"]);
    let mut ventilator = hand.ventilator(&source, &[]);
    let mut leaver = hand.worker(&flags);
    wait::until("the first results", || (hand.lines_so_far() > 0).then_some(()));
    let mut stays = hand.worker(&flags);
    leaver.terminate();
    leaver.ends_well();
    for process in [&mut sink, &mut ventilator, &mut stays] {
        process.ends_well();
    }
    assert_same_lines(&lines(&hand.output()), &expected(3_000));
    // None was begun twice, since what was not begun came back.
    assert_eq!(hand.outcome().count("attempts"), 3_000);
}

/// A topology of one stage; what its summary says.
fn run(place: &Place, stage: &str) -> Value {
    let topology = format!(
        "[source]\nkind = 'range'\nfrom = 1\nto = 400\n[[stage]]\nname = 'wait'\nworkers = 1\n{stage}\n[sink]\noutput = 'out.jsonl'\n"
    );
    let file = place.write("wait.toml", topology);
    let args = ["up", file.to_str().unwrap(), "--summary", "summary.json"];
    assert_eq!(place.run("pipeline", &args).code, Some(0));
    tests::outcome::json(&place.path("summary.json"))
}

#[test]
fn programs_coroutines_and_threads_are_open_at_once() {
    let asynchronous = "python = '''\nimport asyncio\nasync def work(n):\n    await asyncio.sleep(0.2)\n    return n\n'''";
    let threads =
        "python = '''\nimport time\ndef work(n):\n    time.sleep(0.05)\n    return n\n'''";
    let pipe = "answers = 'any-order'\npipe = ['python3', '-u', '-c', '''\nimport json, sys, threading\ndef answer(line):\n    sys.stdout.write(json.dumps(json.loads(line)) + chr(10))\nfor line in sys.stdin: threading.Timer(0.1, answer, [line]).start()\n''']";
    let exec = "exec = ['sh', '-c', 'sleep 0.2; echo $1', 'sh', '{}']";
    for (stage, concurrency) in [(asynchronous, 100), (threads, 40), (pipe, 50), (exec, 20)] {
        let place = Place::new();
        let summary = run(&place, &format!("concurrency = {concurrency}\n{stage}"));
        let all: Vec<String> = (1..=400).map(|n| n.to_string()).collect();
        assert_same_lines(&lines(&place.path("out.jsonl")), &all);
        assert_eq!(summary["attempts"], 400, "{stage}");
        let open = open_at_once(&summary);
        assert!(open > f64::from(concurrency) / 5.0, "{open} open at once: {stage}");
    }
}

/// One unit ends its interpreter whenever it is tried; the others are beside it each time.
#[test]
fn the_unit_that_ends_its_interpreter_is_dead_and_none_of_those_beside_it() {
    let place = Place::new();
    let stage = "concurrency = 100\nretries = 1\nbackoff = '10ms'\npython = '''\nimport asyncio, os\nasync def work(n):\n    await asyncio.sleep(0.05)\n    if n == 77: os._exit(9)\n    return n\n'''";
    let topology = format!(
        "[source]\nkind = 'range'\nfrom = 1\nto = 400\n[[stage]]\nname = 'wait'\nworkers = 1\n{stage}\n[sink]\noutput = 'out.jsonl'\n"
    );
    let file = place.write("wait.toml", topology);
    let ended = place.run("pipeline", &["up", file.to_str().unwrap(), "--summary", "summary.json"]);
    let summary = tests::outcome::json(&place.path("summary.json"));
    assert_eq!((&summary["dead"], &summary["results"]), (&1.into(), &399.into()), "{ended:?}");
    let letter = &tests::outcome::json_lines(&place.path("out.jsonl.dead.jsonl"))[0];
    assert_eq!(letter["input"], 77);
    assert!(letter["error"].as_str().unwrap().contains("exit status: 9"), "{letter}");
}

/// A loop that is blocked for longer than a peer may be silent costs no session, and is told of with
/// the unit and the line.
#[test]
fn a_loop_that_is_blocked_is_told_of_and_loses_nobody() {
    let place = Place::new();
    let stage = "concurrency = 10\npython = '''\nimport time\nasync def work(n):\n    if n == 5: time.sleep(4)\n    return n\n'''\n";
    let topology = format!(
        "[source]\nkind = 'range'\nfrom = 1\nto = 40\n[[stage]]\nname = 'wait'\nworkers = 1\n{stage}[sink]\noutput = 'out.jsonl'\n[limits]\nliveness = '2500ms'\n"
    );
    let file = place.write("wait.toml", topology);
    let args = ["up", file.to_str().unwrap(), "--summary", "summary.json"];
    let ended = place.run("pipeline", &args);
    let summary = tests::outcome::json(&place.path("summary.json"));
    assert_eq!(summary["results"], 40);
    let told = &ended.stderr;
    assert!(told.contains("has not turned for") && told.contains("time.sleep(4)"), "{told}");
    assert!(told.contains("unit=4"), "{told}");
    assert!(!told.contains("lost a worker"), "{told}");
}

/// Process ids of those that this one has started.
fn children_of(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

fn is_worker(pid: &u32) -> bool {
    let variables = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    variables.split(|byte| *byte == 0).any(|text| text.starts_with(b"PIPELINE_WORKER_INDEX="))
}

#[test]
fn workers_started_together_are_replaced_when_killed_and_leave_together() {
    let (hand, source) = sleeping(400);
    let mut sink = hand.sink(&["--fields", "id,value"]);
    let mut ventilator = hand.ventilator(&source, &[]);
    let mut workers =
        hand.worker(&["--name", "w", "-j", "3", "--run", "sleep", "--concurrency", "10"]);
    let three = || {
        let workers: Vec<u32> = children_of(workers.id()).into_iter().filter(is_worker).collect();
        (workers.len() == 3).then_some(workers)
    };
    let before = wait::until("three workers", three);
    wait::until("the first results", || (hand.lines_so_far() > 0).then_some(()));
    tests::runs::kill(before[0]);
    let replaced = || three().filter(|now| now != &before && !now.contains(&before[0]));
    let now = wait::until("another one in its place", replaced);
    for process in [&mut sink, &mut ventilator] {
        process.ends_well();
    }
    let ended = workers.ends_well();
    assert!(
        ended.stderr.contains("was ended by signal 9; it is started again"),
        "{}",
        ended.stderr
    );
    assert!(now.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()));
    assert_same_lines(&lines(&hand.output()), &expected(400));
}
