//! A stream by way of its copy, which is made before a unit of it leaves, so that it can be read
//! again.
//!
//! Owns the reader of the copy and the thread that makes it; what is taken of the stream, and what
//! is known of it after a kill, is `copier`'s.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use super::{
    SourceError,
    blocks::Input,
    copier::{self, Copier, News},
    feed::Feed,
};

pub use super::copier::FILE;

/// How far the copy is.
#[derive(Default)]
struct Progress {
    bytes: u64,
    ended: bool,
    // What is offered again may differ from the copy beyond what was compared so far.
    comparing: bool,
    failed: Option<String>,
    // Why nothing can follow what was copied, although it is not all.
    cut: Option<String>,
}

type Shared = Arc<(Mutex<Progress>, Condvar)>;

/// Reads the copy, and waits at its end for more.
pub(super) struct Spool {
    file: File,
    at: u64,
    shared: Shared,
}

impl Spool {
    /// Copies a stream to `run_dir`. What was copied before is compared with what is offered this
    /// time, unless it is known to go on behind that.
    ///
    /// # Errors
    /// [`SourceError`] when the copy can't be made.
    pub(super) fn open(run_dir: &Path, feed: Feed) -> Result<Self, SourceError> {
        let path = run_dir.join(FILE);
        let failed = |source| SourceError::Io { path: path.clone(), source };
        let copier = Copier::open(run_dir, feed).map_err(failed)?;
        let progress = Progress {
            bytes: copier.bytes(),
            ended: copier.has_ended(),
            comparing: copier.has_ended() && copier.is_comparing(),
            ..Progress::default()
        };
        let shared: Shared = Arc::new((Mutex::new(progress), Condvar::new()));
        if !copier.is_done() {
            let told = shared.clone();
            thread::Builder::new()
                .name("spool".into())
                .spawn(move || run(copier, &told))
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
            if let Some(problem) = &progress.cut {
                return Err(io::Error::other(problem.clone()));
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

fn run(mut copier: Copier, told: &Shared) {
    let tell = |news: &dyn Fn(&mut Progress)| {
        let (progress, changed) = &**told;
        news(&mut progress.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    };
    let outcome = copier.run(|news| match news {
        News::Copied(bytes) => tell(&|progress| progress.bytes = bytes),
        News::Comparing => tell(&|progress| progress.comparing = progress.ended),
        News::NothingMore => tell(&|progress| progress.comparing = false),
    });
    tell(&|progress| {
        progress.comparing = false;
        match &outcome {
            Ok(copier::End::Whole) => progress.ended = true,
            Ok(copier::End::Cut(problem)) => progress.cut = Some(problem.clone()),
            Err(error) => progress.failed = Some(error.to_string()),
        }
    });
}
