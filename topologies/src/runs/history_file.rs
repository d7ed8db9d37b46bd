//! The file of how a run went on over time, in its run directory.
//!
//! Owns its way there and back: whole or not at all, on a thread of its own, so that a slow disk holds
//! nobody up. Refuses to know what is in it; a file that can't be read is none.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use sink::names::{HISTORY, HISTORY_DRAFT};

use super::history::History;

/// A longer file is none of ours.
const BYTES_MAX: u64 = 16 << 20;

/// What a run directory keeps; none if it keeps none.
pub fn read(run_dir: &Path) -> Option<History> {
    let path = run_dir.join(HISTORY);
    let length = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
    if length > BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Keeps it, while a run goes on.
#[derive(Debug)]
pub struct Keeper {
    next: SyncSender<Arc<History>>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// In this run directory.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(run_dir: &Path) -> io::Result<Self> {
        let (next, given) = sync_channel(1);
        let run_dir = PathBuf::from(run_dir);
        let thread = thread::Builder::new().name("history".into());
        Ok(Self { next, thread: thread.spawn(move || keep(&run_dir, &given))? })
    }

    /// Keeps it as it is now, unless an earlier one is still on its way.
    pub fn keep(&self, history: Arc<History>) {
        let _ = self.next.try_send(history);
    }

    /// Keeps it as it is at the end, and waits until that is done.
    pub fn end(self, history: Arc<History>) {
        let _ = self.next.send(history);
        drop(self.next);
        let _ = self.thread.join();
    }
}

fn keep(run_dir: &Path, given: &Receiver<Arc<History>>) {
    for history in given {
        if let Err(error) = write(run_dir, &history) {
            tracing::debug!(%error, "how the run goes on over time is not kept");
        }
    }
}

fn write(run_dir: &Path, history: &History) -> io::Result<()> {
    let draft = run_dir.join(HISTORY_DRAFT);
    fs::write(&draft, serde_json::to_vec(history)?)?;
    fs::rename(draft, run_dir.join(HISTORY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::wire::Details;

    #[test]
    fn what_was_kept_last_is_read_and_what_is_none_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), None);
        let mut history = History::default();
        let keeper = Keeper::start(folder.path()).unwrap();
        for second in 0..5 {
            history.note(f64::from(second), &Details::default());
            keeper.keep(Arc::new(history.clone()));
        }
        keeper.end(Arc::new(history.clone()));
        assert_eq!(read(folder.path()), Some(history));
        fs::write(folder.path().join(HISTORY), "thesis").unwrap();
        assert_eq!(read(folder.path()), None);
    }
}
