//! The commit log: what has been accepted and is not yet covered by a checkpoint.
//!
//! Owns numbered files of records, each with its length and checksum; refuses to know what a
//! record holds. A record that is not whole was never acknowledged: reading ends there, and
//! writing goes on from there.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use proto::durable;
use thiserror::Error;

/// Length and checksum in front of each record.
const HEADER_BYTES: usize = 8;
/// A longer record is taken for rubbish.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// Why the log can't be used.
#[derive(Debug, Error)]
#[error("cannot {action} the commit log {}", path.display())]
pub struct LogError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A segment that is being written.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    segment: u64,
    file: Arc<File>,
    bytes: u64,
    buffer: Vec<u8>,
}

/// Records that were appended, and where to. They have to be written in their order, and by one at
/// a time.
#[derive(Debug)]
pub struct Written {
    file: Arc<File>,
    path: PathBuf,
    records: Vec<u8>,
}

impl Written {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Hands them to the system.
    ///
    /// # Errors
    /// [`LogError`] when the disk is full or fails.
    pub fn write(&self) -> Result<(), LogError> {
        (&*self.file).write_all(&self.records).map_err(failed("write", &self.path))
    }

    /// Makes these and all before them safe. After a failure nobody knows what the file holds; the
    /// process has to end.
    ///
    /// # Errors
    /// [`LogError`] when the disk fails.
    pub fn sync(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(failed("sync", &self.path))
    }
}

fn segment_path(folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("log-{segment:08}"))
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> LogError + 'a {
    move |source| LogError { action, path: path.into(), source }
}

impl Log {
    /// Opens segment `segment`, gives each of its whole records to `replay`, and goes on behind
    /// the last one. Segments before it are removed.
    ///
    /// # Errors
    /// [`LogError`] when the file can't be read or written.
    pub fn open(
        folder: &Path,
        segment: u64,
        mut replay: impl FnMut(&[u8]),
    ) -> Result<Self, LogError> {
        let path = segment_path(folder, segment);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        let mut reader = io::BufReader::with_capacity(1 << 20, &file);
        let bytes = read_records(&mut reader, &mut replay).map_err(failed("read", &path))?;
        file.set_len(bytes).map_err(failed("cut", &path))?;
        file.seek(SeekFrom::Start(bytes)).map_err(failed("read", &path))?;
        durable::sync_folder_of(&path).map_err(failed("open", &path))?;
        let file = Arc::new(file);
        let log = Self { folder: folder.into(), segment, file, bytes, buffer: Vec::new() };
        log.remove_before();
        Ok(log)
    }

