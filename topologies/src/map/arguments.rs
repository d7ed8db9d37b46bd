//! Where units come from: lines, what stands behind `:::`, files by pattern.
//!
//! Owns how several sources become rows of values, and columns within a line. Reads lines as they
//! come, so that a source may trickle; what has to be combined is read first. Refuses to know what
//! values are for.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, BufRead, BufReader},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use regex_lite::Regex;

/// The values of one unit.
pub type Row = Vec<OsString>;

/// Rows as they come.
pub type Rows = Box<dyn Iterator<Item = io::Result<Row>> + Send>;

/// Where values are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// On the command line.
    Listed(Vec<OsString>),
    /// As lines of a file; `-` is standard input.
    File(PathBuf),
}

/// How a source joins those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joint {
    /// Each of its values with each row before (`:::`).
    Cross,
    /// Each of its values with one row, in order; the shorter one begins again (`:::+`).
    Link,
}

/// A source, and how it joins those before it.
pub type Joined = (Joint, Source);

/// How values are cut out of what is read.
#[derive(Debug, Clone, Default)]
pub struct Cuts {
    /// Values end with a NUL instead of a line end.
    pub null: bool,
    /// What separates the columns of a value, if it has any.
    pub columns: Option<Regex>,
    /// So many values make a row; 1 unless told.
    pub together: Option<usize>,
    /// Values that are empty are left out.
    pub skip_empty: bool,
}

/// What stands behind the command: `:::` and its kin, each with its values.
///
/// # Errors
/// What is wrong with them.
pub fn split_words(words: Vec<OsString>) -> Result<(Vec<OsString>, Vec<Joined>), String> {
    let mut command = Vec::new();
    let mut sources: Vec<Joined> = Vec::new();
    let mut of_files = false;
    let mut joint = None;
    for word in words {
        let marker = match word.to_str() {
            Some(":::") => Some((Joint::Cross, false)),
            Some(":::+") => Some((Joint::Link, false)),
            Some("::::") => Some((Joint::Cross, true)),
            Some("::::+") => Some((Joint::Link, true)),
            _ => None,
        };
        match (marker, joint) {
            (Some((Joint::Link, _)), None) => {
                return Err(format!(
                    "{} links to what stands before it, and nothing does",
                    word.display()
                ));
            }
            (Some((next, files)), _) => {
                (joint, of_files) = (Some(next), files);
                if !files {
                    sources.push((next, Source::Listed(Vec::new())));
                }
            }
            (None, None) => command.push(word),
            (None, Some(joint)) if of_files => sources.push((joint, Source::File(word.into()))),
            (None, Some(_)) => {
                if let Some((_, Source::Listed(values))) = sources.last_mut() {
                    values.push(word);
                }
            }
        }
    }
    Ok((command, sources))
}

/// All rows of these sources; without any, the lines of standard input.
///
/// # Errors
/// A file that cannot be read.
pub fn rows(sources: Vec<Joined>, cuts: &Cuts) -> io::Result<Rows> {
    let mut sources = sources.into_iter();
    let first = match sources.next() {
        None => values(Source::File("-".into()), cuts.null)?,
        Some((_, source)) => values(source, cuts.null)?,
    };
    let skip_empty = cuts.skip_empty;
    let first = first
        .filter(move |value| !(skip_empty && value.as_ref().is_ok_and(|value| value.is_empty())));
    let columns = cuts.columns.clone();
    let mut rows: Rows = Box::new(first.map(move |value| {
        value.map(|value| match &columns {
            Some(separator) => split(&value, separator),
            None => vec![value],
        })
    }));
    for (joint, source) in sources {
        let others = values(source, cuts.null)?.collect::<io::Result<Vec<_>>>()?;
        rows = match joint {
            Joint::Cross => crossed(rows, others),
            Joint::Link => linked(rows.collect::<io::Result<_>>()?, others),
        };
    }
    Ok(match cuts.together {
        Some(count) if count > 1 => Box::new(Together { rows, count }),
        _ => rows,
    })
}

type Each = Box<dyn Iterator<Item = io::Result<OsString>> + Send>;

