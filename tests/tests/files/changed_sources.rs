//! A source is digested while it is read. A run that goes on compares what was read before anything
//! of it gets in among the results, and names the difference.

use std::fs::{self, OpenOptions};
use std::io::Write;

use tests::hand::Hand;
use tests::place::{Place, Transport};
use tests::process::{Ended, Process};
use tests::programs::program;
use tests::wait;

const LINES: usize = 300_000;
const HINT: &str = "--fresh";

fn lines() -> String {
    (0..LINES).map(|number| format!("LINE {number:09}\n")).collect()
}

fn expected(text: &str) -> String {
    text.lines().map(|line| format!("\"{}\"\n", line.to_lowercase())).collect()
}

fn up(place: &Place) -> Process {
    let mut command = place.command(program("pipeline"));
    command.env("XDG_RUNTIME_DIR", place.folder()).args(["up", "course.toml"]);
    place.start_command("up", command)
}

fn output(place: &Place) -> String {
    fs::read_to_string(place.path("out.jsonl")).unwrap_or_default()
}

/// A run over `source` in a topology that is killed when it is not over.
fn begun_and_killed(kind: &str, text: &str) -> Place {
    let place = Place::new();
    place.write(
        "course.toml",
        format!(
            "name = \"course\"\n[source]\nkind = \"{kind}\"\npath = \"in\"\n[[stage]]\nname = \"lower\"\nrun = \"lower\"\nworkers = 2\n[sink]\noutput = \"out.jsonl\"\n"
        ),
    );
    place.write("in", text);
    let mut launcher = up(&place);
    wait::until("some lines are recorded", || (output(&place).len() > 100_000).then_some(()));
    assert!(launcher.is_running(), "the run was over before it could be killed");
    launcher.kill();
    place
}

fn refused(ended: &Ended, told: &str) {
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("the content of the source has changed"), "{}", ended.stderr);
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    assert!(ended.stderr.contains(HINT), "{}", ended.stderr);
}

#[test]
fn a_source_that_was_changed_while_the_run_was_down_is_refused_and_the_old_one_goes_on() {
    let text = lines();
    let place = begun_and_killed("lines", &text);
    for (place_of, with) in [(0, "x"), (20_000, "\n"), (80_000, "X")] {
        let mut changed = text.clone();
        changed.replace_range(place_of..=place_of, with);
        place.write("in", changed);
        refused(&up(&place).ends(), "in differs between bytes 0 and ");
    }
    place.write("in", &text[..text.len() - 15]);
    refused(&up(&place).ends(), "in is 15 bytes shorter than it was");
    let found = output(&place);
    assert!(expected(&text).starts_with(&found), "nothing else got in");
    place.write("in", &text);
    assert_eq!(up(&place).ends().code, Some(0));
    assert!(output(&place) == expected(&text));
    assert_eq!(place.run("pipeline", &["verify"]).code, Some(0));
}

/// A source that only grew is recognised as such, of a run that is under way and of one that is over.
#[test]
fn a_source_that_has_grown_is_refused_as_such() {
    let text = lines();
    let place = begun_and_killed("lines", &text);
    let grow = || {
        let mut file = OpenOptions::new().append(true).open(place.path("in")).expect("it is there");
        file.write_all(b"MORE\n").expect("there is room");
    };
    grow();
    refused(&up(&place).ends(), "in has grown by 5 bytes since");
    place.write("in", &text);
    assert_eq!(up(&place).ends().code, Some(0));
    grow();
    refused(&up(&place).ends(), "in has grown by 5 bytes since");
    place.write("in", text.replace("000000007", "00000000x"));
    refused(&up(&place).ends(), "in differs between bytes 0 and ");
    place.write("in", &text);
    let ended = up(&place).ends();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("this run is finished"), "{}", ended.stderr);
}

/// Programs that are started by hand: the ventilator's run directory knows the source.
#[test]
fn a_ventilator_that_is_started_by_hand_refuses_a_changed_source() {
    let hand = Hand::over(Transport::Ipc);
    let text = lines();
    hand.place.write("in", &text);
    let mut sink = hand.sink(&["--run-dir", "run"]);
    let mut first = hand.ventilator("lines:in", &["--run-dir", "seen"]);
    let mut worker = hand.worker(&["--run", "lower"]);
    wait::until("some units are recorded", || (hand.lines_so_far() > 1000).then_some(()));
    first.kill();
    hand.place.write("in", text.replace("000000007", "00000000x"));
    let ended = hand.ventilator("lines:in", &["--run-dir", "seen"]).ends();
    refused(&ended, "in differs between bytes 0 and ");
    hand.place.write("in", &text);
    for process in
        [&mut hand.ventilator("lines:in", &["--run-dir", "seen"]), &mut sink, &mut worker]
    {
        process.ends_well();
    }
    assert!(output(&hand.place) == expected(&text));
}

/// Six gigabytes were read before the first unit left; a file of which nobody can see the end is
/// begun at once.
#[test]
fn the_first_units_leave_before_the_source_is_read() {
    let place = Place::new();
    place.write(
        "course.toml",
        "name = \"course\"\n[source]\nkind = \"lines\"\npath = \"in\"\n[[stage]]\nname = \"lower\"\nrun = \"lower\"\nworkers = 1\n[sink]\noutput = \"out.jsonl\"\n",
    );
    // A hole takes no room and a minute to digest; it is one line, too long to be one.
    let mut file = fs::File::create(place.path("in")).expect("there is room");
    file.write_all(lines().as_bytes()).expect("there is room");
    file.set_len(200 << 30).expect("a hole has no size");
    let mut launcher = up(&place);
    wait::until("some lines are recorded", || (output(&place).len() > 100_000).then_some(()));
    let ended = launcher.ends();
    assert_eq!(ended.code, Some(74), "{}", ended.stderr);
    let told = format!("in:{}: a line of more than", LINES + 1);
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);
}
