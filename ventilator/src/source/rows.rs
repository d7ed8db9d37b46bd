//! The rows of a csv file, as maps from column to text.
//!
//! Owns the header and the agreement of each row with it, and the places of what does not fit;
//! the grammar of a row is `row`'s. Nothing that can't be taken whole is taken.

use proto::value::push_str;

use super::{
    Chunk, Source, SourceError,
    row::Splitter,
    text::{LINE_BYTES_MAX, Stream},
};

/// What separates cells where nothing else is said.
const COMMA: u8 = b',';
/// What also separates cells, in files that are called csv.
const OTHERS: [(u8, &str); 3] = [(b';', ";"), (b'\t', "tab"), (b'|', "|")];
/// A row of more lines is told: a quote may be missing.
const ROW_LINES_USUAL: u64 = 100;

/// Rows, and the header that says what is in them.
pub struct Rows {
    stream: Stream,
    splitter: Splitter,
    // Whether the user said what separates cells.
    is_told: bool,
    columns: Option<Columns>,
    row: Vec<u8>,
    // The line in which the row begins.
    line: u64,
    is_long_told: bool,
}

/// The columns in MessagePack: the head of a map, and each name.
struct Columns {
    head: Vec<u8>,
    names: Vec<(String, Vec<u8>)>,
}

impl Rows {
    /// The rows of a stream whose first line names the columns; cells are separated by commas
    /// unless it is said by what.
    pub(super) fn of(stream: Stream, delimiter: Option<char>) -> Self {
        Self {
            stream,
            splitter: Splitter::new(delimiter.map_or(COMMA, |it| it as u8)),
            is_told: delimiter.is_some(),
            columns: None,
            row: Vec::new(),
            line: 0,
            is_long_told: false,
        }
    }

    /// Reads the next row, blank lines passed over; whether there was one.
    fn next(&mut self) -> Result<bool, SourceError> {
        loop {
            self.row.clear();
            self.splitter.clear();
            if !self.stream.append_raw(&mut self.row)? {
                return Ok(false);
            }
            if !matches!(&self.row[..], [] | [b'\r']) {
                break;
            }
        }
        self.line = self.stream.line();
        while !self.feed()? {
            if self.row.len() >= LINE_BYTES_MAX {
                let problem = format!("a row of more than {LINE_BYTES_MAX} bytes: {UNCLOSED}");
                return Err(self.problem_at(self.splitter.open_quote(), &problem));
            }
            self.row.push(b'\n');
            if !self.stream.append_raw(&mut self.row)? {
                return Err(self.problem_at(self.splitter.open_quote(), UNCLOSED));
            }
        }
        if let Err(error) = std::str::from_utf8(&self.row) {
            return Err(self.problem_at(error.valid_up_to(), "a byte that is no UTF-8"));
        }
        self.tell_long();
        Ok(true)
    }

    fn feed(&mut self) -> Result<bool, SourceError> {
        self.splitter
            .feed(&self.row)
            .map_err(|fault| self.problem_at(fault.at(), &fault.to_string()))
    }

    /// A missing quote can take many rows into one cell, and still end well.
    fn tell_long(&mut self) {
        let lines = self.stream.line() - self.line + 1;
        if lines > ROW_LINES_USUAL && !self.is_long_told {
            self.is_long_told = true;
            let place = self.problem_at(self.splitter.open_quote(), "a quote is opened here");
            tracing::warn!("{place}, and the row goes on over {lines} lines; is a quote missing?");
        }
    }

