//! Results that are recorded in the output itself, and not in the commit log, while the sink is
//! killed again and again: the output is that of a calm run.

use std::{fs, time::Duration};

use rustix::process::Signal;
use tests::place::Place;
use tests::torture::{kin, schedule::Role};
use tests::wait;

const UNITS: usize = 300_000;
/// The sink is killed whenever the output has grown by so much since.
const BETWEEN_KILLS_BYTES: u64 = 10_000_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

fn line(unit: usize) -> String {
    format!("{unit:0300}")
}

#[test]
fn a_sink_that_is_killed_again_and_again_writes_large_results_once_each() {
    let place = Place::new();
    let units: String = (0..UNITS).map(|unit| line(unit) + "\n").collect();
    place.write("lines", units);
    place.write(
        "t.toml",
        "name = \"t\"\n[source]\nkind = \"lines\"\npath = \"lines\"\n[[stage]]\nname = \"work\"\n\
         run = \"echo\"\nworkers = 2\n[sink]\noutput = \"out.jsonl\"\naggregate = [\"count\"]\n",
    );
    let mut run = place.start("pipeline", &["up", "t.toml", "--quiet", "--run-dir", "run"]);
    let (output, mut kills, mut next) = (place.path("out.jsonl"), 0, BETWEEN_KILLS_BYTES);
    while run.is_running() {
        wait::pace(BETWEEN_LOOKS, || !run.is_running());
        let length = fs::metadata(&output).map_or(0, |data| data.len());
        let sink = || kin::members(run.id()).into_iter().find(|member| member.role == Role::Sink);
        if length >= next
            && let Some(sink) = sink()
            && sink.kin.signal(Signal::KILL)
        {
            wait::until("the sink is gone", || (!sink.kin.lives()).then_some(()));
            next = length + BETWEEN_KILLS_BYTES;
            kills += 1;
        }
    }
    let ended = run.ends();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(kills >= 3, "only {kills} kills in the whole run");
    let text = fs::read_to_string(&output).expect("the output is there");
    let mut found = text.lines();
    for unit in 0..UNITS {
        let expected = format!("\"{}\"", line(unit));
        assert_eq!(found.next(), Some(&*expected), "unit {unit}, {kills} kills");
    }
    assert_eq!(found.next(), None);
    assert_eq!(place.run("pipeline", &["verify", "run"]).code, Some(0));
}
