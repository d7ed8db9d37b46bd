//! What a manifest says of outputs that were changed after the run, word for word.

use rusqlite::Connection;

use super::*;
use crate::{
    Claim,
    config::Field,
    output::{
        self,
        test_rows::{pack, row},
    },
};

/// A run of ten squares, finished in `folder`.
fn finished(folder: &Path, name: &str, fields: Vec<Field>) -> Manifest {
    let spec = OutputSpec::try_from(folder.join(name)).unwrap();
    let config = SinkConfig { output: Some(spec.clone()), fields, ..SinkConfig::default() };
    let mut output = output::open(&spec, &config, None, &Claim::default()).unwrap();
    for id in 0..10 {
        output.write(&row(id, &pack(&(id * id).to_string()))).unwrap();
    }
    output.finish().unwrap();
    let summary = Summary { units_in: 10, results: 10, outputs: 10, ..Summary::default() };
    write(folder, &summary, Begun::default(), &config, None).unwrap();
    read(folder).unwrap()
}

/// What is told of a file whose lines were changed like this.
fn told_of(name: &str, fields: &[Field], change: impl FnOnce(&mut Vec<String>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let manifest = finished(folder.path(), name, fields.to_vec());
    let path = folder.path().join(name);
    let text = fs::read_to_string(&path).unwrap();
    let mut lines = text.split_inclusive('\n').map(str::to_owned).collect();
    change(&mut lines);
    fs::write(&path, lines.concat()).unwrap();
    let findings = verify(folder.path(), &manifest);
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    told.join("\n").replace(&format!("{}/", folder.path().display()), "")
}

fn told(change: impl FnOnce(&mut Vec<String>)) -> String {
    told_of("out.jsonl", &[], change)
}

#[test]
fn an_output_as_it_was_is_in_order() {
    for name in ["out.jsonl", "out.csv"] {
        assert_eq!(told_of(name, &[], |_| {}), "");
        assert_eq!(told_of(name, &[Field::Id, Field::Value], |_| {}), "");
    }
}

#[test]
fn each_kind_of_difference_is_named_by_line_and_unit() {
    assert_eq!(told(|lines| drop(lines.remove(3))), "out.jsonl: 1 line is missing: 4 (unit 3)");
    assert_eq!(
        told(|lines| lines.insert(4, lines[3].clone())),
        "out.jsonl: 1 line is doubled: 5 (4 once more, unit 3)"
    );
    assert_eq!(told(|lines| lines[5] = "26\n".into()), "out.jsonl: 1 line is changed: 6 (unit 5)");
    assert_eq!(told(|lines| lines.truncate(7)), "out.jsonl: 3 lines are missing: 8-10 (units 7-9)");
    assert_eq!(told(|lines| lines.push("100\n".into())), "out.jsonl: 1 line is new: 11");
    assert_eq!(
        told(|lines| {
            lines.truncate(8);
            lines[7] = "4".into();
        }),
        "out.jsonl: 2 lines are missing: 9-10 (units 8-9)\n\
         out.jsonl: 1 line is cut off: 8 (unit 7)"
    );
    assert_eq!(
        told(|lines| drop(lines.drain(..))),
        "out.jsonl: 10 lines are missing: 1-10 (units 0-9)"
    );
}

#[test]
fn units_are_known_by_their_place_behind_a_header_or_by_the_field() {
    let remove = |lines: &mut Vec<String>| drop(lines.remove(3));
    assert_eq!(told_of("out.csv", &[], remove), "out.csv: 1 line is missing: 4 (unit 2)");
    let fields = [Field::Id, Field::Value];
    assert_eq!(told_of("out.csv", &fields, remove), "out.csv: 1 line is missing: 4 (unit 2)");
    let fields = [Field::Value, Field::Id];
    assert_eq!(told_of("out.jsonl", &fields, remove), "out.jsonl: 1 line is missing: 4 (unit 3)");
}

#[test]
fn a_row_of_a_database_is_named_and_its_file_may_be_another() {
    let tell = |statement: &str| {
        let folder = tempfile::tempdir().unwrap();
        let manifest = finished(folder.path(), "out.sqlite", vec![]);
        let database = Connection::open(folder.path().join("out.sqlite")).unwrap();
        database.execute_batch(statement).unwrap();
        drop(database);
        let findings = verify(folder.path(), &manifest);
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        told.join("\n").replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(tell("CREATE INDEX mine ON results (value); VACUUM"), "");
    assert_eq!(
        tell("DELETE FROM results WHERE id = 3; UPDATE results SET value = 1 WHERE id = 7"),
        "out.sqlite: 1 row is missing: 4 (unit 3)\nout.sqlite: 1 row is changed: 7 (unit 7)"
    );
    let again = "INSERT INTO results SELECT * FROM results WHERE id = 2";
    assert_eq!(tell(again), "out.sqlite: 1 row is doubled: 11 (3 once more, unit 2)");
    let gone = tell("DROP TABLE results");
    assert!(gone.starts_with("out.sqlite can't be read: no such table"), "{gone}");
}

#[test]
fn a_list_of_places_is_bounded() {
    let recorded = FileFacts {
        path: "out.jsonl".into(),
        bytes: 0,
        lines: 0,
        sha256: String::new(),
        unit_of: UnitOf::Unknown,
    };
    let mut sums = Sums::default();
    sums.lines = (0..100).collect();
    let mut found = Records::default();
    found.sums.lines = (0..100).filter(|line| line % 4 != 1).collect();
    let told: Vec<String> =
        differences(&recorded, &sums, &found).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "out.jsonl: 25 lines are missing: 2, 6, 10, 14, 18, 22, 26, 30, 34, 38, 42, 46, and 13 more"
        ]
    );
}

