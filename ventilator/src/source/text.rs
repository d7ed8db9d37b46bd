//! Sources that are read from a stream of text: lines, JSON lines, CSV rows.
//!
//! They answer with what is there: a stream that trickles gives its lines one by one, since a
//! line must not wait in a chunk for those that will follow.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use proto::value::push_str;

use super::{Chunk, Source, SourceError, spool::Spool};

const BUFFER_BYTES: usize = 128 << 10;
/// A longer line is refused: it could not travel in a frame.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// A stream of lines that knows where it is.
struct Stream {
    path: PathBuf,
    reader: BufReader<Box<dyn Read + Send>>,
    line: u64,
    buffer: Vec<u8>,
}

impl Stream {
    fn open(path: &Path) -> Result<Self, SourceError> {
        let file =
            File::open(path).map_err(|source| SourceError::Io { path: path.into(), source })?;
        Ok(Self::new(path.into(), Box::new(file)))
    }

    fn new(path: PathBuf, reader: Box<dyn Read + Send>) -> Self {
        let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        Self { path, reader, line: 0, buffer: Vec::new() }
    }

    /// The next line without its end, or none at the end of the stream.
    fn next(&mut self) -> Result<Option<&[u8]>, SourceError> {
        self.buffer.clear();
        let mut limited = (&mut self.reader).take(LINE_BYTES_MAX);
        let count = limited
            .read_until(b'\n', &mut self.buffer)
            .map_err(|source| SourceError::Io { path: self.path.clone(), source })?;
        if count == 0 {
            return Ok(None);
        }
        self.line += 1;
        if count as u64 == LINE_BYTES_MAX && self.buffer.last() != Some(&b'\n') {
            return Err(self.problem(format!("a line of more than {LINE_BYTES_MAX} bytes")));
        }
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// Gives the lines that lie whole in the buffer to `take`, as long as it wants more.
    fn take_whole(&mut self, mut take: impl FnMut(&[u8]) -> bool) {
        let mut used = 0;
        let buffer = self.reader.buffer();
        for end in memchr::memchr_iter(b'\n', buffer) {
            let line = &buffer[used..end];
            used = end + 1;
            self.line += 1;
            if !take(line.strip_suffix(b"\r").unwrap_or(line)) {
                break;
            }
        }
        self.reader.consume(used);
    }

    /// Whether the next line may have to be waited for.
    fn would_wait(&self) -> bool {
        memchr::memchr(b'\n', self.reader.buffer()).is_none()
    }

    fn problem(&self, problem: String) -> SourceError {
        SourceError::Line { path: self.path.clone(), line: self.line, problem }
    }
}

/// Lines as strings; bytes that are no UTF-8 are replaced.
pub struct Lines(Stream);

fn push_line(line: &[u8], chunk: &mut Chunk) {
    // Whether a text is whole is seen in large steps; the other walk looks at each byte.
    match std::str::from_utf8(line) {
        Ok(text) => push_str(&mut chunk.payload, text),
        Err(_) => push_str(&mut chunk.payload, &String::from_utf8_lossy(line)),
    }
    chunk.end_value();
}

impl Lines {
    /// The lines of a file.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        Stream::open(path).map(Self)
    }

    /// The lines of standard input, by way of its copy.
    pub fn spooled(copy: Spool) -> Self {
        Self(Stream::new("standard input".into(), Box::new(copy)))
    }

    /// The lines of standard input.
    pub fn stdin() -> Self {
        Self(Stream::new("standard input".into(), Box::new(io::stdin())))
    }
}

impl Source for Lines {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        loop {
            // Lines that lie whole in the buffer are taken from there, the others put together.
            self.0.take_whole(|line| {
                push_line(line, chunk);
                !chunk.is_full(units_max)
            });
            if !chunk.is_empty() && (chunk.is_full(units_max) || self.0.would_wait()) {
                return Ok(true);
            }
            match self.0.next()? {
                Some(line) => push_line(line, chunk),
                None => return Ok(false),
            }
            if chunk.is_full(units_max) || self.0.would_wait() {
                return Ok(true);
            }
        }
    }
}

/// JSON values, one a line.
pub struct Jsonl(Stream);

impl Jsonl {
    /// The values of a file.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        Stream::open(path).map(Self)
    }
}

impl Source for Jsonl {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        loop {
            let Some(line) = self.0.next()? else { return Ok(false) };
            if !line.trim_ascii().is_empty() {
                if let Err(error) = proto::value::from_json(line, &mut chunk.payload) {
                    return Err(self.0.problem(error.to_string()));
                }
                chunk.end_value();
            }
            if !chunk.is_empty() && (chunk.is_full(units_max) || self.0.would_wait()) {
                return Ok(true);
            }
        }
    }
}

/// A file of which one row takes no more than so many bytes: a quote that is never closed would
/// make a row of all the rest.
struct Bounded {
    file: File,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(format!("a row of more than {LINE_BYTES_MAX} bytes")));
        }
        let count = self.file.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// CSV rows as maps from column to text.
pub struct Rows {
    path: PathBuf,
    reader: csv::Reader<Bounded>,
    columns: csv::StringRecord,
}

impl Rows {
    /// The rows of a file whose first line names the columns.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let file =
            File::open(path).map_err(|source| SourceError::Io { path: path.into(), source })?;
        let file = Bounded { file, left: LINE_BYTES_MAX };
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(BUFFER_BYTES).from_reader(file);
        let columns = reader.headers().cloned().map_err(|error| row_error(path, &error))?;
        Ok(Self { path: path.into(), reader, columns })
    }
}

fn row_error(path: &Path, error: &csv::Error) -> SourceError {
    let line = error.position().map_or(1, csv::Position::line);
    SourceError::Line { path: path.into(), line, problem: error.to_string() }
}

impl Source for Rows {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        let mut row = csv::StringRecord::new();
        while !chunk.is_full(units_max) {
            self.reader.get_mut().left = LINE_BYTES_MAX;
            let more =
                self.reader.read_record(&mut row).map_err(|error| row_error(&self.path, &error))?;
            if !more {
                return Ok(false);
            }
            chunk.push(&Fields(&self.columns, &row));
        }
        Ok(true)
    }
}

/// A row as a map in the order of the columns.
struct Fields<'a>(&'a csv::StringRecord, &'a csv::StringRecord);

impl serde::Serialize for Fields<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (column, value) in self.0.iter().zip(self.1.iter()) {
            map.serialize_entry(column, value)?;
        }
        map.end()
    }
}
