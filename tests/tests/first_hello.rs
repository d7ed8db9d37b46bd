//! A durable sink dies while it records that its run begins: nobody may act on what the next one
//! does not know.

use std::time::Duration;

use rusqlite::Connection;
use tests::hand::Hand;
use tests::place::Transport;
use tests::wait;

const UNITS: u64 = 5_000;
/// Longer than a process needs to find its peer again.
const A_WHILE: Duration = Duration::from_millis(1_200);

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
    let mut worker = hand.worker(&["--run", "square"]);
    // It may not hear of the run; where it does, its worker has its first units by then.
    wait::pace(A_WHILE, || !ventilator.is_running());
    sink.kill();
    facts.execute_batch("ROLLBACK").expect("the lock is given back");
    drop(facts);
    ventilator.stop();
    let mut sink = hand.sink(&run_dir);
    sink.is_up();
    wait::pace(A_WHILE, || !sink.is_running());
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
