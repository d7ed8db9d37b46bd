//! What a source is, before it is opened.
//!
//! Owns all that can be said of a kind of source without opening it: its name, the text form of the
//! command line (`range:1..10`), which file it reads, and how it is told to people and compared.
//! Refuses files: nothing is opened here.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::pattern::Pattern;

/// A description of where units come from. Serialised into a run's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceSpec {
    /// The integers `from`, `from + step`, … up to `to`, inclusive.
    Range {
        /// The first value.
        from: i64,
        /// No value is beyond it.
        to: i64,
        /// Distance between two values; never 0, negative counts down.
        step: i64,
    },
    /// The lines of a text file, without their ends, as strings.
    Lines {
        /// The file.
        path: PathBuf,
    },
    /// The JSON values of a file, one a line; blank lines are skipped.
    Jsonl {
        /// The file.
        path: PathBuf,
    },
    /// The rows of a CSV file with a header line, as maps from column to text.
    Csv {
        /// The file.
        path: PathBuf,
        /// What separates cells, an ASCII character; none: a comma.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delimiter: Option<char>,
    },
    /// The paths of the files that match a pattern, sorted, as strings; one that is no UTF-8 as
    /// its bytes.
    Files {
        /// A shell pattern, `**` included.
        glob: String,
        /// Where a pattern that is not absolute begins, taken as it is; none: the current folder.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<PathBuf>,
        /// What the run writes, which is no input of it. No part of what the source is.
        #[serde(skip)]
        own: Vec<PathBuf>,
    },
    /// The lines of standard input, as strings.
    Stdin,
    /// What clients submit, whenever they like.
    Service(ServiceSpec),
}

/// How a service takes in what clients submit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// When a client is told that a unit is accepted.
    pub accept: Accept,
    /// Units that wait, at most.
    pub queue_units_max: u64,
    /// Bytes of their values, at most.
    pub queue_bytes_max: u64,
    /// Milliseconds after which a client that was not heard is forgotten, with its numbers.
    pub retain_ms: u64,
}

/// When a client is told that a unit is accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// Once it is safe on disk.
    #[default]
    Durable,
    /// Once the system has it: a kill of any process loses nothing, a loss of power may.
    Memory,
}

impl Default for ServiceSpec {
    fn default() -> Self {
        Self {
            accept: Accept::default(),
            queue_units_max: 1_000_000,
            queue_bytes_max: 1 << 30,
            retain_ms: 3_600_000,
        }
    }
}

/// Why a `--source` was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourceSpecError {
    /// The word before the colon is no source.
    #[error(
        "no source is called `{kind}`; there are range:A..B, lines:FILE, jsonl:FILE, csv:FILE, files:GLOB, stdin and service"
    )]
    Kind {
        /// The word.
        kind: String,
    },
    /// Not two integers with `..` between them.
    #[error(
        "`{text}` is not a range; write range:FIRST..LAST, both inclusive, as in range:1..1000"
    )]
    Range {
        /// What stood after the colon.
        text: String,
    },
    /// What is no pattern after `files:`.
    #[error("`{pattern}` is not a pattern: at character {column}, {problem}")]
    Pattern {
        /// What stood after the colon.
        pattern: String,
        /// Where in it, from 1.
        column: usize,
        /// Why.
        problem: String,
    },
    /// Nothing after the colon.
    #[error("`{kind}:` names no {what}")]
    Missing {
        /// The source.
        kind: String,
        /// What it needs.
        what: &'static str,
    },
}

impl SourceSpec {
    /// The files that match a pattern, which begins in the current folder unless it is absolute.
    pub fn files(pattern: impl Into<String>) -> Self {
        Self::Files { glob: pattern.into(), folder: None, own: Vec::new() }
    }

