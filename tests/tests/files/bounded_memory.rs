//! Memory does not grow with the number of units, and a slow sink slows the source down.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tests::hand::Hand;
use tests::memory::{PEAK_BYTES_MAX, PeakWatch};
use tests::place::Transport;
use tests::process::Process;
use tests::programs::program;
use tests::wait;

fn watch(processes: &[(&str, &Process)]) -> PeakWatch {
    PeakWatch::over(processes.iter().map(|(name, p)| ((*name).to_owned(), p.id())).collect())
}

fn assert_bounded(watch: PeakWatch, count: usize) {
    let peaks = watch.peaks();
    assert_eq!(peaks.len(), count, "each process was seen: {peaks:?}");
    for (name, bytes) in &peaks {
        assert!(*bytes < PEAK_BYTES_MAX, "{name} has had {} MiB", bytes >> 20);
    }
}

#[test]
fn three_million_units_pass_in_bounded_memory() {
    const UNITS: u64 = 3_000_000;
    let hand = Hand::over(Transport::Ipc);
    let mut sink = hand.aggregating_sink(&["--aggregate", "count,sum"]);
    let mut ventilator = hand.ventilator(&format!("range:1..{UNITS}"), &[]);
    let mut workers = [hand.worker(&["--run", "echo"]), hand.worker(&["--run", "echo"])];
    let watch = watch(&[
        ("sink", &sink),
        ("ventilator", &ventilator),
        ("worker 1", &workers[0]),
        ("worker 2", &workers[1]),
    ]);
    sink.ends_well();
    ventilator.ends_well();
    workers.iter_mut().for_each(|worker| drop(worker.ends_well()));
    assert_bounded(watch, 4);
    let outcome = hand.outcome();
    assert_eq!(outcome.count("results"), UNITS);
    assert_eq!(outcome.field("aggregates")["sum"], UNITS * (UNITS + 1) / 2);
}

/// One unit of a million outputs of two bytes each: they travel and wait as runs, not one by one.
fn a_million_outputs_of_one_unit(stages: &str, workers: &[[&str; 4]]) {
    const OUTPUTS: usize = 1_000_000;
    let hand = Hand::over(Transport::Ipc);
    let text = "a ".repeat(OUTPUTS) + "\n";
    let source = format!("lines:{}", hand.place.write("text.txt", text).display());
    let mut sink = hand.sink(&["--aggregate", "count", "--run-dir", "run"]);
    let mut ventilator = hand.ventilator(&source, &["--stages", stages]);
    let mut workers: Vec<Process> = workers.iter().map(|flags| hand.worker(flags)).collect();
    let mut watched = vec![("sink".to_owned(), sink.id()), ("ventilator".into(), ventilator.id())];
    watched.extend(workers.iter().map(|worker| (worker.name().to_owned(), worker.id())));
    let count = watched.len();
    let watch = PeakWatch::over(watched);
    sink.ends_well();
    ventilator.ends_well();
    workers.iter_mut().for_each(|worker| drop(worker.ends_well()));
    assert_bounded(watch, count);
    assert_eq!(hand.outcome().count("outputs"), OUTPUTS as u64);
    let output = fs::read(hand.output()).expect("an output");
    assert!(output == "\"a\"\n".repeat(OUTPUTS).into_bytes(), "each output once");
}

#[test]
fn a_unit_of_a_million_outputs_passes_in_bounded_memory() {
    a_million_outputs_of_one_unit("split", &[["--stage", "split", "--run", "split-words"]]);
}

#[test]
fn a_unit_that_is_expanded_before_another_stage_passes_in_bounded_memory() {
    a_million_outputs_of_one_unit(
        "split,pass",
        &[
            ["--stage", "split", "--run", "split-words"],
            ["--stage", "pass", "--run", "echo"],
            ["--stage", "pass", "--run", "echo"],
        ],
    );
}

