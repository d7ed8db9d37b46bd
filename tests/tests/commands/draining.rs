//! A run that is asked to end finishes what functions are working on, and nothing else: what was read
//! ahead is left for the next start, which does it. It says what it waits for, and waits no longer than
//! it may.

use tests::hand::Hand;
use tests::outcome::lines;
use tests::place::{Place, Transport};
use tests::process::Process;
use tests::wait;

const UNITS: usize = 60;
/// Notes that it has begun, and is not done before there is a file `go`.
const WAITS: &str = "echo $1 >> begun; until test -e go; do sleep 0.01; done; echo $1";

fn exec() -> [&'static str; 6] {
    ["--exec", "sh", "-c", WAITS, "sh", "{}"]
}

/// The units that were begun, in order.
fn begun(place: &Place) -> Vec<String> {
    let begun = std::fs::read_to_string(place.path("begun")).unwrap_or_default();
    begun.lines().map(str::to_owned).collect()
}

/// What was finished before a run ended is recorded: the next start does not do it again.
fn assert_done_once(place: &Place, first: &[String]) {
    let all = begun(place);
    for unit in first {
        assert_eq!(all.iter().filter(|other| *other == unit).count(), 1, "unit {unit} of {all:?}");
    }
}

/// A sink, a ventilator and two workers, of which each works on a unit.
fn start(hand: &Hand, flags: &[&str]) -> [Process; 4] {
    let source = format!("range:1..{UNITS}");
    let all = [
        hand.sink(&["--run-dir", "run"]),
        hand.ventilator(&source, flags),
        hand.worker(&exec()),
        hand.worker(&exec()),
    ];
    wait::until("each worker works on a unit", || (begun(&hand.place).len() >= 2).then_some(()));
    all
}

fn codes(all: [Process; 4]) -> [Option<i32>; 4] {
    all.map(|mut process| process.ends().code)
}

#[test]
fn only_what_is_being_worked_on_is_finished_and_the_rest_is_done_by_the_next_start() {
    let hand = Hand::over(Transport::Ipc);
    let all = start(&hand, &[]);
    all[1].terminate();
    wait::until("it is told what runs", || {
        let said = all[1].stderr();
        (said.contains("draining: ") && said.contains("units=2")).then_some(())
    });
    hand.place.write("go", "");
    assert_eq!(codes(all), [Some(75), Some(75), Some(0), Some(0)]);
    let first = begun(&hand.place);
    assert_eq!(first.len(), 2, "what had been read ahead was not begun");
    // What the other worker has done may wait for what came back.
    assert_eq!(lines(&hand.output()).first().map(String::as_str), Some("1"));
    assert_eq!(codes(start(&hand, &[])), [Some(0); 4]);
    assert_eq!(lines(&hand.output()).len(), UNITS);
    assert_done_once(&hand.place, &first);
}

#[test]
fn what_takes_longer_than_it_may_is_left_undone_and_the_run_goes_on_later() {
    let hand = Hand::over(Transport::Ipc);
    let all = start(&hand, &["--drain-limit", "100ms"]);
    all[1].terminate();
    wait::until("it is told what is left undone", || {
        all[1].stderr().contains("what is being worked on takes too long").then_some(())
    });
    assert_eq!(codes(all), [Some(75), Some(75), Some(0), Some(0)]);
    assert_eq!(lines(&hand.output()), [""; 0]);
    hand.place.write("go", "");
    assert_eq!(codes(start(&hand, &[])), [Some(0); 4]);
    assert_eq!(lines(&hand.output()).len(), UNITS);
}

/// Two stages: what the first has made and the second has not begun is made again.
#[test]
fn a_run_of_several_stages_that_up_has_started_ends_and_goes_on() {
    let place = Place::new();
    place.write(
        "t.toml",
        format!(
            "name = \"t\"\n[source]\nkind = \"range\"\nfrom = 1\nto = {UNITS}\n\
             [[stage]]\nname = \"one\"\nrun = \"echo\"\nworkers = 1\n\
             [[stage]]\nname = \"two\"\nworkers = 2\n\
             exec = [\"sh\", \"-c\", \"{WAITS}\", \"sh\", \"{{}}\"]\n\
             [sink]\noutput = \"out.jsonl\"\n"
        ),
    );
    let mut up = place.start("pipeline", &["up", "t.toml"]);
    wait::until("each worker works on a unit", || (begun(&place).len() >= 2).then_some(()));
    up.terminate();
    wait::until("it is told what runs", || {
        up.stderr().contains("draining: 2 units running, longest ").then_some(())
    });
    place.write("go", "");
    let ended = up.ends();
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    let first = begun(&place);
    assert_eq!(first.len(), 2, "what had been read ahead was not begun");
    assert_eq!(lines(&place.path("out.jsonl")).first().map(String::as_str), Some("1"));
    place.run("pipeline", &["up", "t.toml"]);
    assert_eq!(lines(&place.path("out.jsonl")).len(), UNITS);
    assert_done_once(&place, &first);
}
