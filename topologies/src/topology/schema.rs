//! The JSON Schema of topologies, draft 2020-12, by which editors complete keys and show mistakes.
//!
//! Owns the step from the vocabulary to a schema; refuses to know a key. What only a look at the
//! machine can tell (files, programs, Python) and what keys mean together beyond that is `check`'s.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::{
    keys::{self, Form, Key, SOURCE_KINDS, SourceKind},
    quantity,
    section::{FUNCTION_KEYS, Section},
};

/// The schema of a topology file.
pub fn schema() -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A topology of `pipeline`",
    });
    if let (Value::Object(schema), Value::Object(top)) = (&mut schema, table(Section::Top)) {
        schema.extend(top);
    }
    schema
}

fn table(section: Section) -> Value {
    let keys = keys::of(section);
    let properties: Map<String, Value> =
        keys.iter().map(|key| (key.name.clone().into_owned(), property(key))).collect();
    let mut table = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    match section {
        Section::Top => table["required"] = json!(["source", "stage"]),
        Section::Source => {
            table["required"] = json!(["kind"]);
            table["allOf"] = kinds(&keys);
        }
        Section::Stage => {
            table["required"] = json!(["name"]);
            let one = |key: &&str| json!({ "required": [key] });
            table["oneOf"] = FUNCTION_KEYS.iter().map(one).collect();
        }
        Section::Sink | Section::Limits => {}
    }
    table
}

/// Each kind of source takes keys of its own, and no others.
fn kinds(keys: &[Key]) -> Value {
    let rule = |kind: &SourceKind| {
        let foreign =
            keys.iter().filter(|key| key.name != "kind" && !kind.keys.contains(&&*key.name));
        let foreign: Map<String, Value> =
            foreign.map(|key| (key.name.clone().into_owned(), json!(false))).collect();
        json!({
            "if": { "properties": { "kind": { "const": kind.name } } },
            "then": { "required": kind.needed, "properties": foreign },
        })
    };
    SOURCE_KINDS.iter().map(rule).collect()
}

fn property(key: &Key) -> Value {
    let mut property = form(&key.form);
    property["description"] = json!(key.about);
    property
}

fn form(form: &Form) -> Value {
    const TEXT: &str = "\\S";
    let text = || json!({ "type": "string", "pattern": TEXT });
    match form {
        Form::Text => text(),
        Form::Name => json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+$" }),
        Form::OneOf(words) => json!({ "type": "string", "enum": words }),
        Form::Some(words) => json!({
            "type": "array",
            "items": { "type": "string", "enum": words },
            "uniqueItems": true,
        }),
        Form::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Form::Command => json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
        Form::Integer(range) => integer(range),
        Form::Duration(range) => quantity(range, quantity::TIME),
        Form::Size(range) => quantity(range, quantity::SIZE),
        Form::Boolean => json!({ "type": "boolean" }),
        Form::Map => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Form::Table(section) => table(*section),
        Form::Tables(section) => {
            json!({ "type": "array", "items": table(*section), "minItems": 1 })
        }
    }
}

/// Where the range is that of every integer of TOML there is nothing to say of it.
fn integer(range: &RangeInclusive<i128>) -> Value {
    let mut integer = json!({ "type": "integer" });
    for (word, bound, edge) in
        [("minimum", *range.start(), i64::MIN), ("maximum", *range.end(), i64::MAX)]
    {
        if let (Ok(bound), true) = (i64::try_from(bound), bound != i128::from(edge)) {
            integer[word] = json!(bound);
        }
    }
    integer
}

fn quantity(range: &RangeInclusive<i128>, units: &[(&str, f64)]) -> Value {
    let units: Vec<&str> = units.iter().map(|(unit, _)| *unit).collect();
    let pattern = format!("^\\s*[0-9._]+\\s*({})\\s*$", units.join("|"));
    json!({ "anyOf": [{ "type": "string", "pattern": pattern }, integer(range)] })
}
