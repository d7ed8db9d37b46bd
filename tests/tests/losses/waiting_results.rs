//! One slow unit delays the output, not the other units: what is done waits for it on disk, survives
//! the sink in a durable run, and leaves nothing behind in any.

use std::fs;
use std::path::Path;

use tests::hand::Hand;
use tests::place::{Place, Transport};
use tests::process::Process;
use tests::wait;

/// So many units, of which more wait than the sink's memory may hold.
const UNITS: usize = 40_000;
const SLOW: &str = "the slow one";
/// Answers each line with itself; the slow one once there is a file `go`.
const ECHO: &str = "
import os, sys, time
for line in sys.stdin:
    while 'slow' in line and not os.path.exists('go'):
        time.sleep(0.01)
    sys.stdout.write(line)
    sys.stdout.flush()
";

/// The lines of the source; the first one is slow.
fn units() -> impl Iterator<Item = String> {
    (0..UNITS).map(|unit| if unit == 0 { SLOW.to_owned() } else { format!("{unit:0>1000}") })
}

/// A source, two workers and a ventilator.
fn begin(hand: &Hand) -> [Process; 3] {
    hand.place.write("echo.py", ECHO);
    let text: String = units().map(|unit| unit + "\n").collect();
    let source = format!("lines:{}", hand.place.write("text.txt", text).display());
    let worker = || hand.worker(&["--pipe", "python3", "echo.py"]);
    [hand.ventilator(&source, &[]), worker(), worker()]
}

/// Whether the output has each unit once, in order.
fn assert_whole(output: &Path) {
    let found = fs::read_to_string(output).expect("the output is there");
    let expected: String = units().map(|unit| format!("\"{unit}\"\n")).collect();
    assert!(found == expected, "the output is not that of a run without a slow unit");
}

fn waiting_files(run_dir: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(run_dir).into_iter().flatten().flatten();
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry));
    let waiting = named.filter(|(name, _)| name.starts_with("waiting-"));
    waiting.filter_map(|(name, entry)| Some((name, entry.metadata().ok()?.len()))).collect()
}

/// Bytes in files without a name that a process has open below a folder.
fn nameless_bytes(pid: u32, folder: &Path) -> u64 {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let is_nameless = |path: &Path| {
        let link = fs::read_link(path).unwrap_or_default();
        link.starts_with(folder) && link.to_string_lossy().ends_with("(deleted)")
    };
    let nameless = entries.map(|entry| entry.path()).filter(|path| is_nameless(path));
    nameless.filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum()
}

#[test]
fn a_sink_that_is_killed_while_results_wait_on_disk_writes_the_same_and_leaves_no_file() {
    let hand = Hand::over(Transport::Ipc);
    let run_dir = hand.place.path("run");
    let mut sink = hand.sink(&["--run-dir", "run"]);
    let mut others = begin(&hand);
    for kill in 0..3 {
        // More than one checkpoint's worth of them, of which the last was not recorded.
        wait::until("results wait on disk", || {
            let bytes: u64 = waiting_files(&run_dir).iter().map(|(_, bytes)| bytes).sum();
            (bytes > (3 + kill) << 20).then_some(())
        });
        sink.kill();
        sink = hand.sink(&["--run-dir", "run"]);
    }
    wait::until("the sink says what the output waits for", || {
        let said = sink.stderr();
        (said.contains("the output waits for this unit") && said.contains("unit=0")).then_some(())
    });
    assert_eq!(hand.lines_so_far(), 0, "the first unit is not done");
    hand.place.write("go", "");
    sink.ends_well();
    others.iter_mut().for_each(|process| drop(process.ends_well()));
    assert_whole(&hand.output());
    assert_eq!(waiting_files(&run_dir), []);
    let verified = hand.place.run("pipeline", &["verify", "run"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
}

#[test]
fn results_of_a_run_that_keeps_nothing_wait_beside_its_output_in_files_without_a_name() {
    let hand = Hand::over(Transport::Ipc);
    let mut sink = hand.sink(&[]);
    let mut others = begin(&hand);
    wait::until("results wait on disk", || {
        (nameless_bytes(sink.id(), hand.place.folder()) > 2 << 20).then_some(())
    });
    hand.place.write("go", "");
    sink.ends_well();
    others.iter_mut().for_each(|process| drop(process.ends_well()));
    assert_whole(&hand.output());
}

#[test]
fn a_sink_that_keeps_nothing_and_is_killed_leaves_no_file() {
    let hand = Hand::over(Transport::Ipc);
    let mut sink = hand.sink(&[]);
    let mut others = begin(&hand);
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("the scenario's folder").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    wait::until("results wait on disk", || {
        (nameless_bytes(sink.id(), hand.place.folder()) > 2 << 20).then_some(())
    });
    let before = names(hand.place.folder());
    sink.kill();
    others.iter_mut().for_each(Process::kill);
    assert_eq!(names(hand.place.folder()), before);
}

#[test]
fn the_progress_of_a_run_says_what_its_output_waits_for() {
    let place = Place::new();
    let topology = "
name = \"late\"
[source]
kind = \"range\"
from = 0
to = 20_000
[[stage]]
name = \"work\"
workers = 2
python = '''
import os, time
def work(value):
    while value == 0 and not os.path.exists('go'):
        time.sleep(0.01)
    return value
'''
[sink]
output = \"out.jsonl\"
";
    place.write("late.toml", topology);
    let mut up = place.start("pipeline", &["up", "late.toml"]);
    wait::until("the progress says what the output waits for", || {
        up.stderr().contains("output waits for unit 0, ").then_some(())
    });
    place.write("go", "");
    up.ends_well();
    assert_eq!(tests::outcome::lines(&place.path("out.jsonl")).len(), 20_001);
}
