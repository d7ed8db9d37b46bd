//! Standard input can't be read twice: it is copied before a unit leaves. A launcher that is
//! killed and started again with the same input loses nothing and doubles nothing, nor does a
//! ventilator that its launcher starts again.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use rustix::process::Signal;
use tests::place::Place;
use tests::process::{Ended, Process};
use tests::programs::program;
use tests::torture::{Role, kin};
use tests::wait;

const LINES: usize = 400_000;
const TOPOLOGY: &str = r#"
name = "course"

[source]
kind = "stdin"

[[stage]]
name    = "lower"
run     = "lower"
workers = 2

[sink]
output = "out.jsonl"
"#;

fn up(place: &Place, input: &str) -> Process {
    let mut command = place.command("sh");
    command
        .env("XDG_RUNTIME_DIR", place.folder())
        .args(["-c", "exec \"$0\" up course.toml < \"$1\""])
        .arg(program("pipeline"))
        .arg(place.path(input));
    place.start_command("up", command)
}

fn begin_and_kill(place: &Place) {
    place.write("course.toml", TOPOLOGY);
    let input: String = (0..LINES).map(|number| format!("LINE {number}\n")).collect();
    place.write("input", input);
    let mut launcher = up(place, "input");
    let output = place.path("out.jsonl");
    wait::until("some lines are recorded", || (length(&output) > 100_000).then_some(()));
    assert!(launcher.is_running(), "the run was over before it could be killed");
    launcher.kill();
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

#[test]
fn the_same_input_again_goes_on_where_the_run_was() {
    let place = Place::new();
    begin_and_kill(&place);
    up(&place, "input").ends_well();
    let expected: String = (0..LINES).map(|number| format!("\"line {number}\"\n")).collect();
    let found = fs::read_to_string(place.path("out.jsonl")).expect("the output is there");
    assert!(found == expected, "the output is not that of a calm run");
    assert_eq!(place.run("pipeline", &["verify"]).code, Some(0));
}

#[test]
fn a_ventilator_that_is_killed_goes_on_with_the_same_pipe() {
    let place = Place::new();
    place.write("course.toml", TOPOLOGY);
    let mut fifo = place.command("mkfifo");
    assert!(fifo.arg("input").status().is_ok_and(|status| status.success()), "mkfifo");
    let mut launcher = up(&place, "input");
    let pipe = OpenOptions::new().write(true).open(place.path("input"));
    let mut pipe = pipe.expect("the launcher reads the pipe");
    let output = place.path("out.jsonl");
    let half: Vec<String> = (0..LINES / 2).map(|number| format!("LINE {number}\n")).collect();
    pipe.write_all(half.concat().as_bytes()).expect("the pipe is read");
    wait::until("some lines are recorded", || (length(&output) > 0).then_some(()));
    let members = kin::members(launcher.id());
    let ventilator = members.iter().find(|member| member.role == Role::Ventilator);
    assert!(ventilator.is_some_and(|member| member.kin.signal(Signal::KILL)));
    let half: Vec<String> = (LINES / 2..LINES).map(|number| format!("LINE {number}\n")).collect();
    pipe.write_all(half.concat().as_bytes()).expect("the pipe is read");
    drop(pipe);
    launcher.ends_well();
    let expected: String = (0..LINES).map(|number| format!("\"line {number}\"\n")).collect();
    let found = fs::read_to_string(output).expect("the output is there");
    assert!(found == expected, "the output is not that of a calm run");
}

/// A run over `input` whose sink is stopped before it is over, so that the copy is complete and
/// the run is not; then it is resumed with `again`.
fn resumed_with(again: &str) -> (Place, Ended) {
    let place = Place::new();
    let slow = TOPOLOGY
        .replace("run     = \"lower\"", "exec    = [\"sh\", \"-c\", \"sleep 0.2; echo {}\"]");
    place.write("course.toml", slow);
    place.write("input", "1\n2\n3\n4\n5\n6\n7\n8\n");
    place.write("again", again);
    let mut launcher = up(&place, "input");
    wait::until("the copy is complete", || {
        place.path(".pipeline/course/stdin.ended").exists().then_some(())
    });
    launcher.kill();
    let ended = up(&place, "again").ends();
    (place, ended)
}

#[test]
fn another_input_is_refused_though_the_copy_was_complete() {
    for (again, told) in [
        ("1\n2\n3\nfour\n5\n6\n7\n8\n", "it differs at byte 6 (line 4)"),
        ("1\n2\n", "it ends at byte 4 (line 3)"),
        ("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "it goes on at byte 16 (line 9)"),
    ] {
        let (_place, ended) = resumed_with(again);
        assert_eq!(ended.code, Some(74), "{}", ended.stderr);
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
        assert!(ended.stderr.contains("give the same input again, none, or"), "{}", ended.stderr);
    }
}

#[test]
fn the_same_input_or_none_goes_on_with_a_copy_that_was_complete() {
    for again in ["1\n2\n3\n4\n5\n6\n7\n8\n", ""] {
        let (place, ended) = resumed_with(again);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let found = fs::read_to_string(place.path("out.jsonl")).expect("the output is there");
        assert_eq!(found, "1\n2\n3\n4\n5\n6\n7\n8\n");
    }
}
