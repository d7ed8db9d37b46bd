//! A log in segments: what was accepted, in its order, until it is of no use any more.
//!
//! Owns numbered files of records, which of them are this run's, and what may be done to them: a
//! file that another version or somebody else has written is refused by its name and left as it is.
//! A record that is not whole was never acknowledged: reading ends there, and writing goes on from
//! there. Refuses to know what a record says. The sink has one of what it commits, the ventilator of a
//! service one of what it accepts.
//!
//! - [`mod@header`]: what a file begins with, and whose it is by that
//! - `records`: the frame of a record

pub mod header;
mod records;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;

pub use self::{header::Kind, records::FRAME_BYTES};
use self::{
    header::{Beginning, HEADER_BYTES, LogFault, read_header},
    records::{append_record, read_records},
};
use crate::durable;

/// Why the log can't be used.
#[derive(Debug, Error)]
#[error("cannot {action} the {kind} {}", path.display())]
pub struct LogError {
    action: &'static str,
    kind: &'static str,
    path: PathBuf,
    source: LogFault,
}

/// A segment that is being written.
#[derive(Debug)]
pub struct Log {
    kind: Kind,
    folder: PathBuf,
    segment: u64,
    file: Arc<File>,
    bytes: u64,
    buffer: Vec<u8>,
}

/// Records that were appended, and where to. They have to be written in their order, and by one at
/// a time.
#[derive(Debug)]
pub struct Appended {
    kind: Kind,
    file: Arc<File>,
    path: PathBuf,
    records: Vec<u8>,
}

impl Appended {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Hands them to the system.
    ///
    /// # Errors
    /// [`LogError`] when the disk is full or fails.
    pub fn write(&self) -> Result<(), LogError> {
        (&*self.file).write_all(&self.records).map_err(failed(self.kind, "write", &self.path))
    }

    /// Makes these and all before them safe. After a failure nobody knows what the file holds; the
    /// process has to end.
    ///
    /// # Errors
    /// [`LogError`] when the disk fails.
    pub fn sync(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(failed(self.kind, "sync", &self.path))
    }
}

/// Where a segment is.
pub fn segment_path(kind: Kind, folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("{}{segment:08}", kind.prefix))
}

/// The segments that are there, in their order; files of that name that are something else included.
pub fn segments(kind: Kind, folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<u64> = entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(kind.prefix)?.parse().ok()?;
            (entry.path() == segment_path(kind, folder, number)).then_some(number)
        })
        .collect();
    found.sort_unstable();
    found
}

fn failed<'a, E: Into<LogFault>>(
    kind: Kind,
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(E) -> LogError + 'a {
    move |source| LogError { action, kind: kind.name, path: path.into(), source: source.into() }
}

impl Log {
    /// Opens segment `segment`, gives each of its whole records to `replay`, and goes on behind
    /// the last one. Segments before it are removed.
    ///
    /// # Errors
    /// [`LogError`] when the file can't be read or written, or is not this format's; it is as it was
    /// then.
    pub fn open(
        kind: Kind,
        folder: &Path,
        segment: u64,
        replay: impl FnMut(&[u8]),
    ) -> Result<Self, LogError> {
        let log = Self::go_on(kind, folder, segment, replay)?;
        log.remove_before();
        Ok(log)
    }

    /// As [`open`](Self::open); segments before it stay.
    ///
    /// # Errors
    /// The same.
    pub fn go_on(
        kind: Kind,
        folder: &Path,
        segment: u64,
        replay: impl FnMut(&[u8]),
    ) -> Result<Self, LogError> {
        let failed = |action, path| move |source: LogFault| failed(kind, action, path)(source);
        let path = &segment_path(kind, folder, segment);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(LogFault::from)
            .map_err(failed("open", path))?;
        let mut reader = io::BufReader::with_capacity(1 << 20, &file);
        let bytes = match read_log(kind, &mut reader, replay).map_err(failed("read", path))? {
            0 => begin(kind, &file).map_err(LogFault::from).map_err(failed("write", path))?,
            bytes => bytes,
        };
        let cut = file.set_len(bytes).and_then(|()| file.seek(SeekFrom::Start(bytes)));
        cut.map_err(LogFault::from).map_err(failed("cut", path))?;
        let synced = durable::sync_folder_of(path);
        synced.map_err(LogFault::from).map_err(failed("open", path))?;
        let file = Arc::new(file);
        Ok(Self { kind, folder: folder.into(), segment, file, bytes, buffer: Vec::new() })
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
        append_record(&mut self.buffer, write);
    }

