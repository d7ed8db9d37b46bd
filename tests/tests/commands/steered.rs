//! A run is steered from another terminal, and nothing is lost or doubled by it.

use std::collections::BTreeSet;

use tests::outcome::lines;
use tests::place::Place;
use tests::runs::{GO, begun, child_of, held, pipeline, slow, until};
use tests::wait;

const UNITS: usize = 300;

fn expected() -> Vec<String> {
    (1..=UNITS).map(|unit| unit.to_string()).collect()
}

/// No unit was begun twice, but for those at the very end, of which workers that have nothing left to do
/// get copies.
fn assert_begun_once(begun: &[String], units: usize) {
    const WORKERS_MAX: usize = 5;
    let mut seen = BTreeSet::new();
    for (place, unit) in begun.iter().enumerate() {
        let is_new = seen.insert(unit);
        let is_at_the_end = place + 2 * WORKERS_MAX >= begun.len();
        assert!(
            is_new || is_at_the_end,
            "unit {unit} was begun twice, at {place} of {}",
            begun.len()
        );
    }
    assert_eq!(seen.len(), units);
}

#[test]
fn workers_come_and_go_while_a_run_goes_on_and_nothing_is_lost() {
    let place = Place::new();
    slow(&place, "t", UNITS);
    let mut up = place.start("pipeline", &["up", "t.toml"]);
    for workers in [5, 1, 4] {
        until(&place, "it runs", |run| run["state"] == "running");
        let told = pipeline(&place, &["scale", &format!("s={workers}")]);
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        until(&place, "there are as many", |run| run["workers"] == workers);
    }
    up.ends_well();
    assert_eq!(lines(&place.path("t.jsonl")), expected());
    assert_begun_once(&begun(&place, "t"), UNITS);
}

#[test]
fn what_cannot_be_had_is_told() {
    let place = Place::new();
    held(&place, "t", 4);
    let mut up = place.start("pipeline", &["up", "t.toml"]);
    until(&place, "it runs", |run| run["state"] == "running");
    let told = |args: &[&str], code, words: &str| {
        let ended = pipeline(&place, args);
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
    };
    told(&["scale", "x=2"], 64, "there is no stage `x`; there are s");
    told(&["scale", "s"], 64, "write it like square=4");
    told(&["scale", "s=4000000000"], 64, "`peers_max` is 1024");
    told(&["restart", "--stage", "x"], 64, "there is no stage `x`");
    told(&["scale", "t", "s=2"], 0, "has as many already");
    up.terminate();
    until(&place, "it drains", |run| run["state"] == "draining");
    told(&["scale", "s=3"], 75, "about to end");
    told(&["pause"], 75, "about to end");
    place.write(GO, "");
    assert_eq!(up.ends().code, Some(75));
}

/// What was sent is finished, then nothing begins until the run goes on; and a ventilator that takes a
/// killed one's place pauses too.
#[test]
fn a_paused_run_begins_nothing_until_it_goes_on_also_after_the_ventilators_death() {
    let place = Place::new();
    slow(&place, "t", UNITS);
    let mut up = place.start("pipeline", &["up", "t.toml"]);
    wait::until("some are begun", || (begun(&place, "t").len() > 9).then_some(()));
    assert_eq!(pipeline(&place, &["pause"]).code, Some(0));
    // All that was begun is done: what workers have they finish.
    let still = || {
        let begun = begun(&place, "t").len();
        let mut done = 0;
        until(&place, "what was begun is done", |run| {
            done = run["done"].as_u64().unwrap_or_default() as usize;
            run["state"] == "paused" && done >= begun
        });
        done
    };
    let mut before = still();
    wait::until("nothing begins any more", || {
        let now = still();
        (std::mem::replace(&mut before, now) == now).then_some(())
    });
    let ventilator = child_of(up.id(), "ventilator").expect("it is there");
    tests::runs::kill(ventilator);
    wait::until("another one is there", || {
        let now = child_of(up.id(), "ventilator");
        now.is_some_and(|now| now != ventilator).then_some(())
    });
    until(&place, "its workers have come", |run| run["workers"] == 2);
    assert!(still() < UNITS);
    assert_eq!(pipeline(&place, &["resume"]).code, Some(0));
    up.ends_well();
    assert_eq!(lines(&place.path("t.jsonl")), expected());
}

#[test]
fn workers_are_started_anew_one_after_the_other() {
    let place = Place::new();
    slow(&place, "t", 4 * UNITS);
    let mut up = place.start("pipeline", &["up", "t.toml"]);
    until(&place, "its workers have come", |run| run["workers"] == 2);
    assert_eq!(pipeline(&place, &["restart", "--stage", "s"]).code, Some(0));
    wait::until("all are at work again", || {
        up.stderr().contains("all of them are at work again").then_some(())
    });
    up.ends_well();
    let said = up.stderr();
    let anew: Vec<_> = said.lines().filter(|line| line.starts_with("starting s-")).collect();
    assert_eq!(anew, ["starting s-1 anew, 1 to go", "starting s-2 anew"]);
    assert_eq!(lines(&place.path("t.jsonl")).len(), 4 * UNITS);
    assert_begun_once(&begun(&place, "t"), 4 * UNITS);
}

/// Which of two stages limits the run is seen from another terminal.
#[test]
fn top_tells_the_stage_that_limits_and_what_each_worker_does() {
    let place = Place::new();
    let topology = "[source]\nkind = 'range'\nfrom = 1\nto = 1000000\n[[stage]]\nname = 'quick'\n\
         run = 'echo'\nworkers = 1\n[[stage]]\nname = 'slow'\nworkers = 1\n\
         exec = ['sleep', '0.02']\n[sink]\noutput = 'out.jsonl'\n[limits]\nwindow_units_max = 64\n";
    place.write("t.toml", topology);
    let mut up = place.start("pipeline", &["up", "t.toml"]);
    let seen = || {
        let told = pipeline(&place, &["top", "--output", "json"]);
        serde_json::from_str::<serde_json::Value>(&told.stdout).ok()
    };
    let busy = wait::until("the slow stage is busy", || {
        seen().filter(|all| {
            let stages = &all["stages"];
            stages[1]["busy"].as_f64() > Some(0.8) && stages[1]["units"].as_u64() > Some(20)
        })
    });
    assert!(busy["stages"][0]["busy"].as_f64() < Some(0.5), "{busy}");
    assert_eq!(busy["workers"].as_array().map(Vec::len), Some(2), "{busy}");
    let told = pipeline(&place, &["top"]).stdout;
    let limits: Vec<&str> = told.lines().filter(|line| line.contains("limits the run")).collect();
    assert!(matches!(limits.as_slice(), [line] if line.starts_with("slow ")), "{told}");
    assert_eq!(pipeline(&place, &["down", "--now"]).code, Some(0));
    up.ends();
    assert_eq!(pipeline(&place, &["top"]).code, Some(66));
}
