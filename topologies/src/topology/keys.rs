//! Every key of a topology: what it is called, what it takes, what it means.
//!
//! Owns the language's vocabulary, the only list of it: the checks read by it, and the schema is
//! made from it. Refuses values, and what keys mean together.

use std::{borrow::Cow, ops::RangeInclusive};

use proto::limits::{CONCURRENCY_CEILING, FRAME_BYTES_CEILING, Limits, PARCEL_UNITS_CEILING};
use sink::{
    aggregate::GROUPS_MAX,
    config::{Aggregate, Field, Named, Order},
};

use super::section::Section;

/// Every number that fits the limits and the manifests, from nothing.
pub(super) const UNSIGNED: RangeInclusive<i128> = 0..=i64::MAX as i128;
/// Every number of times.
const TIMES: RangeInclusive<i128> = 0..=u32::MAX as i128;
/// Groups and values that `top` can show; each of them is kept in memory.
const TOP_MAX: i128 = 1_000_000;
/// No limit may be switched off.
const LIMIT_MIN: i128 = 1;

/// The two orders in which a program can answer.
pub(super) const ANSWERS: [&str; 2] = ["in-order", "any-order"];

/// When a client of a service is told that a unit is accepted.
pub(super) const ACCEPT: [&str; 2] = ["durable", "memory"];

/// A kind of source, and its keys beside `kind`.
pub(super) struct SourceKind {
    /// As it is written.
    pub name: &'static str,
    /// Those that it takes.
    pub keys: &'static [&'static str],
    /// Those of them that it can't do without.
    pub needed: &'static [&'static str],
}

/// The kinds of source; what each of them is read to stands in `check::source`.
pub(super) const SOURCE_KINDS: [SourceKind; 7] = [
    SourceKind { name: "range", keys: &["from", "to", "step"], needed: &["from", "to"] },
    SourceKind { name: "lines", keys: &["path"], needed: &["path"] },
    SourceKind { name: "jsonl", keys: &["path"], needed: &["path"] },
    SourceKind { name: "csv", keys: &["path", "delimiter"], needed: &["path"] },
    SourceKind { name: "files", keys: &["glob"], needed: &["glob"] },
    SourceKind { name: "stdin", keys: &[], needed: &[] },
    SourceKind {
        name: "service",
        keys: &["accept", "queue_units_max", "queue_bytes_max"],
        needed: &[],
    },
];

/// A key.
#[derive(Debug, Clone)]
pub struct Key {
    /// As it is written.
    pub name: Cow<'static, str>,
    /// What it takes.
    pub form: Form,
    /// What it means, in a sentence.
    pub about: Cow<'static, str>,
}

