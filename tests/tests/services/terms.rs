//! The terms of a unit: which one is first, which is the same, and which is not worked on at all.

use std::time::Duration;

use tests::place::Place;
use tests::process::Process;
use tests::runs::pipeline;
use tests::wait;

use super::{fed, standing};

/// A held service of one worker, which has begun a unit.
pub fn held() -> (Place, Process) {
    let place = Place::new();
    let up = super::held(&place);
    pipeline(&place, &["scale", "held", "s=1"]);
    submitted(&place, &["0"]);
    wait::until("the first has begun", || (!begun(&place).is_empty()).then_some(()));
    (place, up)
}

pub fn begun(place: &Place) -> Vec<u64> {
    let text = std::fs::read_to_string(place.path("begun")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// The ticket of a unit that is submitted.
pub fn submitted(place: &Place, args: &[&str]) -> String {
    let told = pipeline(place, &[&["submit", "held"], args].concat());
    assert_eq!(told.code, Some(0), "{args:?}: {}", told.stderr);
    told.stdout.trim().to_owned()
}

#[test]
fn a_higher_priority_overtakes_what_waits_and_a_delay_lets_others_pass() {
    let (place, _up) = held();
    let late = submitted(&place, &["77", "--delay", "1h"]);
    let lines: String = (1..=40).map(|number| format!("{number}\n")).collect();
    fed(&place, &["submit", "held", "--jsonl"], &lines);
    let urgent = submitted(&place, &["99", "--priority", "9"]);
    place.write("go", "");
    let told = pipeline(&place, &["result", &urgent, "--wait"]);
    assert_eq!(told.stdout, "99\n", "{}", told.stderr);
    wait::until("all have begun", || (begun(&place).len() == 42).then_some(()));
    let order = begun(&place);
    let rank = order.iter().position(|number| *number == 99).unwrap_or(usize::MAX);
    // A worker has two parcels, and as much is read ahead.
    assert!(rank < 12, "{order:?}");
    let told = pipeline(&place, &["result", &late]);
    assert_eq!(told.code, Some(75), "{}", told.stderr);
    let told = pipeline(&place, &["result", &late, "--cancel"]);
    assert!(told.stdout.contains(" cancelled"), "{}{}", told.stdout, told.stderr);
    let told = pipeline(&place, &["result", &late, "--wait"]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert!(told.stderr.contains("cancelled before a worker had begun it"), "{}", told.stderr);
}

/// What waits in the queue, what the ventilator has read ahead, and what the worker has and has not begun.
#[test]
fn whatever_no_worker_has_begun_is_cancelled_and_what_runs_is_not() {
    let (place, _up) = held();
    let lines: String = (1..=40).map(|number| format!("{number}\n")).collect();
    let told = fed(&place, &["submit", "held", "--jsonl"], &lines);
    let tickets: Vec<&str> = told.stdout.lines().collect();
    let (run, _) = tickets[0].split_once('/').expect("a ticket");
    let running = format!("{run}/0");
    assert_eq!(begun(&place), [0]);
    wait::until("the worker has more than what it runs", || {
        let waiting = standing(&place, "held")["queued"].as_u64();
        waiting.is_some_and(|waiting| waiting < 40).then_some(())
    });
    let all: Vec<&str> = [&[running.as_str()], &tickets[..]].concat();
    let told = pipeline(&place, &[&["result", "--cancel"], &all[..]].concat());
    let states: Vec<_> = told.stdout.lines().filter_map(|line| line.split_once(' ')).collect();
    let begun_states = "begun: a worker has it and finishes it";
    let expected: Vec<_> = all
        .iter()
        .map(|ticket| (*ticket, if *ticket == running { begun_states } else { "cancelled" }))
        .collect();
    assert_eq!(states, expected, "{}", told.stderr);
    // Again: nothing has changed, but that the sink may have heard of it.
    let told = pipeline(&place, &["result", "--cancel", &running]);
    assert!(told.stdout.contains(begun_states), "{}{}", told.stdout, told.stderr);
    place.write("go", "");
    let told = pipeline(&place, &["result", &running, "--wait"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "0\n"), "{}", told.stderr);
    let told = pipeline(&place, &["result", tickets[0], tickets[39], "--wait"]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    let words = "cancelled before a worker had begun it";
    assert_eq!(told.stderr.matches(words).count(), 2, "{}", told.stderr);
    assert_eq!(begun(&place), [0], "nobody has begun them");
}

#[test]
fn a_ticket_that_was_never_given_cannot_be_cancelled() {
    let (place, _up) = held();
    let (run, _) = submitted(&place, &["1"]).split_once('/').map(own).expect("a ticket");
    let told = pipeline(&place, &["result", &format!("{run}/999"), "--cancel"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(66), ""), "{}", told.stderr);
    assert!(told.stderr.contains("knows no such ticket"), "{}", told.stderr);
}

fn own((run, id): (&str, &str)) -> (String, String) {
    (run.into(), id.into())
}

/// Be they in the queue, with the ventilator, or with a worker that works on another one.
#[test]
fn whatever_no_worker_has_begun_is_told_to_wait_and_for_how_long() {
    let (place, _up) = held();
    let waits = |queued: u64| {
        wait::until("so many wait", || {
            let standing = standing(&place, "held");
            let told = (standing["queued"].as_u64(), standing["oldest_ms"].is_u64());
            (told == (Some(queued), queued > 0)).then_some(())
        });
    };
    waits(0);
    submitted(&place, &["1", "2", "3"]);
    waits(3);
    pipeline(&place, &["pause", "held"]);
    submitted(&place, &["4"]);
    waits(4);
    pipeline(&place, &["resume", "held"]);
    place.write("go", "");
    waits(0);
}

#[test]
fn what_is_not_sent_in_time_is_dead() {
    let (place, _up) = held();
    let lines: String = (1..=40).map(|number| format!("{number}\n")).collect();
    fed(&place, &["submit", "held", "--jsonl"], &lines);
    let ticket = submitted(&place, &["99", "--ttl", "200ms"]);
    let told = pipeline(&place, &["result", &ticket, "--wait"]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert!(told.stderr.contains("waited longer than its ttl"), "{}", told.stderr);
    assert!(!begun(&place).contains(&99));
}

#[test]
fn one_key_is_one_unit_until_it_is_done_or_for_as_long_as_is_remembered() {
    let (place, _up) = held();
    let unique = || submitted(&place, &["5", "--unique", "k"]);
    let once = || submitted(&place, &["6", "--once", "k"]);
    let (joined, kept) = (unique(), once());
    assert_eq!((unique(), once()), (joined.clone(), kept.clone()));
    place.write("go", "");
    for ticket in [&joined, &kept] {
        let told = pipeline(&place, &["result", ticket, "--wait"]);
        assert_eq!(told.code, Some(0), "{}", told.stderr);
    }
    wait::within(Duration::from_secs(20), "the key is free", || (unique() != joined).then_some(()));
    assert_eq!(once(), kept);
    assert_eq!(begun(&place).iter().filter(|number| **number == 6).count(), 1);
}
