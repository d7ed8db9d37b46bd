//! Sources that are read from a stream of text: lines, JSON lines, CSV rows.
//!
//! They answer with what is there: a stream that trickles gives its lines one by one, since a
//! line must not wait in a chunk for those that will follow.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use proto::value::push_str;

use super::{
    Chunk, Source, SourceError,
    blocks::{BLOCK_BYTES, Blocks, Input},
    spool::Spool,
};

/// A longer line is refused: it could not travel in a frame.
const LINE_BYTES_MAX: usize = 16 << 20;

/// A stream of lines that knows where it is.
struct Stream {
    path: PathBuf,
    blocks: Blocks,
    line: u64,
    buffer: Vec<u8>,
    // How long the last line was, if that is longer than what is buffered.
    long: usize,
}

impl Stream {
    fn open(path: &Path) -> Result<Self, SourceError> {
        let file =
            File::open(path).map_err(|source| SourceError::Io { path: path.into(), source })?;
        Ok(Self::new(path.into(), Box::new(file)))
    }

    fn new(path: PathBuf, input: Box<dyn Input>) -> Self {
        Self { path, blocks: Blocks::new(input), line: 0, buffer: Vec::new(), long: 0 }
    }

    /// The next line without its end, or none at the end of the stream.
    fn next(&mut self) -> Result<Option<&[u8]>, SourceError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let found = self.append_next(&mut buffer);
        self.buffer = buffer;
        Ok(found?.then_some(&self.buffer[..]))
    }

    /// Appends the next line without its end; whether there was one.
    fn append_next(&mut self, to: &mut Vec<u8>) -> Result<bool, SourceError> {
        let start = to.len();
        // Long lines often are as long as the one before; then each is read at once, with its end.
        to.reserve_exact(self.long + 1);
        let ended = self
            .append_line(to)
            .map_err(|source| SourceError::Io { path: self.path.clone(), source })?;
        let len = to.len() - start;
        if !ended && len == 0 {
            return Ok(false);
        }
        self.line += 1;
        if len >= LINE_BYTES_MAX {
            return Err(self.problem(format!("a line of more than {LINE_BYTES_MAX} bytes")));
        }
        self.long = if len > BLOCK_BYTES { len } else { 0 };
        if to.ends_with(b"\r") && len > 0 {
            to.pop();
        }
        Ok(true)
    }

    /// Appends what comes before the next end of a line, or enough of it to see that it is too
    /// long; whether that end was found.
    fn append_line(&mut self, to: &mut Vec<u8>) -> io::Result<bool> {
        let start = to.len();
        loop {
            let bytes = self.blocks.buffered();
            let end = memchr::memchr(b'\n', bytes);
            let count = end.unwrap_or(bytes.len());
            to.extend_from_slice(&bytes[..count]);
            self.blocks.consume(count + usize::from(end.is_some()));
            if end.is_some() || to.len() - start >= LINE_BYTES_MAX {
                return Ok(end.is_some());
            }
            let before = to.len();
            let goes_on = match self.long > 0 && to.capacity() - before >= BLOCK_BYTES {
                true => self.blocks.fill_room(to)?,
                false => self.blocks.fill()?,
            };
            if let Some(count) = memchr::memchr(b'\n', &to[before..]) {
                self.blocks.put_back(&to[before + count + 1..]);
                to.truncate(before + count);
                return Ok(true);
            }
            if !goes_on {
                return Ok(false);
            }
        }
    }

    /// Gives the lines that lie whole in the buffer to `take`, as long as it wants more.
    fn take_whole(&mut self, mut take: impl FnMut(&[u8]) -> bool) {
        let mut used = 0;
        let buffer = self.blocks.buffered();
        for end in memchr::memchr_iter(b'\n', buffer) {
            let line = &buffer[used..end];
            used = end + 1;
            self.line += 1;
            if !take(line.strip_suffix(b"\r").unwrap_or(line)) {
                break;
            }
        }
        self.blocks.consume(used);
    }

    /// Whether the next line may have to be waited for.
    fn would_wait(&self) -> bool {
        memchr::memchr(b'\n', self.blocks.buffered()).is_none()
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

    /// Appends the next line, which may be long, where it stays; whether there was one.
    fn push_next(&mut self, chunk: &mut Chunk) -> Result<bool, SourceError> {
        const LONG: u8 = 0xdb;
        let start = chunk.payload.len();
        let head = start..start + 5;
        chunk.payload.extend_from_slice(&[LONG, 0, 0, 0, 0]);
        let found = self.0.append_next(&mut chunk.payload)?;
        let line = &chunk.payload[head.end..];
        if found && line.len() > u16::MAX.into() && std::str::from_utf8(line).is_ok() {
            let len = line.len() as u32;
            chunk.payload[head][1..].copy_from_slice(&len.to_be_bytes());
            chunk.end_value();
            return Ok(true);
        }
        let line = chunk.payload.split_off(head.end);
        chunk.payload.truncate(start);
        if found {
            push_line(&line, chunk);
        }
        Ok(found)
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
            if !self.push_next(chunk)? {
                return Ok(false);
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
        let file = Bounded { file, left: LINE_BYTES_MAX as u64 };
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(BLOCK_BYTES).from_reader(file);
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
            self.reader.get_mut().left = LINE_BYTES_MAX as u64;
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
