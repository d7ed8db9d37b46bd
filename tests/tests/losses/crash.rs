//! A process that dies at any of its file operations, or half-way through one, with or without what
//! was not yet synced, and a disk that fails at one: the run ends with a code that says so, or goes on,
//! and gives what a calm one gives. The long form of it is the program `crash`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use fastrand::Rng;
use tests::cases::{Case, repertoire};
use tests::crash::{How, Loss, Point, Reach, Role, Shim, Site, sweep};
use tests::place::Place;

const SEED: u64 = 10;
const UNITS: u64 = 2_000;
/// Of each case.
const POINTS: usize = 9;

fn case(name: &str) -> Case {
    let found = repertoire(UNITS).into_iter().find(|case| case.name == name);
    found.unwrap_or_else(|| panic!("there is no case {name}"))
}

/// Tries points of a case that a seed deals.
fn comes_through(name: &str) {
    let (place, case) = (Place::new(), case(name));
    let shim = Shim::build(&place);
    let site = Site { place: &place, shim: &shim, case: &case };
    let (calm, traces) = site.calm().unwrap_or_else(|trouble| panic!("{name}: {trouble}"));
    let mut rng = Rng::with_seed(SEED);
    for turn in 0..POINTS {
        let Some(point) = sweep::deal(&mut rng, turn, name, &traces) else { continue };
        let struck = site.strike(&format!("p{turn}"), &point, &calm);
        let struck = struck.unwrap_or_else(|trouble| panic!("{point}: {trouble}"));
        eprintln!("{point}: {:?}, exit codes {:?}", struck.strikes, struck.codes);
    }
}

#[test]
fn lines_in_order() {
    comes_through("lines");
}

#[test]
fn a_table_with_dead_letters_in_any_order() {
    comes_through("dead-completion");
}

#[test]
fn a_database() {
    comes_through("sqlite-output");
}

#[test]
fn standard_input() {
    comes_through("stdin-pipe");
}

#[test]
fn large_lines() {
    comes_through("large-lines");
}

/// The role is struck at so many operations from the first one on whose line ends so, as a calm run has them.
fn comes_through_from(
    name: &str,
    (role, word): (Role, &str),
    (first, count): (&str, usize),
    losses: &[Loss],
) {
    let (place, case) = (Place::new(), case(name));
    let shim = Shim::build(&place);
    let site = Site { place: &place, shim: &shim, case: &case };
    let (calm, traces) = site.calm().unwrap_or_else(|trouble| panic!("{name}: {trouble}"));
    let lines = &traces[word][0];
    let begin = lines.iter().position(|line| line.ends_with(first));
    let begin = begin.unwrap_or_else(|| panic!("no {first} in {lines:#?}"));
    let mut tried = 0;
    for at in (begin as u64 + 1..=lines.len() as u64).take(count) {
        for loss in losses {
            let reach = if *loss == Loss::Nothing { Reach::Process } else { Reach::Run };
            let (at, how, case) = (vec![at], How::KillAfter, name.to_owned());
            let point = Point { case, role, at, how, loss: *loss, reach };
            let struck = site.strike(&format!("p{tried}"), &point, &calm);
            let struck = struck.unwrap_or_else(|trouble| panic!("{point}: {trouble}"));
            eprintln!("{point}: {:?}, exit codes {:?}", struck.strikes, struck.codes);
            tried += 1;
        }
    }
}

/// What a run is for is recorded whole or not at all, so that its launcher's death, or a loss of power, while
/// it is recorded does not keep the same command from beginning the run.
#[test]
fn a_launcher_that_dies_while_it_records_what_the_run_is_for() {
    let losses = [Loss::Nothing, Loss::All];
    comes_through_from("lines", (Role::Launcher, "up"), ("/.pipeline", 8), &losses);
}

/// What a run of nothing but aggregates gave is had again by the same command, wherever its launcher died when
/// the run was complete: no other file has it.
#[test]
fn a_launcher_that_dies_before_or_while_it_tells_the_aggregates() {
    comes_through_from("aggregates", (Role::Launcher, "up"), ("/up", 16), &[Loss::Nothing]);
}

/// Results that wait on disk for an earlier one are there, whole, wherever the sink died while they were put there.
#[test]
fn a_sink_that_dies_while_results_begin_to_wait_on_disk() {
    let losses = [Loss::Nothing, Loss::All];
    comes_through_from("stragglers", (Role::Sink, "sink"), ("/waiting-00000001", 6), &losses);
}

/// A run that is recorded as finished has its manifest, also after a loss of power.
#[test]
fn a_loss_of_power_while_the_manifest_is_written() {
    let first = ("/manifest.json", 12);
    comes_through_from("lines", (Role::Sink, "sink"), first, &[Loss::All]);
}

/// A shell that writes two lines into a file, syncs the first and renames it: what the shim does to it.
struct Struck {
    place: Place,
}

impl Struck {
    fn by(point: &str) -> Self {
        let place = Place::new();
        let shim = Shim::build(&place);
        let point: Point = point.parse().expect("it is a point");
        // The shim knows roles by the name of a program.
        let worker = place.path("worker");
        fs::copy("/usr/bin/python3", &worker).expect("python3 is there");
        let script = "import os, sys\n\
            file = os.open('draft', os.O_WRONLY | os.O_CREAT)\n\
            os.write(file, b'first\\n'); os.fsync(file); os.write(file, b'second\\n')\n\
            os.rename('draft', 'final'); os.close(file)";
        fs::create_dir(place.path("root")).expect("the scenario's folder can be written");
        let mut command = Command::new(worker);
        command.args(["-c", script]).current_dir(place.path("root"));
        shim.strike(&mut command, &place.path("root"), &place.path("state"), &point);
        place.start_command("worker", command).ends();
        Struck { place }
    }

    fn left(&self) -> BTreeMap<String, String> {
        let root: PathBuf = self.place.path("root");
        let entries = fs::read_dir(root).expect("it is there").flatten();
        entries
            .map(|entry| {
                let text = fs::read_to_string(entry.path()).expect("it is text");
                (entry.file_name().to_string_lossy().into_owned(), text)
            })
            .collect()
    }
}

fn has(name: &str, text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), text.to_owned())])
}

/// The operations are: create, write, fsync, write, rename, close.
#[test]
fn the_shim_kills_before_half_way_through_and_after_an_operation() {
    assert_eq!(Struck::by("x/worker/4/kill-before/none/process").left(), has("draft", "first\n"));
    assert_eq!(Struck::by("x/worker/4/kill-half/none/process").left(), has("draft", "first\nsec"));
    let after = Struck::by("x/worker/5/kill-after/none/process").left();
    assert_eq!(after, has("final", "first\nsecond\n"));
}

#[test]
fn the_shim_takes_back_what_was_not_synced() {
    let lost = Struck::by("x/worker/6/kill-before/all/process").left();
    assert_eq!(lost, has("draft", "first\n"));
    assert!(Struck::by("x/worker/2/kill-after/all/process").left().is_empty());
}

#[test]
fn the_shim_lets_an_operation_fail_or_do_half_of_it() {
    // Opened by the interpreter below its own folders, nothing but these counts.
    assert_eq!(Struck::by("x/worker/4/enospc/none/process").left(), has("draft", "first\n"));
    let short = Struck::by("x/worker/4/short/none/process").left();
    assert_eq!(short, has("final", "first\nsec"));
}
