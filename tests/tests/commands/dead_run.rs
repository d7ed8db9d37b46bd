//! `pipeline dead run`: the program that it runs ends with it.

use rustix::process::Signal;
use tests::mark::Mark;
use tests::place::Place;
use tests::{programs, wait};

/// A unit fails where there is no file `second`; with it, its program hides others and goes on.
const TOPOLOGY: &str = "[source]\nkind = \"range\"\nfrom = 1\nto = 1\n[[stage]]\nname = \"s\"\n\
    retries = 0\nexec = [\"sh\", \"-c\", \"test -e second || exit 1; trap '' HUP INT TERM; \
    setsid sleep 300 & (setsid sleep 300 &) ; : > begun; sleep 300\"]\n\
    [sink]\noutput = \"out.jsonl\"\n";

#[test]
fn the_program_of_a_dead_unit_ends_with_whoever_runs_it() {
    let place = Place::new();
    let topology = place.write("t.toml", TOPOLOGY).display().to_string();
    assert_eq!(place.run("pipeline", &["up", &topology, "-q"]).code, Some(1));
    place.write("second", "");
    for (signal, code) in [
        (Signal::INT, Some(130)),
        (Signal::TERM, Some(130)),
        (Signal::HUP, Some(130)),
        (Signal::KILL, None),
    ] {
        let mark = Mark::new();
        let mut command = place.command(programs::program("pipeline"));
        command.args(["dead", "run", "0", "--topology", &topology]);
        command.args(["--run-dir", ".pipeline/t"]);
        mark.put_on(&mut command);
        let mut process = place.start_command("dead", command);
        let begun = || place.path("begun").exists().then_some(());
        wait::until("the program has begun", begun);
        let bearers = mark.bearers();
        assert!(bearers.len() >= 4, "{bearers:?}");
        let own = bearers.iter().find(|bearer| bearer.pid == process.id());
        own.expect("it bears the mark").signal(signal);
        let ended = process.ends();
        assert_eq!(ended.code, code, "{signal:?}: {}", ended.stderr);
        // After a kill its guard sees to it.
        wait::until("nothing is left", || mark.bearers().is_empty().then_some(()));
        std::fs::remove_file(place.path("begun")).expect("it is there");
    }
}
