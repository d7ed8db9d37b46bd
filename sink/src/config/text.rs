//! The text forms of a sink's configuration: what a flag or a topology's key may say.
//!
//! Owns names and their reading; knows neither flags nor TOML, and renders no error.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

use super::{Aggregate, Field, GroupBy, Order, OutputSpec};

/// Why a text is none of the names that are known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// No such name; [`Named::NAMES`] has those that there are.
    #[error("unknown {what} `{given}`, expected one of {}", names.join(", "))]
    Unknown {
        /// What was looked for: `field`, `aggregate`, …
        what: &'static str,
        /// What was given instead.
        given: String,
        /// All names, in the order in which they are documented.
        names: Vec<&'static str>,
    },
    /// A list names the same thing twice.
    #[error("{what} `{name}` is listed twice")]
    Twice {
        /// What is listed: `field`, `aggregate`, …
        what: &'static str,
        /// The name that comes twice.
        name: &'static str,
    },
    /// The path of an output ends with something that names no form.
    #[error(
        "unknown ending `.{}`, expected one of {}, or none for JSON lines",
        ending.escape_debug(),
        OutputSpec::ENDINGS.map(|ending| format!(".{ending}")).join(", ")
    )]
    Ending {
        /// The ending, without the dot.
        ending: String,
    },
    /// A path was expected, and there is no text at all.
    #[error("an output needs a path, or `-` for standard output")]
    NoPath,
}

/// A choice out of a fixed set of names.
pub trait Named: Copy + PartialEq + 'static {
    /// What such a name stands for, as an error message says it.
    const WHAT: &'static str;
    /// Every name with what it means, in the order in which they are documented.
    const NAMES: &'static [(&'static str, Self)];

    /// The choice that `text` names.
    ///
    /// # Errors
    /// [`NameError::Unknown`] when it names none.
    fn named(text: &str) -> Result<Self, NameError> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| NameError::Unknown {
            what: Self::WHAT,
            given: text.to_owned(),
            names: Self::NAMES.iter().map(|(name, _)| *name).collect(),
        })
    }

    /// The name of this choice.
    fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, choice)| *choice == self);
        found.map_or("", |(name, _)| name)
    }
}

/// Reads a comma-separated list of names; white space around a name and an empty text are fine.
///
/// # Errors
/// Every name that is unknown or comes twice, not just the first.
pub fn parse_list<T: Named>(text: &str) -> Result<Vec<T>, Vec<NameError>> {
    let mut list = Vec::new();
    let mut errors = Vec::new();
    if text.trim().is_empty() {
        return Ok(list);
    }
    for name in text.split(',') {
        match T::named(name.trim()) {
            Ok(choice) if list.contains(&choice) => {
                errors.push(NameError::Twice { what: T::WHAT, name: choice.name() })
            }
            Ok(choice) => list.push(choice),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(list) } else { Err(errors) }
}

impl Named for Order {
    const WHAT: &'static str = "order";
    const NAMES: &'static [(&'static str, Self)] =
        &[("input", Order::Input), ("completion", Order::Completion)];
}

impl Named for Field {
    const WHAT: &'static str = "field";
    const NAMES: &'static [(&'static str, Self)] = &[
        ("id", Field::Id),
        ("input", Field::Input),
        ("value", Field::Value),
        ("stage", Field::Stage),
        ("attempt", Field::Attempt),
        ("worker", Field::Worker),
        ("ms", Field::Ms),
    ];
}

impl Named for Aggregate {
    const WHAT: &'static str = "aggregate";
    const NAMES: &'static [(&'static str, Self)] = &[
        ("count", Aggregate::Count),
        ("sum", Aggregate::Sum),
        ("mean", Aggregate::Mean),
        ("min", Aggregate::Min),
        ("max", Aggregate::Max),
        ("stddev", Aggregate::Stddev),
        ("p50", Aggregate::P50),
        ("p90", Aggregate::P90),
        ("p99", Aggregate::P99),
        ("p999", Aggregate::P999),
        ("histogram", Aggregate::Histogram),
        ("top", Aggregate::Top),
    ];
}

impl FromStr for Order {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::named(text)
    }
}

impl FromStr for Field {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::named(text)
    }
}

impl FromStr for Aggregate {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::named(text)
    }
}

impl FromStr for GroupBy {
    type Err = Infallible;
    /// `value` is the value itself; anything else is the name of a field of it.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "value" => GroupBy::Value,
            field => GroupBy::Field(field.to_owned()),
        })
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GroupBy::Value => "value",
            GroupBy::Field(field) => field,
        })
    }
}

