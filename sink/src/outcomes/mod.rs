//! The outcomes of a service, until their clients have them.
//!
//! Owns what is kept for how long, who waits for what, and what is told to whom. An outcome is kept until
//! it is fetched, for the time of [`Retention`], or until newer ones need the room; past that the answer is
//! that it is expired, never silence. Refuses to know when an outcome is safe: whoever records it sends
//! the answers off then. Times are milliseconds in which a sink was there to be asked, so that
//! nothing expires while nobody could fetch it.
//!
//! - [`waiting`]: who waits for which units
//! - [`answers`]: what they are told
//! - `shelf`: what has not been fetched by the next checkpoint goes to disk

pub mod answers;
mod shelf;
pub mod waiting;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
};

use proto::{ranges::RangeSet, role::LinkId, service::IdRange, unit::UnitId};
use serde::{Deserialize, Serialize};

use self::{
    answers::Answers,
    shelf::{Shelf, outside},
    waiting::Waiting,
};
use crate::{accept::entry::Entry, names::OUTCOMES};

/// For how long outcomes are kept that nobody has fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Milliseconds.
    pub ms: u64,
    /// Bytes that they take, at most: the oldest go first.
    pub bytes_max: u64,
    /// Whether a loss of power may lose outcomes: then nothing is synced.
    pub in_memory: bool,
    /// Units that may wait in the ventilator's queue: so far ahead ids may be.
    pub queue_units_max: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { ms: 3_600_000, bytes_max: 256 << 20, in_memory: false, queue_units_max: 1_000_000 }
    }
}

/// An outcome, and when it came.
#[derive(Debug)]
struct Kept {
    entry: Entry,
    at: u64,
}

/// See the module.
pub struct Outcomes {
    retention: Retention,
    kept: BTreeMap<UnitId, Kept>,
    by_age: BTreeSet<(u64, UnitId)>,
    units: u64,
    bytes: u64,
    shelf: Shelf,
    // Units on the shelf that were fetched since it was written last.
    fetched: RangeSet,
    waiting: Waiting,
    // The clock of the sinks before.
    before: u64,
}

impl Outcomes {
    /// What is kept in a run directory.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when it can't be used.
    pub fn open(run_dir: &Path, retention: Retention) -> rusqlite::Result<Self> {
        let shelf = Shelf::open(&run_dir.join(OUTCOMES))?;
        let before = shelf.clock()?;
        Ok(Self {
            retention,
            kept: BTreeMap::new(),
            by_age: BTreeSet::new(),
            units: 0,
            bytes: 0,
            shelf,
            fetched: RangeSet::new(),
            waiting: Waiting::default(),
            before,
        })
    }

    /// Whether a loss of power may lose outcomes.
    pub fn in_memory(&self) -> bool {
        self.retention.in_memory
    }

    /// Units that are kept, and the bytes that they take.
    pub fn weight(&self) -> (u64, u64) {
        let (units, bytes) = self.shelf.weight();
        (units + self.units, bytes + self.bytes)
    }

    /// An outcome has come, of units that had none. This sink has been there for `here` milliseconds,
    /// here and in all that follows.
    pub fn take(&mut self, here: u64, entry: Entry, answers: &mut Answers) {
        let units = entry.first..entry.first + entry.count;
        for (range, by) in self.waiting.take(units) {
            by.into_iter().for_each(|link| answers.tell(link, &entry, range.clone()));
        }
        let at = self.before + here;
        self.keep(Kept { entry, at });
    }

    /// A client waits for these units; `taken` have outcomes. Whether there are such units is not known here:
    /// for one that was never accepted nothing comes.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when the shelf can't be read.
    pub fn asked(
        &mut self,
        link: LinkId,
        units: IdRange,
        taken: &RangeSet,
        answers: &mut Answers,
    ) -> rusqlite::Result<()> {
        let range = units.0..units.1.max(units.0);
        let mut told = RangeSet::new();
        for kept in self.within(range.clone()) {
            let part = overlap(&kept.entry, &range);
            answers.tell(link, &kept.entry, part.clone());
            told.insert(part);
        }
        for rest in told.gaps(range.clone()) {
            for (entry, _) in self.shelf.find(rest.clone())? {
                for part in self.fetched.gaps(overlap(&entry, &rest)) {
                    answers.tell(link, &entry, part.clone());
                    told.insert(part);
                }
            }
        }
        for rest in told.gaps(range) {
            let pending = taken.gaps(rest.clone());
            let mut at = rest.start;
            for part in pending {
                if at < part.start {
                    answers.expired(link, at..part.start);
                }
                at = part.end;
                self.waiting.add(link, part);
            }
            if at < rest.end {
                answers.expired(link, at..rest.end);
            }
        }
        Ok(())
    }