    /// Takes out what was appended, for whoever makes it safe.
    pub fn take(&mut self) -> Appended {
        let records = std::mem::take(&mut self.buffer);
        self.bytes += records.len() as u64;
        let path = segment_path(self.kind, &self.folder, self.segment);
        Appended { kind: self.kind, file: self.file.clone(), path, records }
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
    /// [`LogError`] when it can't be made, or somebody else's file is in its place.
    pub fn rotate(&mut self) -> Result<(), LogError> {
        let kind = self.kind;
        let path = segment_path(kind, &self.folder, self.segment + 1);
        // One that is there was begun by a process that died before anything counted on it.
        whose(kind, &path).map_err(failed(kind, "replace", &path))?;
        let file = File::create(&path).map_err(failed(kind, "create", &path))?;
        self.bytes = begin(kind, &file).map_err(failed(kind, "write", &path))?;
        self.file = Arc::new(file);
        durable::sync_folder_of(&path).map_err(failed(kind, "create", &path))?;
        self.segment += 1;
        Ok(())
    }

    /// Removes the segments that a checkpoint has made superfluous.
    pub fn remove_before(&self) {
        let found = segments(self.kind, &self.folder).into_iter();
        found.filter(|number| *number < self.segment).for_each(|number| self.remove(number));
    }

    /// Removes a segment that is of no use any more; a file that is none stays.
    pub fn remove(&self, segment: u64) {
        let path = segment_path(self.kind, &self.folder, segment);
        if whose(self.kind, &path).is_ok() {
            // One that stays is removed at the next start.
            let _ = fs::remove_file(path);
        }
    }
}

/// Writes the header of a new segment, and makes it safe: only a file without a record can have a
/// torn one. How long the file is then.
fn begin(kind: Kind, mut file: &File) -> io::Result<u64> {
    file.rewind()?;
    file.write_all(&kind.header())?;
    file.sync_data()?;
    Ok(HEADER_BYTES)
}

/// Whether a file, if it is there, is a segment in this format.
fn whose(kind: Kind, path: &Path) -> Result<(), LogFault> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        file => read_header(kind, &mut file?).map(drop),
    }
}

/// Gives each whole record of segment `segment` to `replay`; none if there is no such segment.
///
/// # Errors
/// [`LogError`] when the file can't be read, or is not this format's.
pub fn read_segment(
    kind: Kind,
    folder: &Path,
    segment: u64,
    replay: impl FnMut(&[u8]),
) -> Result<(), LogError> {
    let path = segment_path(kind, folder, segment);
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        file => {
            let mut reader =
                io::BufReader::with_capacity(1 << 20, file.map_err(failed(kind, "open", &path))?);
            read_log(kind, &mut reader, replay).map(drop).map_err(failed(kind, "read", &path))
        }
    }
}

