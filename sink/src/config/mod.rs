//! What a sink is asked to do with the results.
//!
//! Owns the names and their text forms, from flags and topologies alike; opens nothing.

mod text;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::output::claim::Existing;

pub use crate::order::Order;
pub use text::{NameError, Named, parse_list};

/// Everything that decides what a sink writes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinkConfig {
    /// Where results go; none: aggregates only.
    pub output: Option<OutputSpec>,
    /// In which order.
    pub order: Order,
    /// What a line holds; empty: the value alone.
    pub fields: Vec<Field>,
    /// What is computed over all values.
    pub aggregate: Vec<Aggregate>,
    /// Over what separate groups it is computed.
    pub group_by: Option<GroupBy>,
    /// The field of the value that is aggregated; none: the value itself.
    pub on: Option<String>,
    /// How many groups or values `top` shows.
    pub top: Option<usize>,
    /// How many groups, or values of `top`, are told apart; none: as many as
    /// [`GROUPS_MAX`](crate::aggregate::GROUPS_MAX). The others are counted together.
    pub groups_max: Option<usize>,
    /// Where dead letters go; none: beside the output, or the current folder's `dead.jsonl`.
    pub dead: Option<PathBuf>,
    /// What becomes of files of others where results, letters or the summary shall go.
    #[serde(skip_serializing_if = "Existing::is_kept")]
    pub overwrite: Existing,
}

impl SinkConfig {
    /// Where dead letters are kept: what `dead` says, else `<output>.dead.jsonl` beside the
    /// output, else `dead.jsonl` in the current folder. Who starts a service gives it a place of its own.
    pub fn dead_path(&self) -> PathBuf {
        if let Some(path) = &self.dead {
            return path.clone();
        }
        match self.output.as_ref().and_then(OutputSpec::path) {
            Some(output) => {
                let mut path = output.as_os_str().to_owned();
                path.push(".dead.jsonl");
                PathBuf::from(path)
            }
            None => PathBuf::from("dead.jsonl"),
        }
    }
}

/// Where the results are written; chosen by the ending of the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputSpec {
    /// `-`: JSON lines on standard output.
    Stdout,
    /// `.jsonl`, `.ndjson`, and paths without an ending (devices, pipes): JSON lines.
    Jsonl(PathBuf),
    /// `.csv`: a header and a row a result.
    Csv(PathBuf),
    /// `.sqlite`, `.sqlite3`, `.db`: a table `results`.
    Sqlite(PathBuf),
}

impl OutputSpec {
    /// The endings that name a form, without the dot.
    pub const ENDINGS: [&str; 6] = ["jsonl", "ndjson", "csv", "sqlite", "sqlite3", "db"];

    /// What it is, with its path written by `shorten`: equal for the same output.
    pub fn canonical(&self, shorten: impl Fn(&Path) -> String) -> serde_json::Value {
        let form = match self {
            OutputSpec::Stdout => return "-".into(),
            OutputSpec::Jsonl(_) => "jsonl",
            OutputSpec::Csv(_) => "csv",
            OutputSpec::Sqlite(_) => "sqlite",
        };
        serde_json::json!({ form: self.path().map(shorten) })
    }

    /// The file that is written; `None` for standard output.
    pub fn path(&self) -> Option<&Path> {
        match self {
            OutputSpec::Stdout => None,
            OutputSpec::Jsonl(path) | OutputSpec::Csv(path) | OutputSpec::Sqlite(path) => {
                Some(path)
            }
        }
    }
}

/// One thing an output line can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The unit's place in the source, from 0.
    Id,
    /// The value that the source gave.
    Input,
    /// The result.
    Value,
    /// The stage that gave the result.
    Stage,
    /// Which try it was, from 1.
    Attempt,
    /// The name of the worker that gave it.
    Worker,
    /// The milliseconds it took there.
    Ms,
}

/// One figure over all values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// How many values.
    Count,
    /// Their sum.
    Sum,
    /// Their arithmetic mean.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The standard deviation of the population.
    Stddev,
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The 99th percentile.
    P99,
    /// The 99.9th percentile.
    P999,
    /// Counts in buckets of powers of two.
    Histogram,
    /// The most frequent values, or the largest groups.
    Top,
}

/// What values are grouped by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// The value itself (`value` in flags and topologies).
    Value,
    /// A field of the value.
    Field(String),
}
