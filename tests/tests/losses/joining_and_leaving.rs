//! Workers come and go in the middle of a run: one that joins gets work at once, one that is asked
//! to leave finishes what it has begun and hands back the rest.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::hand::Hand;
use tests::outcome::{assert_same_lines, json_lines, lines};
use tests::place::Transport;
use tests::wait;

/// How many units each worker has in the output so far.
fn shares(output: &Path) -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(output).unwrap_or_default();
    let mut shares = BTreeMap::new();
    // The last line may be half written.
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        *shares.entry(line["worker"].as_str().expect("a name").to_owned()).or_default() += 1;
    }
    shares
}

#[test]
fn a_worker_that_joins_in_the_middle_gets_work_at_once() {
    let hand = Hand::over(Transport::Tcp);
    let units = hand.place.write("units.jsonl", "10\n".repeat(400));
    let mut sink = hand.sink(&["--order", "completion", "--fields", "id,worker"]);
    let mut ventilator = hand.ventilator(&format!("jsonl:{}", units.display()), &[]);
    let mut early = hand.worker(&["--name", "early", "--run", "sleep"]);
    wait::until("the first worker has done some", || (hand.lines_so_far() >= 40).then_some(()));

    let mut late = hand.worker(&["--name", "late", "--run", "sleep"]);
    wait::until("the second worker joins", || ventilator.stderr().contains("late").then_some(()));
    let joined = Instant::now();
    wait::until("the second worker has done some", || {
        shares(&hand.output()).contains_key("late").then_some(())
    });
    // Its units take 10 ms each; the first worker holds several seconds of them.
    assert!(joined.elapsed() < Duration::from_secs(1), "after {:?}", joined.elapsed());

    for process in [&mut sink, &mut ventilator, &mut early, &mut late] {
        process.ends_well();
    }
    let shares = shares(&hand.output());
    assert_eq!(shares.values().sum::<usize>(), 400);
    assert!(shares["late"] >= 100, "it was given too little: {shares:?}");
}

#[test]
fn a_worker_that_is_asked_to_leave_finishes_its_unit_and_hands_back_the_rest() {
    const UNITS: usize = 300;
    let hand = Hand::over(Transport::Tcp);
    let log = hand.place.path("executed.log");
    // Each execution leaves a trace, so that a unit done twice would be seen.
    let script = format!("echo {{}} >> '{}'; sleep 0.01; echo {{}}", log.display());
    let run = ["--exec", "sh", "-c", &script];
    let mut sink = hand.sink(&["--fields", "value,worker"]);
    let mut ventilator = hand.ventilator(&format!("range:1..{UNITS}"), &[]);
    let mut leaver = hand.worker(&[&["--name", "leaver"], &run[..]].concat());
    wait::until("the first worker has done some", || (hand.lines_so_far() >= 30).then_some(()));

    leaver.terminate();
    leaver.ends_well();
    let done = lines(&log).len();
    assert!(done < UNITS, "it had to hand back something");
    // Nothing that it did is lost with it.
    let mut stayer = hand.worker(&[&["--name", "stayer"], &run[..]].concat());
    for process in [&mut sink, &mut ventilator, &mut stayer] {
        process.ends_well();
    }

    let mut executed: Vec<u64> = lines(&log).iter().map(|n| n.parse().expect("a number")).collect();
    executed.sort_unstable();
    assert_eq!(executed, (1..=UNITS as u64).collect::<Vec<_>>(), "each unit is executed once");
    let shares = shares(&hand.output());
    assert_eq!((shares["leaver"], shares["stayer"]), (done, UNITS - done));
    let values: Vec<String> =
        json_lines(&hand.output()).iter().map(|line| line["value"].to_string()).collect();
    assert_same_lines(&values, &(1..=UNITS).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(hand.outcome().count("duplicates_discarded"), 0);
}

#[test]
fn a_worker_that_leaves_waits_for_its_unit_no_longer_than_it_was_told() {
    let hand = Hand::over(Transport::Ipc);
    let mut sink = hand.sink(&[]);
    let mut ventilator = hand.ventilator("range:1..3", &[]);
    for concurrency in ["1", "10"] {
        let begun = hand.place.path(&format!("begun-{concurrency}"));
        let script = format!(
            "test {{}} = 2 || exec echo {{}}; touch '{}'; exec sleep 3600",
            begun.display()
        );
        let limits = ["--concurrency", concurrency, "--grace", "50ms"];
        let mut leaver = hand.worker(&[&limits[..], &["--exec", "sh", "-c", &script]].concat());
        wait::until("it works on the long unit", || begun.exists().then_some(()));
        leaver.terminate();
        let ended = leaver.ends_well();
        assert!(ended.stderr.contains("not done after that time"), "{}", ended.stderr);
    }
    // To others it is a unit like any other.
    let mut other = hand.worker(&["--run", "echo"]);
    for process in [&mut sink, &mut ventilator, &mut other] {
        process.ends_well();
    }
    assert_eq!(lines(&hand.output()), ["1", "2", "3"]);
    assert_eq!(hand.outcome().count("dead"), 0);
}

#[test]
fn a_ventilator_that_is_asked_to_leave_finishes_what_it_has_begun() {
    let hand = Hand::over(Transport::Ipc);
    let mut sink = hand.sink(&[]);
    let mut ventilator = hand.ventilator("range:1..100000000", &[]);
    let mut worker = hand.worker(&["--run", "square"]);
    wait::until("some units are done", || (hand.lines_so_far() >= 1000).then_some(()));
    ventilator.terminate();
    assert_eq!(ventilator.ends().code, Some(75));
    assert_eq!(sink.ends().code, Some(75));
    worker.ends_well();
    let found = lines(&hand.output());
    let squares: Vec<String> = (1..=found.len() as u64).map(|n| (n * n).to_string()).collect();
    assert_same_lines(&found, &squares);
    assert_eq!(hand.outcome().count("units_in"), found.len() as u64);
}

#[test]
fn a_worker_that_finds_no_ventilator_gives_up_when_it_may() {
    let hand = Hand::over(Transport::Ipc);
    let ended = hand.worker(&["--run", "square", "--give-up-after", "10ms"]).ends();
    assert_eq!(ended.code, Some(69));
    assert!(ended.stderr.contains("no ventilator has answered; giving up"), "{}", ended.stderr);
    let ended = hand.worker(&["--run", "square", "--give-up-after", "soon"]).ends();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
}
