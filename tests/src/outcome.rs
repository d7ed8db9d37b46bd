//! What a run left behind: its summary, its output, its dead letters.
//!
//! Owns the reading of these files, as a user's script would read them.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// The summary of a run, as `--summary FILE` has written it.
#[derive(Debug)]
pub struct Outcome {
    summary: Value,
}

impl Outcome {
    /// Reads a summary, and checks what holds for every run: each unit has one outcome.
    ///
    /// # Panics
    /// When it is missing or does not add up.
    pub fn read(path: &Path) -> Self {
        let outcome = Outcome { summary: json(path) };
        let ends = ["results", "filtered", "dead"].map(|name| outcome.count(name));
        assert_eq!(outcome.count("units_in"), ends.iter().sum::<u64>(), "{:?}", outcome.summary);
        outcome
    }

    /// One of its counts.
    ///
    /// # Panics
    /// When it has none of this name.
    pub fn count(&self, name: &str) -> u64 {
        self.summary[name].as_u64().unwrap_or_else(|| panic!("`{name}` in {:?}", self.summary))
    }

    /// Any of its fields.
    pub fn field(&self, name: &str) -> &Value {
        &self.summary[name]
    }
}

/// A JSON file.
///
/// # Panics
/// When it is missing or no JSON.
pub fn json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of a file.
///
/// # Panics
/// When it is missing or no text.
pub fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(str::to_owned).collect()
}

/// The lines of a file, each as JSON.
///
/// # Panics
/// When it is missing, or a line is no JSON.
pub fn json_lines(path: &Path) -> Vec<Value> {
    let parse = |line: &String| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    lines(path).iter().map(parse).collect()
}

/// Panics with the first difference of two lists of lines, since thousands can't be read.
///
/// # Panics
/// When they differ.
pub fn assert_same_lines(found: &[String], expected: &[String]) {
    let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
    if let Some(line) = differs {
        panic!("line {}: found {}, expected {}", line + 1, found[line], expected[line]);
    }
    assert_eq!(found.len(), expected.len(), "as many lines");
}
