//! Whoever of a service is killed, and whichever client: what was accepted has one outcome.

use std::{collections::BTreeSet, time::Duration};

use tests::place::Place;
use tests::runs::{child_of, kill, pipeline};
use tests::wait;

use super::terms::{begun, held, submitted};
use super::{client, fed, standing, start, write};

/// The same command again, after it was killed at any moment: nothing is accepted twice.
#[test]
fn a_client_that_is_killed_and_comes_back_has_each_unit_accepted_once() {
    const UNITS: usize = 20_000;
    let place = Place::new();
    write(&place, "squares", "run = \"square\"", "");
    let _up = start(&place, "squares");
    let lines: String = (0..UNITS).map(|number| format!("{number}\n")).collect();
    place.write("numbers", lines);
    for kill in 1..6 {
        let mut client = client(&place, "squares", &[]);
        wait::until("some are accepted", || {
            let printed = client.stdout().lines().count();
            (printed > 500 * kill || client.has_ended().is_some()).then_some(())
        });
        client.kill();
    }
    let told = client(&place, "squares", &[]).ends();
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let tickets: BTreeSet<&str> = told.stdout.lines().collect();
    assert_eq!(tickets.len(), UNITS);
    let told = fed(&place, &["result", "-", "--wait"], &told.stdout);
    let results: Vec<u64> = told.stdout.lines().map(|line| line.parse().unwrap()).collect();
    let expected: Vec<u64> = (0..UNITS as u64).map(|number| number * number).collect();
    assert!(results == expected, "{} results, {}", results.len(), told.stderr);
    wait::until("all is fetched", || {
        let standing = standing(&place, "squares");
        let counts = ["queued", "done", "kept"].map(|key| standing[key].as_u64());
        (counts == [Some(0), Some(UNITS as u64), Some(0)]).then_some(())
    });
}

#[test]
fn accepted_units_have_one_outcome_each_whoever_is_killed() {
    const UNITS: usize = 3_000;
    let place = Place::new();
    write(&place, "slow", "exec = [\"echo\", \"{}\"]", "concurrency = 8\n");
    let mut up = start(&place, "slow");
    let lines: String = (0..UNITS).map(|number| format!("{number}\n")).collect();
    place.write("numbers", lines);
    let mut client = client(&place, "slow", &["--wait-for-workers"]);
    for victim in
        ["ventilator", "sink", "worker", "ventilator", "sink", "up"].iter().cycle().take(12)
    {
        let done = standing(&place, "slow")["done"].as_u64().unwrap_or_default();
        wait::until("it goes on", || {
            up.is_up();
            let now = standing(&place, "slow")["done"].as_u64().unwrap_or_default();
            (now > done || now >= UNITS as u64).then_some(())
        });
        if *victim == "up" {
            up.kill();
            up = start(&place, "slow");
        } else {
            kill(child_of(up.id(), victim).expect("it has one"));
        }
    }
    let told = client.ends_within(Duration::from_secs(60));
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let tickets: BTreeSet<&str> = told.stdout.lines().collect();
    assert_eq!(tickets.len(), UNITS);
    let told = fed(&place, &["result", "-", "--wait"], &told.stdout);
    assert_eq!((told.code, told.stdout.lines().count()), (Some(0), UNITS), "{}", told.stderr);
    wait::until("all is done", || {
        let standing = standing(&place, "slow");
        let counts = ["queued", "done", "kept"].map(|key| standing[key].as_u64());
        (counts == [Some(0), Some(UNITS as u64), Some(0)]).then_some(())
    });
}

/// The next outcome, with which that would be written, may not come for long.
#[test]
fn an_outcome_that_was_fetched_is_not_kept_again_by_a_sink_that_was_killed_since() {
    let place = Place::new();
    write(&place, "squares", "run = \"square\"", "");
    let up = start(&place, "squares");
    let ticket = pipeline(&place, &["submit", "squares", "7"]).stdout;
    let keeps = |units: u64| {
        wait::until("it is told how much is kept", || {
            (standing(&place, "squares")["kept"].as_u64() == Some(units)).then_some(())
        });
    };
    keeps(1);
    assert_eq!(pipeline(&place, &["result", ticket.trim(), "--wait"]).stdout, "49\n");
    keeps(0);
    kill(child_of(up.id(), "sink").expect("it has one"));
    let told = wait::until("the next sink answers", || {
        let told = pipeline(&place, &["result", ticket.trim()]);
        (told.code != Some(75)).then_some(told)
    });
    assert_eq!(told.code, Some(66), "{}{}", told.stdout, told.stderr);
}

/// It may take days, and only the ventilator that is gone knew who has it.
#[test]
fn a_unit_that_is_worked_on_when_the_ventilator_dies_is_worked_on_once() {
    let (place, up) = held();
    kill(child_of(up.id(), "ventilator").expect("it has one"));
    let next = submitted(&place, &["5"]);
    wait::until("the worker has been sent both", || {
        (standing(&place, "held")["queued"].as_u64() == Some(1)).then_some(())
    });
    place.write("go", "");
    let told = pipeline(&place, &["result", &next, "--wait"]);
    assert_eq!((told.stdout.as_str(), begun(&place)), ("5\n", vec![0, 5]), "{}", told.stderr);
}
