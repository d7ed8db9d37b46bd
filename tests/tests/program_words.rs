//! What the programs of a run write is never lost: it is shown as whole lines with the worker and the unit,
//! whether the program succeeds or not.

use tests::place::Place;
use tests::process::Ended;

/// Numbers from 1 to `units` through one stage, `fetch`.
fn topology(units: u32, stage: &str) -> String {
    format!(
        "[source]\nkind = \"range\"\nfrom = 1\nto = {units}\n[[stage]]\nname = \"fetch\"\nretries = 0\n\
         {stage}\n[sink]\noutput = \"out.jsonl\"\n"
    )
}

/// Runs it to its end.
fn up(place: &Place, units: u32, stage: &str) -> Ended {
    place.write("t.toml", topology(units, stage));
    place.run("pipeline", &["up", "t.toml", "--quiet"])
}

fn has(ended: &Ended, line: &str) {
    assert!(ended.stderr.lines().any(|l| l == line), "no `{line}` in {}", ended.stderr);
}

#[test]
fn lines_of_an_exec_that_succeeds_bear_its_worker_and_unit() {
    let place = Place::new();
    let script = r#"exec = ["sh", "-c", "printf 'at %s\nno end' $1 >&2; echo $1", "sh", "{}"]"#;
    let ended = up(&place, 3, &format!("workers = 1\n{}", script.replace("\n", "\\n")));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for unit in 0..3 {
        has(&ended, &format!("fetch-1[unit {unit}]: at {}", unit + 1));
        has(&ended, &format!("fetch-1[unit {unit}]: no end"));
    }
}

#[test]
fn equal_lines_in_a_row_of_a_stage_are_counted() {
    let place = Place::new();
    let ended = up(&place, 1, r#"exec = ["sh", "-c", "yes retry | head -n 481 >&2"]"#);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("retry").count(), 1, "{}", ended.stderr);
    has(&ended, "fetch: … × 480 more");
}
