//! A worker in plain Python, written from `proto/PROTOCOL.md` alone, beside those of this project:
//! whoever is killed, each unit ends in one result, in the order of the source.
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tests::hand::Hand;
use tests::outcome::{assert_same_lines, json_lines, lines};
use tests::place::Transport;
use tests::plain::Plain;
use tests::process::Process;
use tests::wait;

const BETWEEN_KILLS: Duration = Duration::from_millis(250);
const KILLS_MAX: usize = 240;

/// Who is killed, in turn: the two kinds of workers, and those they talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Ours,
    Plain,
    Ventilator,
    Sink,
}

const TURNS: [Victim; 6] =
    [Victim::Ours, Victim::Plain, Victim::Sink, Victim::Plain, Victim::Ours, Victim::Ventilator];

/// A run of three programs and two workers of each kind, any of which may be killed.
struct Mixed {
    plain: Plain,
    transport: Transport,
    source: String,
    sink: Process,
    ventilator: Process,
    ours: [Process; 2],
    plains: [Process; 2],
    kills: usize,
    // The last: what processes have said lies in its folder.
    hand: Hand,
}

const FIELDS: [&str; 4] = ["--fields", "id,value,worker", "--run-dir", "run"];
const RUN: [&str; 4] = ["--run", "spin", "--name", "ours"];

impl Mixed {
    fn begin(plain: Plain, transport: Transport, units: &str) -> Self {
        let hand = Hand::over(transport);
        let source = format!("jsonl:{}", hand.place.write("units.jsonl", units).display());
        let sink = hand.sink(&FIELDS);
        let ventilator = hand.ventilator(&source, &[]);
        let ours = [hand.worker(&RUN), hand.worker(&RUN)];
        if transport == Transport::Tcp {
            let key = hand.place.config().join("pipeline/key");
            wait::until("the key is made", || key.exists().then_some(()));
        }
        let plains = [(); 2].map(|()| plain.worker(&hand, transport, &["--run", "spin"]));
        Mixed { plain, transport, source, sink, ventilator, ours, plains, kills: 0, hand }
    }

    fn replace(&mut self, victim: Victim) {
        let which = self.kills / 2 % 2;
        self.kills += 1;
        match victim {
            Victim::Ours => {
                self.ours[which].kill();
                self.ours[which] = self.hand.worker(&RUN);
            }
            Victim::Plain => {
                self.plains[which].kill();
                let run = ["--run", "spin"];
                self.plains[which] = self.plain.worker(&self.hand, self.transport, &run);
            }
            Victim::Ventilator => {
                self.ventilator.kill();
                self.ventilator = self.hand.ventilator(&self.source, &[]);
            }
            Victim::Sink => {
                self.sink.kill();
                self.sink = self.hand.sink(&FIELDS);
            }
        }
    }

    /// Kills one after the other as long as `units` are not all recorded, then waits for the end.
    fn suffer(&mut self, units: usize) {
        while self.sink.is_running() {
            let sink = &mut self.sink;
            wait::pace(BETWEEN_KILLS, || !sink.is_running());
            let goes_on = self.sink.is_running() && self.ventilator.is_running();
            if goes_on && self.hand.lines_so_far() < units * 9 / 10 {
                self.replace(TURNS[self.kills % TURNS.len()]);
            }
            assert!(self.kills < KILLS_MAX, "the run gets nowhere");
        }
        for process in [&mut self.sink, &mut self.ventilator].into_iter().chain(&mut self.ours) {
            process.ends_well();
        }
        for process in &mut self.plains {
            process.ends_well();
        }
    }
}

/// Units that differ and take some microseconds each, so that the run lasts for many kills.
fn spinning(unit: usize) -> usize {
    5 + unit % 59
}

fn killed_again_and_again(transport: Transport, units: usize) {
    let Some(plain) = Plain::or_skip() else { return };
    let source: String = (0..units).map(|unit| format!("{}\n", spinning(unit))).collect();
    let mut run = Mixed::begin(plain, transport, &source);
    run.suffer(units);
    let rows = json_lines(&run.hand.output());
    let found: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row["id"], row["value"])).collect();
    let expected: Vec<String> =
        (0..units).map(|unit| format!("{unit} {}", spinning(unit))).collect();
    assert_same_lines(&found, &expected);
    assert_eq!(run.hand.outcome().count("results"), units as u64);
    let by: BTreeSet<_> = rows.iter().filter_map(|row| row["worker"].as_str()).collect();
    assert_eq!(by, BTreeSet::from(["ours", "plain"]), "both kinds have worked");
    assert!(run.kills >= 8, "only {} kills in the whole run", run.kills);
    let plain = rows.iter().filter(|row| row["worker"] == "plain").count();
    eprintln!("{transport:?}: {} kills, {plain} of {units} units in plain Python", run.kills);
}

#[test]
fn beside_our_workers_it_survives_the_kills_of_all_over_ipc() {
    killed_again_and_again(Transport::Ipc, 150_000);
}

#[test]
fn beside_our_workers_it_survives_the_kills_of_all_over_tcp_with_a_key() {
    killed_again_and_again(Transport::Tcp, 150_000);
}

