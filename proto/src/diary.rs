//! The diary: what happened to which units, for whoever asks afterwards.
//!
//! Owns one appended file a process, a record a parcel and not a unit, so that it costs next to
//! nothing; refuses to be needed: nothing reads it but `explain`, and the last moments before a
//! kill may be missing. The wall clock appears here and nowhere else, for people to read.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    frame::Work,
    rules::{downstream::Failure, mesh::Loss},
    unit::UnitId,
    units::Span,
};

/// The diary of a run's ventilator, in its run directory.
pub const VENTILATOR_FILE: &str = "diary-ventilator";
/// The diary of a run's sink.
pub const SINK_FILE: &str = "diary-sink";
/// The diary of a worker is called so, with the worker's name behind it.
const WORKER_FILE: &str = "diary-worker-";

const BUFFER_BYTES: usize = 64 << 10;
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);
/// So long is the note of a start, [`Event::Started`].
const START_BYTES: usize = 18;
/// A torn note that ends with a number may be read to its end with so many bytes of the next one.
const NUMBER_BYTES: u64 = 4;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Units were sent to a worker, whole: one value each.
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
    /// A parcel was sent to a worker with other units than consecutive ones, or with outputs that
    /// units have given: not always all of a unit's.
    SentSome {
        /// The first of consecutive units, and how many, for each run of them.
        units: Vec<(UnitId, u32)>,
        /// How many values.
        values: u32,
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

impl Event {
    /// A parcel is sent to a worker.
    pub fn sent(worker: &str, work: &Work) -> Self {
        let (worker, attempt) = (worker.to_owned(), work.attempt);
        let values = u32::try_from(work.units.len()).unwrap_or(u32::MAX);
        let units = runs(work.units.spans());
        match units[..] {
            [(first, count)] if count == values => Self::Sent { first, count, worker, attempt },
            _ => Self::SentSome { units, values, worker, attempt },
        }
    }

    /// A worker says that a unit has failed.
    pub fn failed(worker: &str, Failure { unit, error }: Failure<'_>) -> Self {
        Self::Failed { unit, worker: worker.into(), error: error.into() }
    }

    /// A worker was lost.
    pub fn lost(worker: &str, loss: Loss) -> Self {
        Self::Lost { worker: worker.into(), loss: format!("{loss:?}").to_lowercase() }
    }
}

/// What the diary of a worker is called that sends to others.
pub fn worker_file(worker: &str) -> String {
    format!("{WORKER_FILE}{worker}")
}

/// The worker whose diary is called so: a stage, and a number.
pub fn worker_of(file: &str) -> Option<&str> {
    let worker = file.strip_prefix(WORKER_FILE)?;
    let (stage, number) = worker.rsplit_once('-')?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_ours = !stage.is_empty() && stage.chars().all(is_plain) && is_number(number);
    is_ours.then_some(worker)
}

/// The units of the source that these spans come from, as runs of consecutive ones.
fn runs(spans: &[Span]) -> Vec<(UnitId, u32)> {
    let mut runs: Vec<(UnitId, u32)> = Vec::new();
    for span in spans {
        let units = span.roots();
        let end = |first: UnitId, count: u32| first.saturating_add(count.into());
        match runs.last_mut() {
            Some((first, count)) if (*first..=end(*first, *count)).contains(&units.start) => {
                let end = units.end.max(end(*first, *count));
                *count = u32::try_from(end - *first).unwrap_or(u32::MAX);
            }
            _ => {
                let count = u32::try_from(units.end - units.start).unwrap_or(u32::MAX);
                runs.push((units.start, count));
            }
        }
    }
    runs
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

/// The entries of a diary, oldest first; one that a kill has torn is left out, and reading goes on
/// where the process was started again.
///
/// # Errors
/// When the file can't be opened.
pub fn read(path: &Path) -> io::Result<impl Iterator<Item = Note> + use<>> {
    let file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut reader = Reader { file, at: 0 };
    Ok(std::iter::from_fn(move || reader.next()))
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

/// A diary that is being read.
struct Reader {
    file: BufReader<File>,
    at: u64,
}

impl Reader {
    fn next(&mut self) -> Option<Note> {
        loop {
            let start = self.at;
            match rmp_serde::from_read(&mut *self) {
                Ok(note) => return Some(note),
                Err(_) => self.go_to_start(start.saturating_sub(NUMBER_BYTES))?,
            }
        }
    }

    /// Goes to the first start of a process that is noted behind `from`, if there is one.
    fn go_to_start(&mut self, from: u64) -> Option<()> {
        self.file.seek(SeekFrom::Start(from)).ok()?;
        let mut last = [0; START_BYTES];
        let mut end = from;
        for byte in self.file.by_ref().bytes() {
            last.rotate_left(1);
            *last.last_mut()? = byte.ok()?;
            end += 1;
            // An array of two: a number of eight bytes, and a text of seven.
            if let [0x92, 0xcf, _, _, _, _, _, _, _, _, 0xa7, name @ ..] = &last
                && name == b"Started"
            {
                self.at = end - START_BYTES as u64;
                return self.file.seek(SeekFrom::Start(self.at)).ok().map(drop);
            }
        }
        None
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        unit::{Path, Step},
        units::Units,
    };

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

    #[test]
    fn a_parcel_is_one_event_whatever_is_in_it() {
        let whole = |first, count| Span { first, count, path: Path::new() };
        let output = |first, index| {
            let path = vec![Step { execution: 1, index, of: 3 }];
            Span { first, count: 1, path }
        };
        let sent = |spans: Vec<Span>| {
            let ends: Vec<u32> = (1..=spans.iter().map(|span| span.count).sum()).collect();
            let units = Units::from_outputs(spans, vec![0; ends.len()], ends);
            Event::sent("w", &Work { parcel: 1, attempt: 2, units })
        };
        let (worker, attempt) = ("w".to_owned(), 2);
        let one_run = Event::Sent { first: 3, count: 3, worker: worker.clone(), attempt };
        assert_eq!(sent(vec![whole(3, 2), whole(5, 1)]), one_run);
        let some = |units: Vec<(UnitId, u32)>, values| {
            let worker = worker.clone();
            Event::SentSome { units, values, worker, attempt }
        };
        let holes = sent(vec![whole(3, 2), whole(6, 1), whole(2, 1)]);
        assert_eq!(holes, some(vec![(3, 2), (6, 1), (2, 1)], 4));
        let outputs = sent(vec![output(6, 0), output(6, 2), output(7, 0), whole(9, 1)]);
        assert_eq!(outputs, some(vec![(6, 2), (9, 1)], 4));
    }

    /// No harm: what is called otherwise is somebody else's.
    #[test]
    fn a_workers_diary_is_known_by_its_name() {
        assert_eq!(worker_of(&worker_file("two-of_3-17")), Some("two-of_3-17"));
        for other in ["diary-worker-", "diary-worker-notes", "diary-worker--1", "diary-worker-a-b"]
        {
            assert_eq!(worker_of(other), None, "{other}");
        }
        assert_eq!(worker_of("diary-worker-a.txt-1"), None);
        assert_eq!(worker_of(VENTILATOR_FILE), None);
    }

    /// A process that was killed while it wrote goes on in the same file.
    #[test]
    fn a_diary_is_read_on_behind_each_place_where_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diary");
        let sent = |first| Event::Sent { first, count: 300, worker: "w".into(), attempt: 70_000 };
        Diary::open(&path).unwrap().note(sent(1));
        let whole = std::fs::read(&path).unwrap();
        Diary::open(&path).unwrap().note(sent(2));
        let second = std::fs::read(&path).unwrap().len() - START_BYTES - whole.len();
        for torn in 1..second {
            std::fs::write(&path, &whole).unwrap();
            let mut bytes = Vec::new();
            rmp_serde::encode::write(&mut bytes, &Note { ms: u64::MAX, event: sent(9) }).unwrap();
            bytes.truncate(torn);
            OpenOptions::new().append(true).open(&path).unwrap().write_all(&bytes).unwrap();
            Diary::open(&path).unwrap().note(sent(2));
            let events: Vec<Event> = read(&path).unwrap().map(|entry| entry.event).collect();
            let [before @ .., start, last] = &events[..] else { panic!("{torn}: {events:?}") };
            assert_eq!((start, last), (&Event::Started, &sent(2)), "{torn}: {events:?}");
            assert_eq!(before[..2], [Event::Started, sent(1)], "{torn}: {events:?}");
        }
    }
}
