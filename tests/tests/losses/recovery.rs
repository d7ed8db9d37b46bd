//! A worker is killed: its units are with another one, and the summary says how soon.

use tests::hand::Hand;
use tests::place::Transport;
use tests::wait;

const UNITS: u64 = 300_000;

fn a_killed_worker_is_made_up_for(transport: Transport) {
    let hand = Hand::over(transport);
    let mut sink = hand.sink(&[]);
    let mut ventilator = hand.ventilator("range:100000000001..100000300000", &[]);
    let run = ["--run", "factor-sum"];
    let [mut killed, mut other] = [hand.worker(&run), hand.worker(&run)];
    wait::until("some units are recorded", || (hand.lines_so_far() > 20_000).then_some(()));
    killed.kill();
    for process in [&mut sink, &mut ventilator, &mut other] {
        process.ends_well();
    }
    let outcome = hand.outcome();
    assert_eq!(outcome.count("results"), UNITS);
    let recovery = outcome.field("recovery_ms").as_f64();
    let recovery = recovery.expect("the loss of a worker is in the summary");
    eprintln!("{transport:?}: recovered after {recovery:.3} ms");
}

#[test]
fn over_ipc() {
    a_killed_worker_is_made_up_for(Transport::Ipc);
}

#[test]
fn over_tcp() {
    a_killed_worker_is_made_up_for(Transport::Tcp);
}
