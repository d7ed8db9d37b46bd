//! `pipeline explain` tells every attempt, also of stages that are sent their units by other workers.

use serde_json::Value;
use tests::outcome::lines;
use tests::place::Place;
use tests::runs::pipeline;

/// What is told of a unit, in order.
fn steps(place: &Place, unit: &str) -> Vec<String> {
    let told = pipeline(place, &["explain", unit, "--output", "json"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let life: Value = serde_json::from_str(&told.stdout).expect("JSON");
    let steps = life["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["what"].as_str().expect("words").to_owned()).collect()
}

/// So many units through two stages of one worker each.
fn topology(units: usize, first: &str, second: &str) -> String {
    let stage = |name: &str, script: &str| {
        format!(
            "[[stage]]\nname = '{name}'\nworkers = 1\nretries = 2\n\
             exec = ['sh', '-c', '''{script}; echo $1''', 'sh', '{{}}']\n"
        )
    };
    format!(
        "source = {{ kind = 'range', from = 1, to = {units} }}\n{}{}[sink]\noutput = 'out.jsonl'\n",
        stage("first", first),
        stage("second", second)
    )
}

#[test]
fn each_attempt_of_a_later_stage_is_told_with_its_worker_and_its_error() {
    let place = Place::new();
    let fails_twice =
        "test $PIPELINE_ATTEMPT -eq 3 || { echo no page $PIPELINE_ATTEMPT >&2; exit 7; }";
    place.write("t.toml", topology(1, ":", fails_twice));
    let ended = pipeline(&place, &["up", "t.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told = steps(&place, "0");
    let failed = |attempt| format!("no page {attempt}");
    let expected: [&[&str]; 7] = [
        &["sent to first-1, alone, attempt 1"],
        &["sent to second-1, alone, attempt 1"],
        &["failed at second-1: ", &failed(1)],
        &["sent to second-1, alone, attempt 2"],
        &["failed at second-1: ", &failed(2)],
        &["sent to second-1, alone, attempt 3"],
        &["committed: result of second-1, stage second, attempt 3"],
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (step, words) in told.iter().zip(expected) {
        assert!(words.iter().all(|words| step.contains(words)), "{words:?}: {told:#?}");
    }
}

/// The worker is killed while it writes; the one that takes its place writes on behind that.
#[test]
fn what_a_killed_worker_has_half_written_hides_nothing_that_comes_later() {
    const UNITS: usize = 40;
    let place = Place::new();
    let diary = place.path(".pipeline/t/diary-worker-first-1");
    let torn = format!(
        "test $1 -ne 20 || ! mkdir killed || {{ printf '\\222\\317\\0' >> {}; kill -9 $PPID; }}",
        diary.display()
    );
    place.write("t.toml", topology(UNITS, &torn, ":"));
    let ended = pipeline(&place, &["up", "t.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(place.path("killed").exists());
    assert_eq!(lines(&place.path("out.jsonl")).len(), UNITS);
    for unit in [20, UNITS - 1] {
        let told = steps(&place, &unit.to_string());
        assert!(told.iter().any(|step| step.starts_with("sent to second-1")), "{told:#?}");
    }
    // No harm, and nothing left: what the first run noted goes with it.
    place.write("t.toml", topology(1, ":", ":"));
    let ended = pipeline(&place, &["up", "t.toml", "--fresh"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(steps(&place, "0").len(), 3);
}
