//! A worker that was stopped for longer than the liveness limit, and goes on: what it had is with
//! others by then, and nothing comes twice.

use std::time::Duration;

use tests::place::Place;
use tests::torture::schedule::{Fault, Kind};
use tests::torture::{Course, Role};

#[test]
fn a_worker_that_was_stopped_doubles_nothing() {
    let course =
        Course { units: 300_000, first: 100_000_000_000, stop_lasts: Duration::from_millis(2_500) };
    let place = Place::new();
    let calm = course.calm(&place).unwrap_or_else(|trouble| panic!("calm: {trouble}"));
    let stop =
        Fault { share: 0.2, delay: Duration::ZERO, role: Role::Worker, kind: Kind::Stop, pick: 0 };
    let torn = course.under(&place, "torn", &calm, &[stop]);
    let torn = torn.unwrap_or_else(|trouble| panic!("{trouble}"));
    let summary = torn.summary.expect("this launcher wrote its summary");
    assert_eq!(torn.tally.total(Kind::Stop), 1);
    eprintln!("duplicates discarded: {}", summary["duplicates_discarded"]);
}
