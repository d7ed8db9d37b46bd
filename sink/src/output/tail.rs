//! A file that only grows at its end, or a stream that is written as it comes.
//!
//! Owns the buffer, the length, and the rule that a failed write or sync is never tried again
//! (the kernel forgets the pages that it could not write, so that a second sync says a false yes).
//! Knows nothing of rows. What is still in the buffer when a tail is dropped is dropped with it:
//! unsynced is uncommitted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::durable;
use rustix::fs::{FlockOperation, flock};

use super::claim::Claim;
use super::error::OutputError;
use super::unsynced::Unsynced;
use crate::report::manifest::follow::{Followed, Follower};

/// Once so much is waiting it is handed to the system, so that a write is not a system call.
const BUFFER_BYTES: usize = 256 * 1024;

/// See the module.
pub struct Tail {
    path: PathBuf,
    target: Target,
    /// What the system has not been given yet.
    pending: Vec<u8>,
    /// What it has been given.
    handed_over: u64,
    state: State,
    /// What is appended is of one unit, and may yet be taken back: nothing is handed over.
    in_unit: bool,
    /// The system has been given something since the last sync.
    unsynced: bool,
    /// Goes along with what the system is given.
    follower: Option<Follower>,
}

enum Target {
    File(Arc<File>),
    Stream(Box<dyn Write + Send>),
}

#[derive(PartialEq)]
enum State {
    /// The name of a new file is not known to be durable in its folder.
    NameUnsynced,
    Healthy,
    Broken,
}

