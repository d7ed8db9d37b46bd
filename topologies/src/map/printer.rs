//! What units have printed, on standard output.
//!
//! Owns that each unit's output stands together, and the tag before each of its lines. Refuses to go
//! on once nobody reads: that is told, and is no error.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    os::unix::ffi::OsStrExt,
};

use worker::external::template::{Reader, Template, Values};

use super::jobs::Done;

/// Whether anybody reads on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// As far as is known.
    Listens,
    /// It has what it wanted.
    Left,
}

/// Writes outputs, one after the other.
pub struct Printer<W> {
    out: W,
    tag: Option<Template>,
}

impl<W: Write> Printer<W> {
    /// With a `tag` each line begins with it and a tab.
    pub fn new(out: W, tag: Option<&OsStr>) -> Self {
        let tag = tag.map(|tag| Template::new(tag, "{}".as_ref()));
        Self { out, tag }
    }

    /// Writes what a unit printed.
    ///
    /// # Errors
    /// Whatever is no reader that has left.
    pub fn put(&mut self, done: &Done) -> io::Result<Audience> {
        let values = Values { values: &done.values, number: done.number, slot: 0 };
        let tag = self.tag.as_ref().map(|tag| tag.fill(values, Reader::Program));
        let written = match tag {
            Some(tag) => self.write_tagged(&tag, &done.printed),
            None => self.out.write_all(&done.printed),
        };
        audience(written.and_then(|()| self.out.flush()))
    }

    fn write_tagged(&mut self, tag: &OsString, printed: &[u8]) -> io::Result<()> {
        let mut tagged = Vec::with_capacity(printed.len());
        for line in printed.split_inclusive(|byte| *byte == b'\n') {
            tagged.extend_from_slice(tag.as_bytes());
            tagged.push(b'\t');
            tagged.extend_from_slice(line);
        }
        self.out.write_all(&tagged)
    }
}

/// What came of a write.
///
/// # Errors
/// Whatever is no reader that has left.
pub fn audience(written: io::Result<()>) -> io::Result<Audience> {
    match written {
        Ok(()) => Ok(Audience::Listens),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Audience::Left),
        Err(error) => Err(error),
    }
}
