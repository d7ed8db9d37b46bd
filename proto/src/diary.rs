//! The diary: what happened to which units, for whoever asks afterwards.
//!
//! Owns one appended file a process, a record a parcel and not a unit, so that it costs next to
//! nothing; refuses to be needed: nothing reads it but `explain`, and the last moments before a
//! kill may be missing. The wall clock appears here and nowhere else, for people to read.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::unit::UnitId;

/// The diary of a run's ventilator, in its run directory.
pub const VENTILATOR_FILE: &str = "diary-ventilator";
/// The diary of a run's sink.
pub const SINK_FILE: &str = "diary-sink";

const BUFFER_BYTES: usize = 64 << 10;
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Units were sent to a worker of the first stage.
    Sent {
        /// The first.
        first: UnitId,
        /// How many.
        count: u32,
        /// To whom.
        worker: String,
        /// For which try.
        attempt: u32,
    },
    /// A unit failed, and will be tried again or is dead.
    Failed {
        /// Which.
        unit: UnitId,
        /// Where.
        worker: String,
        /// Why.
        error: String,
    },
    /// A worker was lost; what it held went to others.
    Lost {
        /// Which.
        worker: String,
        /// How, in one word.
        loss: String,
    },
    /// The sink has committed units.
    Committed {
        /// The first.
        first: UnitId,
        /// How many.
        count: u64,
        /// What became of them.
        fate: Fate,
        /// The stage that decided it.
        stage: u32,
        /// The worker that gave it.
        worker: String,
        /// Which try.
        attempt: u32,
    },
    /// A unit is dead, since the output cannot hold its result.
    Unwritable {
        /// Which.
        unit: UnitId,
        /// Why.
        error: String,
    },
    /// The process started.
    Started,
}

/// What became of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It gave one result.
    Result,
    /// It gave so many.
    Results(u32),
    /// It gave none.
    Filtered,
    /// It failed for good.
    Dead,
}

/// An event with its time in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When, by the clock of that machine.
    pub ms: u64,
    /// What.
    pub event: Event,
}

/// A diary that is being written.
#[derive(Debug)]
pub struct Diary {
    file: BufWriter<File>,
    flushed: Instant,
}

impl Diary {
    /// Goes on with the diary at `path`.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut diary =
            Self { file: BufWriter::with_capacity(BUFFER_BYTES, file), flushed: Instant::now() };
        diary.note(Event::Started);
        Ok(diary)
    }

    /// Notes what has happened. A diary that can't be written is no reason to stop a run.
    pub fn note(&mut self, event: Event) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let entry = Note { ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX), event };
        let noted = rmp_serde::encode::write(&mut self.file, &entry);
        if let Err(error) = noted {
            tracing::debug!(%error, "the diary misses an entry");
        }
        if self.flushed.elapsed() >= FLUSH_INTERVAL {
            self.flush();
        }
    }

    /// Hands what was noted to the operating system.
    pub fn flush(&mut self) {
        self.flushed = Instant::now();
        let _ = self.file.flush();
    }
}

/// The entries of a diary, oldest first; an end torn by a kill is left out.
///
/// # Errors
/// When the file can't be opened.
pub fn read(path: &Path) -> io::Result<impl Iterator<Item = Note> + use<>> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    Ok(std::iter::from_fn(move || next(&mut file)))
}

/// The same, and none if there is no diary.
///
/// # Errors
/// When the file is there and can't be opened.
pub fn read_if_there(path: &Path) -> io::Result<Option<impl Iterator<Item = Note> + use<>>> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn next(file: &mut impl Read) -> Option<Note> {
    rmp_serde::from_read(file).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diary_is_read_back_up_to_where_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diary");
        let lost = || Event::Lost { worker: "w".into(), loss: "killed".into() };
        Diary::open(&path).unwrap().note(lost());
        Diary::open(&path).unwrap().note(lost());
        let events: Vec<Event> = read(&path).unwrap().map(|entry| entry.event).collect();
        assert_eq!(events, [Event::Started, lost(), Event::Started, lost()]);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        assert_eq!(read(&path).unwrap().count(), 3);
    }
}
