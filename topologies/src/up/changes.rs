//! In what a topology differs from the one that a run began with, and what of that a run can go on with.
//!
//! Owns the comparison, the verdict and the words; refuses to know sources from inside, and to change
//! anything. A stage's function and settings may change, and a source may go on where it ended. What
//! decides the form of the results that are there already may not.

use std::fmt;

use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

/// Lines of a source that are shown around those that differ.
const CONTEXT: usize = 2;

/// What becomes of a run that is to go on with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What is there stays, what is left is done with the new code.
    Work,
    /// There are more units, behind those that there were.
    Growth,
    /// The file of the source is another one; whether it begins like the one before is seen there.
    Moved,
    /// It can't go on, for this reason.
    Never(&'static str),
}

/// One place at which two topologies differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    at: String,
    before: Value,
    now: Value,
    verdict: Verdict,
}

impl Change {
    /// What becomes of a run that is to go on with it.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}

/// Every place at which the topology of now differs from the one that a run began with, in their
/// canonical forms.
pub fn between(before: &Value, now: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", before, now, &mut found);
    let names = |topology: &Value| -> Vec<Value> {
        let stages = topology["stages"].as_array();
        stages.into_iter().flatten().map(|stage| stage["name"].clone()).collect()
    };
    let same_stages = names(before) == names(now);
    let judged = |(at, was, is): (String, Value, Value)| {
        let verdict = judge(&at, (before, now), same_stages);
        Change { at: named(&at, before), before: was, now: is, verdict }
    };
    found.into_iter().map(judged).collect()
}

fn judge(at: &str, (before, now): (&Value, &Value), same_stages: bool) -> Verdict {
    match at {
        _ if at.starts_with("stages") && same_stages => Verdict::Work,
        _ if at.starts_with("stages") => Verdict::Never(
            "the results that are there have come through other stages; their names and their number stay as they are",
        ),
        "source.to" if goes_on(&before["source"], &now["source"]) => Verdict::Growth,
        "source.path" => Verdict::Moved,
        _ if at.starts_with("source") => {
            Verdict::Never("units are known by their place in the source, and this is another one")
        }
        _ => Verdict::Never("the results that are there are written and counted in another way"),
    }
}

/// Whether a range ends further on.
fn goes_on(before: &Value, now: &Value) -> bool {
    let number = |source: &Value, key: &str| source[key].as_i64();
    let further = number(now, "to").cmp(&number(before, "to"));
    match number(now, "step") {
        Some(..0) => further.is_lt(),
        _ => further.is_gt(),
    }
}

/// A place as people call it: ``stage `fetch`: args``.
fn named(at: &str, topology: &Value) -> String {
    let in_stage = at.strip_prefix("stages.").and_then(|rest| {
        let (index, key) = rest.split_once('.')?;
        let name = topology["stages"][index.parse::<usize>().ok()?]["name"].as_str()?;
        let key = key.strip_prefix("function.").unwrap_or(key);
        Some(format!("stage `{name}`: {key}"))
    });
    in_stage.unwrap_or_else(|| at.to_owned())
}

fn compare(at: &str, before: &Value, now: &Value, found: &mut Vec<(String, Value, Value)>) {
    let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    match (before, now) {
        (Value::Object(a), Value::Object(b)) if !is_other_function(at, a, b) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                compare(&below(key), &of(a), &of(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&below(&index.to_string()), a, b, found);
            }
        }
        (before, now) if before != now => {
            found.push((at.to_owned(), before.clone(), now.clone()));
        }
        _ => {}
    }
}

/// A function of another kind is told as a whole.
fn is_other_function(at: &str, a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    at.ends_with(".function") && !a.keys().eq(b.keys())
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, before, now, .. } = self;
        match (before.as_str(), now.as_str()) {
            (Some(was), Some(is)) if was.trim().contains('\n') || is.trim().contains('\n') => {
                write!(f, "{at} has changed:")?;
                lines(was, is, f)
            }
            _ => write!(f, "{at} is {now}, the run began with {before}"),
        }
    }
}

/// Line by line: `-` was, `+` is.
fn lines(was: &str, is: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let diff = TextDiff::from_lines(was, is);
    for (place, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if place > 0 {
            write!(f, "\n      …")?;
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let line = change.value().trim_end_matches(['\n', '\r']);
            let number = change.new_index().or(change.old_index()).map_or(0, |index| index + 1);
            write!(f, "\n    {}", format!("{number:>4} {sign} {line}").trim_end())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn topology(source: Value, name: &str, python: &str) -> Value {
        let stage = json!({"name": name, "function": {"python": python}, "args": ["-x"]});
        json!({"source": source, "stages": [stage], "sink": {"order": "input"}})
    }

    fn range(to: i64) -> Value {
        json!({"kind": "range", "from": 1, "to": to, "step": 1})
    }

    #[test]
    fn a_source_is_told_line_by_line() {
        let before = topology(range(9), "s", "def work(v):\n    a = 1\n    b = 2\n    return v\n");
        let now = topology(range(9), "s", "def work(v):\n    a = 1\n    b = 3\n    return v\n");
        let changes = between(&before, &now);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].verdict(), Verdict::Work);
        let told = "stage `s`: python has changed:
       1   def work(v):
       2       a = 1
       3 -     b = 2
       3 +     b = 3
       4       return v";
        assert_eq!(changes[0].to_string(), told);
    }

    #[test]
    fn a_range_may_end_further_on_and_not_earlier() {
        let with = |to| topology(range(to), "s", "x");
        let verdict = |to| between(&with(9), &with(to))[0].verdict();
        assert_eq!(verdict(10), Verdict::Growth);
        assert!(matches!(verdict(8), Verdict::Never(_)));
        let told = between(&with(9), &with(10))[0].to_string();
        assert_eq!(told, "source.to is 10, the run began with 9");
    }

    #[test]
    fn what_is_there_has_come_through_these_stages_to_this_sink() {
        let before = topology(range(9), "s", "x");
        let renamed = topology(range(9), "t", "x");
        let mut reordered = before.clone();
        reordered["sink"]["order"] = json!("completion");
        let mut other_source = before.clone();
        other_source["source"]["kind"] = json!("lines");
        for now in [renamed, reordered, other_source] {
            let changes = between(&before, &now);
            assert!(matches!(changes[0].verdict(), Verdict::Never(_)), "{changes:?}");
        }
        assert_eq!(between(&before, &before), []);
    }

    #[test]
    fn a_function_of_another_kind_is_told_as_a_whole() {
        let before = topology(range(9), "s", "x");
        let mut now = before.clone();
        now["stages"][0]["function"] = json!({"run": "echo"});
        let changes = between(&before, &now);
        let told =
            "stage `s`: function is {\"run\":\"echo\"}, the run began with {\"python\":\"x\"}";
        assert_eq!(changes[0].to_string(), told);
        assert_eq!(changes[0].verdict(), Verdict::Work);
    }
}
