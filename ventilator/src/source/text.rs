//! Sources that are read from a stream of text: lines and JSON lines, and what csv rows are
//! made of.
//!
//! Owns lines and their places. They answer with what is there: a stream that trickles gives its lines one by one, since a
//! line must not wait in a chunk for those that will follow.

use std::{
    io,
    path::{Path, PathBuf},
};

use proto::value::push_str;

use super::{
    Chunk, Source, SourceError,
    blocks::{BLOCK_BYTES, Blocks, Input},
    decoded::Decoded,
    unpack::ContentError,
};

/// A longer line is refused: it could not travel in a frame.
pub(super) const LINE_BYTES_MAX: usize = 16 << 20;

/// A stream of lines that knows where it is.
pub(super) struct Stream {
    path: PathBuf,
    blocks: Blocks,
    line: u64,
    buffer: Vec<u8>,
    // How long the last line was, if that is longer than what is buffered.
    long: usize,
}

impl Stream {
    /// The text in the bytes of what is called `path`.
    pub(super) fn new(path: &Path, bytes: Box<dyn Input>) -> Self {
        let text = Box::new(Decoded::new(bytes));
        Self { path: path.into(), blocks: Blocks::new(text), line: 0, buffer: Vec::new(), long: 0 }
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
        let found = self.append_raw(to)?;
        if to.len() > start && to.ends_with(b"\r") {
            to.pop();
        }
        Ok(found)
    }

    /// Appends the next line without its line feed; whether there was one.
    pub(super) fn append_raw(&mut self, to: &mut Vec<u8>) -> Result<bool, SourceError> {
        let start = to.len();
        // Long lines often are as long as the one before; then each is read at once, with its end.
        to.reserve_exact(self.long + 1);
        let ended = self.append_line(to).map_err(|error| self.failed(error))?;
        let len = to.len() - start;
        if !ended && len == 0 {
            return Ok(false);
        }
        self.line += 1;
        if len >= LINE_BYTES_MAX {
            return Err(self.problem(format!("a line of more than {LINE_BYTES_MAX} bytes")));
        }
        self.long = if len > BLOCK_BYTES { len } else { 0 };
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
    pub(super) fn would_wait(&self) -> bool {
        memchr::memchr(b'\n', self.blocks.buffered()).is_none()
    }

    /// The line that was read last, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    fn problem(&self, problem: String) -> SourceError {
        SourceError::Line { path: self.path.clone(), line: self.line, problem }
    }

    /// A problem at a character of a line, both from 1.
    pub(super) fn problem_in(&self, line: u64, column: usize, problem: &str) -> SourceError {
        let problem = format!("column {column}: {problem}");
        SourceError::Line { path: self.path.clone(), line, problem }
    }

    /// What a source holds is told with the line up to which it was read.
    fn failed(&self, source: io::Error) -> SourceError {
        let path = self.path.clone();
        match source.get_ref().is_some_and(|error| error.is::<ContentError>()) {
            true => SourceError::Line { path, line: self.line + 1, problem: source.to_string() },
            false => SourceError::Io { path, source },
        }
    }
}

/// Lines as strings; bytes that are no UTF-8 are replaced, which is told once.
pub struct Lines {
    stream: Stream,
    // The first line that was not taken as it is.
    replaced: Option<u64>,
}

/// Whether the line was taken as it is.
fn push_line(line: &[u8], chunk: &mut Chunk) -> bool {
    // Whether a text is whole is seen in large steps; the other walk looks at each byte.
    let text = std::str::from_utf8(line);
    match text {
        Ok(text) => push_str(&mut chunk.payload, text),
        Err(_) => push_str(&mut chunk.payload, &String::from_utf8_lossy(line)),
    }
    chunk.end_value();
    text.is_ok()
}

impl Lines {
    /// The lines of a stream.
    pub(super) fn of(stream: Stream) -> Self {
        Self { stream, replaced: None }
    }

