//! All runs of outcomes that wait on disk.
//!
//! Owns which run an outcome goes to, and that there are only so many: each takes a descriptor and, while
//! it is read, a record's worth of memory. Nearly sorted outcomes, as they come behind one that is late,
//! go to the end of a run that is there; only what comes in disorder makes new ones, and when they are
//! too many the smallest become one. Files that a checkpoint lists stay until the next one does not.
//! Refuses to know what is in memory.

use proto::unit::UnitId;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use super::{
    fault::WaitingError,
    place::{Place, RunFile},
    run::Run,
};
use crate::accept::entry::Entry;

/// More runs are merged.
const RUNS_MAX: usize = 32;
/// How many at once.
const MERGED: usize = RUNS_MAX / 2;
/// Outcomes that are taken over at once when runs are merged.
const MERGE_BYTES: u64 = 256 << 10;
/// A file that is as long is not gone on with, so that its room is free once it was read.
const FILE_BYTES: u64 = 64 << 20;
/// Unless very much may wait: this part of it.
const FILE_PART: u64 = 16;

/// What a checkpoint says of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMark {
    /// The number in the file's name.
    pub number: u64,
    /// All that lies before is written to the outputs.
    pub from: u64,
    /// How long the file is; what lies beyond is in the log.
    pub bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Runs {
    place: Place,
    runs: Vec<Run>,
    // The place of the run that was read last: mostly it is next, too.
    last: usize,
    // Files that the last checkpoint lists, and no next one needs.
    retired: Vec<(RunFile, u64)>,
    next_number: u64,
    // Some file has a name that is not safe.
    unnamed: bool,
    file_bytes: u64,
}

impl Runs {
    fn new(place: Place, next_number: u64, waiting_bytes_max: u64) -> Self {
        Self {
            place,
            runs: Vec::new(),
            last: 0,
            retired: Vec::new(),
            next_number,
            unnamed: false,
            file_bytes: FILE_BYTES.max(waiting_bytes_max / FILE_PART),
        }
    }

    /// None yet; files without a name in `folder`, which are gone with this process. About
    /// `waiting_bytes_max` may be in them.
    pub fn temporary(folder: PathBuf, waiting_bytes_max: u64) -> Self {
        Self::new(Place::Temporary(folder), 1, waiting_bytes_max)
    }

    /// Those that a checkpoint lists, in the run directory `folder`; others that are there are
    /// removed. Each outcome of units from `watermark` on is shown to `found`.
    ///
    /// # Errors
    /// [`WaitingError`] when one is not there as it was; nothing is removed then.
    pub fn kept(
        folder: PathBuf,
        marks: &[RunMark],
        watermark: UnitId,
        mut found: impl FnMut(&Entry),
        waiting_bytes_max: u64,
    ) -> Result<Self, WaitingError> {
        let mut runs = Self::new(Place::Kept(folder), 1, waiting_bytes_max);
        for mark in marks {
            let file = runs.place.open(mark.number)?;
            let run = Run::open(file, mark, watermark, &mut found)?;
            runs.runs.push(run);
        }
        runs.next_number = runs.place.clear(|number| marks.iter().any(|m| m.number == number));
        let read = |run: &Run| run.next().is_none();
        while let Some(index) = runs.runs.iter().position(read) {
            runs.retire(index);
        }
        Ok(runs)
    }

    /// The lowest unit that waits here.
    pub fn next_unit(&self) -> Option<UnitId> {
        self.runs.iter().filter_map(Run::next).min()
    }

    /// The outcome that begins with this unit, if it is here; nothing below may be.
    ///
    /// # Errors
    /// [`WaitingError`] when it can't be read.
    pub fn pop(&mut self, unit: UnitId) -> Result<Option<Entry>, WaitingError> {
        let is_next = |run: &Run| run.next() == Some(unit);
        if !self.runs.get(self.last).is_some_and(is_next) {
            let Some(place) = self.runs.iter().position(is_next) else { return Ok(None) };
            self.last = place;
        }
        let Some(run) = self.runs.get_mut(self.last) else { return Ok(None) };
        let entry = run.pop()?;
        if run.next().is_none() {
            self.retire(self.last);
        }
        Ok(entry)
    }

