//! Outputs of a unit that is still worked on, for whoever follows it.

use tests::place::Place;
use tests::process::Process;
use tests::runs::{self, children_of, pipeline};
use tests::wait;

use super::{call, start, write};

/// Gives its numbers one by one, each of them once a file lets it.
const GATED: &str = r#"python = """
import os, time
def work(count):
    for number in range(count):
        yield [PIPELINE_ATTEMPT, number] if os.path.exists("attempts") else number
        while not os.path.exists(f"go-{number}"):
            time.sleep(0.005)
"""
stream = true
backoff = "1ms""#;

fn service(place: &Place) -> Process {
    write(place, "counts", GATED, "");
    start(place, "counts")
}

fn follow(place: &Place, count: &str) -> Process {
    place.start("pipeline", &["call", "counts", "--stream", "--wait-for-workers", count])
}

fn prints(following: &Process, expected: &str) {
    wait::until("it prints what was given so far", || {
        (following.stdout() == expected).then_some(())
    });
}

fn kill(up: &Process, role: &str) {
    let all = children_of(up.id(), role);
    assert!(!all.is_empty(), "{role}");
    all.into_iter().for_each(runs::kill);
}

#[test]
fn outputs_come_while_their_unit_is_worked_on_and_each_once_whoever_is_killed() {
    let place = Place::new();
    let up = service(&place);
    let mut following = follow(&place, "6");
    prints(&following, "0\n");
    place.write("go-0", "");
    prints(&following, "0\n1\n");
    kill(&up, "worker");
    place.write("go-1", "");
    prints(&following, "0\n1\n2\n");
    // What the sink forgets comes with the outcome.
    kill(&up, "sink");
    (2..6).for_each(|gate| _ = place.write(&format!("go-{gate}"), ""));
    let told = following.ends();
    assert_eq!(
        (told.code, told.stdout.as_str()),
        (Some(0), "0\n1\n2\n3\n4\n5\n"),
        "{}",
        told.stderr
    );
    let told = call(&place, &["counts", "3"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "0\n1\n2\n"), "{}", told.stderr);
}

#[test]
fn who_works_on_it_again_and_gives_something_else_ends_the_stream() {
    let place = Place::new();
    place.write("attempts", "");
    let up = service(&place);
    let mut following = follow(&place, "2");
    prints(&following, "[1,0]\n");
    kill(&up, "worker");
    (0..2).for_each(|gate| _ = place.write(&format!("go-{gate}"), ""));
    let told = following.ends();
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), "[1,0]\n"), "{}", told.stderr);
    assert!(told.stderr.contains("gave other outputs than before"), "{}", told.stderr);
}

#[test]
fn a_stream_that_nobody_could_follow_is_refused() {
    let place = Place::new();
    write(&place, "a", "exec = [\"true\"]\nstream = true", "");
    write(&place, "b", "python = \"def work(v): return v\"\nstream = true\nconcurrency = 2", "");
    place.write(
        "c.toml",
        "name = \"c\"\n[source]\nkind = \"range\"\nfrom = 1\nto = 3\n[[stage]]\nname = \"s\"\nrun = \"square\"\nstream = true\n",
    );
    for (file, words) in [
        ("a.toml", "outputs one by one"),
        ("b.toml", "one unit at a time"),
        ("c.toml", "the last stage of a service"),
    ] {
        let told = pipeline(&place, &["check", file]);
        assert_eq!(told.code, Some(78), "{file}: {}", told.stderr);
        assert!(told.stderr.contains(words), "{file}: {}", told.stderr);
    }
}
