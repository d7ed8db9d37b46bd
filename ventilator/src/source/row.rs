//! A csv row, cut into its cells.
//!
//! Owns the grammar, RFC 4180 with any separator: a quote at the start of a cell opens it, two
//! quotes inside are one, and after the closing one comes a separator or the end. It is stricter
//! than the crate `csv`, which takes what follows a closing quote into the cell and an open quote
//! at the end for closed: damaged rows came out as if they were whole. Refuses to read; a row that
//! goes on in the next line is fed again when that is behind it.

use memchr::memchr;
use thiserror::Error;

/// What is no row, and where in it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum RowFault {
    #[error("text follows a closing quote; a quote inside a quoted cell is written twice")]
    AfterQuote { at: usize },
    #[error("a carriage return stands in the middle of a row; lines end with a line feed")]
    Return { at: usize },
}

impl RowFault {
    pub(super) fn at(self) -> usize {
        match self {
            Self::AfterQuote { at } | Self::Return { at } => at,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    CellStart,
    Quoted,
    Closed,
}

/// Cuts one row after the other.
#[derive(Debug)]
pub(super) struct Splitter {
    delimiter: u8,
    state: State,
    at: usize,
    quote: usize,
    text: Vec<u8>,
    // Where each cell ends in the text, and where it began in the row.
    cells: Vec<(usize, usize)>,
    start: usize,
}

impl Splitter {
    pub(super) fn new(delimiter: u8) -> Self {
        let (text, cells) = (Vec::new(), Vec::new());
        Self { delimiter, state: State::CellStart, at: 0, quote: 0, text, cells, start: 0 }
    }

    /// Begins another row.
    pub(super) fn clear(&mut self) {
        self.state = State::CellStart;
        (self.at, self.start) = (0, 0);
        self.text.clear();
        self.cells.clear();
    }

    /// Goes on with a row that has become longer; whether it is whole.
    ///
    /// # Errors
    /// [`RowFault`], after which only [`clear`](Self::clear) helps.
    pub(super) fn feed(&mut self, row: &[u8]) -> Result<bool, RowFault> {
        loop {
            match self.state {
                State::CellStart if row.get(self.at) == Some(&b'"') => {
                    self.quote = self.at;
                    self.at += 1;
                    self.state = State::Quoted;
                }
                State::CellStart => {
                    if self.plain(row)? {
                        return Ok(true);
                    }
                }
                State::Quoted => {
                    if !self.quoted(row) {
                        return Ok(false);
                    }
                }
                State::Closed => match &row[self.at..] {
                    [] | [b'\r'] => {
                        self.end_cell();
                        return Ok(true);
                    }
                    [next, ..] if *next == self.delimiter => self.next_cell(self.at + 1),
                    _ => return Err(RowFault::AfterQuote { at: self.at }),
                },
            }
        }
    }

    /// Takes a cell without quotes; whether it was the last.
    fn plain(&mut self, row: &[u8]) -> Result<bool, RowFault> {
        let rest = &row[self.at..];
        let end = memchr(self.delimiter, rest);
        let cell = match end {
            Some(len) => &rest[..len],
            None => rest.strip_suffix(b"\r").unwrap_or(rest),
        };
        if let Some(place) = memchr(b'\r', cell) {
            return Err(RowFault::Return { at: self.at + place });
        }
        self.text.extend_from_slice(cell);
        match end {
            Some(len) => self.next_cell(self.at + len + 1),
            None => self.end_cell(),
        }
        Ok(end.is_none())
    }

    /// Takes what is in quotes; whether they are closed.
    fn quoted(&mut self, row: &[u8]) -> bool {
        while let Some(len) = memchr(b'"', &row[self.at..]) {
            self.text.extend_from_slice(&row[self.at..][..len]);
            self.at += len + 1;
            if row.get(self.at) != Some(&b'"') {
                self.state = State::Closed;
                return true;
            }
            self.text.push(b'"');
            self.at += 1;
        }
        self.text.extend_from_slice(&row[self.at..]);
        self.at = row.len();
        false
    }

    fn end_cell(&mut self) {
        self.cells.push((self.text.len(), self.start));
    }

    fn next_cell(&mut self, at: usize) {
        self.end_cell();
        self.state = State::CellStart;
        (self.at, self.start) = (at, at);
    }

    /// Where the quote was opened that is not closed yet.
    pub(super) fn open_quote(&self) -> usize {
        self.quote
    }

    /// How many cells the row has.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Where a cell began in the row.
    pub(super) fn start_of(&self, cell: usize) -> usize {
        self.cells.get(cell).map_or(0, |(_, start)| *start)
    }

    /// The cells.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.cells.iter().map(move |(end, _)| &self.text[std::mem::replace(&mut start, *end)..*end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(row: &str) -> Result<Vec<String>, RowFault> {
        let mut splitter = Splitter::new(b',');
        let mut end = 0;
        // As it comes: line by line.
        for line in row.split_inclusive('\n') {
            end += line.len();
            splitter.feed(&row.as_bytes()[..end])?;
        }
        if row.is_empty() {
            splitter.feed(b"")?;
        }
        Ok(splitter.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect())
    }

    #[test]
    fn cells_are_what_stands_between_separators_or_in_quotes() {
        for (row, cells) in [
            ("a,b", &["a", "b"][..]),
            ("", &[""]),
            (",", &["", ""]),
            ("a,b\r", &["a", "b"]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"\",\"\"\"\",\"a\"\"b\"\r", &["", "\"", "a\"b"]),
            ("\"a\r\nb\n\nc\",d", &["a\r\nb\n\nc", "d"]),
            ("5\" pipe, \"x\"", &["5\" pipe", " \"x\""]),
        ] {
            assert_eq!(cut(row).unwrap(), cells, "{row:?}");
        }
    }

    #[test]
    fn what_follows_a_closing_quote_and_a_stray_return_are_faults_with_their_place() {
        assert_eq!(cut("a,\"b\"c,d"), Err(RowFault::AfterQuote { at: 5 }));
        assert_eq!(cut("\"say \"hi\" now\""), Err(RowFault::AfterQuote { at: 6 }));
        assert_eq!(cut("\"a\n\"b"), Err(RowFault::AfterQuote { at: 4 }));
        assert_eq!(cut("\"a\"\r,b"), Err(RowFault::AfterQuote { at: 3 }));
        assert_eq!(cut("a\rb,c"), Err(RowFault::Return { at: 1 }));
    }
}