#[test]
fn a_missing_file_and_one_without_sums_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = finished(folder.path(), "out.jsonl", vec![]);
    let path = folder.path().join("out.jsonl");
    fs::remove_file(folder.path().join(OUTPUT_SUMS)).unwrap();
    fs::write(&path, "1\n").unwrap();
    let (recorded, found) = (manifest.output.as_ref().unwrap().bytes, 2);
    assert_eq!(
        verify(folder.path(), &manifest),
        [Finding::Content { path: path.clone(), recorded, found }]
    );
    fs::remove_file(&path).unwrap();
    assert_eq!(verify(folder.path(), &manifest), [Finding::Missing { path }]);
}

#[test]
fn counts_that_do_not_add_up_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest { dead: 1, ..finished(folder.path(), "out.jsonl", vec![]) };
    assert_eq!(
        verify(folder.path(), &manifest),
        [Finding::Unbalanced { units_in: 10, outcomes: 11 }]
    );
}

#[test]
fn scripts_get_the_same_as_people() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = finished(folder.path(), "out.jsonl", vec![]);
    let path = folder.path().join("out.jsonl");
    fs::write(&path, "0\n1\n4\n16\n25\n36\n49\n64\n81\n").unwrap();
    assert_eq!(
        serde_json::to_value(verify(folder.path(), &manifest)).unwrap(),
        serde_json::json!([{
            "problem": "differs", "path": path, "of": "line", "how": "missing", "count": 1,
            "places": [{ "first": 4, "last": 4, "unit": 3, "doubles": null }]
        }])
    );
}

#[test]
fn what_somebody_changes_while_the_run_writes_on_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let spec = OutputSpec::try_from(path.clone()).unwrap();
    let config = SinkConfig { output: Some(spec.clone()), ..SinkConfig::default() };
    let mut output = output::open(&spec, &config, None, &Claim::default()).unwrap();
    output.follow(&|| follow(folder.path(), &config));
    output.write(&row(0, &pack("5"))).unwrap();
    output.flush().unwrap();
    fs::write(&path, "6\n").unwrap();
    output.write(&row(1, &pack("7"))).unwrap();
    output.finish().unwrap();
    let summary = Summary { units_in: 2, results: 2, outputs: 2, ..Summary::default() };
    write(folder.path(), &summary, Begun::default(), &config, output.followed()).unwrap();
    let findings = verify(folder.path(), &read(folder.path()).unwrap());
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].ends_with("out.jsonl: 1 line is changed: 1 (unit 0)"), "{told:?}");
}

#[test]
fn a_manifest_of_another_version_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    finished(folder.path(), "out.jsonl", Vec::new());
    let path = folder.path().join(FILE);
    let ours = fs::read_to_string(&path).unwrap();
    assert!(ours.contains("\"format\": 1"), "{ours}");
    fs::write(&path, ours.replace("\"format\": 1,", "")).unwrap();
    assert_eq!(read(folder.path()).unwrap().format, 1, "from before formats were numbered");
    fs::write(&path, r#"{"format": 2, "rooms": []}"#).unwrap();
    let refused = read(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("manifest.json is in format 2, and this version reads"), "{refused}");
}