/// What a key takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// A text with something in it.
    Text,
    /// Letters, digits, `-` and `_`.
    Name,
    /// One of these words.
    OneOf(Vec<&'static str>),
    /// A list of these words.
    Some(Vec<&'static str>),
    /// A list of texts.
    Texts,
    /// A program with its arguments.
    Command,
    /// A whole number.
    Integer(RangeInclusive<i128>),
    /// A duration like `"10s"`, or milliseconds.
    Duration(RangeInclusive<i128>),
    /// A size like `"64MiB"`, or bytes.
    Size(RangeInclusive<i128>),
    /// `true` or `false`.
    Boolean,
    /// A table of texts, with any keys.
    Map,
    /// A table of its own.
    Table(Section),
    /// A list of tables.
    Tables(Section),
}

impl Form {
    /// The numbers that it may be; of what is no number all of them.
    pub(super) fn range(&self) -> RangeInclusive<i128> {
        match self {
            Self::Integer(range) | Self::Duration(range) | Self::Size(range) => range.clone(),
            _ => i128::MIN..=i128::MAX,
        }
    }
}

/// The keys that may stand in a table.
pub(super) fn of(section: Section) -> Vec<Key> {
    match section {
        Section::Top => top(),
        Section::Source => source(),
        Section::Stage => stage(),
        Section::Sink => sink(),
        Section::Limits => limits(),
    }
}

fn key(name: &'static str, form: Form, about: &'static str) -> Key {
    Key { name: name.into(), form, about: about.into() }
}

fn top() -> Vec<Key> {
    use Form::{Boolean, Name, Table, Tables, Text};
    vec![
        key("name", Name, "What the run is called; default: the file's name"),
        key("key", Text, "The key file for tcp; default: the user's own"),
        key("insecure", Boolean, "No encryption over tcp"),
        key(
            "bind",
            Text,
            "Where workers on other machines find the ventilator, as in tcp://*:5557; the sink listens at the next port",
        ),
        key(
            "halt",
            Text,
            "When the run stops as hopeless: once the first units of a stage have all failed, as in hopeless=20, the default, or never",
        ),
        key("source", Table(Section::Source), "Where units of work come from"),
        key(
            "stage",
            Tables(Section::Stage),
            "What is done with each unit; each stage's outputs are the next one's inputs",
        ),
        key("sink", Table(Section::Sink), "What becomes of the results"),
        key("limits", Table(Section::Limits), "The limits of the runtime; nobody has to set any"),
    ]
}

fn source() -> Vec<Key> {
    use Form::{Integer, OneOf, Size, Text};
    let whole = || Integer(i64::MIN.into()..=i64::MAX.into());
    vec![
        key(
            "kind",
            OneOf(SOURCE_KINDS.iter().map(|kind| kind.name).collect()),
            "What kind of source it is",
        ),
        key("from", whole(), "range: the first value"),
        key("to", whole(), "range: the last value, inclusive"),
        key("step", whole(), "range: from one value to the next, not 0; default: 1"),
        key("path", Text, "lines, jsonl, csv: the file, relative to the topology's folder"),
        key(
            "delimiter",
            Text,
            "csv: what separates cells, one ASCII character, or \"tab\"; default: a comma",
        ),
        key(
            "glob",
            Text,
            "files: a pattern, relative to the topology's folder; the units are the paths, sorted",
        ),
        key(
            "accept",
            OneOf(ACCEPT.into()),
            "service: when a unit is accepted: once it is safe on disk, or at once, which a loss of power undoes; default: durable",
        ),
        key(
            "queue_units_max",
            Integer(1..=*UNSIGNED.end()),
            "service: units that may wait; clients that submit more wait for room; default: 1000000",
        ),
        key(
            "queue_bytes_max",
            Size(1..=*UNSIGNED.end()),
            "service: bytes of values that may wait; default: 1GiB",
        ),
    ]
}

fn stage() -> Vec<Key> {
    use Form::{Boolean, Command, Duration, Integer, Map, Name, OneOf, Text, Texts};
    let builtins = worker::builtin::names().iter().map(|(name, _)| *name).collect();
    vec![
        key("name", Name, "What the stage is called, a name of its own"),
        key("run", OneOf(builtins), "A built-in function"),
        key(
            "exec",
            Command,
            "A program that is started for each unit; {} is replaced by the value, which is on stdin otherwise",
        ),
        key(
            "pipe",
            Command,
            "A program that lives as long as its worker: a JSON line in, a JSON line out",
        ),
        key("binary", Text, "Your own worker program"),
        key("python", Text, "Python source with a function work(value)"),
        key("python_file", Text, "A file of Python source with a function work(value)"),
        key("call", Text, "A function of a Python module, as in package.module:function"),
        key(
            "interpreter",
            Text,
            "What runs Python, a path or a name on the PATH; default: python3",
        ),
        key(
            "workers",
            Integer(TIMES),
            "How many processes; 0 where a `bind` lets workers from elsewhere join; default: the number of cores",
        ),
        key("retries", Integer(TIMES), "Tries after the first one; default: 2"),
        key(
            "backoff",
            Duration(UNSIGNED),
            "Pause before the first retry, doubled each time, up to 30 s; default: 100ms",
        ),
        key(
            "crash_limit",
            Integer(1..=*TIMES.end()),
            "Deaths of workers by one unit alone before it is dead; default: 3",
        ),
        key(
            "timeout",
            Duration(1..=*UNSIGNED.end()),
            "The longest that a unit may take (exec, pipe, Python); default: none",
        ),
        key(
            "concurrency",
            Integer(1..=CONCURRENCY_CEILING.into()),
            "Units that one worker has open at once, for functions that wait; default: 1",
        ),
        key(
            "stream",
            Boolean,
            "The last stage of a service: outputs of a unit that is still worked on go to whoever follows it",
        ),
        key(
            "answers",
            OneOf(ANSWERS.into()),
            "pipe: whether its answers come in the order of the lines, or any, each with the `id` of its line",
        ),
        key("env", Map, "Environment variables of a program"),
        key("args", Texts, "Arguments of a program, or of a built-in that takes any"),
    ]
}

fn sink() -> Vec<Key> {
    use Form::{Boolean, Duration, Integer, OneOf, Size, Some, Text};
    vec![
        key(
            "output",
            Text,
            "Where results go: jsonl, csv or sqlite by its ending, - for stdout; default: aggregates only",
        ),
        key(
            "order",
            OneOf(names::<Order>()),
            "input: by place in the source; completion: as they come; default: input",
        ),
        key(
            "fields",
            Some(names::<Field>()),
            "What a line holds, or the columns; default: the value alone",
        ),
        key("aggregate", Some(names::<Aggregate>()), "What is computed over all results"),
        key("group_by", Text, "Aggregate by a field of the value, or by \"value\" itself"),
        key("on", Text, "The field of the value that is aggregated; default: the value itself"),
        key("top", Integer(1..=TOP_MAX), "How many `top` shows; default: 10"),
        key(
            "groups_max",
            Integer(1..=GROUPS_MAX as i128),
            "Groups, or values of `top`, that are told apart; the others are counted together",
        ),
        key(
            "dead",
            Text,
            "The file of the dead letters; default: OUTPUT.dead.jsonl; dead.jsonl in the run directory of a service without an output",
        ),
        key(
            "retain",
            Duration(1..=*UNSIGNED.end()),
            "service: how long outcomes are kept that nobody has fetched; default: 1h",
        ),
        key(
            "retain_bytes",
            Size(1..=*UNSIGNED.end()),
            "service: bytes that they take, at most: the oldest go first; default: 256MiB",
        ),
        key(
            "overwrite",
            Boolean,
            "Write over files and tables that no run of this run directory made",
        ),
    ]
}

fn names<T: Named>() -> Vec<&'static str> {
    T::NAMES.iter().map(|(name, _)| *name).collect()
}