impl Tail {
    /// Opens `path`, anew (emptied) or cut to `resume` bytes, if the claim lets it.
    pub(crate) fn open(
        path: &Path,
        resume: Option<u64>,
        claim: &Claim,
    ) -> Result<Self, OutputError> {
        require_folder(path)?;
        let opened = OpenOptions::new()
            .write(true)
            .create(resume.unwrap_or(0) == 0)
            .truncate(false)
            .open(path);
        let open_error = |source: io::Error| match (source.kind(), resume) {
            (ErrorKind::NotFound, Some(recorded)) => {
                OutputError::Gone { path: path.to_owned(), recorded }
            }
            _ => OutputError::Open { path: path.to_owned(), source },
        };
        let file = opened.map_err(open_error)?;
        let data = file.metadata().map_err(open_error)?;
        if !data.is_file() {
            return Ok(Self::stream(path.to_owned(), Box::new(file)));
        }
        // Two sinks that write one file would each count on what only one of them wrote.
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(OutputError::InUse { path: path.to_owned() });
        }
        claim.check(path, &data, resume.unwrap_or(0))?;
        let mut tail = Tail {
            path: path.to_owned(),
            handed_over: file.metadata().map_err(open_error)?.len(),
            target: Target::File(Arc::new(file)),
            pending: Vec::new(),
            state: State::NameUnsynced,
            in_unit: false,
            unsynced: true,
            follower: None,
        };
        tail.rewind(resume.unwrap_or(0))?;
        claim.note(&data).map_err(open_error)?;
        Ok(tail)
    }

    /// Writes to something that can neither be synced nor taken back; `path` is its name in errors.
    pub(crate) fn stream(path: PathBuf, stream: Box<dyn Write + Send>) -> Self {
        Tail {
            path,
            target: Target::Stream(stream),
            pending: Vec::new(),
            handed_over: 0,
            state: State::Healthy,
            in_unit: false,
            unsynced: false,
            follower: None,
        }
    }

    /// The length, including what is still in the buffer.
    pub(crate) fn len(&self) -> u64 {
        self.handed_over + self.pending.len() as u64
    }

    /// Whether nothing was written yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is a file, which can be synced and cut.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.target, Target::File(_))
    }

    /// Starts a follower, if it is a file of which the system has been given nothing.
    pub(crate) fn follow(&mut self, start: &dyn Fn() -> Option<Follower>) {
        if self.is_file() && self.handed_over == 0 {
            self.follower = start();
        }
    }

    /// What the follower says of everything, all of which the system has been given.
    pub(crate) fn followed(&mut self) -> Option<Followed> {
        let followed = self.follower.take()?.finish()?;
        (followed.bytes == self.len()).then_some(followed)
    }

    /// Lets `add` append to the buffer. Whatever it appended before an error is taken back.
    pub(crate) fn append<F>(&mut self, add: F) -> Result<(), OutputError>
    where
        F: FnOnce(&mut Vec<u8>) -> Result<(), OutputError>,
    {
        self.healthy()?;
        let before = self.pending.len();
        if let Err(error) = add(&mut self.pending) {
            self.pending.truncate(before);
            return Err(error);
        }
        if self.pending.len() >= BUFFER_BYTES && !self.in_unit {
            self.hand_over()?;
        }
        Ok(())
    }

    /// As [`append`](Self::append), again and again until `add` has nothing more.
    // Each row passes here: where this is a call of its own, the sink takes a tenth longer.
    #[inline(always)]
    pub(crate) fn append_all<F>(&mut self, mut add: F) -> Result<(), OutputError>
    where
        F: FnMut(&mut Vec<u8>) -> Option<Result<(), OutputError>>,
    {
        self.healthy()?;
        let mut before = self.pending.len();
        while let Some(added) = add(&mut self.pending) {
            if let Err(error) = added {
                self.pending.truncate(before);
                return Err(error);
            }
            if self.pending.len() >= BUFFER_BYTES && !self.in_unit {
                self.hand_over()?;
            }
            before = self.pending.len();
        }
        Ok(())
    }

    /// What is appended from here on stays in the buffer, so that also a stream can be rewound.
    pub(crate) fn begin_unit(&mut self) {
        self.in_unit = true;
    }

    /// What was appended stays; a buffer that is full is handed over.
    pub(crate) fn end_unit(&mut self) -> Result<(), OutputError> {
        self.in_unit = false;
        if self.pending.len() >= BUFFER_BYTES { self.hand_over() } else { Ok(()) }
    }

    /// Hands the buffer to the system.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        self.healthy()?;
        self.hand_over()?;
        if let Target::Stream(stream) = &mut self.target {
            let flushed = stream.flush();
            flushed.map_err(|source| self.fail(source, Self::write_error))?;
        }
        Ok(())
    }

    /// Makes all of it durable.
    pub(crate) fn sync(&mut self) -> Result<(), OutputError> {
        self.flush()?;
        let Target::File(file) = &self.target else {
            return Ok(());
        };
        if !self.unsynced {
            return Ok(());
        }
        self.unsynced = false;
        let mut synced = file.sync_data();
        if synced.is_ok() && self.state == State::NameUnsynced {
            synced = durable::sync_folder_of(&self.path);
            self.state = State::Healthy;
        }
        synced.map_err(|source| self.fail(source, Self::sync_error))
    }

    /// Hands the buffer to the system, and leaves what is to be synced to the caller; none if there
    /// is nothing.
    pub(crate) fn unsynced(&mut self) -> Result<Option<Unsynced>, OutputError> {
        if self.state == State::NameUnsynced {
            return self.sync().map(|()| None);
        }
        self.flush()?;
        Ok(match &self.target {
            Target::File(file) if std::mem::take(&mut self.unsynced) => {
                Some(Unsynced { file: file.clone(), path: self.path.clone() })
            }
            _ => None,
        })
    }

    /// Cuts it to `len` bytes.
    pub(crate) fn rewind(&mut self, len: u64) -> Result<(), OutputError> {
        self.healthy()?;
        if len > self.len() {
            return Err(OutputError::Shorter {
                path: self.path.clone(),
                unit: "bytes",
                found: self.len(),
                recorded: len,
            });
        }
        if let Some(kept) = len.checked_sub(self.handed_over) {
            self.pending.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        }
        let Target::File(file) = &mut self.target else {
            return if len < self.handed_over {
                Err(OutputError::NotAFile { path: self.path.clone() })
            } else {
                Ok(())
            };
        };
        if len < self.handed_over {
            // What it has seen can't be taken back.
            self.follower = None;
        }
        if len <= self.handed_over {
            self.pending.clear();
            self.unsynced = true;
            let cut = file.set_len(len).and_then(|()| (&**file).seek(SeekFrom::Start(len)));
            cut.map_err(|source| self.fail(source, Self::write_error))?;
            self.handed_over = len;
        }
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), OutputError> {
        if !self.pending.is_empty()
            && let Err(error) = self.undisturbed()
        {
            self.state = State::Broken;
            return Err(error);
        }
        let written = match &mut self.target {
            Target::File(file) => (&**file).write_all(&self.pending),
            Target::Stream(stream) => stream.write_all(&self.pending),
        };
        written.map_err(|source| self.fail(source, Self::write_error))?;
        self.unsynced |= !self.pending.is_empty();
        self.handed_over += self.pending.len() as u64;
        if self.follower.as_mut().is_some_and(|follower| !follower.take(&mut self.pending)) {
            self.follower = None;
        }
        self.pending.clear();
        Ok(())
    }

    /// Whether the file is still the one that was written, as far as it was written. In one that
    /// was cut from outside the next write would leave a hole, and nobody would notice.
    fn undisturbed(&self) -> Result<(), OutputError> {
        let (Target::File(file), recorded) = (&self.target, self.handed_over) else {
            return Ok(());
        };
        let ours = file.metadata().map_err(|source| self.open_error(source))?;
        match fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {}
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(self.open_error(error));
            }
            _ => return Err(OutputError::Gone { path: self.path.clone(), recorded }),
        }
        if ours.len() == recorded {
            return Ok(());
        }
        let (path, found) = (self.path.clone(), ours.len());
        Err(OutputError::Disturbed { path, found, recorded })
    }

    fn open_error(&self, source: io::Error) -> OutputError {
        OutputError::Open { path: self.path.clone(), source }
    }

    fn healthy(&self) -> Result<(), OutputError> {
        match self.state {
            State::Broken => Err(OutputError::Broken { path: self.path.clone() }),
            State::Healthy | State::NameUnsynced => Ok(()),
        }
    }

    fn fail(
        &mut self,
        source: io::Error,
        error: fn(PathBuf, io::Error) -> OutputError,
    ) -> OutputError {
        self.state = State::Broken;
        error(self.path.clone(), source)
    }

    fn write_error(path: PathBuf, source: io::Error) -> OutputError {
        match source.kind() {
            ErrorKind::BrokenPipe => OutputError::Closed,
            _ => OutputError::Write { path, source },
        }
    }

    fn sync_error(path: PathBuf, source: io::Error) -> OutputError {
        OutputError::Sync { path, source }
    }
}

