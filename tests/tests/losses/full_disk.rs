//! A disk that is full ends a run with exit code 74 and the name of the file, and no process is
//! started again and again. Once there is room the same command goes on: nothing is lost, nothing
//! doubled. Every disk is a small `tmpfs`; where none can be mounted, this is skipped and says so.

use std::path::Path;

use tests::hand::Hand;
use tests::place::{Place, Transport};
use tests::process::{Ended, Process};
use tests::programs::program;
use tests::torture::disk::Disk;
use tests::torture::trial::sha256;
use tests::wait;

const UNITS: usize = 200_000;
const NO_ROOM: &str = "No space left on device";
const DATABASE_FULL: &str = "database or disk is full";

/// Numbers, or the lines of standard input, to `output`.
fn topology(source: &str, run: &str, output: &str) -> String {
    format!(
        "name = \"t\"\n[source]\n{source}\n[[stage]]\nname = \"work\"\nrun = \"{run}\"\n\
         workers = 2\n[sink]\noutput = \"{output}\"\n"
    )
}

fn range() -> String {
    let first = 100_000_000_001_u64;
    format!("kind = \"range\"\nfrom = {first}\nto = {}", first + UNITS as u64 - 1)
}

/// Runs `t.toml` in a folder of `place`, with `input` as its standard input.
fn up(place: &Place, folder: &Path, input: &Path, more: &[&str]) -> Ended {
    let mut command = place.command("sh");
    command
        .args(["-c", "input=\"$1\"; shift; exec \"$0\" up t.toml --quiet \"$@\" < \"$input\""])
        .arg(program("pipeline"))
        .arg(input)
        .args(more)
        .current_dir(folder);
    place.start_command("up", command).ends()
}

/// What `output` holds after a run on a disk with room.
fn calm(place: &Place, topology: &str, input: &Path, output: &str) -> Vec<u8> {
    let folder = place.path("calm");
    place.write("t.toml", topology);
    std::fs::create_dir_all(folder.join("disk")).expect("the scenario's folder can be written");
    std::fs::copy(place.path("t.toml"), folder.join("t.toml")).expect("it can be copied");
    assert_eq!(up(place, &folder, input, &["--ephemeral"]).code, Some(0));
    content(&folder.join(output))
}

/// A text as it is; of a database its rows, since its pages may lie in any order.
fn content(output: &Path) -> Vec<u8> {
    if output.extension().is_none_or(|ending| ending != "sqlite") {
        return std::fs::read(output).expect("the output is there");
    }
    let script = "import sqlite3, sys\n\
                  [print(row) for row in sqlite3.connect(sys.argv[1]).execute('select id, value from results order by id')]";
    let rows = std::process::Command::new("python3").args(["-c", script]).arg(output).output();
    let rows = rows.expect("python3 starts");
    assert!(rows.status.success(), "{}", String::from_utf8_lossy(&rows.stderr));
    rows.stdout
}

