//! Outcomes that wait for an earlier one: in memory up to a bound, beyond it on disk.
//!
//! Owns which of them are where, and that they come out in the order of units from wherever they are.
//! One slow unit in input order would otherwise fill the memory, or stop all others. What is on disk
//! lies in sorted runs, as in a log-structured merge: since units are released strictly in order, each
//! run is read from its beginning to its end, once, and nothing has to be looked up. Refuses to know
//! when an outcome is safe, and what it is written to.
//!
//! - [`Waiting`], here: memory and runs as one
//! - [`runs`]: all runs; which of them an outcome goes to, and their merging when they are many
//! - `run`: one run, written and read in the order of units
//! - `record`: the form of a run's file
//! - [`place`]: where the files are, and how long they stay
//! - [`fault`]: what can go wrong with them

pub mod fault;
pub mod place;
mod record;
mod run;
pub mod runs;
#[cfg(test)]
mod tests;

use proto::unit::UnitId;

use self::{
    fault::WaitingError,
    runs::{RunMark, Runs},
};
use crate::{
    accept::entry::{Entry, Outcome},
    arrange::{Arrange, ArrangeError},
    order::Order,
};

/// See the module.
#[derive(Debug)]
pub struct Waiting {
    order: Order,
    memory: Arrange<Entry>,
    overflow: Option<Overflow>,
}

/// Where outcomes go that memory has no room for.
#[derive(Debug)]
struct Overflow {
    runs: Runs,
    memory_bytes_max: u64,
}

impl Waiting {
    /// Nothing waits, and all units below `watermark` have been released before. Memory is all there
    /// is, until it is [bounded](Self::bound).
    pub fn new(order: Order, watermark: UnitId) -> Self {
        Self { order, memory: Arrange::new(order, watermark), overflow: None }
    }

    /// From now on memory [is full](Self::is_full) with so many bytes, and what `runs` hold waits too.
    pub fn bound(&mut self, memory_bytes_max: u64, runs: Runs) {
        self.overflow = Some(Overflow { runs, memory_bytes_max });
    }

    /// Takes an outcome in, of units that none taken before had.
    ///
    /// # Errors
    /// [`ArrangeError`]; nothing is changed then.
    pub fn push(&mut self, entry: Entry) -> Result<(), ArrangeError> {
        let (first, count, bytes) = (entry.first, entry.count, entry.bytes());
        self.memory.push(first, count, bytes, entry)
    }

    /// The next outcome in order; none when it is not here yet.
    ///
    /// # Errors
    /// [`WaitingError`] when it can't be read.
    pub fn pop(&mut self) -> Result<Option<Entry>, WaitingError> {
        if let Some((_, _, entry)) = self.memory.pop() {
            return Ok(Some(entry));
        }
        let watermark = self.memory.watermark();
        let Some(Overflow { runs, .. }) = &mut self.overflow else { return Ok(None) };
        let Some(entry) = runs.pop(watermark)? else { return Ok(None) };
        self.memory.pass(entry.first + entry.count);
        Ok(Some(entry))
    }

    /// The next outcome, whether or not one before it is still missing.
    ///
    /// # Errors
    /// [`WaitingError`] when it can't be read.
    pub fn pop_held(&mut self) -> Result<Option<Entry>, WaitingError> {
        let on_disk = self.overflow.as_ref().and_then(|overflow| overflow.runs.next_unit());
        let in_memory = self.memory.lowest();
        if let Some(next) = in_memory.into_iter().chain(on_disk).min() {
            self.memory.pass(next);
        }
        self.pop()
    }

    /// Whether more waits in memory than may, and there is another place for it.
    pub fn is_full(&self) -> bool {
        let max = self.overflow.as_ref().map_or(u64::MAX, |overflow| overflow.memory_bytes_max);
        self.order == Order::Input && self.memory.held_bytes() > max
    }

    /// Writes what is due last to disk, until half of what may be in memory is. What is due first
    /// stays: it may be released before anything has to be read.
    ///
    /// # Errors
    /// [`WaitingError`] when it can't be written; the run has to end.
    pub fn make_room(&mut self) -> Result<(), WaitingError> {
        while self.is_full() {
            let Some(Overflow { runs, memory_bytes_max }) = &mut self.overflow else { break };
            let part = *memory_bytes_max / 4;
            let surplus = self.memory.held_bytes().saturating_sub(*memory_bytes_max / 2);
            let Some(half) = self.memory.highest(surplus) else { break };
            // A few late ones stay in memory if a run can be gone on with for that.
            let gone_on = runs.goes_on_from(half);
            let from = gone_on.filter(|from| self.memory.bytes_from(*from) >= part).unwrap_or(half);
            runs.append(self.memory.take_from(from).map(|(_, _, entry)| entry))?;
        }
        Ok(())
    }

    /// Whether an outcome that begins with unit `first` would be released at once.
    pub fn would_release(&self, first: UnitId) -> bool {
        self.memory.would_release(first)
    }

    /// Whether an outcome of this unit, once taken in, waits.
    pub fn is_ahead(&self, unit: UnitId) -> bool {
        self.order == Order::Input && unit >= self.memory.watermark()
    }

    /// All units below this one have been released. Stays where it began in completion order.
    pub fn watermark(&self) -> UnitId {
        self.memory.watermark()
    }

    /// Whether outcomes are released in the order of units.
    pub fn is_in_order(&self) -> bool {
        self.order == Order::Input
    }

    /// What waits in memory.
    pub fn in_memory(&self) -> impl Iterator<Item = &Entry> {
        self.memory.held().map(|(_, _, entry)| entry)
    }

    /// Gives up the failures that wait in memory: the units, as ranges. Those on disk stay.
    pub fn give_up_dead(&mut self) -> Vec<(UnitId, u64)> {
        self.memory.give_up(|entry| !matches!(entry.outcome, Outcome::Dead { .. }))
    }

    /// What waits in memory and begins with this unit.
    pub fn in_memory_at(&self, first: UnitId) -> Option<&Entry> {
        self.memory.waiting_at(first)
    }

    /// What of it takes memory.
    pub fn memory_bytes(&self) -> u64 {
        self.memory.held_bytes()
    }

    /// What all of it takes, in memory and on disk.
    pub fn bytes(&self) -> u64 {
        self.memory.held_bytes() + self.runs().map_or(0, Runs::bytes)
    }

    /// Files that nothing is read from any more, and that wait for the next checkpoint to go.
    pub fn retired_bytes(&self) -> u64 {
        self.runs().map_or(0, Runs::retired_bytes)
    }

    fn runs(&self) -> Option<&Runs> {
        self.overflow.as_ref().map(|overflow| &overflow.runs)
    }

    /// Makes what is on disk safe; what a checkpoint has to list.
    ///
    /// # Errors
    /// [`WaitingError`] when the disk fails.
    pub fn sync(&mut self) -> Result<Vec<RunMark>, WaitingError> {
        let overflow = self.overflow.as_mut();
        overflow.map_or(Ok(Vec::new()), |overflow| overflow.runs.sync())
    }

    /// A checkpoint that lists what the last [`sync`](Self::sync) gave is safe: no other files are
    /// needed any more.
    pub fn checkpointed(&mut self) {
        if let Some(overflow) = &mut self.overflow {
            overflow.runs.checkpointed();
        }
    }
}