fn values(source: Source, null: bool) -> io::Result<Each> {
    let path = match source {
        Source::Listed(values) => return Ok(Box::new(values.into_iter().map(Ok))),
        Source::File(path) => path,
    };
    if path.as_os_str() == "-" {
        return Ok(Box::new(Lines { reader: BufReader::new(io::stdin()), null }));
    }
    let told = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
    };
    let file = File::open(&path).map_err(told)?;
    Ok(Box::new(Lines { reader: BufReader::new(file), null }))
}

struct Lines<R> {
    reader: R,
    null: bool,
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<OsString>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = if self.null { 0 } else { b'\n' };
        let mut line = Vec::new();
        match self.reader.read_until(end, &mut line) {
            Ok(0) => None,
            Ok(_) => {
                if line.last() == Some(&end) {
                    line.pop();
                }
                Some(Ok(OsString::from_vec(line)))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// A separator is found in text only, so what is no UTF-8 is one column.
fn split(value: &OsStr, separator: &Regex) -> Row {
    match value.to_str() {
        Some(text) => separator.split(text).map(OsString::from).collect(),
        None => vec![OsStr::from_bytes(value.as_bytes()).to_owned()],
    }
}

fn crossed(rows: Rows, others: Vec<OsString>) -> Rows {
    Box::new(rows.flat_map(move |row| {
        match row {
            Ok(row) => others
                .iter()
                .map(|other| Ok(row.iter().chain([other]).cloned().collect()))
                .collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        }
    }))
}

fn linked(rows: Vec<Row>, others: Vec<OsString>) -> Rows {
    let count = if rows.is_empty() || others.is_empty() { 0 } else { rows.len().max(others.len()) };
    let rows = rows.into_iter().cycle().zip(others.into_iter().cycle()).take(count);
    Box::new(rows.map(|(row, other)| Ok(row.into_iter().chain([other]).collect())))
}

struct Together {
    rows: Rows,
    count: usize,
}

impl Iterator for Together {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut together = Row::new();
        for row in self.rows.by_ref().take(self.count) {
            match row {
                Ok(row) => together.extend(row),
                Err(error) => return Some(Err(error)),
            }
        }
        (!together.is_empty()).then_some(Ok(together))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(words: &[&str], cuts: &Cuts) -> Vec<String> {
        let words = words.iter().map(OsString::from).collect();
        let (_, sources) = split_words(words).unwrap();
        let rows = rows(sources, cuts).unwrap();
        rows.map(|row| row.unwrap().join(OsStr::new(" ")).into_string().unwrap()).collect()
    }

    #[test]
    fn a_second_source_is_combined_with_the_first() {
        let cuts = Cuts::default();
        let crossed = all(&["echo", ":::", "a", "b", ":::", "1", "2"], &cuts);
        assert_eq!(crossed, ["a 1", "a 2", "b 1", "b 2"]);
        let linked = all(&["echo", ":::", "a", "b", "c", ":::+", "1", "2"], &cuts);
        assert_eq!(linked, ["a 1", "b 2", "c 1"]);
        assert_eq!(all(&["echo", ":::"], &cuts), [""; 0]);
        assert!(split_words(vec!["echo".into(), ":::+".into()]).is_err());
    }

    #[test]
    fn files_are_lines_and_columns_are_cut_out_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "a,1\n\nb,2").unwrap();
        let path = path.to_str().unwrap();
        let columns = Some(Regex::new(",").unwrap());
        let cuts = Cuts { columns, skip_empty: true, ..Cuts::default() };
        assert_eq!(all(&["echo", "::::", path], &cuts), ["a 1", "b 2"]);
        assert_eq!(all(&["echo", "::::", path], &Cuts::default()), ["a,1", "", "b,2"]);
    }

    #[test]
    fn values_may_end_with_a_nul_and_stand_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "a\nb\0c\0d").unwrap();
        let cuts = Cuts { null: true, together: Some(2), ..Cuts::default() };
        assert_eq!(all(&["::::", path.to_str().unwrap()], &cuts), ["a\nb c", "d"]);
    }
}
