//! The wall clock decides nothing: it jumps years ahead and back during a run, and the run does not
//! notice. Only the diary's times, which are for people, do. The clock is that of the library of
//! `faketime` (the package of that name); where it is missing, this is skipped and says so.

use std::fs;
use std::process::Command;
use std::time::Duration;

use tests::place::Place;
use tests::process::Ended;
use tests::programs::program;
use tests::torture::trial::sha256;
use tests::wait;

/// Where the clock stands, one after the other, by the library's own way of saying it.
const JUMPS: [&str; 5] = ["+9000d", "-9000d", "+1h", "-1h", "+100000d"];
const BETWEEN_JUMPS: Duration = Duration::from_millis(300);
const TOPOLOGY: &str = r#"
name = "t"

[source]
kind = "range"
from = 1_000_000_000_001
to   = 1_000_000_060_000

[[stage]]
name    = "work"
run     = "factor-sum"
workers = 2

[sink]
output    = "out.jsonl"
aggregate = ["count", "sum"]
"#;

/// The library that `faketime` puts before the system's own.
fn library() -> Option<String> {
    let output = Command::new("faketime").args(["-f", "+0s", "env"]).output().ok()?;
    let environment = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(environment.lines().find_map(|line| line.strip_prefix("LD_PRELOAD="))?.to_owned())
}

/// Lets a command believe what the file `clock` says.
fn believing(place: &Place, library: &str, mut command: Command) -> Command {
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", place.path("clock"))
        .env("FAKETIME_NO_CACHE", "1")
        // What only goes forward stays as it is, as with a clock that somebody sets.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}

/// The year that a program is told.
fn year(place: &Place, library: &str) -> i32 {
    let mut command = believing(place, library, place.command("date"));
    let output = command.arg("+%Y").output().expect("`date` starts");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a year")
}

/// A run in the folder `name`; `jumping` is called while it goes on.
fn run(place: &Place, name: &str, library: &str, mut jumping: impl FnMut()) -> Ended {
    place.write("clock", "+0d");
    let file = place.path(name).join("t.toml");
    fs::create_dir_all(place.path(name)).expect("the scenario's folder can be written");
    fs::write(&file, TOPOLOGY).expect("the scenario's folder can be written");
    let mut command = place.command(program("pipeline"));
    command.args(["up", "t.toml", "--quiet"]).current_dir(place.path(name));
    let command = believing(place, library, command);
    let mut process = place.start_command(name, command);
    while process.is_running() {
        jumping();
        wait::pace(BETWEEN_JUMPS, || !process.is_running());
    }
    process.ends()
}

#[test]
fn a_clock_that_jumps_changes_nothing() {
    let Some(library) = library() else {
        eprintln!("SKIPPED: there is no program `faketime` (the package has the same name)");
        return;
    };
    let place = Place::new();
    assert_eq!(run(&place, "calm", &library, || ()).code, Some(0));
    let now = year(&place, &library);
    place.write("clock", JUMPS[0]);
    assert!(year(&place, &library) > now, "the clock does not jump");
    let mut jumps = 0;
    let ended = run(&place, "jumping", &library, || {
        place.write("clock", JUMPS[jumps % JUMPS.len()]);
        jumps += 1;
    });
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("lost"), "somebody was given up: {}", ended.stderr);
    let outputs = ["calm", "jumping"].map(|name| sha256(&place.path(name).join("out.jsonl")));
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(place.run("pipeline", &["verify", "jumping/.pipeline/t"]).code, Some(0));
    assert!(jumps >= 3, "only {jumps} jumps in the whole run");
    eprintln!("{jumps} jumps");
}