/// Gives each whole record of a segment to `replay`, up to the first that is not; where that one
/// begins. 0: the segment itself has not begun.
///
/// # Errors
/// [`LogFault`] when it is not this format's, or can't be read.
pub fn read_log(
    kind: Kind,
    reader: &mut impl Read,
    replay: impl FnMut(&[u8]),
) -> Result<u64, LogFault> {
    match read_header(kind, reader)? {
        Beginning::Torn => Ok(0),
        Beginning::Whole => Ok(HEADER_BYTES + read_records(reader, replay)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::with_causes;

    const KIND: Kind = Kind { name: "commit log", prefix: "log-", magic: b"pipelog" };

    fn records(folder: &Path, segment: u64) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        Log::open(KIND, folder, segment, |record| records.push(record.to_vec())).unwrap();
        records
    }

    #[test]
    fn what_was_synced_is_there_after_a_restart_and_what_was_not_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(KIND, folder.path(), 1, |_| {}).unwrap();
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
        let mut log = Log::open(KIND, folder.path(), 1, |_| {}).unwrap();
        log.append(b"whole");
        log.append(b"torn record");
        log.sync().unwrap();
        drop(log);
        let path = segment_path(KIND, folder.path(), 1);
        let bytes = fs::read(&path).unwrap();
        let whole = HEADER_BYTES as usize + 8 + b"whole".len();
        for len in whole..bytes.len() {
            fs::write(&path, &bytes[..len]).unwrap();
            let mut log = Log::open(KIND, folder.path(), 1, |_| {}).unwrap();
            log.append(b"next");
            log.sync().unwrap();
            assert_eq!(records(folder.path(), 1), [b"whole".to_vec(), b"next".to_vec()], "{len}");
        }
        let mut flipped = bytes;
        flipped[whole + 8] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert_eq!(records(folder.path(), 1), [b"whole".to_vec()]);
    }

    #[test]
    fn a_segment_stays_until_the_checkpoint_has_made_it_superfluous() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(KIND, folder.path(), 1, |_| {}).unwrap();
        log.append(b"old");
        log.sync().unwrap();
        log.rotate().unwrap();
        assert!(segment_path(KIND, folder.path(), 1).exists());
        log.remove_before();
        assert!(!segment_path(KIND, folder.path(), 1).exists());
        assert_eq!(log.bytes(), HEADER_BYTES);
    }

    /// Files that no segment of this format begins with, and what is said of them.
    fn others() -> [(Vec<u8>, &'static str); 4] {
        let mut newer = KIND.header().to_vec();
        newer[7] += 1;
        newer.extend_from_slice(b"records of a form that nobody knows yet");
        let mut old = Vec::new();
        append_record(&mut old, |record| record.extend_from_slice(b"without a header"));
        [
            (newer, "it is in format 2, and this version reads format 1"),
            (old, "it is in format 0, and this version reads format 1"),
            (b"a thesis, in many words".to_vec(), "it is no such log"),
            (b"notes".to_vec(), "it is no such log"),
        ]
    }

    #[test]
    fn a_log_of_another_version_or_of_somebody_else_is_refused_by_its_name_and_stays() {
        for (bytes, problem) in others() {
            let folder = tempfile::tempdir().unwrap();
            let path = segment_path(KIND, folder.path(), 3);
            fs::write(&path, &bytes).unwrap();
            let opened = Log::open(KIND, folder.path(), 3, |_| panic!("a record of {problem}"));
            let read = read_segment(KIND, folder.path(), 3, |_| panic!("a record of {problem}"));
            for error in [opened.map(drop).unwrap_err(), read.unwrap_err()] {
                let told = with_causes(&error);
                let beginning = format!("cannot read the commit log {}: {problem}", path.display());
                assert!(told.starts_with(&beginning), "{told}");
            }
            assert!(fs::read(&path).unwrap() == bytes, "{problem}");
        }
    }

    #[test]
    fn a_file_that_is_no_segment_is_neither_replaced_by_one_nor_removed_with_them() {
        for (bytes, problem) in others() {
            let folder = tempfile::tempdir().unwrap();
            let mut log = Log::open(KIND, folder.path(), 5, |_| {}).unwrap();
            let paths = [4, 6].map(|segment| segment_path(KIND, folder.path(), segment));
            paths.iter().for_each(|path| fs::write(path, &bytes).unwrap());
            log.remove_before();
            let told = with_causes(&log.rotate().unwrap_err());
            assert!(told.contains("log-00000006") && told.contains(problem), "{told}");
            paths.iter().for_each(|path| assert!(fs::read(path).unwrap() == bytes, "{problem}"));
        }
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(KIND, folder.path(), 5, |_| {}).unwrap();
        let (named_otherwise, left) =
            (folder.path().join("log-4"), segment_path(KIND, folder.path(), 6));
        fs::write(&named_otherwise, KIND.header()).unwrap();
        fs::write(&left, KIND.header()).unwrap();
        log.remove_before();
        assert!(named_otherwise.exists(), "no segment has this name");
        log.rotate().unwrap();
    }

    /// A kill, or a loss of power, in the moment in which a segment is made.
    #[test]
    fn a_segment_whose_header_is_torn_is_begun_anew() {
        for torn in 0..HEADER_BYTES as usize {
            let folder = tempfile::tempdir().unwrap();
            fs::write(segment_path(KIND, folder.path(), 1), &KIND.header()[..torn]).unwrap();
            let mut log = Log::open(KIND, folder.path(), 1, |_| {}).unwrap();
            log.append(b"first");
            log.sync().unwrap();
            assert_eq!(records(folder.path(), 1), [b"first".to_vec()], "{torn}");
        }
    }
}