    /// Bytes in the current segment.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.buffer.len() as u64
    }

    /// Which segment is written.
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// Adds a record; it is safe after the next [`Log::sync`].
    pub fn append(&mut self, record: &[u8]) {
        self.append_with(|buffer| buffer.extend_from_slice(record));
    }

    /// Adds the record that `write` appends, as [`append`](Self::append).
    pub fn append_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buffer.len();
        let record = start + HEADER_BYTES;
        self.buffer.resize(record, 0);
        write(&mut self.buffer);
        let len = (self.buffer.len() - record) as u32;
        let sum = crc32fast::hash(&self.buffer[record..]);
        self.buffer[start..start + 4].copy_from_slice(&len.to_le_bytes());
        self.buffer[start + 4..record].copy_from_slice(&sum.to_le_bytes());
    }

    /// Takes out what was appended, for whoever makes it safe.
    pub fn take(&mut self) -> Written {
        let records = std::mem::take(&mut self.buffer);
        self.bytes += records.len() as u64;
        let path = segment_path(&self.folder, self.segment);
        Written { file: self.file.clone(), path, records }
    }

    /// Makes everything appended safe, at once. Nothing that was [taken](Self::take) may be
    /// unwritten. After a failure the process has to end.
    ///
    /// # Errors
    /// [`LogError`] when the disk is full or fails.
    pub fn sync(&mut self) -> Result<(), LogError> {
        let written = self.take();
        written.write()?;
        written.sync()
    }

    /// Starts the next segment; the one before is kept until [`Log::remove_before`].
    ///
    /// # Errors
    /// [`LogError`] when it can't be made.
    pub fn rotate(&mut self) -> Result<(), LogError> {
        let path = segment_path(&self.folder, self.segment + 1);
        self.file = Arc::new(File::create(&path).map_err(failed("create", &path))?);
        durable::sync_folder_of(&path).map_err(failed("create", &path))?;
        self.segment += 1;
        self.bytes = 0;
        Ok(())
    }

    /// Removes the segments that a checkpoint has made superfluous.
    pub fn remove_before(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let number =
                entry.file_name().to_str().and_then(|name| name.strip_prefix("log-")?.parse().ok());
            if number.is_some_and(|number: u64| number < self.segment) {
                // One that stays is removed at the next start.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Gives each whole record of segment `segment` to `replay`; none if there is no such segment.
///
/// # Errors
/// [`LogError`] when the file can't be read.
pub fn read_segment(
    folder: &Path,
    segment: u64,
    replay: impl FnMut(&[u8]),
) -> Result<(), LogError> {
    let path = segment_path(folder, segment);
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        file => {
            let mut reader =
                io::BufReader::with_capacity(1 << 20, file.map_err(failed("open", &path))?);
            read_records(&mut reader, replay).map(drop).map_err(failed("read", &path))
        }
    }
}

/// Gives each whole record to `replay`, up to the first that is not; where that one begins.
///
/// # Errors
/// When the file can't be read.
pub fn read_records(reader: &mut impl Read, mut replay: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut bytes = 0;
    while let Some(record) = next_record(reader)? {
        bytes += (HEADER_BYTES + record.len()) as u64;
        replay(&record);
    }
    Ok(bytes)
}

/// The next whole record, or none at the first that is not.
fn next_record(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; HEADER_BYTES];
    if !read_whole(reader, &mut header)? {
        return Ok(None);
    }
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (len, sum) = (word(0) as usize, word(4));
    if len > RECORD_BYTES_MAX {
        return Ok(None);
    }
    let mut record = Vec::new();
    reader.take(len as u64).read_to_end(&mut record)?;
    Ok((record.len() == len && crc32fast::hash(&record) == sum).then_some(record))
}

fn read_whole(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(folder: &Path, segment: u64) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        Log::open(folder, segment, |record| records.push(record.to_vec())).unwrap();
        records
    }

    #[test]
    fn what_was_synced_is_there_after_a_restart_and_what_was_not_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), 1, |_| {}).unwrap();
        log.append(b"one");
        log.append(b"");
        log.sync().unwrap();
        log.append(b"lost");
        drop(log);
        assert_eq!(records(folder.path(), 1), [b"one".to_vec(), b"".to_vec()]);
    }

    #[test]
    fn a_record_torn_anywhere_ends_the_log_and_writing_goes_on_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), 1, |_| {}).unwrap();
        log.append(b"whole");
        log.append(b"torn record");
        log.sync().unwrap();
        drop(log);
        let path = segment_path(folder.path(), 1);
        let bytes = fs::read(&path).unwrap();
        for len in 13..bytes.len() {
            fs::write(&path, &bytes[..len]).unwrap();
            let mut log = Log::open(folder.path(), 1, |_| {}).unwrap();
            log.append(b"next");
            log.sync().unwrap();
            assert_eq!(records(folder.path(), 1), [b"whole".to_vec(), b"next".to_vec()], "{len}");
        }
        let mut flipped = bytes;
        flipped[20] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert_eq!(records(folder.path(), 1), [b"whole".to_vec()]);
    }

    #[test]
    fn a_segment_stays_until_the_checkpoint_has_made_it_superfluous() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), 1, |_| {}).unwrap();
        log.append(b"old");
        log.sync().unwrap();
        log.rotate().unwrap();
        assert!(segment_path(folder.path(), 1).exists());
        log.remove_before();
        assert!(!segment_path(folder.path(), 1).exists());
        assert_eq!(log.bytes(), 0);
    }
}
