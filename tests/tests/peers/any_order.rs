//! The three programs are started by hand in any order, over tcp and over ipc: the run is complete,
//! and every process leaves by itself.

use tests::hand::Hand;
use tests::outcome::{assert_same_lines, lines};
use tests::place::Transport;

const ORDERS: [[&str; 3]; 6] = [
    ["sink", "ventilator", "worker"],
    ["sink", "worker", "ventilator"],
    ["ventilator", "sink", "worker"],
    ["ventilator", "worker", "sink"],
    ["worker", "sink", "ventilator"],
    ["worker", "ventilator", "sink"],
];

fn squares_in_every_order(transport: Transport) {
    let squares: Vec<String> = (1..=1000_u64).map(|n| (n * n).to_string()).collect();
    for order in ORDERS {
        let hand = Hand::over(transport);
        let start = |role| match role {
            "sink" => hand.sink(&[]),
            "ventilator" => hand.ventilator("range:1..1000", &[]),
            _ => hand.worker(&["--run", "square"]),
        };
        let [first, second, last] = order;
        let mut processes = [first, second].map(|role| {
            let mut process = start(role);
            process.is_up();
            process
        });
        start(last).ends_well();
        processes.iter_mut().for_each(|process| drop(process.ends_well()));
        assert_same_lines(&lines(&hand.output()), &squares);
        let outcome = hand.outcome();
        assert_eq!(outcome.count("results"), 1000, "{order:?}");
        assert_eq!(outcome.count("attempts"), 1000, "{order:?}");
    }
}

#[test]
fn a_thousand_squares_come_out_over_tcp_whoever_starts_first() {
    squares_in_every_order(Transport::Tcp);
}

#[test]
fn a_thousand_squares_come_out_over_ipc_whoever_starts_first() {
    squares_in_every_order(Transport::Ipc);
}

#[test]
fn a_run_without_units_is_complete_at_once() {
    let hand = Hand::over(Transport::Ipc);
    let empty = hand.place.write("empty.txt", "");
    let mut sink = hand.sink(&[]);
    let mut ventilator = hand.ventilator(&format!("lines:{}", empty.display()), &[]);
    // Nobody is needed for it, and a worker that came after the end would wait for the next run.
    for process in [&mut sink, &mut ventilator] {
        process.ends_well();
    }
    assert_eq!(hand.outcome().count("units_in"), 0);
    assert_eq!(lines(&hand.output()), Vec::<String>::new());
}
