//! The tables of a topology and the keys that each knows.
//!
//! Owns the names, which are the language's vocabulary; refuses values.

use std::fmt;

use proto::limits::Limits;

/// A table of a topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// What stands before the first table.
    Top,
    /// `[source]`.
    Source,
    /// One `[[stage]]`.
    Stage,
    /// `[sink]`.
    Sink,
    /// `[limits]`.
    Limits,
}

/// Every section that has keys of its own.
const SECTIONS: [Section; 5] =
    [Section::Top, Section::Source, Section::Stage, Section::Sink, Section::Limits];

/// The keys by which a stage names its function; exactly one stands in each.
pub(super) const FUNCTION_KEYS: &[&str] =
    &["run", "exec", "pipe", "binary", "python", "python_file", "call"];

/// The keys of `[limits]` that take a duration, and the limits in milliseconds that they set.
pub(super) const DURATION_LIMITS: &[(&str, &str)] =
    &[("liveness", "liveness_ms"), ("heartbeat", "heartbeat_interval_ms")];

impl Section {
    /// The keys that may stand in this table.
    pub fn keys(self) -> Vec<String> {
        let keys: &[&str] = match self {
            Self::Top => &["name", "key", "insecure", "bind", "source", "stage", "sink", "limits"],
            Self::Source => &["kind", "from", "to", "step", "path", "delimiter", "glob"],
            Self::Stage => &[
                "name",
                "run",
                "exec",
                "pipe",
                "binary",
                "python",
                "python_file",
                "call",
                "interpreter",
                "workers",
                "retries",
                "backoff",
                "crash_limit",
                "timeout",
                "concurrency",
                "answers",
                "env",
                "args",
            ],
            Self::Sink => &[
                "output",
                "order",
                "fields",
                "aggregate",
                "group_by",
                "on",
                "top",
                "groups_max",
                "dead",
                "overwrite",
            ],
            Self::Limits => return limits(),
        };
        keys.iter().map(|&key| key.to_owned()).collect()
    }

    /// The other tables in which `key` may stand.
    pub(super) fn elsewhere(self, key: &str) -> Vec<Self> {
        SECTIONS
            .into_iter()
            .filter(|&other| other != self && other.keys().iter().any(|known| known == key))
            .collect()
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Top => "the top level",
            Self::Source => "[source]",
            Self::Stage => "[[stage]]",
            Self::Sink => "[sink]",
            Self::Limits => "[limits]",
        })
    }
}

/// The runtime's own names, so that a new limit needs no second entry here.
fn limits() -> Vec<String> {
    let mut keys: Vec<String> = limit_defaults().keys().cloned().collect();
    keys.extend(DURATION_LIMITS.iter().map(|(key, _)| (*key).to_owned()));
    keys
}

/// Every limit by its name, with its default.
pub(super) fn limit_defaults() -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(Limits::default()) {
        Ok(serde_json::Value::Object(limits)) => limits,
        // A struct of integers always is an object.
        _ => serde_json::Map::new(),
    }
}