/// The keys of `[limits]` that take a duration, and the limits in milliseconds that they set.
pub(super) const DURATION_LIMITS: &[(&str, &str)] =
    &[("liveness", "liveness_ms"), ("heartbeat", "heartbeat_interval_ms")];

/// The runtime's own names, so that a new limit needs no second entry here.
fn limits() -> Vec<Key> {
    let defaults = limit_defaults();
    let about = |default: &serde_json::Value| Cow::Owned(format!("default: {default}"));
    let mut keys: Vec<Key> = defaults
        .iter()
        .map(|(name, default)| Key {
            name: name.clone().into(),
            form: limit_form(name),
            about: about(default),
        })
        .collect();
    keys.extend(DURATION_LIMITS.iter().map(|(key, name)| Key {
        name: (*key).into(),
        form: limit_form(name),
        about: format!("`{name}` by another name").into(),
    }));
    keys
}

/// A name bears its unit, so the unit need not be told twice.
fn limit_form(name: &str) -> Form {
    let range = LIMIT_MIN..=limit_max(name);
    match name {
        name if name.ends_with("_bytes_max") => Form::Size(range),
        name if name.ends_with("_ms") => Form::Duration(range),
        _ => Form::Integer(range),
    }
}

/// A worker listens before it is told the run's limits, so frames have ceilings for all runs; other
/// limits have that of their type.
fn limit_max(name: &str) -> i128 {
    match name {
        "frame_bytes_max" => FRAME_BYTES_CEILING.into(),
        "parcel_units_max" => PARCEL_UNITS_CEILING.into(),
        _ => {
            let mut all = limit_defaults();
            all.insert(name.to_owned(), i64::MAX.into());
            match serde_json::from_value::<Limits>(all.into()) {
                Ok(_) => *UNSIGNED.end(),
                Err(_) => u32::MAX.into(),
            }
        }
    }
}

/// Every limit by its name, with its default.
pub(super) fn limit_defaults() -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(Limits::default()) {
        Ok(serde_json::Value::Object(limits)) => limits,
        // A struct of integers always is an object.
        _ => serde_json::Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::section::FUNCTION_KEYS;

    #[test]
    fn every_friendlier_key_sets_a_limit_that_exists() {
        for (key, name) in DURATION_LIMITS {
            assert!(limit_defaults().contains_key(*name), "{key}");
        }
    }

    #[test]
    fn every_function_is_a_key_of_a_stage() {
        let known: Vec<_> = stage().into_iter().map(|key| key.name).collect();
        assert!(FUNCTION_KEYS.iter().all(|key| known.iter().any(|name| name == key)));
    }

    /// Who adds a key has to say there what it means.
    #[test]
    fn every_key_is_in_the_reference() {
        let text = include_str!("../../REFERENCE.md");
        for section in Section::ALL {
            for key in of(section) {
                if matches!(key.form, Form::Table(_) | Form::Tables(_)) {
                    continue;
                }
                assert!(text.contains(&format!("`{}`", key.name)), "{section}: {}", key.name);
            }
        }
    }
}
