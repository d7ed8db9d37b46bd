//! Three stages, where a unit becomes many or none, and workers of every stage are killed: each
//! output comes exactly once, in the order of the source.

use std::time::Duration;

use tests::hand::Hand;
use tests::outcome::{assert_same_lines, lines};
use tests::place::Transport;
use tests::process::Process;
use tests::wait;

const LINES: usize = 120_000;
const BETWEEN_KILLS: Duration = Duration::from_millis(100);
const STAGES: [(&str, &str); 3] =
    [("words", "split-words"), ("small", "lower"), ("keep", "stop-words")];
/// Nothing is left of every seventh line: it has no words, or only such as are dropped.
const EMPTY_EVERY: usize = 7;

fn line(number: usize) -> String {
    match number % (2 * EMPTY_EVERY) {
        0 => "42 -- 17".into(),
        EMPTY_EVERY => "The AND of the".into(),
        _ => format!("Ship {} and the Whale of {}", letters(number), letters(number / 3)),
    }
}

/// The words that must come out of a line.
fn words(number: usize) -> Vec<String> {
    if number.is_multiple_of(EMPTY_EVERY) {
        return Vec::new();
    }
    let words = ["Ship".into(), letters(number), "Whale".into(), letters(number / 3)];
    words.map(|word: String| format!("\"{}\"", word.to_lowercase())).to_vec()
}

/// A number as a word that is on nobody's list of common ones.
fn letters(number: usize) -> String {
    let digits = number.to_string();
    let letters = digits.bytes().map(|digit| char::from(digit - b'0' + b'A'));
    format!("Zq{}", letters.collect::<String>())
}

#[test]
fn counts_are_exact_while_workers_of_every_stage_are_killed() {
    let hand = Hand::over(Transport::Ipc);
    let text: String = (0..LINES).map(|number| line(number) + "\n").collect();
    let source = format!("lines:{}", hand.place.write("text.txt", text).display());
    let expected: Vec<String> = (0..LINES).flat_map(words).collect();
    let start = |stage: usize| {
        let (stage, run) = STAGES[stage];
        hand.worker(&["--stage", stage, "--run", run])
    };
    let mut sink = hand.sink(&["--aggregate", "count"]);
    let mut ventilator = hand.ventilator(&source, &["--stages", "words,small,keep"]);
    let mut workers: Vec<Process> = (0..6).map(|index| start(index % 3)).collect();
    let mut kills = 0;
    while sink.is_running() {
        wait::pace(BETWEEN_KILLS, || !sink.is_running());
        if sink.is_running() && hand.lines_so_far() < expected.len() {
            let victim = kills % workers.len();
            workers[victim].kill();
            workers[victim] = start(victim % 3);
            kills += 1;
        }
        assert!(kills < 600, "the run gets nowhere");
    }
    sink.ends_well();
    ventilator.ends_well();
    assert_same_lines(&lines(&hand.output()), &expected);
    let outcome = hand.outcome();
    let empty = LINES.div_ceil(EMPTY_EVERY);
    assert_eq!(outcome.count("units_in"), LINES as u64);
    assert_eq!(outcome.count("filtered"), empty as u64);
    assert_eq!(outcome.count("results"), (LINES - empty) as u64);
    assert_eq!(outcome.count("outputs"), expected.len() as u64);
    assert_eq!(outcome.field("aggregates")["count"], expected.len());
    assert!(kills >= 6, "only {kills} kills in the whole run");
}
