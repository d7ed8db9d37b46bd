//! The dead letters of a run, as its sink writes them.
//!
//! Owns how much of the file is read at a time, how many there are in each stage, and the last ones;
//! refuses files that are no plain ones. A line is read once, when it is whole.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use proto::gist::beginning;
use serde::Serialize;
use sink::letter::DeadLetter;

/// So many are shown.
const SHOWN_MAX: usize = 20;
/// Read at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// Longer texts are cut.
const TEXT_CHARS_MAX: usize = 300;

/// A dead letter as it is shown.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Letter {
    unit: u64,
    stage: String,
    attempts: u32,
    worker: String,
    error: String,
    input: String,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Letters {
    path: PathBuf,
    // Device and number of the file that was read, and how far.
    file: Option<(u64, u64)>,
    read: u64,
    counts: BTreeMap<String, u64>,
    last: VecDeque<Letter>,
}

impl Letters {
    /// Those that are written to a file, which may not be there yet.
    pub(super) fn of(path: &Path) -> Self {
        Self {
            path: path.into(),
            file: None,
            read: 0,
            counts: BTreeMap::new(),
            last: VecDeque::new(),
        }
    }

    /// How many there are in a stage.
    pub(super) fn in_stage(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// The last ones, the newest first.
    pub(super) fn last(&self) -> impl Iterator<Item = &Letter> {
        self.last.iter().rev()
    }

    /// Reads what has come. What can't be read is as if it were not there.
    pub(super) fn look(&mut self) {
        // A pipe or a device is not for us to read.
        let data = fs::metadata(&self.path).ok().filter(fs::Metadata::is_file);
        let file = data.as_ref().map(|data| (data.dev(), data.ino()));
        let length = data.map_or(0, |data| data.len());
        if file != self.file || length < self.read {
            // Somebody begins anew, or takes back what was not recorded.
            *self = Self { file, ..Self::of(&self.path) };
        }
        if length > self.read {
            let _ = self.read_on();
        }
    }

    fn read_on(&mut self) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut chunk = Vec::new();
        file.take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        let whole = chunk.iter().rposition(|byte| *byte == b'\n').map(|end| end + 1);
        let taken = match whole {
            Some(whole) => whole,
            // A line that is longer than that is passed over.
            None if chunk.len() >= CHUNK_BYTES => chunk.len(),
            None => return Ok(()),
        };
        self.read += taken as u64;
        chunk.truncate(taken);
        for line in chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if let Ok(letter) = serde_json::from_slice(line) {
                self.take(letter);
            }
        }
        Ok(())
    }

    fn take(&mut self, letter: DeadLetter) {
        let DeadLetter { id, stage, input, error, attempts, worker, .. } = letter;
        *self.counts.entry(stage.clone()).or_default() += 1;
        let (error, input) = (cut(&error), cut(&input.to_string()));
        self.last.push_back(Letter { unit: id, stage, attempts, worker, error, input });
        if self.last.len() > SHOWN_MAX {
            self.last.pop_front();
        }
    }
}

fn cut(text: &str) -> String {
    beginning(text, TEXT_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(id: u64) -> String {
        let letter = DeadLetter { id, stage: "s".into(), ..DeadLetter::default() };
        serde_json::to_string(&letter).unwrap() + "\n"
    }

    #[test]
    fn letters_are_read_as_they_come_each_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let mut letters = Letters::of(&path);
        letters.look();
        assert_eq!(letters.in_stage("s"), 0);
        let mut file = File::create(&path).unwrap();
        let half = line(30);
        let all: String = (0..30).map(line).collect();
        write!(file, "{all}{}", &half[..9]).unwrap();
        for _ in 0..3 {
            letters.look();
            assert_eq!((letters.in_stage("s"), letters.last().next().unwrap().unit), (30, 29));
        }
        write!(file, "{}", &half[9..]).unwrap();
        letters.look();
        assert_eq!((letters.in_stage("s"), letters.last().next().unwrap().unit), (31, 30));
        assert_eq!(letters.last().count(), SHOWN_MAX);
        // The sink was killed, and takes back what it had not recorded.
        fs::write(&path, line(7)).unwrap();
        letters.look();
        assert_eq!((letters.in_stage("s"), letters.last().count()), (1, 1));
    }

    #[test]
    fn a_line_without_end_and_what_is_no_letter_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let long = "x".repeat(CHUNK_BYTES + 10);
        fs::write(&path, format!("{long}\nno letter\n{}", line(1))).unwrap();
        let mut letters = Letters::of(&path);
        letters.look();
        letters.look();
        assert_eq!(letters.in_stage("s"), 1);
        assert_eq!(cut(&"é".repeat(400)).chars().count(), TEXT_CHARS_MAX + 1);
    }
}
