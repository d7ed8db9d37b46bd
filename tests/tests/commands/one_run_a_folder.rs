//! Two runs in one folder: the second is told at once who has it.

use rustix::process::Signal;
use tests::hand::Hand;
use tests::mark::Mark;
use tests::place::{Place, Transport};
use tests::{programs, wait};

const ENDLESS: &str = "[source]\nkind = \"range\"\nfrom = 1\nto = 4\n[[stage]]\nname = \"s\"\n\
    exec = [\"sh\", \"-c\", \": > begun; sleep 300\"]\n[sink]\noutput = \"out.jsonl\"\n";

/// Two runs in one directory: "waiting for its end", then 74 after 3 s. Later: who, but not since
/// when, nor how far that is.
#[test]
fn a_second_launcher_is_told_who_has_the_run_directory() {
    let (place, mark) = (Place::new(), Mark::new());
    let topology = place.write("t.toml", ENDLESS);
    let start = || {
        let mut command = place.command(programs::program("pipeline"));
        command.arg("up").arg(&topology);
        mark.put_on(&mut command);
        command
    };
    let first = place.start_command("up", start());
    wait::until("a unit has begun", || place.path("begun").exists().then_some(()));
    for flags in [&[][..], &["--fresh"]] {
        let mut second = start();
        second.args(flags);
        let ended = place.start_command("second", second).ends();
        assert_eq!(ended.code, Some(75), "{}", ended.stderr);
        let who = format!("already running: pid {} since ", first.id());
        assert!(ended.stderr.contains(&who), "{}", ended.stderr);
        assert!(ended.stderr.contains(", 0 %; --wait waits for its end"), "{}", ended.stderr);
    }
    first.terminate();
    mark.bearers().iter().for_each(|bearer| bearer.signal(Signal::KILL));
}

/// The same for the programs by hand.
#[test]
fn a_second_sink_and_a_second_ventilator_are_told_who_has_the_run_directory() {
    let hand = Hand::over(Transport::Ipc);
    let mut sink = hand.sink(&["--run-dir", "run"]);
    let mut ventilator = hand.ventilator("range:1..9", &["--run-dir", "run"]);
    sink.is_up();
    ventilator.is_up();
    let other = |name: &str| format!("ipc://{}", hand.place.path(name).display());
    let (bind, to) = (other("b"), other("t"));
    let sinks = hand.place.run("sink", &["--bind", &bind, "--run-dir", "run"]);
    let source = ["--bind", &bind, "--sink", &to, "--source", "range:1..9", "--run-dir", "run"];
    let ventilators = hand.place.run("ventilator", &source);
    for (ended, holder) in [(sinks, sink.id()), (ventilators, ventilator.id())] {
        assert_eq!(ended.code, Some(74), "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("process {holder} (`")), "{}", ended.stderr);
    }
}
