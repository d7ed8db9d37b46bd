//! A run is found from any terminal and any folder as long as its launcher lives, and no longer.

use rustix::process::{Pid, Signal, kill_process};
use tests::outcome::lines;
use tests::place::Place;
use tests::runs::{GO, begun, entries, held, pipeline, ps, until};
use tests::{programs, wait};

#[test]
fn without_a_run_it_is_said_that_there_is_none() {
    let place = Place::new();
    let told = pipeline(&place, &["ps"]);
    assert_eq!((told.code, &*told.stdout), (Some(0), ""));
    assert!(told.stderr.contains("no run goes on"), "{}", told.stderr);
    assert_eq!(ps(&place).len(), 0);
    for command in [&["down"][..], &["wait"], &["pause", "x"], &["scale", "s=2"]] {
        let ended = pipeline(&place, command);
        assert_eq!(ended.code, Some(66), "{command:?}: {}", ended.stderr);
    }
}

#[test]
fn a_launcher_that_is_killed_leaves_no_entry() {
    let place = Place::new();
    held(&place, "t", 4);
    let mut up = place.start("pipeline", &["up", "t.toml"]);
    until(&place, "it has begun", |run| run["state"] == "running");
    assert_eq!(ps(&place)[0]["pid"], up.id());
    assert_eq!(entries(&place).len(), 2, "{:?}", entries(&place));
    up.kill();
    assert_eq!(ps(&place).len(), 0);
    assert_eq!(entries(&place), [""; 0].map(std::path::PathBuf::from));
}

/// Nobody looks: the guard of the launcher takes its entry away.
#[test]
fn a_launcher_that_is_killed_leaves_no_entry_also_if_nobody_looks() {
    let place = Place::new();
    held(&place, "t", 4);
    let mut up = place.start("pipeline", &["up", "t.toml"]);
    until(&place, "it has begun", |run| run["state"] == "running");
    up.kill();
    wait::until("the entry is gone", || entries(&place).is_empty().then_some(()));
}

#[test]
fn two_runs_side_by_side_are_told_apart_by_name_folder_and_id() {
    let place = Place::new();
    held(&place, "one", 4);
    held(&place, "two", 4);
    let mut ups = ["one.toml", "two.toml"].map(|file| place.start("pipeline", &["up", file]));
    wait::until("both have begun", || {
        ["one", "two"].iter().all(|name| !begun(&place, name).is_empty()).then_some(())
    });
    let ended = pipeline(&place, &["down"]);
    assert_eq!(ended.code, Some(66), "{}", ended.stderr);
    assert!(ended.stderr.contains("several runs go on"), "{}", ended.stderr);
    let runs = ps(&place);
    let id = |name: &str| {
        let run = runs.iter().find(|run| run["name"] == name).expect("it is listed");
        run["id"].as_str().expect("a text").to_owned()
    };
    assert_ne!(id("one"), id("two"));
    place.write(GO, "");
    let mut names = [".pipeline/one".to_owned(), id("two")].into_iter();
    let codes = [(); 2].map(|()| {
        let name = names.next().expect("two");
        pipeline(&place, &["wait", &name]).code
    });
    // The first may have been over before the second was asked for.
    assert_eq!(codes[0], Some(0));
    assert!([Some(0), Some(66)].contains(&codes[1]), "{codes:?}");
    ups.iter_mut().for_each(|up| drop(up.ends_well()));
    assert_eq!(ps(&place).len(), 0);
}

/// From another folder, by the run's name; the run goes on later and nothing is missing.
#[test]
fn a_run_is_drained_from_another_folder_and_goes_on_later() {
    let place = Place::new();
    held(&place, "t", 12);
    let mut up = place.start("pipeline", &["up", "t.toml"]);
    wait::until("two units are begun", || (begun(&place, "t").len() >= 2).then_some(()));
    let mut command = place.command(programs::program("pipeline"));
    command.current_dir("/").args(["down", "t"]);
    let mut down = place.start_command("down", command);
    until(&place, "it drains", |run| run["state"] == "draining");
    assert!(down.is_running(), "it waits for the end");
    place.write(GO, "");
    down.ends_well();
    assert_eq!(up.ends().code, Some(75));
    assert_eq!(begun(&place, "t").len(), 2);
    assert_eq!(pipeline(&place, &["up", "t.toml"]).code, Some(0));
    assert_eq!(lines(&place.path("t.jsonl")).len(), 12);
}

#[test]
fn a_run_that_is_ended_at_once_goes_on_later_too() {
    let place = Place::new();
    held(&place, "t", 4);
    let mut up = place.start("pipeline", &["up", "t.toml"]);
    wait::until("two units are begun", || (begun(&place, "t").len() >= 2).then_some(()));
    assert_eq!(pipeline(&place, &["down", "--now"]).code, Some(0));
    assert_eq!(up.ends().code, Some(130));
    place.write(GO, "");
    assert_eq!(pipeline(&place, &["up", "t.toml"]).code, Some(0));
    assert_eq!(lines(&place.path("t.jsonl")).len(), 4);
}

