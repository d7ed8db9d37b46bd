//! Lines that processes and the programs of stages write for people.
//!
//! Owns what a line is on its way from a program to a worker, and from a worker to its launcher: whole,
//! bounded, and with the unit that it is about. Refuses to read, write or keep any.
//!
//! Between processes of ours such a line begins with a mark: a record separator (0x1E), `o` or `e` for the
//! stream, the unit's name or nothing, and a unit separator (0x1F). A line without a mark is its process's own.

mod shown;
mod split;

pub use self::{
    shown::{by_hand, harmless},
    split::{LINE_BYTES_MAX, Splitter},
};

const MARK: u8 = 0x1e;
const MARK_END: u8 = 0x1f;
/// No unit's name in a mark is longer.
const UNIT_BYTES_MAX: usize = 256;

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: only of functions whose outputs go another way.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The stream of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Stdout, Self::Stderr].into_iter().find(|stream| stream.name() == name)
    }
}

/// What the mark of a line says: that a program has written it, where to, and about which unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark<'a> {
    /// Where to.
    pub stream: Stream,
    /// The unit's name, if it is known.
    pub unit: Option<&'a str>,
}

impl Mark<'_> {
    /// Appends the line `text` with this mark and a line end.
    pub fn put(&self, text: &[u8], to: &mut Vec<u8>) {
        let stream = match self.stream {
            Stream::Stdout => b'o',
            Stream::Stderr => b'e',
        };
        to.extend_from_slice(&[MARK, stream]);
        to.extend_from_slice(self.unit.unwrap_or_default().as_bytes());
        to.push(MARK_END);
        to.extend_from_slice(text);
        to.push(b'\n');
    }
}

/// The mark of a line, if it has one, and the text behind it.
pub fn marked(line: &[u8]) -> (Option<Mark<'_>>, &[u8]) {
    mark(line).map_or((None, line), |(mark, text)| (Some(mark), text))
}

fn mark(line: &[u8]) -> Option<(Mark<'_>, &[u8])> {
    let (stream, rest) = match line {
        [MARK, b'o', rest @ ..] => (Stream::Stdout, rest),
        [MARK, b'e', rest @ ..] => (Stream::Stderr, rest),
        _ => return None,
    };
    let end = rest.iter().take(UNIT_BYTES_MAX + 1).position(|byte| *byte == MARK_END)?;
    let (unit, text) = rest.split_at(end);
    if !unit.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    let unit = str::from_utf8(unit).ok().filter(|unit| !unit.is_empty());
    Some((Mark { stream, unit }, text.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_put_and_anything_else_is_a_line_without_one() {
        for mark in [
            Mark { stream: Stream::Stdout, unit: Some("17.3.0") },
            Mark { stream: Stream::Stderr, unit: None },
        ] {
            let mut line = Vec::new();
            mark.put(b"a\x1e\x1fb", &mut line);
            assert_eq!(line.pop(), Some(b'\n'));
            assert_eq!(marked(&line), (Some(mark), &b"a\x1e\x1fb"[..]));
        }
        for line in [&b""[..], b"a", b"\x1e", b"\x1eo", b"\x1eo7", b"\x1ex7\x1f", b"\x1eo[7\x1fa"] {
            assert_eq!(marked(line), (None, line));
        }
        let long = [b"\x1eo", &[b'7'; UNIT_BYTES_MAX + 1][..], b"\x1fa"].concat();
        assert_eq!(marked(&long), (None, &long[..]));
    }
}
