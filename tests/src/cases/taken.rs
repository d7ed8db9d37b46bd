//! What a complete run has given, and how it is held against that of another one.
//!
//! Owns the reading of every kind of output, of dead letters and of the figures that must be the
//! same; refuses what may differ: attempts, workers, times.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use super::{Case, Order, SUMMARY};
use crate::outcome;
use crate::torture::Trouble;

/// The figures of a summary that do not depend on what befell its run.
const FIGURES: [&str; 6] = ["units_in", "results", "outputs", "filtered", "dead", "aggregates"];
const SHOWN_CHARACTERS: usize = 160;

/// Everything that must be the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    output: Vec<String>,
    letters: Vec<String>,
    figures: Value,
}

impl Taken {
    /// Reads what `case` has left in `folder`.
    ///
    /// # Errors
    /// [`Trouble::Missing`] when there is no output, or no summary.
    pub fn read(case: &Case, folder: &Path) -> Result<Self, Trouble> {
        let missing = |path: &Path| Trouble::Missing { path: path.to_path_buf() };
        let summary = folder.join(SUMMARY);
        let text = std::fs::read_to_string(&summary).map_err(|_| missing(&summary))?;
        let facts: Value = serde_json::from_str(&text).map_err(|_| missing(&summary))?;
        let mut output = match case.output_in(folder) {
            None => Vec::new(),
            Some(path) if !path.exists() => return Err(missing(&path)),
            Some(path) if path.extension().is_some_and(|ending| ending == "sqlite") => rows(&path),
            Some(path) => lines(&path),
        };
        // Units that are paths tell where the run was.
        let place = folder.display().to_string();
        output
            .iter_mut()
            .filter(|line| line.contains(&place))
            .for_each(|line| *line = line.replace(&place, "."));
        if case.order == Order::Any {
            output.sort();
        }
        let letters = letters(case, folder);
        let figures = FIGURES.map(|name| (name.to_owned(), facts[name].clone()));
        Ok(Taken { output, letters, figures: Value::Object(figures.into_iter().collect()) })
    }

    /// How many bytes the lines have; none for rows of a database, whose file has other bytes.
    pub fn text_bytes(&self) -> Option<u64> {
        let bytes = self.output.iter().map(String::len).sum::<usize>() as u64;
        self.output.first().is_some_and(|line| line.ends_with('\n')).then_some(bytes)
    }

    /// Holds it against what a calm run gave.
    ///
    /// # Errors
    /// [`Trouble`] with the first difference.
    pub fn same_as(&self, calm: &Self) -> Result<(), Trouble> {
        same_lines("the output", &self.output, &calm.output)?;
        same_lines("the dead letters", &self.letters, &calm.letters)?;
        for name in FIGURES {
            if self.figures[name] != calm.figures[name] {
                let [found, expected] = [self, calm].map(|taken| taken.figures[name].to_string());
                return Err(Trouble::Figure { name, found, expected });
            }
        }
        Ok(())
    }
}

fn same_lines(what: &'static str, found: &[String], expected: &[String]) -> Result<(), Trouble> {
    let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
    let line = match differs {
        None if found.len() == expected.len() => return Ok(()),
        None => found.len().min(expected.len()),
        Some(line) => line,
    };
    let show = |lines: &[String]| {
        let text: String = lines
            .get(line)
            .map_or("nothing", String::as_str)
            .chars()
            .take(SHOWN_CHARACTERS)
            .collect();
        format!("{text} (of {} lines)", lines.len())
    };
    Err(Trouble::Line { what, line: line + 1, found: show(found), expected: show(expected) })
}

/// Lines with their ends, so that a missing last one is seen.
fn lines(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// The rows of a database without what may differ, in the order in which they were written.
fn rows(path: &Path) -> Vec<String> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut query =
            database.prepare("SELECT id, path, cast(value AS TEXT) FROM results ORDER BY rowid")?;
        let row = query.query_map([], |row| {
            let (id, path): (i64, String) = (row.get(0)?, row.get(1)?);
            let value: Option<String> = row.get(2)?;
            Ok(format!("{id} {path} {}", value.unwrap_or_default()))
        })?;
        row.collect()
    };
    read().unwrap_or_else(|error| vec![format!("no rows: {error}")])
}

/// Dead letters without who tried them, and how often.
fn letters(case: &Case, folder: &Path) -> Vec<String> {
    let Some(output) = case.output_in(folder) else { return Vec::new() };
    let path = output.with_file_name(format!(
        "{}.dead.jsonl",
        output.file_name().unwrap_or_default().to_string_lossy()
    ));
    if !path.exists() {
        return Vec::new();
    }
    let essence = |letter: Value| {
        json!([letter["id"], letter["path"], letter["stage"], letter["input"]]).to_string()
    };
    let mut letters: Vec<String> = outcome::json_lines(&path).into_iter().map(essence).collect();
    letters.sort();
    letters
}