#[test]
fn alone_it_does_each_unit_once_and_leaves_in_peace() {
    let Some(plain) = Plain::or_skip() else { return };
    let hand = Hand::over(Transport::Ipc);
    let mut processes = [hand.sink(&[]), hand.ventilator("range:1..100000", &[])];
    let mut worker = plain.worker(&hand, Transport::Ipc, &["--run", "square"]);
    worker.ends_well();
    processes.iter_mut().for_each(|process| drop(process.ends_well()));
    let expected: Vec<String> = (1..=100_000_u64).map(|n| (n * n).to_string()).collect();
    assert_same_lines(&lines(&hand.output()), &expected);
    let outcome = hand.outcome();
    assert_eq!(outcome.count("duplicates_discarded"), 0);
    let turned_away = outcome.field("turned_away").as_object().unwrap();
    assert!(turned_away.values().all(|count| *count == json!(0)), "{turned_away:?}");
}

#[test]
fn what_it_sent_to_a_sink_that_was_killed_it_sends_to_the_next_one() {
    const UNITS: u64 = 400_000;
    let Some(plain) = Plain::or_skip() else { return };
    let hand = Hand::over(Transport::Ipc);
    let start = || hand.sink(&["--run-dir", "run"]);
    let mut sink = start();
    let mut ventilator = hand.ventilator(&format!("range:1..{UNITS}"), &[]);
    let mut worker = plain.worker(&hand, Transport::Ipc, &["--run", "square"]);
    for kill in 1..=4 {
        let due = kill * UNITS as usize / 10;
        wait::until("more is recorded", || (hand.lines_so_far() >= due).then_some(()));
        sink.kill();
        sink = start();
    }
    for process in [&mut worker, &mut ventilator, &mut sink] {
        process.ends_well();
    }
    let expected: Vec<String> = (1..=UNITS).map(|n| (n * n).to_string()).collect();
    assert_same_lines(&lines(&hand.output()), &expected);
}

/// What a line becomes: its words, of each the two halves.
fn halves(unit: usize) -> Vec<Value> {
    let words = ["alpha", "be", "c", "delta", "epsilon"];
    (0..unit % 6)
        .map(|place| words[(unit + place) % words.len()])
        .flat_map(|word| {
            let (one, other) = word.split_at(word.len() / 2);
            [json!(one), json!(other)]
        })
        .collect()
}

fn line(unit: usize) -> String {
    let words: String = halves(unit)
        .chunks(2)
        .map(|pair| format!("{}{} ", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    format!("{}\n", json!(words))
}

#[test]
fn units_that_became_several_before_it_and_in_it_come_out_whole_whoever_is_killed() {
    const UNITS: usize = 150_000;
    let Some(plain) = Plain::or_skip() else { return };
    let hand = Hand::over(Transport::Ipc);
    let source: String = (0..UNITS).map(line).collect();
    let source = format!("jsonl:{}", hand.place.write("units.jsonl", source).display());
    let mut sink = hand.sink(&["--fields", "id,value"]);
    let mut ventilator = hand.ventilator(&source, &["--stages", "split,halve"]);
    let split = ["--stage", "split", "--run", "split-words"];
    let halve = ["--stage", "halve", "--run", "halves"];
    let mut ours = [hand.worker(&split), hand.worker(&split)];
    let mut plains = [(); 2].map(|()| plain.worker(&hand, Transport::Ipc, &halve));
    let mut kills = 0;
    while sink.is_running() {
        wait::pace(BETWEEN_KILLS, || !sink.is_running());
        if sink.is_running() && hand.lines_so_far() < UNITS {
            let which = kills / 2 % 2;
            if kills % 2 == 0 {
                plains[which].kill();
                plains[which] = plain.worker(&hand, Transport::Ipc, &halve);
            } else {
                ours[which].kill();
                ours[which] = hand.worker(&split);
            }
            kills += 1;
        }
        assert!(kills < KILLS_MAX, "the run gets nowhere");
    }
    sink.ends_well();
    ventilator.ends_well();
    let found = lines(&hand.output());
    let expected: Vec<String> = (0..UNITS)
        .flat_map(|unit| halves(unit).into_iter().map(move |half| (unit, half)))
        .map(|(unit, half)| format!("{{\"id\":{unit},\"value\":{half}}}"))
        .collect();
    assert_same_lines(&found, &expected);
    assert!(kills >= 2, "only {kills} kills in the whole run");
    eprintln!("{kills} kills");
}

#[test]
fn asked_to_leave_or_to_end_the_run_it_says_good_bye_and_nothing_is_lost() {
    const UNITS: usize = 200_000;
    let Some(plain) = Plain::or_skip() else { return };
    let hand = Hand::over(Transport::Ipc);
    let source = format!("range:1..{UNITS}");
    let run = ["--run", "square"];
    let start = || [hand.sink(&["--run-dir", "run"]), hand.ventilator(&source, &[])];
    let [mut sink, mut ventilator] = start();
    let mut leaver = plain.worker(&hand, Transport::Ipc, &run);
    wait::until("it works", || (hand.lines_so_far() > 0).then_some(()));
    leaver.terminate();
    leaver.ends_well();
    let mut other = plain.worker(&hand, Transport::Ipc, &run);
    let so_far = hand.lines_so_far();
    wait::until("the other one works", || (hand.lines_so_far() > so_far).then_some(()));
    ventilator.terminate();
    other.ends_well();
    let code = ventilator.ends().code;
    assert_eq!(code, sink.ends().code, "both say how the run ended");
    if code == Some(75) {
        let [mut sink, mut ventilator] = start();
        plain.worker(&hand, Transport::Ipc, &run).ends_well();
        sink.ends_well();
        ventilator.ends_well();
    }
    let expected: Vec<String> = (1..=UNITS as u64).map(|n| (n * n).to_string()).collect();
    assert_same_lines(&lines(&hand.output()), &expected);
}