    /// The one file or stream that it reads, if it is one with a path.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Lines { path } | Self::Jsonl { path } | Self::Csv { path, .. } => Some(path),
            Self::Range { .. } | Self::Files { .. } | Self::Stdin | Self::Service(_) => None,
        }
    }

    /// What it reads, as its user has named it: a path or a pattern.
    pub fn named(&self) -> Option<PathBuf> {
        match self {
            Self::Files { glob, folder, .. } => {
                Some(folder.as_deref().unwrap_or(Path::new("")).join(glob))
            }
            _ => self.path().map(Path::to_path_buf),
        }
    }

    /// A line about it for people, with what it reads written by `shorten`.
    pub fn describe(&self, shorten: impl Fn(&Path) -> String) -> String {
        let what = match self {
            Self::Range { from, to, step: 1 } => return format!("range {from} to {to}"),
            Self::Range { from, to, step } => return format!("range {from} to {to} step {step}"),
            Self::Stdin => return "lines of stdin".into(),
            Self::Service(_) => return "what clients submit".into(),
            Self::Lines { .. } => "lines of",
            Self::Jsonl { .. } => "values of",
            Self::Csv { .. } => "rows of",
            Self::Files { .. } => "files",
        };
        format!("{what} {}", self.named().as_deref().map(shorten).unwrap_or_default())
    }

    /// What it is, with what it reads written by `shorten`: equal for the same source. Meant to be
    /// digested and compared, not to be read back.
    pub fn canonical(&self, shorten: impl Fn(&Path) -> String) -> serde_json::Value {
        let short = self.named().map(|named| shorten(&named));
        let mut short_form = self.clone();
        match (&mut short_form, short) {
            (Self::Lines { path } | Self::Jsonl { path } | Self::Csv { path, .. }, Some(short)) => {
                *path = short.into()
            }
            (Self::Files { glob, folder, .. }, Some(short)) => (*glob, *folder) = (short, None),
            // How much may wait is nothing that decides results.
            (Self::Service(spec), _) => *spec = ServiceSpec::default(),
            _ => {}
        }
        // Plain fields have a JSON form, always.
        serde_json::to_value(short_form).unwrap_or_default()
    }

    /// Takes out what the run writes itself, where a pattern may match that.
    pub fn leave_out(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        if let Self::Files { own, .. } = self {
            own.extend(paths);
        }
    }

    /// Says what separates the cells of a csv source; whether it is one.
    pub fn separate_by(&mut self, character: char) -> bool {
        match self {
            Self::Csv { delimiter, .. } => {
                *delimiter = Some(character);
                true
            }
            _ => false,
        }
    }

    /// What the run writes itself, as far as this source has to know it.
    pub fn left_out(&self) -> &[PathBuf] {
        match self {
            Self::Files { own, .. } => own,
            _ => &[],
        }
    }
}

/// A character that can't separate cells.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` cannot separate cells; write one ASCII character that is no letter, digit or quote, as ; or |, or the word tab", .0.escape_debug())]
pub struct DelimiterError(pub String);

/// What separates cells, from its text form: the character, or `tab`.
///
/// # Errors
/// [`DelimiterError`] for what is no such character.
pub fn delimiter(text: &str) -> Result<char, DelimiterError> {
    match (text, text.chars().next()) {
        ("tab" | "\\t", _) => Ok('\t'),
        (_, Some(one))
            if text.len() == 1 && !one.is_ascii_alphanumeric() && !"\"\r\n\0".contains(one) =>
        {
            Ok(one)
        }
        _ => Err(DelimiterError(text.into())),
    }
}

impl FromStr for SourceSpec {
    type Err = SourceSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let file = |what| match rest {
            "" => Err(SourceSpecError::Missing { kind: kind.into(), what }),
            path => Ok(PathBuf::from(path)),
        };
        Ok(match kind {
            "range" => range(rest)?,
            "lines" => Self::Lines { path: file("file")? },
            "jsonl" => Self::Jsonl { path: file("file")? },
            "csv" => Self::Csv { path: file("file")?, delimiter: None },
            "files" => {
                file("pattern")?;
                let pattern = Pattern::parse(rest).map_err(|error| SourceSpecError::Pattern {
                    pattern: rest.into(),
                    column: error.at + 1,
                    problem: error.problem,
                });
                pattern.map(|_| Self::files(rest))?
            }
            "stdin" | "-" => Self::Stdin,
            "service" => Self::Service(ServiceSpec::default()),
            _ => return Err(SourceSpecError::Kind { kind: kind.into() }),
        })
    }
}

fn range(text: &str) -> Result<SourceSpec, SourceSpecError> {
    let refused = || SourceSpecError::Range { text: text.into() };
    let (from, to) = text.split_once("..").ok_or_else(refused)?;
    let number = |digits: &str| digits.trim().replace('_', "").parse().map_err(|_| refused());
    Ok(SourceSpec::Range { from: number(from)?, to: number(to.trim_start_matches('='))?, step: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_a_text_form() {
        assert_eq!("range:1..1_000".parse(), Ok(SourceSpec::Range { from: 1, to: 1000, step: 1 }));
        assert_eq!("lines:a:b".parse(), Ok(SourceSpec::Lines { path: "a:b".into() }));
        assert_eq!("stdin".parse(), Ok(SourceSpec::Stdin));
        assert_eq!("service".parse(), Ok(SourceSpec::Service(ServiceSpec::default())));
    }

    #[test]
    fn a_wrong_source_is_told_what_is_right() {
        assert!(matches!("rnage:1..2".parse::<SourceSpec>(), Err(SourceSpecError::Kind { .. })));
        assert!(matches!("range:1-2".parse::<SourceSpec>(), Err(SourceSpecError::Range { .. })));
        assert!(matches!("csv:".parse::<SourceSpec>(), Err(SourceSpecError::Missing { .. })));
    }
}