/// Fills the disk twice, with the same words; then there is room.
fn fills_and_goes_on(size: &str, topology: &str, [output, run_dir]: [&str; 2], words: &str) {
    let place = Place::new();
    let lines: String = (0..UNITS).map(|number| format!("LINE {number}\n")).collect();
    let input = place.write("input", lines);
    let expected = calm(&place, topology, &input, output);
    let Some(disk) = Disk::or_skip(&place, "disk", size) else { return };
    for attempt in 1..=2 {
        let ended = up(&place, place.folder(), &input, &["--run-dir", run_dir]);
        assert_eq!(ended.code, Some(74), "try {attempt}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "try {attempt}: {}", ended.stderr);
        assert!(ended.stderr.contains("/disk/"), "no file is named: {}", ended.stderr);
        assert!(!ended.stderr.contains("is started again"), "{}", ended.stderr);
    }
    disk.resize("200m");
    let ended = up(&place, place.folder(), &input, &["--run-dir", run_dir]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(content(&place.path(output)) == expected, "the output is not that of a calm run");
    let verified = place.run("pipeline", &["verify", run_dir]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
}

#[test]
fn the_disk_of_the_output() {
    let topology = topology(&range(), "factor-sum", "disk/out.jsonl");
    fills_and_goes_on("1m", &topology, ["disk/out.jsonl", "run"], NO_ROOM);
}

#[test]
fn the_disk_of_a_table() {
    let topology = topology(&range(), "factor-sum", "disk/out.csv");
    fills_and_goes_on("1m", &topology, ["disk/out.csv", "run"], NO_ROOM);
}

#[test]
fn the_disk_of_a_database() {
    let topology = topology(&range(), "factor-sum", "disk/out.sqlite");
    fills_and_goes_on("1m", &topology, ["disk/out.sqlite", "run"], DATABASE_FULL);
}

#[test]
fn the_disk_of_the_run_directory() {
    let topology = topology(&range(), "factor-sum", "out.jsonl");
    fills_and_goes_on("512k", &topology, ["out.jsonl", "disk/run"], "disk/run/");
}

#[test]
fn the_disk_of_output_and_run_directory() {
    let topology = topology(&range(), "factor-sum", "disk/out.jsonl");
    fills_and_goes_on("1m", &topology, ["disk/out.jsonl", "disk/run"], "cannot");
}

#[test]
fn the_disk_of_the_run_directory_with_a_copy_of_standard_input() {
    let topology = topology("kind = \"stdin\"", "lower", "out.jsonl");
    fills_and_goes_on("512k", &topology, ["out.jsonl", "disk/run"], "disk/run/");
}

/// A ventilator by hand whose copy of standard input has no room, or has.
fn spooling(hand: &Hand, input: &Path) -> Process {
    let mut command = hand.place.command("sh");
    let (own, sink) = (hand.ventilator_endpoint(), hand.sink_endpoint());
    command
        .args(["-c", "cat \"$1\" | \"$0\" ventilator --source stdin --run-dir disk/copy --bind \"$2\" --sink \"$3\""])
        .arg(program("pipeline"))
        .arg(input)
        .args([own, sink]);
    hand.place.start_command("ventilator", command)
}

#[test]
fn the_disk_of_the_copy_of_standard_input_alone() {
    let hand = Hand::over(Transport::Ipc);
    let Some(disk) = Disk::or_skip(&hand.place, "disk", "1m") else { return };
    let lines: String = (0..UNITS).map(|number| format!("LINE {number}\n")).collect();
    let input = hand.place.write("input", lines);
    let mut sink = hand.sink(&["--run-dir", "run"]);
    let mut worker = hand.worker(&["--run", "lower"]);
    let ended = spooling(&hand, &input).ends();
    assert_eq!(ended.code, Some(74), "{}", ended.stderr);
    assert!(ended.stderr.contains("disk/copy/stdin"), "{}", ended.stderr);
    assert!(ended.stderr.contains(NO_ROOM), "{}", ended.stderr);
    disk.resize("200m");
    // The sink and the worker may have been told that nothing more comes, and have left.
    wait::until("the sink has ended or waits", || {
        (!sink.is_running() || sink.stderr().contains("waiting for it")).then_some(())
    });
    let mut again = (!sink.is_running()).then(|| hand.sink(&["--run-dir", "run"]));
    let mut other = hand.worker(&["--run", "lower"]);
    assert_eq!(spooling(&hand, &input).ends().code, Some(0));
    again.as_mut().unwrap_or(&mut sink).ends_well();
    other.ends_well();
    worker.ends_well();
    let expected: String = (0..UNITS).map(|number| format!("\"line {number}\"\n")).collect();
    let found = std::fs::read_to_string(hand.output()).expect("the output is there");
    assert!(found == expected, "the output is not that of a calm run");
}

/// Results that wait for a slow one lie beside the output, or in the run directory.
#[test]
fn the_disk_on_which_results_wait_for_an_earlier_one() {
    const SLOW: &str = "import sys, time\nfor line in sys.stdin:\n    while 'slow' in line:\n        time.sleep(1)\n    print(line, end='', flush=True)\n";
    let hand = Hand::over(Transport::Ipc);
    let Some(_disk) = Disk::or_skip(&hand.place, "disk", "2m") else { return };
    hand.place.write("echo.py", SLOW);
    let lines: String = (0..20_000).map(|number| format!("{number:0>1000}\n")).collect();
    let input = hand.place.write("input", "slow\n".to_owned() + &lines);
    let mut sink = hand.aggregating_sink(&["--output", "disk/out.jsonl"]);
    let mut ventilator = hand.ventilator(&format!("lines:{}", input.display()), &[]);
    let mut workers = [(); 2].map(|()| hand.worker(&["--pipe", "python3", "echo.py"]));
    let ended = sink.ends();
    assert_eq!(ended.code, Some(74), "{}", ended.stderr);
    let told = "disk, where outcomes wait for an earlier one";
    assert!(ended.stderr.contains(told) && ended.stderr.contains(NO_ROOM), "{}", ended.stderr);
    ventilator.kill();
    workers.iter_mut().for_each(Process::kill);
}

#[test]
fn a_diary_without_room_stops_nobody() {
    let hand = Hand::over(Transport::Ipc);
    let Some(_disk) = Disk::or_skip(&hand.place, "disk", "16k") else { return };
    let mut sink = hand.sink(&[]);
    let source = format!("range:1..{UNITS}");
    let mut ventilator = hand.ventilator(&source, &["--run-dir", "disk/diary"]);
    let mut worker = hand.worker(&["--run", "square"]);
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    assert_eq!(hand.outcome().count("results"), UNITS as u64);
    assert_eq!(sha256(&hand.output()).len(), 64);
}