    /// Appends the next line, which may be long, where it stays; whether there was one.
    fn push_next(&mut self, chunk: &mut Chunk) -> Result<bool, SourceError> {
        const LONG: u8 = 0xdb;
        let start = chunk.payload.len();
        let head = start..start + 5;
        chunk.payload.extend_from_slice(&[LONG, 0, 0, 0, 0]);
        let found = self.stream.append_next(&mut chunk.payload)?;
        let line = &chunk.payload[head.end..];
        if found && line.len() > u16::MAX.into() && std::str::from_utf8(line).is_ok() {
            let len = line.len() as u32;
            chunk.payload[head][1..].copy_from_slice(&len.to_be_bytes());
            chunk.end_value();
            return Ok(true);
        }
        let line = chunk.payload.split_off(head.end);
        chunk.payload.truncate(start);
        if found && !push_line(&line, chunk) {
            self.tell_replaced(self.stream.line);
        }
        Ok(found)
    }

    fn tell_replaced(&mut self, line: u64) {
        if self.replaced.is_none() {
            self.replaced = Some(line);
            let path = self.stream.path.display();
            tracing::warn!(
                "{path}:{line}: bytes that are no UTF-8 are replaced by U+FFFD, here and from here on"
            );
        }
    }
}

impl Source for Lines {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        loop {
            // Lines that lie whole in the buffer are taken from there, the others put together.
            let (mut line, mut replaced) = (self.stream.line, None);
            self.stream.take_whole(|text| {
                line += 1;
                if !push_line(text, chunk) {
                    replaced.get_or_insert(line);
                }
                !chunk.is_full(units_max)
            });
            if let Some(line) = replaced {
                self.tell_replaced(line);
            }
            if !chunk.is_empty() && (chunk.is_full(units_max) || self.stream.would_wait()) {
                return Ok(true);
            }
            if !self.push_next(chunk)? {
                return Ok(false);
            }
            if chunk.is_full(units_max) || self.stream.would_wait() {
                return Ok(true);
            }
        }
    }
}

/// JSON values, one a line.
pub struct Jsonl {
    stream: Stream,
    values: u64,
    // How many elements the first value has, if it is an array.
    first_array: Option<u64>,
}

impl Jsonl {
    /// The values of a stream.
    pub(super) fn of(stream: Stream) -> Self {
        Self { stream, values: 0, first_array: None }
    }

    /// A whole document in one line is a value like any other, and often meant otherwise.
    fn tell_single_array(&self) {
        if let (1, Some(elements @ 2..)) = (self.values, self.first_array) {
            let path = self.stream.path.display();
            tracing::warn!(
                "{path} is a single array of {elements} values, which is one unit; for a unit each, make lines of it: jq -c '.[]'"
            );
        }
    }

    /// What is wrong with the line that was read last, by what the parser says of it.
    fn no_value(&self, error: &str) -> SourceError {
        let parts = error.rsplit_once(" at line 1 column ");
        let (problem, column) = parts.unwrap_or((error, "1"));
        let problem = match problem {
            "trailing characters" => {
                "more follows the value; each line holds one value (jq -c . makes such lines)"
                    .into()
            }
            ended if ended.starts_with("EOF") && self.values == 0 => format!(
                "{ended}: the value goes on in the next line, but each line holds one value; make such lines with jq -c . (or jq -c '.[]' for an array)"
            ),
            other => other.to_owned(),
        };
        let line = self.stream.line;
        self.stream.problem_in(line, column.parse().unwrap_or(1), &problem)
    }
}

/// How many elements an array has; none for another value.
fn array_len(value: &[u8]) -> Option<u64> {
    match *value {
        [marker @ 0x90..=0x9f, ..] => Some(u64::from(marker & 0x0f)),
        [0xdc, a, b, ..] => Some(u64::from(u16::from_be_bytes([a, b]))),
        [0xdd, a, b, c, d, ..] => Some(u64::from(u32::from_be_bytes([a, b, c, d]))),
        _ => None,
    }
}

impl Source for Jsonl {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        loop {
            let Some(line) = self.stream.next()? else {
                self.tell_single_array();
                return Ok(false);
            };
            if !line.trim_ascii().is_empty() {
                let start = chunk.payload.len();
                if let Err(error) = proto::value::from_json(line, &mut chunk.payload) {
                    return Err(self.no_value(&error.to_string()));
                }
                chunk.end_value();
                if self.values == 0 {
                    self.first_array = array_len(&chunk.payload[start..]);
                }
                self.values += 1;
            }
            if !chunk.is_empty() && (chunk.is_full(units_max) || self.stream.would_wait()) {
                return Ok(true);
            }
        }
    }
}
