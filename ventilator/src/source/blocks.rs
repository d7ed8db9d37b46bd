//! The bytes of a source, in blocks as they come.
//!
//! Owns the buffer between a source and those who look for values in it; refuses to know what a
//! value is. Who expects many bytes has them read to where they stay, past the buffer.

use std::{fs::File, io};

use rustix::{buffer::spare_capacity, io::read};

use super::feed::Feed;

/// How many bytes are buffered.
pub(super) const BLOCK_BYTES: usize = 128 << 10;

/// What can be read once.
pub(super) trait Input: Send {
    /// Appends what one read gives, no more than fits the capacity; how many bytes that were, none
    /// at the end.
    fn append(&mut self, to: &mut Vec<u8>) -> io::Result<usize>;
}

impl Input for File {
    fn append(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        Ok(read(&*self, spare_capacity(to))?)
    }
}

impl Input for Feed {
    fn append(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        self.await_writer()?;
        Ok(read(self.file(), spare_capacity(to))?)
    }
}

/// An input with what was read of it and not used.
pub(super) struct Blocks {
    input: Box<dyn Input>,
    buffer: Vec<u8>,
    used: usize,
}

impl Blocks {
    pub(super) fn new(input: Box<dyn Input>) -> Self {
        Self { input, buffer: Vec::new(), used: 0 }
    }

    /// What was read and not used.
    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// So many bytes of it are used.
    pub(super) fn consume(&mut self, count: usize) {
        self.used += count;
    }

    /// Reads once, when all is used; whether the input goes on.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        debug_assert!(self.buffered().is_empty());
        self.used = 0;
        self.buffer.clear();
        self.buffer.shrink_to(BLOCK_BYTES);
        self.buffer.reserve_exact(BLOCK_BYTES);
        Ok(retried(|| self.input.append(&mut self.buffer))? > 0)
    }

    /// Reads once, when all is used, to where there is room; whether the input goes on.
    pub(super) fn fill_room(&mut self, to: &mut Vec<u8>) -> io::Result<bool> {
        debug_assert!(self.buffered().is_empty());
        Ok(retried(|| self.input.append(to))? > 0)
    }

    /// Takes back what was read too far.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        debug_assert!(self.buffered().is_empty());
        self.used = 0;
        self.buffer.clear();
        self.buffer.extend_from_slice(bytes);
    }
}

/// As long as a signal comes between.
pub(super) fn retried(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
