//! Many kinds of runs, each with kills and stops of every process, also of those that have just begun or
//! are about to leave: each gives what a calm run gives. The long form of it is the program `chaos`.

use std::time::Duration;

use fastrand::Rng;
use tests::cases::repertoire;
use tests::chaos::{Storm, plan};
use tests::place::Place;

const SEED: u64 = 10;
const UNITS: u64 = 20_000;
const FAULTS: usize = 12;
const PAUSE: Duration = Duration::from_millis(60);

fn weathers(name: &str) {
    let found = repertoire(UNITS).into_iter().find(|case| case.name == name);
    let case = found.unwrap_or_else(|| panic!("there is no case {name}"));
    let place = Place::new();
    let storm = Storm { place: &place, case: &case, input_lasts: PAUSE * 4 };
    let calm = storm.run("calm", &[], None);
    let calm = calm.unwrap_or_else(|trouble| panic!("{name}: {trouble}"));
    let blows = plan::plan(&mut Rng::with_seed(SEED), FAULTS, PAUSE);
    let torn = storm.run("torn", &blows, calm.taken.text_bytes());
    let torn = torn.unwrap_or_else(|trouble| panic!("{name}, seed {SEED}: {trouble}"));
    let same = torn.taken.same_as(&calm.taken);
    same.unwrap_or_else(|trouble| panic!("{name}, seed {SEED}: {trouble}"));
    eprintln!("{name}, seed {SEED}: {}; {:.1} s", torn.tally, torn.took.as_secs_f64());
}

#[test]
fn a_program_that_is_fed_lines() {
    weathers("pipe");
}

#[test]
fn a_database_in_the_order_of_completion() {
    weathers("sqlite-completion");
}

#[test]
fn units_that_fail() {
    weathers("dead");
}

#[test]
fn programs_by_hand_with_encryption() {
    weathers("hand-curve");
}

/// The launcher is killed as well, and is given the same pipe again from its beginning.
#[test]
fn standard_input() {
    weathers("stdin-pipe");
}

#[test]
fn standard_input_with_lines_that_are_large() {
    weathers("stdin-large");
}

#[test]
fn standard_input_that_becomes_words() {
    weathers("stdin-words");
}

/// Nothing but the summary tells what such a run gave.
#[test]
fn standard_input_of_which_only_sums_are_taken() {
    weathers("stdin-sums");
}

#[test]
fn expansion() {
    weathers("words");
}
