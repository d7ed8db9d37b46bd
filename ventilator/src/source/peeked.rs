//! An input that can be looked at before it is used.
//!
//! Owns the bytes that were read ahead and the count of those used; refuses to know what they mean.

use std::io::{self, BufRead, Read};

use super::blocks::{BLOCK_BYTES, Input, retried};

/// An input with what was read of it and not used.
pub(super) struct Peeked {
    input: Box<dyn Input>,
    buffer: Vec<u8>,
    used: usize,
    // What went before the buffer.
    before: u64,
    has_failed: bool,
}

impl Peeked {
    pub(super) fn new(input: Box<dyn Input>) -> Self {
        Self { input, buffer: Vec::new(), used: 0, before: 0, has_failed: false }
    }

    /// How many bytes were used.
    pub(super) fn position(&self) -> u64 {
        self.before + self.used as u64
    }

    /// What was read and not used.
    pub(super) fn ahead(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// Reads once more behind that; whether the input goes on.
    pub(super) fn read_ahead(&mut self) -> io::Result<bool> {
        self.buffer.reserve(BLOCK_BYTES);
        let read = retried(|| self.input.append(&mut self.buffer));
        self.has_failed |= read.is_err();
        Ok(read? > 0)
    }

    /// Whether the input itself could not be read, and not what was in it.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }
}

impl BufRead for Peeked {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ahead().is_empty() {
            self.before += self.used as u64;
            self.used = 0;
            self.buffer.clear();
            self.read_ahead()?;
        }
        Ok(self.ahead())
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

impl Read for Peeked {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(to)?;
        self.consume(count);
        Ok(count)
    }
}

impl Input for Peeked {
    fn append(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        if self.ahead().is_empty() {
            // Whoever asks now has the bytes put to where they stay.
            self.buffer = Vec::new();
            self.used = 0;
            return self.input.append(to);
        }
        let count = self.ahead().len().min(to.capacity() - to.len());
        to.extend_from_slice(&self.buffer[self.used..][..count]);
        self.used += count;
        Ok(count)
    }
}
