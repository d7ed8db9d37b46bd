//! Inputs that nobody wants: each has one documented answer (see "Odd inputs" in topologies/REFERENCE.md).

use std::io::Write;

use tests::hand::Hand;
use tests::outcome::lines;
use tests::place::Transport;

/// Exit codes of a ventilator.
const ALL: i32 = 0;
const SOURCE: i32 = 74;

/// Runs a source through `echo`: the ventilator's exit code and words, and the output.
fn echoed(kind: &str, content: &[u8]) -> (Option<i32>, String, Vec<String>) {
    let hand = Hand::over(Transport::Ipc);
    let path = hand.place.write("source", content);
    let mut sink = hand.sink(&[]);
    let mut ventilator = hand.ventilator(&format!("{kind}:{}", path.display()), &[]);
    let mut worker = hand.worker(&["--run", "echo"]);
    let ended = ventilator.ends();
    sink.ends();
    // The run may have been over before it came.
    worker.kill();
    (ended.code, ended.stderr, lines(&hand.output()))
}

fn comes_through(kind: &str, content: &[u8], expected: &[&str]) {
    let (code, words, output) = echoed(kind, content);
    assert_eq!(
        (code, output),
        (Some(ALL), expected.iter().map(|l| (*l).to_owned()).collect()),
        "{words}"
    );
}

fn stops_at(kind: &str, content: &[u8], problem: &str) {
    let (code, words, _) = echoed(kind, content);
    assert!(words.contains(problem), "{problem:?} in {words}");
    assert_eq!(code, Some(SOURCE));
}

#[test]
fn an_empty_source_is_a_complete_run_of_nothing() {
    for kind in ["lines", "jsonl", "csv"] {
        comes_through(kind, b"", &[]);
    }
    comes_through("csv", b"a,b\n", &[]);
}

#[test]
fn bytes_that_are_no_utf_8_are_replaced_in_lines_and_refused_in_json() {
    comes_through("lines", b"a\xff\n", &["\"a\u{fffd}\""]);
    stops_at("jsonl", b"1\n\"\xff\"\n", "source:2: ");
    stops_at("csv", b"a\nx\n\xff\n", "UTF-8");
}

