//! Short records that are written first and read afterwards, and may be millions.
//!
//! Owns where they lie: in memory while they are few, then in a file that has no name, so that
//! nothing of it is left however the process ends. Refuses to know what they say.

use std::{
    fs::File,
    io::{self, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Bytes that are kept in memory before they go to the disk.
const MEMORY_BYTES: usize = 256 << 10;
/// Of each record: its length and its tag.
const HEAD_BYTES: usize = 5;

/// Records in the order in which they came.
#[derive(Debug)]
pub(super) struct Records {
    folder: PathBuf,
    file: Option<File>,
    // Bytes that are in the file, before those in memory.
    spilled: u64,
    memory: Vec<u8>,
}

impl Records {
    /// None so far; many will be in a file in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.into(), file: None, spilled: 0, memory: Vec::new() }
    }

    /// Appends a record.
    ///
    /// # Errors
    /// When there is no place left on the disk.
    pub(super) fn push(&mut self, tag: u8, bytes: &[u8]) -> io::Result<()> {
        if self.memory.len() + HEAD_BYTES + bytes.len() > MEMORY_BYTES {
            self.spill()?;
        }
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.memory.extend_from_slice(&length.to_le_bytes());
        self.memory.push(tag);
        self.memory.extend_from_slice(bytes);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.folder)?),
        };
        file.write_all(&self.memory)?;
        self.spilled += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    /// Where the next record would begin.
    pub(super) fn end(&self) -> u64 {
        self.spilled + self.memory.len() as u64
    }

    /// How many of their bytes are in memory.
    #[cfg(test)]
    pub(super) fn in_memory(&self) -> usize {
        self.memory.capacity()
    }

    /// Appends up to `most` bytes from `at` on to a buffer; how many.
    fn read(&self, at: u64, most: usize, to: &mut Vec<u8>) -> io::Result<usize> {
        let Some(file) = self.file.as_ref().filter(|_| at < self.spilled) else {
            let from = usize::try_from(at - self.spilled).unwrap_or(usize::MAX);
            let rest = self.memory.get(from..).unwrap_or_default();
            let part = &rest[..rest.len().min(most)];
            to.extend_from_slice(part);
            return Ok(part.len());
        };
        let before = to.len();
        let left = usize::try_from(self.spilled - at).unwrap_or(usize::MAX);
        to.resize(before + most.min(left), 0);
        let count = file.read_at(&mut to[before..], at)?;
        to.truncate(before + count);
        Ok(count)
    }
}

/// A record: what it is, and its bytes.
pub(super) type Record = (u8, Vec<u8>);

/// A way through some consecutive records.
#[derive(Debug)]
pub(super) struct Cursor {
    left: Range<u64>,
    step: usize,
    buffer: Vec<u8>,
    used: usize,
}

impl Cursor {
    /// Before the first of the records in a range, of which so many bytes are read at once.
    pub(super) fn over(range: Range<u64>, step: usize) -> Self {
        Self { left: range, step, buffer: Vec::new(), used: 0 }
    }

    /// The next record.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(super) fn next(&mut self, records: &Records) -> io::Result<Option<Record>> {
        if !self.has(HEAD_BYTES, records)? {
            return Ok(None);
        }
        let head = &self.buffer[self.used..self.used + HEAD_BYTES];
        let [a, b, c, d, tag] = [head[0], head[1], head[2], head[3], head[4]];
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if !self.has(HEAD_BYTES + length, records)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let start = self.used + HEAD_BYTES;
        self.used = start + length;
        Ok(Some((tag, self.buffer[start..self.used].to_vec())))
    }

    /// Whether there are so many bytes more; they are in the buffer then.
    fn has(&mut self, bytes: usize, records: &Records) -> io::Result<bool> {
        while self.buffer.len() - self.used < bytes {
            let left = usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX);
            self.buffer.drain(..std::mem::take(&mut self.used));
            match records.read(self.left.start, self.step.min(left), &mut self.buffer)? {
                0 => return Ok(false),
                count => self.left.start += count as u64,
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records are those that were written, wherever they lie.
    #[test]
    fn records_come_back_whole_from_memory_and_from_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        for count in [0, 1, 100, 200_000_u32] {
            let mut records = Records::new(folder.path());
            let bytes = |n: u32| n.to_string().repeat(n as usize % 7).into_bytes();
            for n in 0..count {
                records.push(n as u8, &bytes(n)).unwrap();
            }
            assert_eq!(records.file.is_some(), count > 1_000);
            assert!(records.memory.capacity() <= 2 * MEMORY_BYTES);
            let mut cursor = Cursor::over(0..records.end(), 1 << 10);
            for n in 0..count {
                assert_eq!(cursor.next(&records).unwrap(), Some((n as u8, bytes(n))));
            }
            assert_eq!(cursor.next(&records).unwrap(), None);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
        }
    }
}
