//! The commands that the README begins with do what it says, as they stand there.
//!
//! Two things are changed on the way: the programs are those under test instead of freshly built
//! ones, and the ports are free ones, since a test may not rely on fixed ones.

use std::fs;

use tests::outcome::{assert_same_lines, lines};
use tests::place::Transport;
use tests::programs::{program, repository};
use tests::topologies::Shipped;

/// The lines of the first fenced block of the README that has all of `needles`.
fn block(needles: &[&str]) -> Vec<String> {
    let text = fs::read_to_string(repository().join("README.md")).expect("there is a README");
    let blocks = text.split("```").skip(1).step_by(2);
    let found =
        blocks.into_iter().find(|block| needles.iter().all(|needle| block.contains(needle)));
    let found = found.unwrap_or_else(|| panic!("the README has no block with {needles:?}"));
    found.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn the_first_command_runs_a_topology() {
    const RUN: &str = "cargo run --release -- ";
    let commands = block(&[RUN]);
    let command = commands.iter().find_map(|line| line.trim().strip_prefix(RUN));
    let words: Vec<&str> = command.expect("the command").split_whitespace().collect();
    assert_eq!(words, ["up", "topologies/factorize.toml"]);
    let shipped = Shipped::new();
    shipped.place.start("pipeline", &words).ends_well();
    assert_eq!(lines(&shipped.path("results.jsonl")).len(), 100_000);
}

#[test]
fn the_three_programs_started_by_hand_make_a_thousand_squares() {
    let shipped = Shipped::new();
    let place = &shipped.place;
    let commands = block(&["sink ", "ventilator ", "worker "]);
    let commands: Vec<String> =
        commands.into_iter().filter(|line| !line.starts_with("cargo build")).collect();
    let (sink, ventilator) =
        (place.endpoint(Transport::Tcp, "s"), place.endpoint(Transport::Tcp, "v"));
    let script = commands
        .join("\n")
        .replace("tcp://127.0.0.1:5558", &sink)
        .replace("tcp://127.0.0.1:5557", &ventilator);
    assert!(script.contains(&sink) && script.contains(&ventilator), "{script}");

    let programs = program("sink").parent().expect("a folder").to_owned();
    let mut shell = place.command("bash");
    // The script sets PATH to the build in the current folder; the programs under test go first.
    let script = format!(
        "set -e\n{}",
        script.replace("$PWD/target/release", &programs.display().to_string())
    );
    shell.args(["-c", &script]);
    place.start_command("readme", shell).ends_well();
    let squares: Vec<String> = (1..=1000_u64).map(|n| (n * n).to_string()).collect();
    assert_same_lines(&lines(&place.path("squares.jsonl")), &squares);
}
