//! Units that failed are tried again, and their results take the places that the order gives them.
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::{fs, time::Duration};

use tests::{outcome, place::Place, process::Ended, wait};

const UNITS: u32 = 3_000;

/// Words that lie apart, some in several rows and some in none.
const WORK: &str =
    "    if value % 5 == 0: return None\n    return {'n': value, 'text': 'x' * (value % 50)}";

/// The work, but for these units.
fn failing(which: &str) -> String {
    format!("    if {which}: raise ValueError('not yet')\n{WORK}")
}

fn topology(place: &Place, output: &str, work: &str) {
    let text = format!(
        "source = {{ kind = \"range\", from = 1, to = {UNITS} }}\n\
         [[stage]]\nname = \"fetch\"\nworkers = 2\nretries = 0\npython = \"\"\"\nimport os, time\ndef work(value):\n{work}\n\"\"\"\n\
         [sink]\noutput = \"{output}\"\n"
    );
    place.write("t.toml", text);
}

fn up(place: &Place, flags: &[&str]) -> Ended {
    place.run("pipeline", &[&["up", "t.toml"], flags].concat())
}

fn retry(place: &Place, args: &[&str]) -> Ended {
    place.run("pipeline", &[&["dead", "retry", "--in-place", "--with", "t.toml"], args].concat())
}

/// What a run that nothing happened to writes.
fn calm(output: &str, work: &str) -> (Vec<u8>, Option<String>) {
    let place = Place::new();
    topology(&place, output, work);
    up(&place, &["--halt", "never"]);
    read(&place, output)
}

/// The output, and which units are dead, with their places in the output.
fn read(place: &Place, output: &str) -> (Vec<u8>, Option<String>) {
    let letters = fs::read_to_string(place.path(&format!("{output}.dead.jsonl"))).ok();
    let places = letters.map(|letters| {
        let letters = letters.lines().map(|line| serde_json::from_str(line).unwrap());
        let place =
            |letter: serde_json::Value| format!("{} {}\n", letter["id"], letter["offset_bytes"]);
        letters.map(place).collect()
    });
    (fs::read(place.path(output)).unwrap(), places)
}

fn assert_whole(place: &Place, output: &str, expected: &(Vec<u8>, Option<String>)) {
    let found = read(place, output);
    assert!(found.0 == expected.0, "{output} is not what a calm run writes");
    assert_eq!(found.1, expected.1, "the places of those that are still dead");
    let verified = place.run("pipeline", &["verify", "t.toml"]);
    assert_eq!(verified.code, Some(0), "{}", verified.stdout);
    let drafts = fs::read_dir(place.folder()).unwrap().flatten();
    let mut drafts =
        drafts.filter(|file| file.file_name().to_string_lossy().ends_with(".in-place"));
    assert!(drafts.next().is_none());
}

#[test]
fn what_is_tried_again_stands_where_it_would_have_stood() {
    for output in ["out.jsonl", "out.csv"] {
        let place = Place::new();
        // The first ones too: a csv file has its header from another unit then.
        topology(&place, output, &failing("value < 3 or value % 7 == 0 or value % 100 > 90"));
        assert_eq!(up(&place, &["--halt", "never"]).code, Some(1));
        // Some fail again, in their places.
        let half = failing("value % 14 == 0");
        topology(&place, output, &half);
        assert_eq!(retry(&place, &[]).code, Some(0));
        assert_eq!(up(&place, &["--halt", "never"]).code, Some(1));
        assert_whole(&place, output, &calm(output, &half));
        // So do those that were tried again in vain, without anybody asking for their places.
        assert_eq!(place.run("pipeline", &["dead", "retry"]).code, Some(0));
        assert_eq!(up(&place, &["--halt", "never"]).code, Some(1));
        topology(&place, output, WORK);
        assert_eq!(retry(&place, &["27", "13"]).code, Some(0));
        assert_eq!(up(&place, &[]).code, Some(1));
        assert_eq!(retry(&place, &[]).code, Some(0));
        let ended = up(&place, &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_whole(&place, output, &calm(output, WORK));
    }
}

/// Everything is killed, a little later each time, from the moment at which units are put back.
#[test]
fn kills_leave_the_old_output_or_the_new_one() {
    let place = Place::new();
    topology(&place, "out.jsonl", &failing("value % 3 == 0"));
    assert_eq!(up(&place, &["--halt", "never"]).code, Some(1));
    topology(&place, "out.jsonl", WORK);
    assert_eq!(retry(&place, &[]).code, Some(0));
    let old = fs::read(place.path("out.jsonl")).unwrap();
    let new = calm("out.jsonl", WORK);
    let mut kills = 0;
    for kill in 0_u64.. {
        let mut run = place.start("pipeline", &["up", "t.toml"]);
        let started = wait::traces_of(place.folder());
        wait::until("something has happened", || {
            (run.has_ended().is_some() || wait::traces_of(place.folder()) != started).then_some(())
        });
        // Closer to each other at the beginning, and never without end.
        wait::pace(Duration::from_millis(10 << kill.min(20)), || !run.is_running());
        if let Some(code) = run.has_ended() {
            assert_eq!(code, Some(0), "{}", run.stderr());
            break;
        }
        run.kill();
        kills += 1;
        let found = fs::read(place.path("out.jsonl")).unwrap();
        assert!(found == new.0 || found.starts_with(&old), "after kill {kill}");
    }
    assert!(kills > 2);
    assert_whole(&place, "out.jsonl", &new);
}

#[test]
fn where_there_are_no_places_nothing_is_put_back() {
    for (output, order) in [("out.db", ""), ("out.jsonl", "order = \"completion\"\n")] {
        let place = Place::new();
        topology(&place, output, &(failing("value == 5")));
        let text = fs::read_to_string(place.path("t.toml")).unwrap() + order;
        place.write("t.toml", text);
        assert_eq!(up(&place, &[]).code, Some(1));
        let refused = place.run("pipeline", &["dead", "retry", "--in-place"]);
        assert_eq!(refused.code, Some(66));
        assert!(refused.stderr.contains("unit 4 has no place in the output"), "{}", refused.stderr);
        let letters = outcome::lines(&place.path(&format!("{output}.dead.jsonl")));
        assert_eq!(letters.len(), 1);
    }
}
