//! A copy of standard input, made before a unit of it leaves, so that it can be read again.
//!
//! Owns the copy in the run directory and the thread that makes it. From a pipe the bytes are
//! moved by the kernel (`splice`), so that a kill between reading and writing loses none. A
//! restarted ventilator that has inherited the same input goes on where the copy ends; one that
//! is given the input again compares it with the copy, whether that was complete or not.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat, seek},
    pipe::{SpliceFlags, splice},
    stdio::stdin,
};

use super::{SourceError, blocks::Input};

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
    // What is offered again may differ from the copy beyond what was compared so far.
    comparing: bool,
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
    /// Copies standard input to `run_dir`. Where that was finished before, whatever is offered
    /// this time is only compared with the copy.
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
        let same = std::env::var_os(CONTINUES_VARIABLE).is_some();
        let repeated = ended && !same && !io::stdin().is_terminal();
        let progress = Progress { bytes, ended, comparing: repeated && offered(), failed: None };
        let shared: Shared = Arc::new((Mutex::new(progress), Condvar::new()));
        if repeated || !ended {
            let (told, marker) = (shared.clone(), run_dir.join(ENDED_FILE));
            let spooler = Spooler { path: path.clone(), marker, copy, bytes, ended, told };
            thread::Builder::new()
                .name("spool".into())
                .spawn(move || spooler.run(same))
                .map_err(failed)?;
        }
        let file = File::open(&path).map_err(failed)?;
        Ok(Self { file, at: 0, shared })
    }
}

impl Input for Spool {
    fn append(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        let (progress, changed) = &*self.shared;
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(problem) = &progress.failed {
                return Err(io::Error::other(problem.clone()));
            }
            if self.at < progress.bytes {
                break;
            }
            if progress.ended && !progress.comparing {
                return Ok(0);
            }
            progress = changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
        let there = progress.bytes - self.at;
        drop(progress);
        let room = (to.capacity() - to.len()) as u64;
        let count = (&mut self.file).take(there.min(room)).read_to_end(to)?;
        self.at += count as u64;
        Ok(count)
    }
}

struct Spooler {
    path: PathBuf,
    marker: PathBuf,
    copy: File,
    bytes: u64,
    // The copy was complete before.
    ended: bool,
    told: Shared,
}

impl Spooler {
    fn run(mut self, same: bool) {
        let outcome = match self.ended {
            true => self.compare().and_then(|line| self.compare_end(line)),
            false => self
                .catch_up(same)
                .and_then(|()| self.copy_all().map_err(|error| self.named(&error))),
        };
        self.tell(|progress| {
            progress.comparing = false;
            match outcome {
                Ok(()) => progress.ended = true,
                Err(error) => progress.failed = Some(error.to_string()),
            }
        });
    }

    fn tell(&self, news: impl FnOnce(&mut Progress)) {
        let (progress, changed) = &*self.told;
        news(&mut progress.lock().unwrap_or_else(PoisonError::into_inner));
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
        self.compare().map(drop)
    }

    /// The input is given again: it has to begin with what was copied. The line where that ends.
    fn compare(&self) -> io::Result<u64> {
        let mut known = File::open(&self.path)?;
        let (mut offered, mut copied) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
        let (mut at, mut line) = (0, 1);
        while at < self.bytes {
            let wanted = usize::try_from(self.bytes - at).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let count = read_stdin(&mut offered[..wanted])?;
            if count == 0 {
                if at > 0 {
                    return Err(differs(at, line, "ends"));
                }
                self.go_on_alone();
                break;
            }
            if at == 0 {
                // Who begins to give it again will also end it.
                self.tell(|progress| progress.comparing = progress.ended);
            }
            known.read_exact(&mut copied[..count])?;
            if let Some(same) = (0..count).find(|i| offered[*i] != copied[*i]) {
                return Err(differs(at + same as u64, line + lines(&copied[..same]), "differs"));
            }
            at += count as u64;
            line += lines(&copied[..count]);
        }
        Ok(line)
    }

    /// Nothing is given: the run goes on with what it has.
    fn go_on_alone(&self) {
        if !self.ended {
            tracing::warn!(
                bytes = self.bytes,
                "standard input is empty; the run goes on with what was copied of the first one, as if that were all"
            );
        }
    }

    /// All of the copy was given again: nothing may follow.
    fn compare_end(&self, line: u64) -> io::Result<()> {
        if !offered() {
            // Whoever holds the other end may never close it.
            self.tell(|progress| progress.comparing = false);
        }
        match read_stdin(&mut [0])? {
            0 => Ok(()),
            _ => Err(differs(self.bytes, line, "goes on")),
        }
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
            self.tell(|progress| progress.bytes = self.bytes);
        }
    }

    /// The system says only that there is no room, and not where.
    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("copying it to {}: {error}", self.path.display()))
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
        let count = read_stdin(&mut piece)?;
        self.copy.write_all(&piece[..count])?;
        Ok(count)
    }
}

fn is_file() -> io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(stdin())?.st_mode) == FileType::RegularFile)
}

/// Whether standard input has something to say at once, be it that it has ended.
fn offered() -> bool {
    let mut stdin = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
    poll(&mut stdin, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

fn read_stdin(piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(stdin(), &mut *piece) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn differs(at: u64, line: u64, how: &str) -> io::Error {
    io::Error::other(format!(
        "it {how} at byte {at} (line {line}), unlike what this run was begun with; give the same input again, none, or start over with --fresh"
    ))
}
