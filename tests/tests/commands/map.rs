//! `pipeline map`: one command or function over many values.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use rustix::process::Signal;
use serde_json::Value;
use tests::mark::Mark;
use tests::outcome::lines;
use tests::place::Place;
use tests::{programs, wait};

/// Lines for GNU parallel, from its tutorial and its man page, with what version 20221122 printed and
/// whether it failed, and the line for `pipeline map` beside each.
const PAIRS: &str = include_str!("golden/parallel.jsonl");

fn place_of_the_tutorial() -> Place {
    let place = Place::new();
    for (name, content) in [
        ("abc-file", "A\nB\nC\n"),
        ("def-file", "D\nE\nF\n"),
        ("tsv-file", "f1\tf2\nA\tB\nC\tD\n"),
        ("my file", "xx"),
        ("it's", "yyy"),
    ] {
        place.write(name, content);
    }
    place
}

fn shell(place: &Place, line: &str) -> Command {
    let program = programs::program("pipeline");
    let folder = program.parent().expect("a program is in a folder");
    let path = env::var_os("PATH").unwrap_or_default();
    let paths = [folder.to_owned()].into_iter().chain(env::split_paths(&path));
    let mut command = place.command("sh");
    command.args(["-c", line]).env("PATH", env::join_paths(paths).expect("no colon in it"));
    command.stdin(Stdio::null()).env("PIPELINE_LOG", "warn");
    command
}

#[test]
fn what_people_run_with_gnu_parallel_prints_the_same() {
    let pairs = PAIRS.lines().map(|line| serde_json::from_str::<Value>(line).expect("a pair"));
    let mut count = 0;
    for pair in pairs {
        let text = |key: &str| pair[key].as_str().expect("a text").to_owned();
        let line = text("map");
        let place = place_of_the_tutorial();
        let output = shell(&place, &line).output().expect("a shell starts");
        let printed = String::from_utf8_lossy(&output.stdout);
        let printed = printed.replace(&place.folder().display().to_string(), "@");
        assert_eq!(printed, text("stdout"), "{}\n{line}", text("parallel"));
        assert_eq!(!output.status.success(), pair["fails"], "{line}");
        count += 1;
    }
    assert!(count >= 30);
}

