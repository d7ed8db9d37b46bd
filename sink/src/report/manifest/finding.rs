//! What does not agree with a manifest, as data and in words.
//!
//! Owns how many places are listed; refuses to look for them.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use crate::report::figures::counted;

/// So many places of each kind are listed.
pub(super) const PLACES_MAX: usize = 12;

/// What does not agree with the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Finding {
    /// The counts don't add up.
    Unbalanced {
        /// Units in.
        units_in: u64,
        /// Results, filtered and dead together.
        outcomes: u64,
    },
    /// A file is gone.
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// A file can't be read as what it was.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// Lines of a file, or rows of a database, differ.
    Differs {
        /// Which file.
        path: PathBuf,
        /// Lines or rows.
        of: Noun,
        /// How.
        how: How,
        /// How many.
        count: u64,
        /// Where: the first of them.
        places: Vec<LineRange>,
    },
    /// A file has another content, and there is nothing to say where.
    Content {
        /// Which.
        path: PathBuf,
        /// Bytes that the manifest says.
        recorded: u64,
        /// Bytes that there are.
        found: u64,
    },
}

/// What a file consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Noun {
    /// Of a text.
    Line,
    /// Of a database.
    Row,
}

/// How lines differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// They are not there; numbered as they were recorded.
    Missing,
    /// They are there once more; numbered as they are found.
    Doubled,
    /// They were not recorded; numbered as they are found.
    Added,
    /// They hold something else; numbered as they are found.
    Changed,
    /// The last one ends in the middle.
    Cut,
}

/// A line, or several in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineRange {
    /// The first, from 1.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// The unit of the first, where it is known; further ones follow it by one each.
    pub unit: Option<u64>,
    /// Of a doubled one: the line that it doubles, as it was recorded.
    pub doubles: Option<u64>,
}

impl LineRange {
    /// Whether `next` goes on where this one ends.
    pub(super) fn continues(&self, next: &LineRange) -> bool {
        let length = self.last - self.first + 1;
        let further = |from: Option<u64>| from.map(|from| from + length);
        next.first == self.last + 1
            && next.unit == further(self.unit)
            && next.doubles == further(self.doubles)
    }
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "line",
            Self::Row => "row",
        })
    }
}

impl fmt::Display for LineRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = self.last - self.first;
        let run = |first: u64| match more {
            0 => first.to_string(),
            more => format!("{first}-{}", first + more),
        };
        write!(f, "{}", run(self.first))?;
        let plural = if more == 0 { "" } else { "s" };
        let doubles = self.doubles.map(|line| format!("{} once more", run(line)));
        let unit = self.unit.map(|unit| format!("unit{plural} {}", run(unit)));
        let notes: Vec<String> = doubles.into_iter().chain(unit).collect();
        if notes.is_empty() { Ok(()) } else { write!(f, " ({})", notes.join(", ")) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbalanced { units_in, outcomes } => {
                let units = counted(*units_in, ["unit", "units"]);
                let outcomes = counted(*outcomes, ["outcome", "outcomes"]);
                write!(f, "{units} came in; recorded: {outcomes}")
            }
            Self::Missing { path } => write!(f, "{} is missing", path.display()),
            Self::Unreadable { path, error } => {
                write!(f, "{} can't be read: {error}", path.display())
            }
            Self::Differs { path, of, how, count, places } => {
                let s = if *count == 1 { " is" } else { "s are" };
                let how = match how {
                    How::Missing => "missing",
                    How::Doubled => "doubled",
                    How::Added => "new",
                    How::Changed => "changed",
                    How::Cut => "cut off",
                };
                let listed: Vec<String> = places.iter().map(ToString::to_string).collect();
                write!(f, "{}: {count} {of}{s} {how}: {}", path.display(), listed.join(", "))?;
                let shown: u64 = places.iter().map(|place| place.last - place.first + 1).sum();
                match count - shown {
                    0 => Ok(()),
                    more => write!(f, ", and {more} more"),
                }
            }
            Self::Content { path, recorded, found } if recorded == found => {
                write!(f, "{} was changed: its SHA-256 differs", path.display())
            }
            Self::Content { path, recorded, found } => {
                let found = counted(*found, ["byte", "bytes"]);
                write!(f, "{} has {found} instead of {recorded}", path.display())
            }
        }
    }
}
