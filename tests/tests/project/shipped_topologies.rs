//! Every topology that is shipped runs, and gives what other programs give for the same data.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use image::{ImageReader, RgbImage};
use serde_json::Value;
use tests::outcome::{assert_same_lines, json_lines, lines};
use tests::programs::worker_example;
use tests::topologies::Shipped;

/// What a shell command prints in the folder of topologies.
fn shell(shipped: &Shipped, script: &str) -> Vec<String> {
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(shipped.path(""))
        .env("LC_ALL", "C")
        .output()
        .expect("sh starts");
    assert!(output.status.success(), "{script}");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    text.lines().map(str::to_owned).collect()
}

/// `uniq -c` prints a count and a word.
fn counted(lines: &[String]) -> BTreeMap<String, u64> {
    let pair = |line: &String| {
        let (count, word) = line.trim().split_once(' ')?;
        Some((word.to_owned(), count.parse().ok()?))
    };
    lines.iter().filter_map(pair).collect()
}

#[test]
fn squares_gives_a_thousand_squares() {
    let shipped = Shipped::new();
    let outcome = shipped.up("squares", &[]);
    let squares: Vec<String> = (1..=1000_u64).map(|n| (n * n).to_string()).collect();
    assert_same_lines(&lines(&shipped.path("squares.jsonl")), &squares);
    assert_eq!(outcome.field("aggregates")["sum"], 333_833_500);
}

#[test]
fn factorize_adds_the_factors_of_each_number() {
    let shipped = Shipped::new();
    let outcome = shipped.up("factorize", &["--set", "source.to=20000"]);
    let sums = shell(
        &shipped,
        "seq 1 20000 | factor | awk '{s = 0; for (i = 2; i <= NF; i++) s += $i; print s}'",
    );
    assert_same_lines(&lines(&shipped.path("results.jsonl")), &sums);
    assert_eq!(outcome.count("results"), 20_000);
}

#[test]
fn wordcount_without_stop_words_equals_tr_sort_and_uniq() {
    let shipped = Shipped::new();
    // A word that is not in the text is the only one that is dropped.
    let outcome = shipped
        .up("wordcount", &["--set", r#"stage.keep.args=["xyzzy"]"#, "--set", "sink.top=100000"]);
    assert_eq!(words(outcome.field("aggregates")), expected_words(&shipped));
}

#[test]
fn wordcount_drops_the_stop_words_and_nothing_else() {
    let shipped = Shipped::new();
    let outcome = shipped.up("wordcount", &["--set", "sink.top=100000"]);
    let (found, mut expected) = (words(outcome.field("aggregates")), expected_words(&shipped));
    let dropped: Vec<String> =
        expected.keys().filter(|word| !found.contains_key(*word)).cloned().collect();
    assert!(["the", "and", "of"].iter().all(|word| dropped.iter().any(|found| found == word)));
    expected.retain(|word, _| found.contains_key(word));
    assert_eq!(found, expected);
    assert_eq!(outcome.count("outputs"), found.values().sum::<u64>());
}

fn expected_words(shipped: &Shipped) -> BTreeMap<String, u64> {
    let script = "tr -cs 'A-Za-z' '\\n' < data/harbour.txt | tr A-Z a-z | sort | uniq -c";
    let mut words = counted(&shell(shipped, script));
    words.remove("");
    words
}

/// The groups of the report, each with its count.
fn words(report: &Value) -> BTreeMap<String, u64> {
    let groups = report["groups"].as_array().unwrap_or_else(|| panic!("groups in {report}"));
    let pair = |group: &Value| Some((group["key"].as_str()?.to_owned(), group["count"].as_u64()?));
    groups.iter().filter_map(pair).collect()
}

#[test]
fn checksums_equals_sha256sum() {
    let shipped = Shipped::new();
    shipped.up("checksums", &[]);
    let table = lines(&shipped.path("checksums.csv"));
    assert_eq!(table[0], "path,bytes,sha256");
    let found: Vec<String> = table[1..]
        .iter()
        .map(|row| {
            let columns: Vec<&str> = row.split(',').collect();
            format!("{}  {}", columns[2], columns[0])
        })
        .collect();
    assert_same_lines(&found, &shell(&shipped, "sha256sum \"$PWD\"/data/*"));
}

#[test]
fn scores_equals_the_same_program_without_a_pipeline() {
    let shipped = Shipped::new();
    shipped.up("scores", &[]);
    let alone = shell(
        &shipped,
        "python3 -c 'import csv, json, sys
for row in csv.DictReader(open(\"data/scores.csv\")): print(json.dumps(row))' | python3 data/scores.py",
    );
    let alone: Vec<Value> =
        alone.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(json_lines(&shipped.path("scores.jsonl")), alone);
}

#[test]
fn thumbnails_makes_a_small_picture_of_each_large_one() {
    let shipped = Shipped::new();
    fs::create_dir(shipped.path("pictures")).expect("the scenario's folder can be written");
    let sizes = [(200, 100), (64, 640), (300, 300), (20, 10)];
    for (number, (width, height)) in sizes.into_iter().enumerate() {
        let picture = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 7]));
        picture.save(shipped.path(&format!("pictures/{number}.png"))).expect("a picture");
    }
    let binary = format!("stage.shrink.binary={}", worker_example("thumbnails").display());
    shipped.up("thumbnails", &["--set", &binary]);
    let found = json_lines(&shipped.path("thumbnails.jsonl"));
    assert_eq!(found.len(), sizes.len());
    let longer_sides: Vec<u32> = found
        .iter()
        .map(|line| {
            let path = shipped.path("").join(line["path"].as_str().expect("a path"));
            let opened = ImageReader::open(&path).expect("a thumbnail");
            let (width, height) = opened.into_dimensions().expect("a picture");
            assert_eq!([&line["width"], &line["height"]], [width, height]);
            width.max(height)
        })
        .collect();
    assert_eq!(longer_sides[..3], [64, 64, 64]);
    assert!(longer_sides[3] <= 64);
}
