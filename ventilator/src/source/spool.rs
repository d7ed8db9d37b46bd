//! A copy of standard input, made before a unit of it leaves, so that it can be read again.
//!
//! Owns the copy in the run directory and the thread that makes it. From a pipe the bytes are
//! moved by the kernel (`splice`), so that a kill between reading and writing loses none. A
//! restarted ventilator that has inherited the same input goes on where the copy ends; one that
//! is given the input again compares it with the copy first.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use rustix::{
    fs::{FileType, fstat, seek},
    pipe::{SpliceFlags, splice},
    stdio::stdin,
};

use super::SourceError;

/// The copy's name in the run directory.
pub const FILE: &str = "stdin";
/// Present once the input has ended.
const ENDED_FILE: &str = "stdin.ended";
/// The variable by which a launcher says that a restarted ventilator has the same input.
pub const CONTINUES_VARIABLE: &str = "PIPELINE_STDIN_CONTINUES";

const PIECE_BYTES: usize = 256 << 10;

/// How far the copy is.
#[derive(Default)]
struct Progress {
    bytes: u64,
    ended: bool,
    failed: Option<String>,
}

type Shared = Arc<(Mutex<Progress>, Condvar)>;

/// Reads the copy, and waits at its end for more.
pub struct Spool {
    file: File,
    at: u64,
    shared: Shared,
}

impl Spool {
    /// Copies standard input to `run_dir`, unless that was finished before.
    ///
    /// # Errors
    /// [`SourceError`] when the copy can't be made.
    pub fn open(run_dir: &Path) -> Result<Self, SourceError> {
        let path = run_dir.join(FILE);
        let failed = |source| SourceError::Io { path: path.clone(), source };
        let copy =
            OpenOptions::new().create(true).append(true).read(true).open(&path).map_err(failed)?;
        let bytes = copy.metadata().map_err(failed)?.len();
        let ended = run_dir.join(ENDED_FILE).exists();
        let shared: Shared =
            Arc::new((Mutex::new(Progress { bytes, ended, failed: None }), Condvar::new()));
        if !ended {
            let (told, marker) = (shared.clone(), run_dir.join(ENDED_FILE));
            let same = std::env::var_os(CONTINUES_VARIABLE).is_some();
            let spooler = Spooler { path: path.clone(), marker, copy, bytes, told };
            thread::Builder::new()
                .name("spool".into())
                .spawn(move || spooler.run(same))
                .map_err(failed)?;
        }
        let file = File::open(&path).map_err(failed)?;
        Ok(Self { file, at: 0, shared })
    }
}

impl Read for Spool {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (progress, changed) = &*self.shared;
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        while self.at >= progress.bytes {
            if let Some(problem) = &progress.failed {
                return Err(io::Error::other(problem.clone()));
            }
            if progress.ended {
                return Ok(0);
            }
            progress = changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
        let room = usize::try_from(progress.bytes - self.at).unwrap_or(usize::MAX);
        drop(progress);
        let wanted = room.min(buffer.len());
        let count = self.file.read(&mut buffer[..wanted])?;
        self.at += count as u64;
        Ok(count)
    }
}

struct Spooler {
    path: PathBuf,
    marker: PathBuf,
    copy: File,
    bytes: u64,
    told: Shared,
}

impl Spooler {
    fn run(mut self, same: bool) {
        let outcome = self.catch_up(same).and_then(|()| self.copy_all());
        let (progress, changed) = &*self.told;
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => progress.ended = true,
            Err(error) => progress.failed = Some(error.to_string()),
        }
        changed.notify_all();
    }

    /// Brings standard input to where the copy ends.
    fn catch_up(&mut self, same: bool) -> io::Result<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        if same {
            // A pipe is there by itself; a file knows only how far the last reader had read.
            if is_file()? {
                seek(stdin(), rustix::fs::SeekFrom::Start(self.bytes))?;
            }
            return Ok(());
        }
        self.compare()
    }

    /// The input is given again: it has to begin with what was copied.
    fn compare(&self) -> io::Result<()> {
        let mut known = File::open(&self.path)?;
        known.seek(SeekFrom::Start(0))?;
        let (mut a, mut b) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
        let mut at = 0;
        while at < self.bytes {
            let wanted = usize::try_from(self.bytes - at).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let count = rustix::io::read(stdin(), &mut a[..wanted])?;
            if count == 0 {
                // Nothing more is given: the run goes on with what it has.
                return if at == 0 { Ok(()) } else { Err(differs(at)) };
            }
            known.read_exact(&mut b[..count])?;
            if let Some(offset) = (0..count).find(|i| a[*i] != b[*i]) {
                return Err(differs(at + offset as u64));
            }
            at += count as u64;
        }
        Ok(())
    }

    fn copy_all(&mut self) -> io::Result<()> {
        let moved = fstat(stdin())?.st_mode;
        let from_pipe = FileType::from_raw_mode(moved) == FileType::Fifo;
        loop {
            let count = if from_pipe { self.splice_piece()? } else { self.copy_piece()? };
            if count == 0 {
                File::create(&self.marker)?.sync_all()?;
                return Ok(());
            }
            self.copy.sync_data()?;
            self.bytes += count as u64;
            let (progress, changed) = &*self.told;
            progress.lock().unwrap_or_else(PoisonError::into_inner).bytes = self.bytes;
            changed.notify_all();
        }
    }

    fn splice_piece(&mut self) -> io::Result<usize> {
        // A file opened for appending cannot be spliced to; one opened for writing can.
        let target = OpenOptions::new().write(true).open(&self.path)?;
        let mut offset = self.bytes;
        loop {
            match splice(
                stdin(),
                None,
                &target,
                Some(&mut offset),
                PIECE_BYTES,
                SpliceFlags::empty(),
            ) {
                Err(rustix::io::Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    fn copy_piece(&mut self) -> io::Result<usize> {
        let mut piece = vec![0; PIECE_BYTES];
        let count = loop {
            match rustix::io::read(stdin(), &mut piece[..]) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        self.copy.write_all(&piece[..count])?;
        Ok(count)
    }
}

fn is_file() -> io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(stdin())?.st_mode) == FileType::RegularFile)
}

fn differs(at: u64) -> io::Error {
    io::Error::other(format!(
        "it differs from what the unfinished run has read, at byte {at}; give the same input again, none, or start over with --fresh"
    ))
}