    /// From where on outcomes can be appended to a run that is there: from `unit`, if they can, or
    /// from the lowest unit beyond that they can.
    pub fn goes_on_from(&self, unit: UnitId) -> Option<UnitId> {
        self.open_ended().map(|run| run.end().max(unit)).min()
    }

    fn open_ended(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.bytes() < self.file_bytes)
    }

    /// Takes outcomes, in the order of their units.
    ///
    /// # Errors
    /// [`WaitingError`] when they can't be written.
    pub fn append(&mut self, entries: impl Iterator<Item = Entry>) -> Result<(), WaitingError> {
        let mut entries = entries.peekable();
        let Some(first) = entries.peek().map(|entry| entry.first) else { return Ok(()) };
        let file_bytes = self.file_bytes;
        let fits = |run: &&mut Run| run.bytes() < file_bytes && run.end() <= first;
        let nearest = self.runs.iter_mut().filter(fits).max_by_key(|run| run.end());
        match nearest {
            Some(run) => run.append(entries)?,
            None => {
                let mut run = self.begin()?;
                run.append(entries)?;
                self.runs.push(run);
            }
        }
        if self.runs.len() > RUNS_MAX { self.merge() } else { Ok(()) }
    }

    fn begin(&mut self) -> Result<Run, WaitingError> {
        let file = self.place.make(self.next_number)?;
        self.next_number += 1;
        self.unnamed = true;
        Ok(Run::new(file))
    }

    /// Makes one run of the smallest, so that each outcome is moved a few times at most, however
    /// many there are.
    fn merge(&mut self) -> Result<(), WaitingError> {
        self.runs.sort_by_key(Run::bytes_left);
        self.last = 0;
        let mut merged = self.begin()?;
        let mut sources: Vec<Run> = self.runs.drain(..MERGED).collect();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(lowest) = lowest_of(&mut sources) {
            if let Some(entry) = lowest.pop()? {
                bytes += entry.bytes();
                batch.push(entry);
            }
            if bytes >= MERGE_BYTES {
                merged.append(batch.drain(..))?;
                bytes = 0;
            }
        }
        merged.append(batch.into_iter())?;
        self.runs.push(merged);
        sources.into_iter().for_each(|run| self.set_aside(run));
        Ok(())
    }

    fn retire(&mut self, index: usize) {
        let run = self.runs.swap_remove(index);
        self.set_aside(run);
    }

    /// All of a run was read. After a crash a run that is listed is read once more.
    fn set_aside(&mut self, run: Run) {
        let (is_listed, bytes) = (run.is_listed(), run.bytes());
        let file = run.into_file();
        match is_listed {
            true => self.retired.push((file, bytes)),
            false => file.remove(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Bytes of outcomes that wait here.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(Run::bytes_left).sum()
    }

    /// Bytes of files that only the last checkpoint needs.
    pub fn retired_bytes(&self) -> u64 {
        self.retired.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Makes all runs safe; what a checkpoint has to list.
    ///
    /// # Errors
    /// [`WaitingError`] when the disk fails.
    pub fn sync(&mut self) -> Result<Vec<RunMark>, WaitingError> {
        let marks = self.runs.iter_mut().map(Run::sync).collect::<Result<_, _>>()?;
        if std::mem::take(&mut self.unnamed) {
            self.place.sync()?;
        }
        Ok(marks)
    }

    /// A checkpoint that lists them is safe: the files that it does not list go.
    pub fn checkpointed(&mut self) {
        self.runs.iter_mut().for_each(Run::is_listed_now);
        self.retired.drain(..).for_each(|(file, _)| file.remove());
    }
}

/// The run with the lowest outcome.
fn lowest_of(runs: &mut [Run]) -> Option<&mut Run> {
    runs.iter_mut().filter(|run| run.next().is_some()).min_by_key(|run| run.next())
}
