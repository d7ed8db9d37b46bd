//! The schema of topologies says what `check` says, key by key and type by type, and the file that
//! editors read is the one that this program prints.
//!
//! After a change on purpose: `UPDATE_SCHEMA=1 cargo test -p pipeline --test language schema`, then read the diff.

use std::{fs, path::Path};

use pipeline::topology::{Expected, Fault, Section, Topology, schema};
use serde_json::{Value, json};

/// Whether `value` conforms, by those words of JSON Schema that ours has; `pattern` is left to
/// editors. The place of the first fault if not.
fn conforms(value: &Value, schema: &Value, place: &str) -> Result<(), String> {
    let fault = |what: &str| Err(format!("{place}: {what}"));
    let Value::Object(words) = schema else {
        return if schema == &json!(true) { Ok(()) } else { fault("may not be here") };
    };
    for (word, said) in words {
        let holds = match word.as_str() {
            "$schema" | "title" | "description" | "then" | "pattern" | "uniqueItems" => true,
            "type" => match said.as_str().expect("as the schema has it") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "integer" => value.is_i64() || value.is_u64(),
                "boolean" => value.is_boolean(),
                other => panic!("a type that is not known here: {other}"),
            },
            "enum" => said.as_array().expect("as the schema has it").contains(value),
            "const" => said == value,
            "minimum" => value
                .as_i64()
                .is_none_or(|number| number >= said.as_i64().expect("as the schema has it")),
            "maximum" => value
                .as_i64()
                .is_none_or(|number| number <= said.as_i64().expect("as the schema has it")),
            "minItems" => value.as_array().is_none_or(|items| {
                items.len() as u64 >= said.as_u64().expect("as the schema has it")
            }),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    conforms(item, said, &format!("{place}[{index}]"))?;
                }
                true
            }
            "required" => value.as_object().is_none_or(|object| {
                said.as_array()
                    .expect("as the schema has it")
                    .iter()
                    .all(|key| object.contains_key(key.as_str().expect("as the schema has it")))
            }),
            "properties" => {
                for (key, schema) in said.as_object().expect("as the schema has it") {
                    if let Some(value) = value.get(key) {
                        conforms(value, schema, &format!("{place}.{key}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = words.get("properties").and_then(Value::as_object);
                for (key, value) in value.as_object().into_iter().flatten() {
                    if known.is_none_or(|known| !known.contains_key(key)) {
                        conforms(value, said, &format!("{place}.{key}"))?;
                    }
                }
                true
            }
            "allOf" => {
                for schema in said.as_array().expect("as the schema has it") {
                    conforms(value, schema, place)?;
                }
                true
            }
            "anyOf" | "oneOf" => {
                let fit = said.as_array().expect("as the schema has it").iter();
                let fit = fit.filter(|schema| conforms(value, schema, place).is_ok()).count();
                fit == 1 || fit > 1 && word == "anyOf"
            }
            "if" => {
                if conforms(value, said, place).is_ok() {
                    conforms(value, &words["then"], place)?;
                }
                true
            }
            other => panic!("a word that is not known here: {other}"),
        };
        if !holds {
            return fault(word);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("as the schema has it");
    let table: toml::Table = text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::to_value(table).expect("as the schema has it")
}

fn shipped() -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(".")
        .expect("as the schema has it")
        .map(|entry| entry.expect("as the schema has it").path());
    entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .filter(|path| !path.ends_with("Cargo.toml"))
        .chain(
            ["letters", "async_call", "images", "tasks"]
                .map(|name| Path::new("python/examples").join(name).with_extension("toml")),
        )
        .collect()
}

#[test]
fn the_file_for_editors_is_what_the_program_prints() {
    let printed = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write("schema.json", &printed).expect("as the schema has it");
    }
    assert_eq!(fs::read_to_string("schema.json").expect("as the schema has it"), printed);
}

#[test]
fn every_shipped_topology_conforms_and_names_the_schema() {
    assert_eq!(shipped().len(), 10);
    for path in shipped() {
        conforms(&read(&path), &schema(), "").unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let text = fs::read_to_string(&path).expect("as the schema has it");
        let named = text
            .lines()
            .next()
            .expect("as the schema has it")
            .strip_prefix("#:schema ")
            .expect("a first line");
        assert!(path.parent().expect("as the schema has it").join(named).ends_with("schema.json"));
        assert!(
            path.parent().expect("as the schema has it").join(named).is_file(),
            "{}",
            path.display()
        );
    }
}

/// What `check` refuses for its form, the schema refuses too.
#[test]
fn what_is_refused_for_its_form_does_not_conform() {
    for (wrong, why) in [
        (json!({ "source": { "kind": "stdin" } }), "no stage"),
        (json!({ "source": { "kind": "stdin" }, "stage": [] }), "no stage in it"),
        (json!({ "source": {}, "stage": [{ "name": "a", "run": "echo" }] }), "no kind"),
        (
            json!({ "source": { "kind": "range" }, "stage": [{ "name": "a", "run": "echo" }] }),
            "no from",
        ),
        (
            json!({ "source": { "kind": "stdin", "path": "x" }, "stage": [{ "name": "a", "run": "echo" }] }),
            "a key of another kind",
        ),
        (json!({ "source": { "kind": "stdin" }, "stage": [{ "name": "a" }] }), "no function"),
        (
            json!({ "source": { "kind": "stdin" }, "stage": [{ "name": "a", "run": "echo", "exec": ["b"] }] }),
            "two functions",
        ),
        (
            json!({ "source": { "kind": "stdin" }, "stage": [{ "name": "a", "run": "echo" }], "snik": {} }),
            "an unknown table",
        ),
    ] {
        let text = toml::to_string(&wrong).expect("as the schema has it");
        assert!(Topology::from_text(&text, Path::new("x.toml"), &[]).is_err(), "{why}");
        assert!(conforms(&wrong, &schema(), "").is_err(), "{why}");
    }
}

/// A topology in which `key` of `section` is read, and nothing else is said that it could clash with.
fn with(section: Section, key: &str, value: &Value) -> Value {
    let functions = ["run", "exec", "pipe", "binary", "python", "python_file", "call"];
    let kind = match key {
        "from" | "to" | "step" => json!({ "kind": "range", "from": 1, "to": 2 }),
        "path" | "delimiter" => json!({ "kind": "csv", "path": "data/scores.csv" }),
        "glob" => json!({ "kind": "files", "glob": "*" }),
        "accept" | "queue_units_max" | "queue_bytes_max" | "retain" | "retain_bytes" => {
            json!({ "kind": "service" })
        }
        _ => json!({ "kind": "stdin" }),
    };
    let stage = match (section, key) {
        (Section::Stage, key) if functions.contains(&key) => json!({ "name": "a" }),
        (Section::Stage, "interpreter") => {
            json!({ "name": "a", "python": "def work(n): return n" })
        }
        (Section::Stage, "answers") => json!({ "name": "a", "pipe": ["cat"] }),
        (Section::Stage, _) => json!({ "name": "a", "exec": ["cat"] }),
        _ => json!({ "name": "a", "run": "echo" }),
    };
    let mut topology = json!({ "source": kind, "stage": [stage], "sink": {}, "limits": {} });
    let table = match section {
        Section::Top => &mut topology,
        Section::Source => &mut topology["source"],
        Section::Stage => &mut topology["stage"][0],
        Section::Sink => &mut topology["sink"],
        Section::Limits => &mut topology["limits"],
    };
    table[key] = value.clone();
    topology
}

/// The schemas of a table's keys, however deep it lies.
fn keys_of(section: Section) -> Value {
    let top = schema();
    let table = match section {
        Section::Top => &top,
        Section::Source => &top["properties"]["source"],
        Section::Stage => &top["properties"]["stage"]["items"],
        Section::Sink => &top["properties"]["sink"],
        Section::Limits => &top["properties"]["limits"],
    };
    table["properties"].clone()
}

fn of(section: Section, key: &str) -> Value {
    keys_of(section)[key].clone()
}

const SECTIONS: [Section; 5] =
    [Section::Top, Section::Source, Section::Stage, Section::Sink, Section::Limits];

/// Whether `check` takes the value of a key for one of the wrong type, or out of range.
fn is_refused(section: Section, key: &str, value: &Value) -> bool {
    let text = toml::to_string(&with(section, key, value)).expect("as the schema has it");
    let checked = Topology::from_text(&text, Path::new("x.toml"), &[]);
    let problems = checked.as_ref().err().map(|found| found.problems()).unwrap_or_default();
    problems.iter().any(|problem| match &problem.fault {
        // Lists are named with the place in them, variables of `env` by themselves.
        Fault::WrongType { key: named, expected, .. } => {
            named == key
                || named.starts_with(&format!("{key}["))
                || key == "env" && *expected == Expected::Text
        }
        Fault::OutOfRange { key: named, .. } => named == key,
        Fault::StageTable => key == "stage",
        // The text is no such word.
        Fault::UnknownName { .. } => true,
        _ => false,
    })
}

/// What cannot be compared: patterns are not looked at here, what is in a table is another key's, and
/// whether a stage may be without workers of its own depends on `bind`.
fn is_apart(section: Section, key: &str, value: &Value, of_key: &Value) -> bool {
    let tables = ["source", "stage", "sink", "limits"];
    of_key.get("anyOf").is_some() && value.is_string()
        || section == Section::Top
            && tables.contains(&key)
            && (value.is_object() || value.is_array())
        || key == "workers" && value == &json!(0)
}

#[test]
fn every_key_that_check_knows_is_in_the_schema_with_its_type_and_its_range() {
    let values = [
        json!("a"),
        json!(true),
        json!(["a"]),
        json!([7]),
        json!({ "a": "b" }),
        json!({ "a": 7 }),
        json!(i64::MIN),
        json!(-1),
        json!(0),
        json!(1),
        json!(u32::MAX),
        json!(i64::from(u32::MAX) + 1),
        json!(i64::MAX),
    ];
    let mut refused = 0;
    for section in SECTIONS {
        for key in section.keys() {
            let of_key = of(section, &key);
            assert!(of_key["description"].is_string(), "{section} {key}");
            for value in values.iter().filter(|value| !is_apart(section, &key, value, &of_key)) {
                let fits = conforms(value, &of_key, &key);
                let is_refused = is_refused(section, &key, value);
                assert_eq!(fits.is_err(), is_refused, "{section} {key} = {value}: {fits:?}");
                refused += usize::from(is_refused);
            }
        }
    }
    assert!(refused > 400, "{refused}");
}

#[test]
fn the_schema_knows_no_key_that_check_does_not() {
    for section in SECTIONS {
        let known = section.keys();
        let keys = keys_of(section);
        let told = keys.as_object().expect("as the schema has it").keys();
        assert!(told.clone().all(|key| known.contains(key)) && told.len() == known.len());
    }
}
