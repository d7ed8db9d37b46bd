//! An output, a summary or a run directory that can't be written, or that somebody else removes
//! or cuts during the run: exit code 74 and words that name the file and the cause. Nothing is
//! taken for written that is not.

use std::fs::{self, File};

use tests::outcome::json;
use tests::place::Place;
use tests::process::{Ended, Process};
use tests::torture::disk::Disk;
use tests::wait;

const UNITS: u64 = 200_000;

/// A place with a topology that writes `output`.
fn place_with(output: &str) -> Place {
    let place = Place::new();
    let last = 100_000_000_000 + UNITS;
    let topology = format!(
        "name = \"t\"\n[source]\nkind = \"range\"\nfrom = 100_000_000_001\nto = {last}\n[[stage]]\n\
         name = \"work\"\nrun = \"factor-sum\"\nworkers = 2\n[sink]\noutput = \"{output}\"\n"
    );
    place.write("t.toml", topology);
    place
}

fn start(place: &Place, more: &[&str]) -> Process {
    place.start("pipeline", &[&["up", "t.toml", "--quiet", "--run-dir", "run"], more].concat())
}

fn refused(place: &Place, more: &[&str], words: &[&str]) {
    is_refusal(&start(place, more).ends(), words);
}

fn is_refusal(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(74), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is not in: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("is started again"), "{}", ended.stderr);
}

#[test]
fn a_folder_in_the_place_of_the_output() {
    let place = place_with("taken");
    fs::create_dir(place.path("taken")).expect("the scenario's folder can be written");
    refused(&place, &[], &["cannot open", "/taken", "Is a directory"]);
}

#[test]
fn a_device_that_is_always_full() {
    refused(&place_with("/dev/full"), &[], &["cannot write /dev/full", "No space left on device"]);
}

#[test]
fn a_file_system_that_is_read_only() {
    for output in ["disk/out.jsonl", "disk/out.csv", "disk/out.sqlite"] {
        let place = place_with(output);
        let Some(disk) = Disk::or_skip(&place, "disk", "1m") else { return };
        disk.protect();
        refused(&place, &[], &[output, "cannot"]);
    }
}

#[test]
fn a_run_directory_that_is_read_only() {
    let place = place_with("out.jsonl");
    let Some(disk) = Disk::or_skip(&place, "disk", "1m") else { return };
    disk.protect();
    let ended = place.run("pipeline", &["up", "t.toml", "--quiet", "--run-dir", "disk/run"]);
    is_refusal(&ended, &["disk/run", "Read-only file system"]);
    assert!(!place.path("out.jsonl").exists(), "nothing has begun");
}

#[test]
fn a_summary_that_cannot_be_written() {
    let place = place_with("out.jsonl");
    let Some(disk) = Disk::or_skip(&place, "disk", "1m") else { return };
    disk.protect();
    refused(&place, &["--summary", "disk/summary.json"], &["cannot write disk/summary.json"]);
    assert!(!place.path("run").exists(), "nothing has begun");
    refused(&place, &["--summary", "/dev/full"], &["cannot write /dev/full"]);
    // The run itself is complete by then.
    assert_eq!(place.run("pipeline", &["verify", "run"]).code, Some(0));
}

/// Begins a run, and does something to its output while it is written; how the run ends.
fn disturbed(place: &Place, disturb: impl FnOnce()) -> Ended {
    let mut run = start(place, &[]);
    let output = place.path("out.jsonl");
    wait::until("something is recorded", || {
        fs::metadata(&output).is_ok_and(|data| data.len() > 0).then_some(())
    });
    disturb();
    run.ends()
}

/// The same command makes the output whole again from the commit log.
fn goes_on(place: &Place) {
    assert_eq!(start(place, &[]).ends().code, Some(0));
    assert_eq!(place.run("pipeline", &["verify", "run"]).code, Some(0));
    assert_eq!(tests::outcome::lines(&place.path("out.jsonl")).len() as u64, UNITS);
    assert_eq!(json(&place.path("run/manifest.json"))["outputs"], UNITS);
}

#[test]
fn an_output_that_somebody_cuts_meanwhile() {
    let place = place_with("out.jsonl");
    let ended = disturbed(&place, || {
        File::create(place.path("out.jsonl")).expect("it can be cut");
    });
    is_refusal(&ended, &["/out.jsonl holds 0 bytes instead of"]);
    goes_on(&place);
}

#[test]
fn an_output_that_somebody_removes_meanwhile() {
    let place = place_with("out.jsonl");
    let ended = disturbed(&place, || {
        fs::remove_file(place.path("out.jsonl")).expect("it can be removed");
    });
    is_refusal(&ended, &["/out.jsonl is gone or was replaced"]);
    goes_on(&place);
}
