//! What processes write, from their pipes to those who show and keep it.
//!
//! Owns one thread a process, and how much waits to be shown; refuses to show or to write anything. A process
//! is read as fast as its log takes it: what people cannot follow is counted instead of shown.

use std::{
    collections::BTreeMap,
    io::{self, PipeReader, Read},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::SyncSender,
    },
};

use proto::lines::{Mark, Splitter, Stream, marked};

use super::{incident::Incident, posts::Post};
use crate::logs::writer::Log;

/// Bytes read at a time; the lines among them are shown together.
const CHUNK_BYTES: usize = 64 << 10;
/// What programs have written, and people have not been shown yet.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// Who has written a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// One of our own processes.
    Role,
    /// A program or a function of a stage.
    Program,
}

/// A line that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// By whom.
    pub writer: Writer,
    /// Where to; what our own processes write counts as standard error.
    pub stream: Stream,
    /// The unit that it is about, if that is known.
    pub unit: Option<Box<str>>,
    /// Without its line end.
    pub text: String,
}

impl Said {
    /// A line of one of our own processes.
    pub fn by_role(text: String) -> Self {
        Self { writer: Writer::Role, stream: Stream::Stderr, unit: None, text }
    }

    fn read(line: &[u8], whose: Writer) -> Self {
        let (mark, text) = marked(line);
        let text = String::from_utf8_lossy(text).trim_end().to_owned();
        let writer = if mark.is_some() { Writer::Program } else { whose };
        let Mark { stream, unit } = mark.unwrap_or(Mark { stream: Stream::Stderr, unit: None });
        Self { writer, stream, unit: unit.map(Into::into), text }
    }
}

/// Several that came together.
pub type Lines = Arc<Vec<Said>>;

fn bytes_of(lines: &[Said]) -> usize {
    lines.iter().map(|line| line.text.len() + 64).sum()
}

/// How much waits to be shown, and how much never will be.
#[derive(Debug, Default)]
pub struct Backlog {
    bytes: AtomicUsize,
    missed: Mutex<BTreeMap<Post, u64>>,
}

impl Backlog {
    /// These have been shown.
    pub fn shown(&self, lines: &[Said]) {
        self.bytes.fetch_sub(bytes_of(lines), Ordering::AcqRel);
    }

    /// How many lines of each were not and will not be shown, since the last time that it was asked.
    pub fn take_missed(&self) -> BTreeMap<Post, u64> {
        std::mem::take(&mut *self.missed())
    }

    fn missed(&self) -> MutexGuard<'_, BTreeMap<Post, u64>> {
        // Nothing under the lock can panic halfway.
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are to be shown: all, or as long as too much waits those of our own processes.
    fn admit(&self, post: Post, lines: Lines) -> Lines {
        if self.bytes.fetch_add(bytes_of(&lines), Ordering::AcqRel) < WAITING_BYTES_MAX {
            return lines;
        }
        self.bytes.fetch_sub(bytes_of(&lines), Ordering::AcqRel);
        let own = |line: &&Said| line.writer == Writer::Role;
        let own: Vec<Said> = lines.iter().filter(own).cloned().collect();
        *self.missed().entry(post).or_default() += (lines.len() - own.len()) as u64;
        self.bytes.fetch_add(bytes_of(&own), Ordering::AcqRel);
        own.into()
    }
}

/// Where one process's lines go.
pub struct Relay {
    /// Whose they are.
    pub post: Post,
    /// Who has written a line that does not say so.
    pub whose: Writer,
    /// What is told to whoever shows them.
    pub incidents: SyncSender<Incident>,
    /// How much of that waits.
    pub backlog: Arc<Backlog>,
    /// What keeps the lines, and by which name.
    pub log: Option<(Log, Arc<str>)>,
}

impl Relay {
    /// Reads until nobody writes any more.
    pub fn run(&self, mut words: PipeReader) {
        let mut splitter = Splitter::default();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut goes_on = true;
        while goes_on {
            let mut lines = Vec::new();
            let mut each = |line: &[u8]| lines.push(Said::read(line, self.whose));
            match words.read(&mut chunk) {
                Ok(len @ 1..) => splitter.push(&chunk[..len], &mut each),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    splitter.end(&mut each);
                    goes_on = false;
                }
            }
            goes_on &= lines.is_empty() || self.pass(lines.into());
        }
    }

    fn pass(&self, lines: Lines) -> bool {
        if let Some((log, process)) = &self.log {
            log.keep(process, lines.clone());
        }
        let lines = self.backlog.admit(self.post, lines);
        lines.is_empty() || self.incidents.send(Incident::Said(self.post, lines)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: Post = Post::Worker { stage: 0, number: 1 };

    fn lines(text: &str) -> Lines {
        let line = |line: &str| Said::read(line.as_bytes(), Writer::Role);
        Lines::new(text.lines().map(line).collect())
    }

    #[test]
    fn what_nobody_can_follow_is_counted_and_the_words_of_processes_are_shown() {
        let backlog = Backlog::default();
        let flood = lines(&format!("\x1ee7\x1f{}\nlast words", "x".repeat(WAITING_BYTES_MAX)));
        assert_eq!(backlog.admit(POST, flood.clone()), flood);
        let admitted = backlog.admit(POST, flood.clone());
        assert_eq!(*admitted, [Said::by_role("last words".into())]);
        assert_eq!(backlog.take_missed(), [(POST, 1)].into());
        backlog.shown(&flood);
        backlog.shown(&admitted);
        assert_eq!(backlog.admit(POST, flood.clone()), flood);
        assert!(backlog.take_missed().is_empty());
    }
}
