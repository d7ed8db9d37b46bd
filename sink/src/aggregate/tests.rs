//! What the figures are, from values to JSON and table.

use super::*;
use crate::output::test_rows::pack;
use serde_json::json;

const ALL: [Aggregate; 12] = [
    Aggregate::Count,
    Aggregate::Sum,
    Aggregate::Mean,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::Stddev,
    Aggregate::P50,
    Aggregate::P90,
    Aggregate::P99,
    Aggregate::P999,
    Aggregate::Histogram,
    Aggregate::Top,
];

fn config(aggregate: &[Aggregate]) -> SinkConfig {
    SinkConfig { aggregate: aggregate.to_vec(), ..SinkConfig::default() }
}

fn by_field(name: &str, aggregate: &[Aggregate]) -> SinkConfig {
    SinkConfig { group_by: Some(GroupBy::Field(name.to_owned())), ..config(aggregate) }
}

fn over<'a>(config: &SinkConfig, values: impl IntoIterator<Item = &'a str>) -> Aggregates {
    let mut aggregates = Aggregates::new(config);
    for value in values {
        aggregates.add(&pack(value));
    }
    aggregates
}

#[test]
fn all_figures_over_integers() {
    let values: Vec<String> = (1..=1000).map(|n| n.to_string()).collect();
    let mut report = over(&config(&ALL), values.iter().map(String::as_str)).report();
    assert_eq!(report["top"].as_array().unwrap().len(), TOP_DEFAULT);
    assert_eq!(report["histogram"][9], json!({"from": 512, "to": 1024, "count": 489}));
    let figures = report.as_object_mut().unwrap();
    figures.remove("top");
    figures.remove("histogram");
    assert_eq!(
        report.to_string(),
        r#"{"count":1000,"sum":500500,"mean":500.5,"min":1,"max":1000,"stddev":288.6749902572095,"p50":500,"p90":900,"p99":990,"p999":999}"#
    );
}

#[test]
fn floats_and_negative_numbers_have_percentiles_too() {
    let asked = [Aggregate::Sum, Aggregate::Min, Aggregate::P50, Aggregate::P99, Aggregate::Max];
    let report = over(&config(&asked), ["-1.5", "0.25", "-3", "1e6", "0.3"]).report();
    assert_eq!(report["min"], -3);
    assert_eq!(report["max"], 1e6);
    assert_eq!(report["p99"], 1e6);
    assert!((report["p50"].as_f64().unwrap() / 0.25 - 1.0).abs() < 0.0005);
    assert!((report["sum"].as_f64().unwrap() - 999_996.05).abs() < 1e-9);
}

#[test]
fn what_is_no_number_is_counted_and_left_out() {
    let mut aggregates = over(
        &config(&[Aggregate::Count, Aggregate::Sum, Aggregate::Mean]),
        ["1", "\"x\"", "null", "[1]", "3"],
    );
    aggregates.add(&rmp_serde::to_vec(&f64::NAN).unwrap());
    assert_eq!(aggregates.report(), json!({"count": 6, "sum": 4, "mean": 2.0, "non_numeric": 4}));
    let only_counted = over(&config(&[Aggregate::Count]), ["\"x\""]);
    assert_eq!(only_counted.report(), json!({"count": 1}));
}

#[test]
fn figures_of_nothing_are_null_or_zero() {
    let report = over(&config(&ALL), []).report();
    assert_eq!(
        report.to_string(),
        r#"{"count":0,"sum":0,"mean":null,"min":null,"max":null,"stddev":null,"p50":null,"p90":null,"p99":null,"p999":null,"histogram":[],"top":[]}"#
    );
}