impl TryFrom<PathBuf> for OutputSpec {
    type Error = NameError;
    /// Chooses by the ending, in capitals or not; see [`OutputSpec`].
    fn try_from(path: PathBuf) -> Result<Self, NameError> {
        // Opened by name, a file behind it would be written from its beginning.
        const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
        if STDOUT.iter().any(|name| path == Path::new(name)) {
            return Ok(OutputSpec::Stdout);
        }
        let Some(ending) = path.extension() else { return Ok(OutputSpec::Jsonl(path)) };
        match ending.to_string_lossy().to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Ok(OutputSpec::Jsonl(path)),
            "csv" => Ok(OutputSpec::Csv(path)),
            "sqlite" | "sqlite3" | "db" => Ok(OutputSpec::Sqlite(path)),
            _ => Err(NameError::Ending { ending: ending.to_string_lossy().into_owned() }),
        }
    }
}

impl FromStr for OutputSpec {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::NoPath);
        }
        OutputSpec::try_from(PathBuf::from(text))
    }
}

impl fmt::Display for OutputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SinkConfig;
    use super::*;

    #[test]
    fn an_output_is_chosen_by_its_ending() {
        let spec = |text: &str| text.parse::<OutputSpec>().unwrap();
        assert_eq!(spec("-"), OutputSpec::Stdout);
        assert_eq!(spec("/dev/stdout"), OutputSpec::Stdout);
        assert_eq!(spec("a.csv"), OutputSpec::Csv("a.csv".into()));
        assert_eq!(spec("x/a.CSV"), OutputSpec::Csv("x/a.CSV".into()));
        for ending in ["sqlite", "sqlite3", "db"] {
            let path = format!("a.{ending}");
            assert_eq!(spec(&path), OutputSpec::Sqlite(path.clone().into()));
        }
        for path in ["a.jsonl", "a.ndjson", "a", "a.b/c", "/dev/null"] {
            assert_eq!(spec(path), OutputSpec::Jsonl(path.into()));
        }
        assert_eq!("".parse::<OutputSpec>(), Err(NameError::NoPath));
    }

    #[test]
    fn an_unknown_ending_is_refused_with_those_that_there_are() {
        let error = "out/a.xml".parse::<OutputSpec>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown ending `.xml`, expected one of .jsonl, .ndjson, .csv, .sqlite, .sqlite3, .db, or none for JSON lines"
        );
        for ending in OutputSpec::ENDINGS {
            format!("a.{ending}").parse::<OutputSpec>().unwrap();
        }
    }

    #[test]
    fn every_name_is_read_back_and_is_the_one_that_serde_writes() {
        fn check<T: Named + serde::Serialize + fmt::Debug>() {
            for (name, choice) in T::NAMES {
                assert_eq!(T::named(name).unwrap(), *choice);
                assert_eq!(serde_json::to_value(choice).unwrap(), *name);
                assert_eq!(choice.name(), *name);
            }
        }
        check::<Order>();
        check::<Field>();
        check::<Aggregate>();
    }

    #[test]
    fn an_unknown_name_lists_those_that_there_are() {
        let error = "inptu".parse::<Order>().unwrap_err();
        assert_eq!(error.to_string(), "unknown order `inptu`, expected one of input, completion");
    }

    #[test]
    fn a_list_shows_all_its_mistakes_at_once() {
        assert_eq!(parse_list::<Field>("id, value").unwrap(), [Field::Id, Field::Value]);
        assert_eq!(parse_list::<Field>(" ").unwrap(), []);
        let errors = parse_list::<Field>("id,ids,,id").unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 3);
        assert!(texts[0].starts_with("unknown field `ids`"), "{texts:?}");
        assert!(texts[1].starts_with("unknown field ``"), "{texts:?}");
        assert_eq!(texts[2], "field `id` is listed twice");
    }

    #[test]
    fn dead_letters_lie_beside_the_output() {
        let mut config = SinkConfig::default();
        assert_eq!(config.dead_path(), Path::new("dead.jsonl"));
        config.output = Some(OutputSpec::Stdout);
        assert_eq!(config.dead_path(), Path::new("dead.jsonl"));
        config.output = Some(OutputSpec::Jsonl("out/results.jsonl".into()));
        assert_eq!(config.dead_path(), Path::new("out/results.jsonl.dead.jsonl"));
        config.dead = Some("elsewhere.jsonl".into());
        assert_eq!(config.dead_path(), Path::new("elsewhere.jsonl"));
    }
}