/// The folder that holds `path`, as a path that can be opened.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Says which folder is missing, where the system would only say that something is.
pub(crate) fn require_folder(path: &Path) -> Result<(), OutputError> {
    let folder = folder_of(path);
    if folder.is_dir() {
        return Ok(());
    }
    Err(OutputError::NoFolder { path: path.to_owned(), folder: folder.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        claim::{Existing, Spared},
        output::test_rows::claim,
    };

    fn add(tail: &mut Tail, text: &str) -> Result<(), OutputError> {
        tail.append(|buffer| {
            buffer.extend_from_slice(text.as_bytes());
            Ok(())
        })
    }

    #[test]
    fn a_resumed_file_is_cut_to_the_recorded_length_and_goes_on_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "kept|torn wri").unwrap();
        let ours = claim(&folder);
        ours.note(&fs::metadata(&path).unwrap()).unwrap();
        let mut tail = Tail::open(&path, Some(5), &ours).unwrap();
        add(&mut tail, "next").unwrap();
        assert_eq!(tail.len(), 9);
        tail.sync().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept|next");
    }

    #[test]
    fn a_file_without_a_mark_starts_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "of an earlier run").unwrap();
        claim(&folder).note(&fs::metadata(&path).unwrap()).unwrap();
        let mut tail = Tail::open(&path, None, &claim(&folder)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        add(&mut tail, "new").unwrap();
        tail.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_file_shorter_than_its_mark_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "abc").unwrap();
        let error = Tail::open(&path, Some(4), &claim(&folder)).err().unwrap();
        assert!(matches!(error, OutputError::Shorter { found: 3, recorded: 4, .. }));
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        let gone = Tail::open(&folder.path().join("b"), Some(4), &claim(&folder)).err().unwrap();
        assert!(matches!(gone, OutputError::Gone { recorded: 4, .. }));
        assert!(!folder.path().join("b").exists());
    }

    /// No harm: an output that another run, or nobody of ours, has made is not written over, nor
    /// is what took the place of an output while nobody was looking.
    #[test]
    fn a_file_that_no_run_made_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "a thesis").unwrap();
        for resume in [None, Some(0), Some(3)] {
            let error = Tail::open(&path, resume, &claim(&folder)).err().unwrap();
            match resume {
                Some(3) => assert!(matches!(error, OutputError::Gone { recorded: 3, .. })),
                _ => assert!(matches!(error, OutputError::Exists { .. }), "{error}"),
            }
            assert_eq!(fs::read(&path).unwrap(), b"a thesis");
        }
        // One that was put back holds just what was recorded.
        Tail::open(&path, Some(8), &claim(&folder)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a thesis");
        // In a copy of the run and its outputs all files are other ones.
        let copy = tempfile::tempdir().unwrap();
        fs::copy(folder.path().join("made"), copy.path().join("made")).unwrap();
        fs::write(copy.path().join("a"), "a thesis").unwrap();
        let resumed = Claim { resumes: true, ..claim(&copy) };
        Tail::open(&copy.path().join("a"), Some(1), &resumed).unwrap();
        assert_eq!(fs::read(copy.path().join("a")).unwrap(), b"a");
    }

    /// No harm: what the run reads is not written to, whatever is said of files that are there.
    #[test]
    fn a_file_that_the_run_reads_is_never_an_output() {
        let folder = tempfile::tempdir().unwrap();
        let (input, link) = (folder.path().join("in"), folder.path().join("out"));
        for content in ["", "1\n2\n"] {
            fs::write(&input, content).unwrap();
            let _ = fs::hard_link(&input, &link);
            let spared = vec![Spared { what: "the source".into(), path: input.clone() }];
            let claim = Claim { existing: Existing::Overwrite, spared, ..claim(&folder) };
            let error = Tail::open(&link, None, &claim).err().unwrap();
            assert!(matches!(error, OutputError::Spared { .. }), "{error}");
            assert_eq!(fs::read_to_string(&input).unwrap(), content);
        }
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Tail::open(&folder.path().join("no/a"), None, &claim(&folder)).err().unwrap();
        let OutputError::NoFolder { folder: named, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(named, folder.path().join("no"));
    }

    #[test]
    fn rewinding_takes_back_from_the_buffer_and_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut tail = Tail::open(&path, None, &claim(&folder)).unwrap();
        add(&mut tail, "0123").unwrap();
        tail.flush().unwrap();
        add(&mut tail, "4567").unwrap();
        tail.rewind(6).unwrap();
        tail.rewind(2).unwrap();
        add(&mut tail, "x").unwrap();
        assert!(tail.rewind(4).is_err());
        tail.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"01x");
    }

    #[test]
    fn what_an_error_left_in_the_buffer_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut tail = Tail::open(&path, None, &claim(&folder)).unwrap();
        add(&mut tail, "whole").unwrap();
        let failed = tail.append(|buffer| {
            buffer.extend_from_slice(b"hal");
            Err(OutputError::NoFields { id: 1 })
        });
        assert!(failed.unwrap_err().is_the_rows_fault());
        tail.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn a_full_disk_is_an_error_with_the_path_and_is_not_tried_again() {
        let mut tail = Tail::open(Path::new("/dev/full"), None, &Claim::default()).unwrap();
        add(&mut tail, "x").unwrap();
        let OutputError::Write { path, source } = tail.sync().unwrap_err() else {
            panic!("not a write error");
        };
        assert_eq!(path, Path::new("/dev/full"));
        assert_eq!(source.kind(), ErrorKind::StorageFull);
        assert!(matches!(add(&mut tail, "y"), Err(OutputError::Broken { .. })));
        assert!(matches!(tail.sync(), Err(OutputError::Broken { .. })));
    }

    #[test]
    fn a_file_that_someone_cuts_or_writes_to_meanwhile_is_not_written_any_more() {
        for (content, found) in [("", 0), ("0123 and more", 13)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a");
            let mut tail = Tail::open(&path, None, &claim(&folder)).unwrap();
            add(&mut tail, "0123").unwrap();
            tail.flush().unwrap();
            fs::write(&path, content).unwrap();
            add(&mut tail, "4567").unwrap();
            let error = tail.flush().unwrap_err();
            let OutputError::Disturbed { found: told, recorded: 4, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(told, found);
            assert!(matches!(tail.sync(), Err(OutputError::Broken { .. })));
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_file_that_someone_removes_or_replaces_meanwhile_is_missed() {
        for replace in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a");
            let mut tail = Tail::open(&path, None, &claim(&folder)).unwrap();
            add(&mut tail, "0123").unwrap();
            tail.flush().unwrap();
            fs::rename(&path, folder.path().join("b")).unwrap();
            if replace {
                fs::write(&path, "0123").unwrap();
            }
            add(&mut tail, "4567").unwrap();
            assert!(matches!(tail.sync(), Err(OutputError::Gone { recorded: 4, .. })));
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_told_apart() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut tail = Tail::stream("-".into(), Box::new(writer));
        add(&mut tail, "x").unwrap();
        assert!(matches!(tail.flush(), Err(OutputError::Closed)));
    }

    #[test]
    fn a_device_can_be_written_and_synced_but_not_taken_back() {
        let mut tail = Tail::open(Path::new("/dev/null"), Some(0), &Claim::default()).unwrap();
        add(&mut tail, "abc").unwrap();
        tail.sync().unwrap();
        assert_eq!(tail.len(), 3);
        assert!(matches!(tail.rewind(1), Err(OutputError::NotAFile { .. })));
    }

    #[test]
    fn a_full_buffer_is_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut tail = Tail::open(&path, None, &claim(&folder)).unwrap();
        add(&mut tail, &"x".repeat(BUFFER_BYTES + 1)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), BUFFER_BYTES as u64 + 1);
    }
}