#[test]
fn a_field_can_be_aggregated() {
    let config = SinkConfig {
        on: Some("n".to_owned()),
        ..config(&[Aggregate::Count, Aggregate::Sum, Aggregate::Top])
    };
    let values = [r#"{"n":2}"#, r#"{"m":9,"n":3}"#, r#"{"m":1}"#, "7", r#"{"n":2}"#];
    assert_eq!(
        over(&config, values).report(),
        json!({"count": 5, "sum": 7, "missing": 2,
            "top": [{"value": 2, "count": 2}, {"value": 3, "count": 1}]})
    );
}

#[test]
fn groups_come_largest_first_then_by_key() {
    let config = SinkConfig {
        on: Some("n".to_owned()),
        ..by_field("k", &[Aggregate::Count, Aggregate::Sum])
    };
    let values = [
        r#"{"k":"b","n":1}"#,
        r#"{"k":"a","n":2}"#,
        r#"{"k":10,"n":3}"#,
        r#"{"k":9,"n":4}"#,
        r#"{"k":"b","n":5}"#,
        r#"{"n":6}"#,
    ];
    assert_eq!(
        over(&config, values).report(),
        json!({"group_by": "k", "groups": [
            {"key": "b", "count": 2, "sum": 6},
            {"key": 9, "count": 1, "sum": 4},
            {"key": 10, "count": 1, "sum": 3},
            {"key": "a", "count": 1, "sum": 2},
            {"key": null, "count": 1, "sum": 6},
        ], "groups_total": 5})
    );
}

#[test]
fn words_are_counted_by_value_and_top_limits_what_is_shown() {
    let config =
        SinkConfig { group_by: Some(GroupBy::Value), top: Some(1), ..SinkConfig::default() };
    assert_eq!(
        over(&config, ["\"x\"", "\"y\"", "\"x\""]).report(),
        json!({"group_by": "value", "groups": [{"key": "x", "count": 2}], "groups_total": 2})
    );
}

#[test]
fn values_beyond_the_bound_are_said_to_be_untold() {
    let limits = Limits { groups_max: 2, bytes_max: 10_000 };
    let mut aggregates = Aggregates::with_limits(&config(&[Aggregate::Top]), limits);
    for value in [1, 2, 3, 4, 2] {
        aggregates.add(&[value]);
    }
    assert_eq!(
        aggregates.report(),
        json!({"top": [{"value": 2, "count": 2}, {"value": 1, "count": 1}], "top_other": 2})
    );
}

#[test]
fn nothing_asked_is_nothing_to_add() {
    assert!(Aggregates::new(&SinkConfig::default()).is_empty());
    assert!(!Aggregates::new(&by_field("k", &[])).is_empty());
}

#[test]
fn kept_figures_go_on_as_if_nothing_had_happened() {
    let values = [r#"{"k":1,"n":1.5}"#, r#"{"k":"é","n":-2}"#, r#"{"k":1}"#, "5", "0.1", "null"];
    for config in [config(&ALL), by_field("k", &ALL)] {
        let mut straight = Aggregates::new(&config);
        let mut resumed = Aggregates::new(&config);
        for value in values.map(pack) {
            straight.add(&value);
            resumed.add(&value);
            let kept = rmp_serde::to_vec(&resumed).unwrap();
            resumed = rmp_serde::from_slice(&kept).unwrap();
        }
        assert_eq!(straight.report(), resumed.report());
    }
}

#[test]
fn hostile_bytes_are_non_numeric_and_never_a_panic() {
    for config in [config(&ALL), by_field("k", &ALL)] {
        let mut aggregates = Aggregates::new(&config);
        for marker in 0..=u8::MAX {
            aggregates.add(&[marker]);
            aggregates.add(&[marker, 0xff, 0xff]);
            aggregates.add(&[0x81, 0xa1, b'k', marker]);
        }
        aggregates.add(&[]);
        assert!(aggregates.to_string().contains("count"));
    }
}

#[test]
fn a_person_reads_figures_histogram_and_top_as_tables() {
    let asked =
        [Aggregate::Count, Aggregate::Sum, Aggregate::Mean, Aggregate::Histogram, Aggregate::Top];
    let values = ["1", "2", "3", "3", "1000000", "\"word\""];
    assert_eq!(
        over(&config(&asked), values).to_string(),
        "\
count                6
sum          1,000,009
mean         200,001.8
non numeric          1

histogram
   from         to  count
      1          2      1  ██████████████
      2          4      3  ████████████████████████████████████████
524,288  1,048,576      1  ██████████████

top
value      count
3              2
1              1
2              1
1,000,000      1
word           1
"
    );
}

#[test]
fn a_person_reads_groups_as_one_table() {
    let config = SinkConfig {
        on: Some("n".to_owned()),
        ..by_field("city", &[Aggregate::Count, Aggregate::Sum, Aggregate::P99])
    };
    let mut values = vec![
        r#"{"city":"Bern","n":1234}"#.to_owned(),
        r#"{"city":"Bern","n":1}"#.to_owned(),
        r#"{"city":"Bern"}"#.to_owned(),
        r#"{"city":"Köln","n":2.5}"#.to_owned(),
        r#"{"city":"Köln","n":2.5}"#.to_owned(),
    ];
    values.extend((0..30).map(|n| format!(r#"{{"city":{n},"n":1}}"#)));
    let text = over(&config, values.iter().map(String::as_str)).to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "city  count    sum    p99  missing",
            "Bern      3  1,235  1,234        1",
            "Köln      2      5    2.5",
            "0         1      1      1",
        ]
    );
    assert_eq!(lines[21..], ["and 12 more groups"]);
}

#[test]
#[ignore = "measures; run with --release --ignored --nocapture"]
fn how_long_adding_takes() {
    let number = |n: u64| pack(&(n * 2_654_435_761 % 100_000_000).to_string());
    let small: Vec<Vec<u8>> = (0..4096).map(number).collect();
    let fields: Vec<Vec<u8>> =
        (0..4096).map(|n| pack(&format!(r#"{{"n":{n},"k":"group {}"}}"#, n % 100))).collect();
    let on = |config| SinkConfig { on: Some("n".to_owned()), ..config };
    let sums = [Aggregate::Count, Aggregate::Sum];
    for (name, config, values) in [
        ("count sum", config(&sums), &small),
        ("count sum min max stddev", config(&ALL[..6]), &small),
        ("histogram", config(&[Aggregate::Histogram]), &small),
        ("p99", config(&[Aggregate::P99]), &small),
        ("top", config(&[Aggregate::Top]), &small),
        ("count sum on a field", on(config(&sums)), &fields),
        ("count sum on a field by a field", on(by_field("k", &sums)), &fields),
    ] {
        let mut aggregates = Aggregates::new(&config);
        let start = std::time::Instant::now();
        for _ in 0..500 {
            for value in values {
                aggregates.add(std::hint::black_box(value));
            }
        }
        let ns = start.elapsed().as_nanos() as f64 / (500.0 * 4096.0);
        eprintln!("{ns:>6.1} ns {name}");
    }
}

/// A user's own bound on groups: memory follows it, and what is beyond is counted, not lost.
#[test]
fn no_more_groups_are_told_apart_than_the_user_allows_and_the_others_are_counted() {
    for (group_by, aggregate) in [(Some(GroupBy::Value), Aggregate::Count), (None, Aggregate::Top)]
    {
        let config = SinkConfig {
            aggregate: vec![aggregate],
            group_by,
            groups_max: Some(3),
            ..SinkConfig::default()
        };
        let mut aggregates = Aggregates::new(&config);
        for key in [1u8, 2, 3, 4, 5, 1, 4] {
            aggregates.add(&[key]);
        }
        let report = aggregates.report();
        let (told_apart, other) = match config.group_by {
            Some(_) => (report["groups"].clone(), report["other"]["count"].clone()),
            None => (report["top"].clone(), report["top_other"].clone()),
        };
        assert_eq!(told_apart.as_array().map(Vec::len), Some(3), "{report}");
        assert_eq!(other, 3, "{report}");
    }
}