    /// Reads the header, if there is one.
    fn header(&mut self) -> Result<Option<Columns>, SourceError> {
        if !self.next()? {
            return Ok(None);
        }
        let cells = self.splitter.iter().map(|cell| String::from_utf8_lossy(cell).into_owned());
        let names: Vec<String> = cells.collect();
        if let (false, [only]) = (self.is_told, &names[..]) {
            self.refuse_other_separator(only)?;
        }
        for (index, name) in names.iter().enumerate() {
            if let Some(first) = names[..index].iter().position(|other| other == name) {
                let problem = format!(
                    "columns {} and {} are both called `{name}`; give each a name of its own",
                    first + 1,
                    index + 1
                );
                return Err(self.problem_at(self.splitter.start_of(index), &problem));
            }
            if name.is_empty() {
                let place =
                    self.problem_at(self.splitter.start_of(index), "the column has no name");
                tracing::warn!("{place}; its cells are under the empty one");
            }
        }
        Ok(Some(Columns::new(names)))
    }

    fn refuse_other_separator(&self, header: &str) -> Result<(), SourceError> {
        let Some((at, name)) = OTHERS
            .into_iter()
            .filter_map(|(byte, name)| Some((header.bytes().position(|b| b == byte)?, name)))
            .min()
        else {
            return Ok(());
        };
        let problem = format!(
            "the header is one column with `{name}` in it; if that separates the cells, say delimiter = \"{name}\" (--delimiter '{name}'), and if it does not, delimiter = \",\""
        );
        Err(self.problem_at(at, &problem))
    }

    fn push(&self, columns: &Columns, chunk: &mut Chunk) -> Result<(), SourceError> {
        let (cells, named) = (self.splitter.len(), columns.names.len());
        if cells != named {
            return Err(self.other_length(columns));
        }
        chunk.payload.extend_from_slice(&columns.head);
        for ((_, name), cell) in columns.names.iter().zip(self.splitter.iter()) {
            chunk.payload.extend_from_slice(name);
            match std::str::from_utf8(cell) {
                Ok(cell) => push_str(&mut chunk.payload, cell),
                // The row is UTF-8, and was cut at characters.
                Err(_) => push_str(&mut chunk.payload, &String::from_utf8_lossy(cell)),
            }
        }
        chunk.end_value();
        Ok(())
    }

    fn other_length(&self, columns: &Columns) -> SourceError {
        let (cells, named) = (self.splitter.len(), columns.names.len());
        let counted = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        let differ = format!(
            "{} where the header names {}",
            counted(cells, "cell"),
            counted(named, "column")
        );
        match columns.names.get(cells) {
            Some((missing, _)) => {
                let problem = format!("{differ}: there is nothing for `{missing}`");
                self.problem_at(self.row.len(), &problem)
            }
            None => {
                let problem = format!("{differ}: here is one too many");
                self.problem_at(self.splitter.start_of(named), &problem)
            }
        }
    }

    /// A problem at a byte of the row.
    fn problem_at(&self, at: usize, problem: &str) -> SourceError {
        let before = &self.row[..at.min(self.row.len())];
        let breaks = memchr::memchr_iter(b'\n', before).count() as u64;
        let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        self.stream.problem_in(self.line + breaks, column, problem)
    }
}

const UNCLOSED: &str = "a quote is opened here and never closed";

impl Columns {
    fn new(names: Vec<String>) -> Self {
        let [a, b, c, d] = (names.len() as u32).to_be_bytes();
        let head = match names.len() {
            0..0x10 => vec![0x80 | d],
            0x10..0x1_0000 => vec![0xde, c, d],
            _ => vec![0xdf, a, b, c, d],
        };
        let encoded = |name: String| {
            let mut bytes = Vec::new();
            push_str(&mut bytes, &name);
            (name, bytes)
        };
        Self { head, names: names.into_iter().map(encoded).collect() }
    }
}

impl Source for Rows {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        let columns = match self.columns.take() {
            Some(columns) => columns,
            None => match self.header()? {
                Some(columns) => columns,
                None => return Ok(false),
            },
        };
        let mut more = true;
        while more && !chunk.is_full(units_max) {
            more = self.next()?;
            if more {
                self.push(&columns, chunk)?;
                if self.stream.would_wait() {
                    break;
                }
            }
        }
        self.columns = Some(columns);
        Ok(more)
    }
}