/// Each of them is an outcome of its own, since it became two: nothing but the disk has room for all.
#[test]
fn results_that_wait_for_a_slow_unit_take_bounded_memory() {
    const UNITS: usize = 1_500_000;
    const ON_DISK: u64 = 48 << 20;
    const SLOW: &str = "import os, sys, time\nfor line in sys.stdin:\n    open('begun', 'w').close()\n    while not os.path.exists('go'):\n        time.sleep(0.01)\n    print(line, end='', flush=True)\n";
    let hand = Hand::over(Transport::Ipc);
    let text = "ab cd\n".repeat(UNITS);
    let source = format!("lines:{}", hand.place.write("text.txt", text).display());
    hand.place.write("slow.py", SLOW);
    let mut sink = hand.sink(&["--run-dir", "run"]);
    let mut ventilator = hand.ventilator(&source, &[]);
    // It gets the first unit, since it is alone.
    let mut slow = hand.worker(&["--pipe", "python3", "slow.py"]);
    let begun = || hand.place.path("begun").exists().then_some(());
    wait::until("the slow worker has begun", begun);
    let mut worker = hand.worker(&["--run", "split-words"]);
    let watch = watch(&[("sink", &sink), ("ventilator", &ventilator), ("worker", &worker)]);
    wait::until("results wait on disk", || {
        let entries = fs::read_dir(hand.place.path("run")).ok()?.flatten();
        let waiting =
            entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("waiting-"));
        let bytes: u64 = waiting.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum();
        (bytes >= ON_DISK).then_some(())
    });
    hand.place.write("go", "");
    for process in [&mut sink, &mut ventilator, &mut worker, &mut slow] {
        process.ends_well();
    }
    assert_bounded(watch, 3);
    assert_eq!(hand.outcome().count("units_in"), UNITS as u64);
}

/// 10⁶ files as units took 147 MiB in the ventilator; here as many bytes of names as those have.
#[test]
fn files_as_units_pass_in_bounded_memory() {
    const FILES: usize = 150_000;
    let hand = Hand::over(Transport::Ipc);
    let folder = hand.place.path("files");
    fs::create_dir(&folder).expect("a folder can be made");
    for number in 0..FILES {
        File::create(folder.join(format!("{number:0>240}"))).expect("a file can be made");
    }
    let mut sink = hand.aggregating_sink(&["--aggregate", "count"]);
    let mut ventilator = hand.ventilator(&format!("files:{}/*", folder.display()), &[]);
    let mut worker = hand.worker(&["--run", "echo"]);
    let watch = watch(&[("sink", &sink), ("ventilator", &ventilator), ("worker", &worker)]);
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    assert_bounded(watch, 3);
    assert_eq!(hand.outcome().count("results"), FILES as u64);
}

#[test]
fn a_sink_whose_reader_pauses_slows_the_source_instead_of_filling_memory() {
    const LINES: usize = 200_000;
    let hand = Hand::over(Transport::Ipc);
    let line = |number: usize| format!("{number:0>1000}");
    let text: String = (0..LINES).map(|number| line(number) + "\n").collect();
    let bytes = text.len() as u64;
    let source = format!("lines:{}", hand.place.write("text.txt", text).display());
    let fifo = hand.place.path("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a fifo can be made");
    let mut command = hand.place.command("sh");
    let sink = program("sink").display().to_string();
    command
        .args(["-c", &format!("exec '{sink}' --bind {} --output - > fifo", hand.sink_endpoint())]);
    let mut sink = hand.place.start_command("sink", command);
    let mut reader = BufReader::new(File::open(&fifo).expect("the sink opens the other end"));
    let mut ventilator = hand.ventilator(&source, &[]);
    let mut worker = hand.worker(&["--run", "echo"]);
    let watch = watch(&[("sink", &sink), ("ventilator", &ventilator), ("worker", &worker)]);

    let mut found = String::new();
    reader.read_line(&mut found).expect("a line");
    // Nothing is read now, so that sooner or later the source has to stand still.
    let mut before = (0, std::time::Instant::now());
    let read = wait::until("the source stands still", || {
        let now = bytes_read(ventilator.id());
        // Less than a line is no source: threads that wake each other read a few bytes, too.
        if now >= before.0 + line(0).len() as u64 {
            before = (now, std::time::Instant::now());
        }
        (now > 0 && before.1.elapsed() > std::time::Duration::from_millis(700)).then_some(now)
    });
    assert!(read < bytes / 2, "it has read {read} of {bytes} bytes");

    let mut lines = vec![found.trim_end().to_owned()];
    lines.extend(reader.lines().map(|line| line.expect("a line")));
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    assert_bounded(watch, 3);
    let expected: Vec<String> = (0..LINES).map(|number| format!("\"{}\"", line(number))).collect();
    tests::outcome::assert_same_lines(&lines, &expected);
}

/// What a process has read from files so far, in bytes.
fn bytes_read(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.and_then(|count| count.parse().ok()).unwrap_or_default()
}
