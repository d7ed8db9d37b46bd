//! What the programs say to wrong flags, word for word, as the files in `golden/` keep it.
//!
//! After a change on purpose: `UPDATE_GOLDEN=1 cargo test -p tests --test commands flags`, then read the diff.

use std::fs;
use std::path::Path;

use tests::outcome::assert_same_lines;
use tests::place::Place;

/// A file's name, and the command whose words it keeps.
const CASES: &[(&str, &str)] = &[
    ("sink-nothing", "sink"),
    ("sink-unknown-flag", "sink --bind ipc://s --ouput x.jsonl"),
    ("sink-bad-endpoint", "sink --bind localhost:5558"),
    ("sink-no-port", "sink --bind tcp://localhost"),
    ("sink-bad-aggregate", "sink --bind ipc://s --aggregate count,medain"),
    ("sink-bad-order", "sink --bind ipc://s --order random"),
    ("sink-bad-field", "sink --bind ipc://s --fields id,valeu"),
    ("sink-input-field", "sink --bind ipc://s --output a.jsonl --fields input"),
    ("sink-bad-ending", "sink --bind ipc://s --output squares.xml"),
    ("sink-no-folder", "sink --bind ipc://s --output missing/a.jsonl"),
    ("ventilator-nothing", "ventilator"),
    ("ventilator-no-sink", "ventilator --bind ipc://v --source range:1..2"),
    ("ventilator-bad-source", "ventilator --bind ipc://v --sink ipc://s --source numbers:1..2"),
    ("ventilator-bad-range", "ventilator --bind ipc://v --sink ipc://s --source range:1-2"),
    (
        "ventilator-same-stages",
        "ventilator --bind ipc://v --sink ipc://s --source stdin --stages a,b,a",
    ),
    (
        "ventilator-bad-retries",
        "ventilator --bind ipc://v --sink ipc://s --source stdin --retries many",
    ),
    ("worker-nothing", "worker"),
    ("worker-unknown-function", "worker --ventilator ipc://v --run sqare"),
    ("worker-two-functions", "worker --ventilator ipc://v --run square --pipe cat"),
    (
        "worker-long-path",
        "worker --ventilator ipc:///a23456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678 --run square",
    ),
];

#[test]
fn wrong_flags_are_answered_with_what_is_wrong() {
    let place = Place::new();
    for (name, command) in CASES {
        let mut words = command.split(' ');
        let program = words.next().expect("a command has a first word");
        let ended = place.run(program, &words.collect::<Vec<_>>());
        let mut said = format!("$ {command}\n{}{}", ended.stdout, ended.stderr);
        said += &format!("[exit code {}]\n", ended.code.expect("no signal"));
        compare(name, &said);
    }
}

fn compare(name: &str, said: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/golden");
    let path = folder.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&folder).expect("the repository can be written");
        fs::write(&path, said).expect("the repository can be written");
    }
    let golden = tests::outcome::lines(&path);
    let said: Vec<String> = said.lines().map(str::to_owned).collect();
    eprintln!("{name}:");
    assert_same_lines(&said, &golden);
}
