//! A run that is mended on the way: stopped as hopeless, gone on with changed code, with more input.
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::{fs, time::Duration};

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
const MENDED: &str = "    return -value";

/// Kills a run about in the middle, with 100 of its units dead.
fn half_done(place: &Place) {
    topology(place, 2_000, HALF);
    let mut run = place.start("pipeline", &["up", "t.toml", "--halt", "never"]);
    wait::until("half of it is recorded", || {
        assert!(run.is_running(), "{}", run.stderr());
        let seen = place.run("pipeline", &["ps", "--output", "json"]).stdout;
        let runs: serde_json::Value = serde_json::from_str(&seen).unwrap_or_default();
        let run = &runs[0];
        (run["done"].as_u64()? >= 500 && run["dead"].as_u64()? == 100).then_some(())
    });
    run.kill();
}

fn assert_mended(place: &Place) {
    let written = outcome::json_lines(&place.path("out.jsonl"));
    let written: Vec<i64> = written.iter().map(|value| value.as_i64().unwrap()).collect();
    let manifest = manifest(place);
    assert_eq!((&manifest["results"], &manifest["dead"]), (&2_000.into(), &0.into()));
    assert_eq!(written.len(), 2_000);
    // Each unit came out once, those that had failed with the new code.
    let mut units: Vec<i64> = written.iter().map(|value| value.abs()).collect();
    units.sort_unstable();
    assert_eq!(units, (1..=2_000).collect::<Vec<i64>>());
    let old = written.iter().filter(|value| **value > 100).count();
    assert!((1..=100).all(|value: i64| written.contains(&-value)));
    let versions = manifest["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    assert_eq!((&versions[0]["from_unit"], &versions[1]["from_unit"]), (&0.into(), &0.into()));
    // None of the results that were there is gone.
    assert!(old >= 400, "{old}");
    assert_eq!(versions[1]["units_before"], old);
    verify(place);
}

#[test]
fn what_is_left_or_has_failed_is_done_with_changed_code_that_was_accepted() {
    let place = Place::new();
    half_done(&place);
    topology(&place, 2_000, MENDED);
    let refused = up(&place, &[]);
    assert_eq!(refused.code, Some(78));
    for told in ["stage `fetch`: python has changed", "return -value", "--accept-change"] {
        assert!(refused.stderr.contains(told), "{told}: {}", refused.stderr);
    }
    let accepted = up(&place, &["--accept-change"]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.stderr);
    assert_mended(&place);
}

/// The launcher is killed again and again from the moment at which the change is accepted.
#[test]
fn a_change_that_was_accepted_survives_kills() {
    let place = Place::new();
    half_done(&place);
    topology(&place, 2_000, "    time.sleep(0.001)\n    return -value");
    let mut done = 0;
    for kill in 0.. {
        // Asked for again it is no other change.
        let mut run = place.start("pipeline", &["up", "t.toml", "--accept-change"]);
        let traces = wait::traces_of(&place.path(".pipeline/t"));
        wait::until("something has happened", || {
            (run.has_ended().is_some() || wait::traces_of(&place.path(".pipeline/t")) != traces)
                .then_some(())
        });
        if kill > 3 {
            wait::pace(Duration::from_millis(500 * kill), || !run.is_running());
        }
        if let Some(code) = run.has_ended() {
            assert_eq!(code, Some(0), "{}", run.stderr());
            done = kill;
            break;
        }
        run.kill();
    }
    assert!(done > 3);
    assert_mended(&place);
}

#[test]
fn units_that_failed_are_put_back_to_be_done_by_a_mended_topology() {
    let place = Place::new();
    topology(&place, 15, FAILS_WITHOUT_A_FILE);
    assert_eq!(up(&place, &[]).code, Some(1));
    topology(&place, 15, MENDED);
    assert_eq!(up(&place, &[]).code, Some(78));
    let retry = |args: &[&str]| place.run("pipeline", &[&["dead", "retry"], args].concat());
    assert_eq!(retry(&["99", "--with", "t.toml"]).code, Some(66), "there is no such unit");
    assert_eq!(up(&place, &[]).code, Some(78), "and nothing was accepted with that");
    let put_back = retry(&["3", "5", "--with", "t.toml"]);
    assert!(put_back.stdout.starts_with("put back: 2 units"), "{}", put_back.stdout);
    assert_eq!(up(&place, &[]).code, Some(1));
    let written = outcome::lines(&place.path("out.jsonl"));
    assert_eq!(written.len(), 2);
    assert!(written.contains(&"-4".into()) && written.contains(&"-6".into()), "{written:?}");
    assert_eq!(manifest(&place)["dead"], 13);
    verify(&place);
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
