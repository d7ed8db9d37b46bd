//! Any process may be killed or stopped at any moment, `pipeline up` included: the output is byte
//! for byte that of a calm run. The long form of it is the program `torture`.

use std::time::Duration;

use tests::place::Place;
use tests::torture::{Course, Faults};

const SEED: u64 = 20;
const FAULTS: Faults = Faults { kills: 18, stops: 3 };

#[test]
fn a_tortured_run_gives_what_a_calm_one_gives() {
    let course =
        Course { units: 300_000, first: 100_000_000_000, stop_lasts: Duration::from_millis(2_500) };
    let place = Place::new();
    let calm = course.calm(&place).unwrap_or_else(|trouble| panic!("calm: {trouble}"));
    let torn = course.torn(&place, "torn", &calm, (SEED, FAULTS));
    let torn = torn.unwrap_or_else(|trouble| panic!("seed {SEED}: {trouble}"));
    eprintln!("seed {SEED}: {}; {:.1} s", torn.tally, torn.took.as_secs_f64());
}