fn map(place: &Place, args: &[&str], input: &str) -> (String, String, Option<i32>) {
    let path = place.write("input", input);
    let mut command = place.command(programs::program("pipeline"));
    command.env_remove("PIPELINE_LOG");
    command.arg("map").args(args).stdin(fs::File::open(path).expect("it was written"));
    let output = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn functions_take_the_place_of_a_command() {
    let place = Place::new();
    place.write("mine.py", "def twice(value):\n    return [value, value]\n");
    let numbers: String = (1..=1_000).map(|n| format!("{n}\n")).collect();
    let squares: String = (1..=1_000).map(|n| format!("{}\n", n * n)).collect();
    assert_eq!(map(&place, &["--python", "value * value"], &numbers).0, squares);
    assert_eq!(map(&place, &["--run", "square"], &numbers).0, squares);
    let twice = map(&place, &["--call", "mine:twice"], "a\n007\n7\n").0;
    assert_eq!(twice, "[\"a\",\"a\"]\n[\"007\",\"007\"]\n[7,7]\n");
    assert_eq!(map(&place, &["--text", "--python", "value * 2"], "7\n").0, "77\n");
    assert_eq!(map(&place, &["--pipe", "cat", ":::", "1", "x"], "").0, "1\nx\n");
    let (printed, told, code) = map(&place, &["--python", "10 // value"], "5\n0\n2\n");
    assert_eq!((printed.as_str(), code), ("2\n5\n", Some(1)));
    assert!(told.starts_with("pipeline: unit 2 (0): Traceback"), "{told}");
    assert!(told.contains("ZeroDivisionError"), "{told}");
}

#[test]
fn what_is_wrong_with_the_flags_is_told() {
    let place = Place::new();
    for (args, says) in [
        (&["echo", "{..}", ":::", "a"][..], "`{..}` stands for nothing"),
        (&["--python", "value", "echo", ":::", "a"], "a command and a function"),
        (&["--joblog", "log", "--run", "square", ":::", "1"], "--joblog goes with a command"),
        (&["echo", ":::+", "a"], ":::+ links to what stands before it"),
        (&["--resume", "echo", ":::", "a"], "--joblog"),
        (&["--halt", "later", "echo", ":::", "a"], "no rule"),
        (&["-j", "many", "echo", ":::", "a"], "no number of places"),
    ] {
        let (_, told, code) = map(&place, args, "");
        assert!(told.contains(says), "{args:?}: {told}");
        assert!(matches!(code, Some(64 | 2)), "{args:?}: {code:?}");
    }
    assert_eq!(map(&place, &["echo", "::::", "no-such-file"], "").2, Some(74));
}

#[test]
fn a_reader_that_goes_away_ends_the_run_quietly() {
    let place = Place::new();
    let line = "seq 100000 | pipeline map -j2 'echo {}' | head -n 2";
    let output = shell(&place, line).output().expect("a shell starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n2\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_first_result_is_seen_though_the_values_trickle() {
    let place = Place::new();
    for how in ["'echo {}'", "--python value"] {
        let line = format!(
            "(echo 1; while ! [ -e seen ]; do sleep 0.01; done; echo 2) | pipeline map {how} > out"
        );
        let mut process = place.start_command("map", shell(&place, &line));
        let first = || fs::read(place.path("out")).is_ok_and(|out| out == b"1\n").then_some(());
        wait::until("the first result is there", first);
        place.write("seen", "");
        process.ends_well();
        assert_eq!(lines(&place.path("out")), ["1", "2"]);
        fs::remove_file(place.path("seen")).expect("it is there");
    }
}

/// Units that last until a file is there.
const WAITING: &str = ": > begun{}; while ! [ -e go ]; do sleep 0.01; done; echo {}";

#[test]
fn the_first_signal_lets_those_end_that_run_and_the_second_ends_them() {
    for (twice, code, out) in [(false, Some(75), "1\n2\n"), (true, Some(130), "")] {
        let place = Place::new();
        let mark = Mark::new();
        let mut command = place.command(programs::program("pipeline"));
        let values = ["1", "2", "3", "4", "5"];
        command.args(["map", "-j2", WAITING, ":::"]).args(values);
        mark.put_on(&mut command);
        let mut process = place.start_command("map", command);
        let begun = |n: u32| place.path(&format!("begun{n}")).exists();
        wait::until("two have begun", || (begun(1) && begun(2)).then_some(()));
        process.terminate();
        let told = || process.stderr().contains("no further one is begun").then_some(());
        wait::until("it is told", told);
        if twice {
            // A second signal at the same moment is no second wish.
            wait::pace(Duration::from_millis(80), || false);
            process.terminate();
        } else {
            place.write("go", "");
        }
        let ended = process.ends();
        assert_eq!((ended.code, ended.stdout.as_str()), (code, out));
        assert!(!begun(3));
        wait::until("nothing is left", || mark.bearers().is_empty().then_some(()));
    }
}

#[test]
fn programs_end_with_a_map_that_is_killed() {
    let place = Place::new();
    let mark = Mark::new();
    let mut command = place.command(programs::program("pipeline"));
    command.args(["map", "-j2", ": > begun; setsid sleep 300 & sleep 300; echo {}", ":::", "1"]);
    mark.put_on(&mut command);
    let process = place.start_command("map", command);
    wait::until("it has begun", || place.path("begun").exists().then_some(()));
    let own = mark.bearers().into_iter().find(|bearer| bearer.pid == process.id());
    own.expect("it bears the mark").signal(Signal::KILL);
    wait::until("nothing is left", || mark.bearers().is_empty().then_some(()));
}

#[test]
fn a_map_that_was_killed_goes_on_with_its_job_log_and_its_output_is_whole() {
    let place = Place::new();
    let run = |resume: &str| {
        format!(
            "seq 60 | pipeline map -j2 --joblog log {resume} 'echo {{}}; [ {{}} -lt 30 ] || [ -e go ] || sleep 300' >> out"
        )
    };
    let mut command = shell(&place, &format!("exec {}", run("")));
    let mark = Mark::new();
    mark.put_on(&mut command);
    let mut process = place.start_command("map", command);
    let enough = || {
        let log = fs::read(place.path("log")).unwrap_or_default();
        (log.iter().filter(|byte| **byte == b'\n').count() == 30).then_some(())
    };
    wait::until("all that end are in the log", enough);
    for bearer in mark.bearers() {
        bearer.signal(Signal::KILL);
    }
    process.ends();
    place.write("go", "");
    let output = shell(&place, &run("--resume")).output().expect("a shell starts");
    assert!(output.status.success());
    let all: Vec<String> = (1..=60).map(|n| n.to_string()).collect();
    assert_eq!(lines(&place.path("out")), all);
}

/// Each program writes to stderr itself, and nothing of it is lost.
#[test]
fn what_programs_write_to_stderr_is_seen() {
    let place = Place::new();
    let (printed, told, _) = map(&place, &["-j1", "echo {} >&2; echo out", ":::", "a", "b"], "");
    assert_eq!((printed.as_str(), told.as_str()), ("out\nout\n", "a\nb\n"));
    let results = &["-j1", "--results", "kept", "echo {} >&2", ":::", "a", "b"];
    assert_eq!(map(&place, results, "").1, "a\nb\n");
    assert_eq!(lines(&place.path("kept/1/b/stderr")), ["b"]);
}

#[test]
fn a_program_that_may_not_be_started_is_a_failure_that_says_so() {
    let place = Place::new();
    let path = place.write("plain", "no program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let (_, told, code) = map(&place, &["./plain", ":::", "a"], "");
    assert_eq!(code, Some(1));
    assert!(told.contains("cannot start ./plain: Permission denied"), "{told}");
}

/// A topology that does the same does so.
#[test]
fn the_topology_of_a_map_gives_the_same() {
    let place = Place::new();
    let args = ["--print-topology", "-j2", "echo {/.}-{#}"];
    let (topology, _, _) = map(&place, &args, "");
    place.write("t.toml", topology);
    let line = "printf 'a/b.c\\nit is.x\\n' | pipeline up t.toml -q";
    let output = shell(&place, line).output().expect("a shell starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "\"b-1\"\n\"it is-2\"\n");
}
