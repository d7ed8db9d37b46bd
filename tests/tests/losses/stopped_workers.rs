//! A worker is stopped and nobody knows whether it ever goes on: others do its units long before
//! its silence ends its session, which here takes longer than any test.

use std::fs;

use rustix::process::Signal;
use tests::hand::Hand;
use tests::place::{Place, Transport};
use tests::process::Process;
use tests::torture::{Role, kin};
use tests::wait;

const UNITS: usize = 60_000;
const FIRST: u64 = 100_000_000_000;
const WORKERS: usize = 4;
/// Fewer, where the limit is the usual one: what follows the stop has to be over before it.
const UNITS_BY_HAND: usize = 20_000;
/// Longer than the patience of any test.
const LIVENESS: &str = "limits.liveness=1h";

fn topology() -> String {
    let last = FIRST + UNITS as u64 - 1;
    format!(
        r#"name = "stopped"

[source]
kind = "range"
from = {FIRST}
to   = {last}

[[stage]]
name    = "factor"
run     = "factor-sum"
workers = 2

[[stage]]
name    = "pass"
run     = "echo"
workers = 2

[sink]
output = "out.jsonl"
order  = "input"
fields = ["id"]
"#
    )
}

fn lines_so_far(place: &Place) -> usize {
    let bytes = fs::read(place.path("out.jsonl")).unwrap_or_default();
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// The workers that have been started, oldest first.
fn workers(launcher: &Process) -> Vec<kin::Kin> {
    let mut workers: Vec<_> = kin::members(launcher.id())
        .into_iter()
        .filter(|member| member.role == Role::Worker)
        .map(|member| member.kin)
        .collect();
    workers.sort_by_key(|kin| kin.pid());
    workers
}

/// Stops these workers in the middle of a run; all units are recorded before they go on.
fn stopped(place: &Place, indices: &[usize]) -> (Process, Vec<kin::Kin>) {
    place.write("stopped.toml", topology());
    let launcher = place.start("pipeline", &["up", "stopped.toml", "--set", LIVENESS]);
    wait::until("some units are recorded", || (lines_so_far(place) > 2_000).then_some(()));
    let all = workers(&launcher);
    assert_eq!(all.len(), WORKERS);
    let victims: Vec<kin::Kin> = indices.iter().map(|index| all[*index]).collect();
    for victim in &victims {
        assert!(victim.signal(Signal::STOP));
    }
    assert!(lines_so_far(place) < UNITS, "the run is over before anyone was stopped");
    wait::until("all units are recorded", || (lines_so_far(place) == UNITS).then_some(()));
    (launcher, victims)
}

fn each_once_in_order(place: &Place) {
    let ids: String = (0..UNITS).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let output = fs::read_to_string(place.path("out.jsonl")).expect("an output");
    assert!(output == ids, "each once, in order");
}

fn recorded_without(indices: &[usize]) {
    let place = Place::new();
    let (mut launcher, victims) = stopped(&place, indices);
    for victim in &victims {
        // It may have been ended with the run.
        victim.signal(Signal::CONT);
    }
    launcher.ends_well();
    each_once_in_order(&place);
}

/// A stopped worker of the first stage: the ventilator gives its units to the other one.
#[test]
fn units_of_a_stopped_worker_of_the_first_stage_are_done_by_another_one() {
    recorded_without(&[0]);
}

/// A stopped worker of an inner stage: the workers before it give its units to the other one.
#[test]
fn units_of_a_stopped_worker_of_an_inner_stage_are_done_by_another_one() {
    recorded_without(&[3]);
}

/// One of each stage at once: what the first had made for the second is made again.
#[test]
fn units_of_stopped_workers_of_both_stages_are_done_by_the_others() {
    recorded_without(&[1, 2]);
}

/// A run was not over before the silence of a stopped worker had ended its session.
#[test]
fn the_end_of_a_run_does_not_wait_for_stopped_workers() {
    let place = Place::new();
    let (mut launcher, victims) = stopped(&place, &[0, 3]);
    launcher.ends_well();
    each_once_in_order(&place);
    assert!(victims.iter().all(|victim| !victim.lives()), "nothing is left of the run");
}

/// One of two workers that were started by hand is stopped, and goes on when nobody else is there
/// any more: it finds that the run is over.
fn over_without_a_worker_that_is_stopped(transport: Transport) {
    let hand = Hand::over(transport);
    let mut sink = hand.sink(&["--order", "completion"]);
    let last = FIRST + UNITS_BY_HAND as u64 - 1;
    let mut ventilator = hand.ventilator(&format!("range:{FIRST}..{last}"), &[]);
    let run = ["--run", "factor-sum"];
    let [mut victim, mut other] = [hand.worker(&run), hand.worker(&run)];
    wait::until("both have joined", || {
        (ventilator.stderr().matches("worker joined").count() == 2).then_some(())
    });
    wait::until("some units are recorded", || (hand.lines_so_far() > 2_000).then_some(()));
    victim.stop();
    assert!(hand.lines_so_far() < UNITS_BY_HAND, "the run is over before anyone was stopped");
    for process in [&mut sink, &mut ventilator, &mut other] {
        process.ends_well();
    }
    assert_eq!(hand.outcome().count("results"), UNITS_BY_HAND as u64);
    victim.go_on();
    victim.ends_well();
}

#[test]
fn a_run_by_hand_is_over_without_a_worker_that_is_stopped_over_ipc() {
    over_without_a_worker_that_is_stopped(Transport::Ipc);
}

#[test]
fn a_run_by_hand_is_over_without_a_worker_that_is_stopped_over_tcp() {
    over_without_a_worker_that_is_stopped(Transport::Tcp);
}
