//! A durable sink dies while it records that its run begins: nobody may act on what the next one
//! does not know.

use std::path::Path;

use rusqlite::Connection;
use tests::hand::Hand;
use tests::place::Transport;
use tests::process::Process;
use tests::wait;

const UNITS: u64 = 5_000;

/// Waits until a process has said this.
fn says(process: &Process, words: &str) {
    wait::until(&format!("{} says: {words}", process.name()), || {
        process.stderr().contains(words).then_some(())
    });
}

/// Whether anything was worked on.
fn has_begun(traces: &Path) -> bool {
    std::fs::metadata(traces).is_ok_and(|traces| traces.len() > 0)
}

/// *A durable sink killed while it records the first ventilator's Hello*: the disk is held up as a
/// slow one would be, by a lock on the run's facts, the sink is killed meanwhile, and its successor
/// hears the worker before it hears the ventilator.
fn is_made_up_for(transport: Transport) {
    let hand = Hand::over(transport);
    let run_dir = ["--run-dir", "run"];
    let mut sink = hand.sink(&run_dir);
    sink.is_up();
    let facts = Connection::open(hand.place.path("run/run.sqlite")).expect("the sink made it");
    facts.execute_batch("BEGIN IMMEDIATE").expect("nothing is being recorded");
    let mut ventilator = hand.ventilator(&format!("range:1..{UNITS}"), &[]);
    // What it is given leaves a trace.
    let traces = hand.place.path("traces");
    let mut worker = hand.worker(&["--pipe", "tee", "-a", "traces"]);
    says(&sink, "recording that the run begins");
    // It may not hear of the run, and says so; where it does, its worker has its first units.
    wait::until("the ventilator waits, or a unit is begun", || {
        let waits = ventilator.stderr().contains("the sink does not answer");
        (waits || has_begun(&traces)).then_some(())
    });
    sink.kill();
    facts.execute_batch("ROLLBACK").expect("the lock is given back");
    drop(facts);
    ventilator.stop();
    let mut sink = hand.sink(&run_dir);
    sink.is_up();
    if has_begun(&traces) {
        says(&sink, "worker joined");
    }
    ventilator.go_on();
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    assert_eq!(hand.outcome().count("results"), UNITS);
}

#[test]
fn a_sink_killed_while_it_records_the_first_hello_holds_nobody_up_over_ipc() {
    is_made_up_for(Transport::Ipc);
}

#[test]
fn a_sink_killed_while_it_records_the_first_hello_holds_nobody_up_over_tcp() {
    is_made_up_for(Transport::Tcp);
}