#[test]
fn who_waits_learns_the_exit_code_and_that_the_launcher_was_killed() {
    let place = Place::new();
    held(&place, "t", 4);
    let mut up = place.start("pipeline", &["up", "t.toml"]);
    until(&place, "it has begun", |run| run["state"] == "running");
    let mut waiting = place.start("pipeline", &["wait", "t"]);
    up.kill();
    let ended = waiting.ends();
    // It may have asked before or after the kill.
    assert!([Some(70), Some(66)].contains(&ended.code), "{ended:?}");
    place.write(GO, "");
    assert_eq!(pipeline(&place, &["up", "t.toml"]).code, Some(0));
    assert_eq!(pipeline(&place, &["wait", "t.toml"]).code, Some(0));
}

/// The session of a process, `0` if its leader is outside the namespace that we are in, as in most
/// containers; proc(5).
fn session(pid: &str) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, after_its_name) = stat.rsplit_once(") ").expect("a name in brackets");
    after_its_name.split(' ').nth(3).expect("a session").parse().expect("a number")
}

#[test]
fn a_run_in_the_background_is_told_of_when_it_has_begun() {
    let place = Place::new();
    held(&place, "t", 4);
    let ended = pipeline(&place, &["up", "-d", "t.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let runs = ps(&place);
    let pid = runs[0]["pid"].as_i64().expect("a number");
    assert_eq!(runs[0]["state"], "running");
    assert!(ended.stderr.contains(&format!("pid {pid}")), "{}", ended.stderr);
    assert!(place.path(".pipeline/t/logs/detached.log").is_file());
    // By its name, from wherever.
    assert_eq!(pipeline(&place, &["logs", "t"]).code, Some(0));
    // A terminal that closes.
    let launcher = Pid::from_raw(pid as i32).expect("no zero");
    assert_ne!(session(&pid.to_string()), session("self"));
    let second = pipeline(&place, &["up", "-d", "t.toml"]);
    assert_eq!(second.code, Some(75), "{}", second.stderr);
    place.write(GO, "");
    let mut waiting = place.start("pipeline", &["up", "--wait", "t.toml"]);
    let ended = waiting.ends_well();
    assert!(ended.stderr.contains("this run is finished: 4 units in"), "{}", ended.stderr);
    let _ = kill_process(launcher, Signal::KILL);
}

/// Nothing is left behind: what a launcher in the background has said goes with its run, and no file of
/// somebody else's.
#[test]
fn a_fresh_run_forgets_what_the_last_launcher_in_the_background_said() {
    let place = Place::new();
    held(&place, "t", 4);
    place.write(GO, "");
    let logs = place.path(".pipeline/t/logs");
    let background = |args: &[&str]| {
        let begun = pipeline(&place, &[&["up", "-d", "t.toml"], args].concat());
        assert_eq!(begun.code, Some(0), "{}", begun.stderr);
        wait::until("it has ended", || {
            let said = std::fs::read_to_string(logs.join("detached.log")).ok()?;
            (ps(&place).is_empty() && said.contains("units in")).then_some(said)
        })
    };
    background(&[]);
    std::fs::write(logs.join("mine.log"), "years of work").expect("a folder");
    assert_eq!(pipeline(&place, &["up", "t.toml", "--fresh"]).code, Some(0));
    assert!(!logs.join("detached.log").exists());
    assert_eq!(std::fs::read(logs.join("mine.log")).expect("it is there"), b"years of work");
    // Not from under the launcher that writes it.
    assert_eq!(background(&["--fresh"]).matches("units in").count(), 1);
}

#[test]
fn a_run_that_fails_in_the_background_is_told_of_with_its_code() {
    let place = Place::new();
    let text = "[source]\nkind = \"lines\"\npath = \"missing\"\n[[stage]]\nname = \"s\"\n\
                run = \"echo\"\n[sink]\noutput = \"out.jsonl\"\n";
    place.write("t.toml", text);
    let foreground = pipeline(&place, &["up", "t.toml"]);
    let background = pipeline(&place, &["up", "-d", "t.toml"]);
    assert_eq!(foreground.code, background.code);
    assert_ne!(background.code, Some(0));
    assert!(background.stderr.contains("missing"), "{}", background.stderr);
    // What the processes find out, and not the launcher.
    held(&place, "u", 4);
    place.write("u.jsonl", "a thesis");
    let background = pipeline(&place, &["up", "-d", "u.toml"]);
    assert_eq!(background.code, Some(74), "{}", background.stderr);
    assert!(background.stderr.contains("u.jsonl is there already"), "{}", background.stderr);
    let stdout = pipeline(&place, &["up", "-d", "u.toml", "--set", "sink.output=\"-\""]);
    assert_eq!(stdout.code, Some(64), "{}", stdout.stderr);
    assert_eq!(ps(&place).len(), 0);
}
