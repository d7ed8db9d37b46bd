//! A run that is mended on the way: stopped as hopeless, gone on with changed code, with more input.
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::fs;

use tests::{outcome, place::Place, wait};

/// A range through one stage of Python, without retries; `work` is its body.
fn topology(place: &Place, units: u32, work: &str) {
    let text = format!(
        "source = {{ kind = \"range\", from = 1, to = {units} }}\n\
         [[stage]]\nname = \"fetch\"\nworkers = 2\nretries = 0\npython = \"\"\"\nimport os, time\ndef work(value):\n{work}\n\"\"\"\n\
         [sink]\noutput = \"out.jsonl\"\n"
    );
    place.write("t.toml", text);
}

const FAILS_WITHOUT_A_FILE: &str =
    "    if not os.path.exists('there'): raise ValueError('no route')\n    return value";

fn up(place: &Place, flags: &[&str]) -> tests::process::Ended {
    place.run("pipeline", &[&["up", "t.toml"], flags].concat())
}

fn manifest(place: &Place) -> serde_json::Value {
    outcome::json(&place.path(".pipeline/t/manifest.json"))
}

fn verify(place: &Place) {
    let verified = place.run("pipeline", &["verify", "t.toml"]);
    assert_eq!(verified.code, Some(0), "{}", verified.stdout);
}

fn numbers(place: &Place) -> Vec<u64> {
    outcome::json_lines(&place.path("out.jsonl")).iter().map(|n| n.as_u64().unwrap()).collect()
}

/// Nothing of a wrong address is worth a million dead letters.
#[test]
fn a_stage_that_fails_with_every_unit_stops_the_run_and_goes_on_when_it_is_mended() {
    let place = Place::new();
    topology(&place, 20_000, FAILS_WITHOUT_A_FILE);
    let stopped = up(&place, &[]);
    assert_eq!(stopped.code, Some(1));
    let told = "units of the stage `fetch` failed: ValueError: no route";
    assert!(stopped.stderr.contains(told), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("--halt never"));
    place.write("there", "");
    let resumed = up(&place, &[]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    // As if it had never failed, also in its order.
    assert_eq!(numbers(&place), (1..=20_000).collect::<Vec<u64>>());
    assert!(!place.path("out.jsonl.dead.jsonl").exists());
    verify(&place);
}

#[test]
fn a_run_of_fewer_units_or_with_halt_never_comes_to_its_end() {
    let place = Place::new();
    topology(&place, 19, FAILS_WITHOUT_A_FILE);
    let ended = up(&place, &[]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(manifest(&place)["dead"], 19);
    topology(&place, 2_000, FAILS_WITHOUT_A_FILE);
    assert_eq!(up(&place, &["--fresh", "--halt", "never"]).code, Some(1));
    assert_eq!(manifest(&place)["dead"], 2_000);
}

const HALF: &str = "    if value <= 100: raise ValueError('not yet')\n    \
     while value > 1000 and not os.path.exists('go'): time.sleep(0.01)\n    return value";
const MENDED: &str = "    return value * 10";

/// Kills a run about in the middle, with 100 of its units dead.
fn half_done(place: &Place) {
    topology(place, 2_000, HALF);
    let mut run = place.start("pipeline", &["up", "t.toml", "--halt", "never"]);
    wait::until("half of it is there", || {
        assert!(run.is_running(), "{}", run.stderr());
        let written = fs::read_to_string(place.path("out.jsonl")).unwrap_or_default();
        let dead = fs::read_to_string(place.path("out.jsonl.dead.jsonl")).unwrap_or_default();
        (written.lines().count() >= 500 && dead.lines().count() == 100).then_some(())
    });
    run.kill();
}

fn assert_mended(place: &Place) {
    let written = numbers(place);
    let manifest = manifest(place);
    assert_eq!((&manifest["results"], &manifest["dead"]), (&2_000.into(), &0.into()));
    assert_eq!(written.len(), 2_000);
    // Those that had failed are all done with the new code, and none of the old results is gone.
    for value in (1..=100).map(|value| value * 10) {
        assert!(written.contains(&value), "{value}");
    }
    let versions = manifest["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    assert_eq!((&versions[0]["from_unit"], &versions[1]["from_unit"]), (&0.into(), &0.into()));
    assert!(versions[1]["units_before"].as_u64().unwrap() >= 400);
    verify(place);
}

#[test]
fn what_is_left_or_has_failed_is_done_with_changed_code_that_was_accepted() {
    let place = Place::new();
    half_done(&place);
    topology(&place, 2_000, MENDED);
    let refused = up(&place, &[]);
    assert_eq!(refused.code, Some(78));
    for told in ["stage `fetch`: python has changed", "return value * 10", "--accept-change"] {
        assert!(refused.stderr.contains(told), "{told}: {}", refused.stderr);
    }
    let accepted = up(&place, &["--accept-change"]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.stderr);
    assert_mended(&place);
}

#[test]
fn a_finished_run_goes_on_with_what_has_come_to_its_source() {
    let place = Place::new();
    let text = "source = { kind = \"lines\", path = \"in.txt\" }\n[[stage]]\nname = \"s\"\nrun = \"echo\"\n[sink]\noutput = \"out.jsonl\"\n";
    place.write("t.toml", text);
    place.write("in.txt", "1\n2\n");
    assert_eq!(up(&place, &["--continue"]).code, Some(0));
    for last in 3..6 {
        let lines: String = (1..=last).map(|line| format!("{line}\n")).collect();
        place.write("in.txt", &lines);
        let refused = up(&place, &[]);
        assert!(refused.stderr.contains("--continue"), "{}", refused.stderr);
        let gone_on = up(&place, &["--continue"]);
        assert_eq!(gone_on.code, Some(0), "{}", gone_on.stderr);
        let written: Vec<String> = (1..=last).map(|line| format!("\"{line}\"")).collect();
        assert_eq!(outcome::lines(&place.path("out.jsonl")), written);
        verify(&place);
    }
    assert_eq!(up(&place, &["--continue"]).code, Some(0), "nothing new is no failure");
    place.write("in.txt", "1\nX\n3\n4\n5\n6\n");
    let changed = up(&place, &["--continue"]);
    assert_eq!(changed.code, Some(78), "{}", changed.stderr);
    assert!(changed.stderr.contains("differs between bytes"), "{}", changed.stderr);
}

#[test]
fn a_finished_run_whose_output_is_gone_says_so() {
    let place = Place::new();
    topology(&place, 10, "    return value");
    assert_eq!(up(&place, &[]).code, Some(0));
    fs::remove_file(place.path("out.jsonl")).unwrap();
    let again = up(&place, &[]);
    assert_eq!(again.code, Some(74));
    assert!(again.stderr.contains("out.jsonl is gone"), "{}", again.stderr);
    assert!(again.stderr.contains("--fresh"));
    assert_eq!(up(&place, &["--fresh"]).code, Some(0));
}
