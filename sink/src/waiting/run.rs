//! One run: a file of outcomes in the order of their units, written at its end and read from its
//! beginning.
//!
//! Owns the places up to which it is written, safe and read. Keeps one record in memory while outcomes
//! of it are due, and none otherwise. Refuses outcomes that do not lie behind those that it has.

use std::{collections::VecDeque, os::unix::fs::FileExt};

use proto::unit::UnitId;

use super::{
    fault::{RunFault, WaitingError},
    place::RunFile,
    record::{HEADER_BYTES, Head, Records},
    runs::RunMark,
};
use crate::accept::entry::Entry;

/// So much is handed to the system at once.
const WRITE_BYTES: usize = 256 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Run {
    file: RunFile,
    /// Beyond all units of it.
    end: UnitId,
    bytes: u64,
    synced: u64,
    // Where the next record begins that was not read.
    at: u64,
    // What was read of the last one and is not due yet, where that one begins, and the unit that is
    // next.
    read: VecDeque<Entry>,
    read_from: u64,
    next: Option<UnitId>,
    // A checkpoint counts on it.
    listed: bool,
}

impl Run {
    /// A file with nothing but a header.
    pub fn new(file: RunFile) -> Self {
        Self {
            file,
            end: 0,
            bytes: HEADER_BYTES,
            synced: 0,
            at: HEADER_BYTES,
            read: VecDeque::new(),
            read_from: HEADER_BYTES,
            next: None,
            listed: false,
        }
    }

    /// A file that a checkpoint lists, as it was then; each outcome in it of units from `watermark`
    /// on is shown to `found`.
    pub fn open(
        file: RunFile,
        mark: &RunMark,
        watermark: UnitId,
        found: &mut impl FnMut(&Entry),
    ) -> Result<Self, WaitingError> {
        let mut run = Self {
            bytes: mark.bytes,
            synced: mark.bytes,
            at: mark.from,
            listed: true,
            ..Self::new(file)
        };
        run.scan(watermark, found).map_err(|fault| run.file.failed("read", fault))?;
        Ok(run)
    }

    fn scan(&mut self, watermark: UnitId, found: &mut impl FnMut(&Entry)) -> Result<(), RunFault> {
        self.file.cut(self.bytes)?;
        let mut at = self.at;
        self.at = self.bytes;
        while at < self.bytes {
            let (head, entries) = self.record(at)?;
            let from = at;
            at += head.bytes();
            self.end = entries.last().map_or(self.end, |last| last.first + last.count);
            let ahead: VecDeque<Entry> =
                entries.into_iter().filter(|entry| entry.first >= watermark).collect();
            ahead.iter().for_each(&mut *found);
            if self.next.is_none() && !ahead.is_empty() {
                self.next = ahead.front().map(|entry| entry.first);
                (self.at, self.read, self.read_from) = (at, ahead, from);
            }
        }
        Ok(())
    }

    /// The record at a place.
    fn record(&self, at: u64) -> Result<(Head, Vec<Entry>), RunFault> {
        let head = Head::read(&self.file.file, at)?;
        let entries = head.outcomes(&self.file.file, at)?;
        match entries.first() {
            Some(entry) if entry.first == head.first => Ok((head, entries)),
            _ => Err(RunFault::Damaged(at)),
        }
    }

    /// Writes outcomes behind those that it has.
    pub fn append(&mut self, entries: impl Iterator<Item = Entry>) -> Result<(), WaitingError> {
        let mut records = Records::default();
        for entry in entries {
            self.next.get_or_insert(entry.first);
            self.end = entry.first + entry.count;
            records.add(&entry);
            if records.len() >= WRITE_BYTES {
                self.write(&records.take())?;
            }
        }
        self.write(&records.take())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WaitingError> {
        let written = self.file.file.write_all_at(bytes, self.bytes);
        written.map_err(|error| self.file.failed("write", error.into()))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// The first unit of the next outcome; none when all have been read.
    pub fn next(&self) -> Option<UnitId> {
        self.next
    }

    /// The next outcome.
    pub fn pop(&mut self) -> Result<Option<Entry>, WaitingError> {
        self.advance().map_err(|fault| self.file.failed("read", fault))
    }

    fn advance(&mut self) -> Result<Option<Entry>, RunFault> {
        if self.read.is_empty() && self.at < self.bytes {
            let (head, entries) = self.record(self.at)?;
            self.read_from = self.at;
            self.at += head.bytes();
            self.read = entries.into();
        }
        let entry = self.read.pop_front();
        self.next = match self.read.front() {
            Some(next) => Some(next.first),
            None if self.at < self.bytes => Some(Head::read(&self.file.file, self.at)?.first),
            None => None,
        };
        Ok(entry)
    }

    /// Beyond all its units: outcomes from here on may be appended.
    pub fn end(&self) -> UnitId {
        self.end
    }

    /// How long the file is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What of it was not read yet.
    pub fn bytes_left(&self) -> u64 {
        self.bytes - self.at
    }

    /// Makes it safe; what a checkpoint says of it.
    pub fn sync(&mut self) -> Result<RunMark, WaitingError> {
        if self.synced < self.bytes {
            let synced = self.file.file.sync_data();
            synced.map_err(|error| self.file.failed("sync", error.into()))?;
            self.synced = self.bytes;
        }
        // What is read of a record and not due yet is needed once more.
        let from = if self.read.is_empty() { self.at } else { self.read_from };
        Ok(RunMark { number: self.file.number, from, bytes: self.bytes })
    }

    /// A checkpoint that lists it is safe.
    pub fn is_listed_now(&mut self) {
        self.listed = true;
    }

    /// Whether a checkpoint counts on the file.
    pub fn is_listed(&self) -> bool {
        self.listed
    }

    /// Nothing is read from it any more.
    pub fn into_file(self) -> RunFile {
        self.file
    }
}
