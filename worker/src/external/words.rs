//! What a program writes to stderr, on its way to this worker's.
//!
//! Owns that it gets there as whole lines, each with the unit that it is about, and the last of it, for the
//! failure that it may explain. Refuses to keep more: whoever reads slowly slows the program that writes.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use proto::lines::{Mark, Splitter, Stream, by_hand, harmless, marked};
use proto::process::reads_marks;

use super::tail::Tail;
use crate::Unit;

/// How much of a program's last words is kept.
const LAST_WORDS_BYTES_MAX: usize = 4 << 10;

/// Who reads what this worker writes to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// A launcher, which shows and keeps it.
    Launcher,
    /// A person at a terminal.
    Terminal,
    /// A file, or another program.
    Other,
}

/// The words of one program.
#[derive(Debug)]
pub(super) struct Words {
    splitter: Splitter,
    unit: Option<Box<str>>,
    /// Nobody is to see them as they come.
    is_private: bool,
    lines: u64,
    last: Tail,
    /// Lines that are written together.
    out: Vec<u8>,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            splitter: Splitter::default(),
            unit: None,
            is_private: false,
            lines: 0,
            last: Tail::new(LAST_WORDS_BYTES_MAX),
            out: Vec::new(),
        }
    }
}

impl Words {
    /// What comes from now on is about this unit.
    pub(super) fn are_of(&mut self, unit: &Unit<'_>) {
        self.end();
        if self.unit.is_some() {
            // What it said when it started may be why the first one fails, but no other.
            self.last = Tail::new(LAST_WORDS_BYTES_MAX);
        }
        self.unit = Some(unit.to_string().into());
    }

    /// They are kept for who asks, and not passed on.
    pub(super) fn are_private(&mut self) {
        self.is_private = true;
    }

    /// Takes in what was read, and passes on the lines that are whole.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pass(|splitter, each| splitter.push(bytes, each));
    }

    /// Passes on the line that was begun, if any: no more of it comes.
    pub(super) fn end(&mut self) {
        self.pass(|splitter, each| splitter.end(each));
    }

    /// How many lines there were.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// The last of them.
    pub(super) fn last(&mut self) -> String {
        self.last.text()
    }

    fn pass(&mut self, split: impl FnOnce(&mut Splitter, &mut dyn FnMut(&[u8]))) {
        let Self { splitter, unit, is_private, lines, last, out } = self;
        let reader = reader();
        split(splitter, &mut |line| {
            let (mark, text) = marked(line);
            let stream = mark.map_or(Stream::Stderr, |mark| mark.stream);
            let unit = mark.and_then(|mark| mark.unit).or(unit.as_deref());
            *lines += 1;
            last.push(text);
            last.push(b"\n");
            if !*is_private {
                put(reader, Mark { stream, unit }, text, out);
            }
        });
        if !out.is_empty() {
            write(out);
            out.clear();
        }
    }
}

/// Appends a line in the form that its reader expects.
fn put(reader: Reader, mark: Mark<'_>, text: &[u8], out: &mut Vec<u8>) {
    if reader == Reader::Launcher {
        return mark.put(text, out);
    }
    let text = String::from_utf8_lossy(text);
    let text = if reader == Reader::Terminal { harmless(&text) } else { text };
    out.extend_from_slice(by_hand("", mark.unit, &text).as_bytes());
    out.push(b'\n');
}

fn reader() -> Reader {
    static READER: OnceLock<Reader> = OnceLock::new();
    *READER.get_or_init(|| match () {
        () if reads_marks() => Reader::Launcher,
        () if io::stderr().is_terminal() => Reader::Terminal,
        () => Reader::Other,
    })
}

/// In one piece, so that no other thread's lines come in between. Nobody may be left to read it; that is
/// no reason to fail.
#[cfg(not(test))]
fn write(lines: &[u8]) {
    let _ = io::stderr().lock().write_all(lines);
}

#[cfg(test)]
use tests::write;

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::testing::unit;

    thread_local! {
        static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn write(lines: &[u8]) {
        WRITTEN.with_borrow_mut(|written| written.write_all(lines)).unwrap();
    }

    /// What programs of this thread have said since the last time.
    pub(in super::super) fn passed_on() -> String {
        String::from_utf8(WRITTEN.take()).unwrap()
    }

    #[test]
    fn lines_are_passed_on_whole_with_the_unit_that_they_are_about() {
        let mut words = Words::default();
        words.push(b"start\nha");
        assert_eq!(passed_on(), "start\n");
        words.are_of(&unit());
        words.push(b"one\ntw");
        assert_eq!(passed_on(), "ha\n[unit 7]: one\n");
        words.push(b"o \xff\n\x1eo8\x1fmarked\n");
        words.end();
        assert_eq!(passed_on(), "[unit 7]: two \u{fffd}\n[unit 8]: marked\n");
        assert_eq!(words.last(), "start\nha\none\ntwo \u{fffd}\nmarked");
    }

    #[test]
    fn words_that_are_private_are_only_kept() {
        let mut words = Words::default();
        words.are_private();
        words.push(b"a probe failed\n");
        assert_eq!((words.last().as_str(), passed_on().as_str()), ("a probe failed", ""));
    }

    #[test]
    fn each_reader_gets_the_form_that_it_reads() {
        let mark = Mark { stream: Stream::Stdout, unit: Some("7") };
        let form = |reader| {
            let mut out = Vec::new();
            put(reader, mark, b"\x1b[2J\xff", &mut out);
            out
        };
        assert_eq!(form(Reader::Launcher), b"\x1eo7\x1f\x1b[2J\xff\n");
        assert_eq!(form(Reader::Terminal), "[unit 7]: \\x1b[2J\u{fffd}\n".as_bytes());
        assert_eq!(form(Reader::Other), "[unit 7]: \u{1b}[2J\u{fffd}\n".as_bytes());
    }
}