/// Marks, wide characters, compression: each was taken as text, with exit code 0.
#[test]
fn what_is_no_plain_utf_8_is_read_or_named_also_on_standard_input() {
    comes_through("lines", b"\xef\xbb\xbfa\n", &["\"a\""]);
    comes_through("jsonl", b"\xef\xbb\xbf1\n", &["1"]);
    stops_at("lines", b"\xff\xfea\0\n\0", "source:1: it is UTF-16 text");
    stops_at("csv", b"\xfd7zXZ\0\0\x04", "source:1: it is compressed with xz");
    stops_at("jsonl", b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "its gzip data is cut off");
    for (bytes, words) in [
        (&b"\xff\xfea\0\n\0"[..], "UTF-16"),
        (b"BZh91AY&SY..", "bzip2"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
    ] {
        // What a sink wrote in a place is another one's no more.
        let hand = Hand::over(Transport::Ipc);
        hand.place.write("input", bytes);
        let mut command = hand.place.command("/bin/sh");
        command.args(["-c", "exec \"$0\" \"$@\" < input"]);
        command.arg(tests::programs::program("ventilator"));
        command.args(["--bind", hand.ventilator_endpoint(), "--sink", hand.sink_endpoint()]);
        command.args(["--source", "stdin", "--run-dir", &format!("run-{words}")]);
        let mut sink = hand.sink(&[]);
        let ended = hand.place.start_command("ventilator", command).ends();
        assert!(ended.stderr.contains("standard input:1: it"), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        assert_eq!(ended.code, Some(SOURCE));
        sink.kill();
    }
}

/// Damaged rows came out as if they were whole, with exit code 0.
#[test]
fn a_csv_that_disagrees_with_its_form_is_refused_with_its_place() {
    stops_at(
        "csv",
        b"a,b\n1,2\n3,\"4\n5,6\n",
        "source:3: column 3: a quote is opened here and never closed",
    );
    stops_at("csv", b"a,b,a\n1,2,3\n", "source:1: column 5: columns 1 and 3 are both called `a`");
    stops_at("csv", b"a;b\n1;2\n", "delimiter");
    let hand = Hand::over(Transport::Ipc);
    hand.place.write("source", "a;b\n1,5;2\n");
    let mut sink = hand.sink(&[]);
    let mut ventilator = hand.ventilator("csv:source", &["--delimiter", ";"]);
    let mut worker = hand.worker(&["--run", "echo"]);
    assert_eq!(ventilator.ends().code, Some(ALL));
    sink.ends();
    worker.kill();
    assert_eq!(lines(&hand.output()), [r#"{"a":"1,5","b":"2"}"#]);
    let wrong = hand.ventilator("lines:source", &["--delimiter", ";"]).ends();
    assert!(wrong.code == Some(64) && wrong.stderr.contains("csv"), "{}", wrong.stderr);
}

#[test]
fn rows_of_another_length_than_the_header_are_refused() {
    stops_at("csv", b"a,b\n1,2\n3\n", "source:3: ");
}

#[test]
fn numbers_past_64_bits_become_floats_and_there_is_no_nan_in_json() {
    comes_through(
        "jsonl",
        b"18446744073709551615\n-9223372036854775808\n",
        &["18446744073709551615", "-9223372036854775808"],
    );
    comes_through("jsonl", b"18446744073709551616\n", &["1.8446744073709552e+19"]);
    stops_at("jsonl", b"1\nNaN\n", "source:2: ");
    stops_at("jsonl", b"1e999\n", "source:1: ");
}

#[test]
fn keys_that_come_twice_are_kept_as_they_are() {
    comes_through("jsonl", br#"{"a":1,"a":2}"#, &[r#"{"a":1,"a":2}"#]);
}

#[test]
fn a_value_nested_too_deep_is_refused() {
    let deep = |levels| [vec![b'['; levels], vec![b']'; levels]].concat();
    comes_through("jsonl", &deep(120), &[&String::from_utf8_lossy(&deep(120))]);
    stops_at("jsonl", &deep(100_000), "recursion limit");
}

#[test]
fn an_endless_line_or_row_is_refused_before_it_fills_the_memory() {
    for (kind, head) in [("lines", "x"), ("jsonl", "\""), ("csv", "a\n\"")] {
        let hand = Hand::over(Transport::Ipc);
        let path = hand.place.path(kind);
        let mut file = std::fs::File::create(&path).expect("the folder can be written");
        file.write_all(head.as_bytes()).expect("it can be written");
        // A gibibyte, of which the disk has nothing.
        file.set_len(1 << 30).expect("a sparse file");
        let mut sink = hand.sink(&[]);
        let mut ventilator = hand.ventilator(&format!("{kind}:{}", path.display()), &[]);
        let mut worker = hand.worker(&["--run", "echo"]);
        let watched = tests::memory::PeakWatch::over(vec![("ventilator".into(), ventilator.id())]);
        let ended = ventilator.ends();
        assert!(ended.stderr.contains("more than 16777216 bytes"), "{}", ended.stderr);
        assert_eq!(ended.code, Some(SOURCE));
        let peak = watched.peaks()["ventilator"];
        assert!(peak < 3 * tests::memory::PEAK_BYTES_MAX, "{} MiB", peak >> 20);
        sink.ends();
        worker.kill();
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let hand = Hand::over(Transport::Ipc);
    let ended = hand.ventilator("lines:no-such-file", &[]).ends();
    assert_eq!(ended.code, Some(SOURCE));
    assert!(ended.stderr.contains("no-such-file: No such file"), "{}", ended.stderr);
}