    /// A client has these outcomes.
    pub fn fetched(&mut self, units: IdRange) {
        let range = units.0..units.1;
        let firsts: Vec<UnitId> = self.within(range.clone()).map(|kept| kept.entry.first).collect();
        for first in firsts {
            if let Some(Kept { entry, at }) = self.drop_kept(first) {
                outside(entry, &range).into_iter().for_each(|entry| self.keep(Kept { entry, at }));
            }
        }
        if self.shelf.weight().0 > 0 {
            self.fetched.insert(range);
        }
    }

    /// A client is gone.
    pub fn left(&mut self, link: LinkId) {
        self.waiting.leave(link);
    }

    /// What is not kept any longer goes.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when the shelf can't be written.
    pub fn expire(&mut self, here: u64) -> rusqlite::Result<()> {
        let oldest = (self.before + here).saturating_sub(self.retention.ms);
        while let Some((_, first)) = self.by_age.first().filter(|(at, _)| *at < oldest) {
            self.drop_kept(*first);
        }
        if !self.fetched.is_empty() || self.shelf.has_before(oldest)? {
            let fetched = std::mem::take(&mut self.fetched);
            self.shelf.in_one_transaction(self.before + here, |shelf| {
                fetched.iter().try_for_each(|range| shelf.take(range))?;
                shelf.drop_before(oldest)
            })?;
        }
        while self.weight().1 > self.retention.bytes_max {
            if self.shelf.drop_oldest()? {
                continue;
            }
            let Some((_, first)) = self.by_age.first() else { break };
            self.drop_kept(*first);
        }
        Ok(())
    }

    /// Puts what is in memory on the shelf, which is safe then.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when the disk fails; the process has to end.
    pub fn put_away(&mut self, here: u64) -> rusqlite::Result<()> {
        self.expire(here)?;
        let now = self.before + here;
        let kept = std::mem::take(&mut self.kept);
        self.by_age.clear();
        (self.units, self.bytes) = (0, 0);
        self.shelf.in_one_transaction(now, |shelf| {
            for Kept { entry, at } in kept.values() {
                // A kill before the checkpoint was recorded has left it there.
                shelf.take(entry.first..entry.first + entry.count)?;
                shelf.put(entry, *at)?;
            }
            Ok(())
        })?;
        self.shelf.make_safe()
    }

    fn keep(&mut self, kept: Kept) {
        self.units += kept.entry.count;
        self.bytes += kept.entry.bytes();
        self.by_age.insert((kept.at, kept.entry.first));
        self.kept.insert(kept.entry.first, kept);
    }

    fn drop_kept(&mut self, first: UnitId) -> Option<Kept> {
        let kept = self.kept.remove(&first)?;
        self.units -= kept.entry.count;
        self.bytes -= kept.entry.bytes();
        self.by_age.remove(&(kept.at, first));
        Some(kept)
    }

    /// What is kept in memory of these units.
    fn within(&self, units: Range<UnitId>) -> impl Iterator<Item = &Kept> {
        let before = self.kept.range(..units.start).next_back();
        let before = before.filter(|(first, kept)| **first + kept.entry.count > units.start);
        let inside = self.kept.range(units.start..units.end.max(units.start));
        before.into_iter().chain(inside).map(|(_, kept)| kept)
    }
}

/// What of these units an entry holds.
fn overlap(entry: &Entry, units: &Range<UnitId>) -> Range<UnitId> {
    let start = entry.first.max(units.start);
    start..(entry.first + entry.count).min(units.end).max(start)
}

#[cfg(test)]
mod tests;
