//! What `pipeline bench` prints for scripts. Never how fast anything was.

use serde_json::{Value, json};
use tests::place::Place;

fn bench(args: &[&str]) -> Value {
    let place = Place::new();
    let folder = place.folder().display().to_string();
    let flags = ["bench", "--quick", "--pairs", "1", "--folder", &folder, "--output", "json"];
    let ended = place.run("pipeline", &[&flags, args].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("standard output is JSON and nothing else")
}

#[test]
fn latency_and_throughput_stand_beside_the_guides_pipeline_and_the_same_comes_out_of_both() {
    let report = bench(&["--only", "latency,tiny", "--against", "bare"]);
    assert!(report["machine"]["cores"].as_u64().is_some_and(|cores| cores > 0));
    let figures = report["figures"].as_array().expect("a row a figure");
    let named = |name: &str| figures.iter().filter(|row| row["name"] == name).collect::<Vec<_>>();
    assert_eq!((named("latency").len(), named("tiny").len()), (6, 3));
    for row in figures {
        for side in ["ours", "other"] {
            let runs = row[side]["runs"].as_array().expect("a number a run");
            assert_eq!(runs.len(), 1, "{row}");
            assert!(runs[0].as_f64().is_some_and(|number| number > 0.0), "{row}");
        }
        assert_eq!(row["other"]["name"], "bare");
        assert!(row["ratio"].is_f64() && row["reached"].is_boolean(), "{row}");
    }
    let transports: Vec<&Value> = named("tiny").iter().map(|row| &row["transport"]).collect();
    assert_eq!(transports, [&json!("ipc"), &json!("tcp"), &json!("curve")]);
    for row in named("tiny") {
        // 1 + 4 + 9 + … + 200,000 squared.
        let expected = json!({ "count": "200000", "sum": "2666686666700000" });
        assert_eq!(row["checked"], expected);
        assert_eq!(row["unit"], "units/s");
    }
}

#[test]
fn a_figure_without_another_side_has_no_ratio() {
    let report = bench(&["--only", "tiny", "--transport", "ipc"]);
    let figures = report["figures"].as_array().expect("a row a figure");
    assert_eq!(figures.len(), 1);
    let row = &figures[0];
    assert_eq!(
        (&row["other"], &row["ratio"], &row["reached"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(row["to_reach"], "≥ 12 ×");
}
