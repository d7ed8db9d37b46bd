//! The sink's disk: what is on it survives the sink.
//!
//! Owns the log of recorded outcomes and what a restarted sink is told of it. Finds out when a
//! unit is recorded a second time.

use std::collections::BTreeMap;

use proto::{frame::RunId, ranges::RangeSet, unit::UnitId};
use sink::{
    core::ResumePoint,
    entry::{Entry, Outcome},
};

use crate::mutation::Mutation;

/// A run directory.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    run: RunId,
    epoch: u64,
    plan: Option<String>,
    window_units: Option<u64>,
    entries: Vec<Entry>,
    // By the first unit, where each is among them.
    places: BTreeMap<UnitId, usize>,
    committed: RangeSet,
    dead: u64,
    closed: bool,
    concluded: bool,
    units: Option<u64>,
    duplicates: u64,
    untold: u64,
    lost_in_memory: u64,
}

impl Disk {
    /// The disk of a new run.
    pub fn new(run: RunId) -> Self {
        Self { run, ..Self::default() }
    }

    /// What a sink that starts now is told.
    pub fn standing(&mut self, mutation: Option<Mutation>) -> ResumePoint {
        self.epoch += 1;
        let watermark = self.committed.watermark();
        let ranges = self.committed.above().map(|(start, end)| match mutation {
            Some(Mutation::RangeOneTooFar) => (start, end + 1),
            Some(Mutation::RangeOneTooShort) => (start, end - 1),
            _ => (start, end),
        });
        ResumePoint {
            run: self.run,
            epoch: self.epoch,
            committed: RangeSet::from_parts(watermark, ranges),
            plan: self.plan.clone(),
            window_units: self.window_units,
            dead: self.dead,
            durable: true,
            units: self.units,
        }
    }

    /// The plan of the run is known, and how far beyond the watermark units may be sent.
    pub fn begin(&mut self, plan: String, window_units: u64) {
        self.plan = Some(plan);
        self.window_units = self.window_units.max(Some(window_units));
    }

    /// Up to here every unit is recorded.
    pub fn watermark(&self) -> UnitId {
        self.committed.watermark()
    }

    /// Every unit that is recorded.
    pub fn committed(&self) -> &RangeSet {
        &self.committed
    }

    /// What is recorded of a unit.
    pub fn outcome_of(&self, unit: UnitId) -> Option<&Entry> {
        let (_, place) = self.places.range(..=unit).next_back()?;
        self.entries.get(*place).filter(|entry| unit < entry.first + entry.count)
    }

    /// These outcomes are on the disk from now on.
    ///
    /// # Errors
    /// Names a unit that was on it before.
    pub fn append(&mut self, entries: Vec<Entry>) -> Result<(), String> {
        for entry in entries {
            let units = entry.first..entry.first + entry.count;
            if self.committed.intersects(units.clone()) {
                return Err(format!("units {units:?} are in part recorded twice"));
            }
            self.dead += u64::from(matches!(entry.outcome, Outcome::Dead { .. }));
            self.committed.insert(units);
            self.places.insert(entry.first, self.entries.len());
            self.entries.push(entry);
        }
        Ok(())
    }

    /// Bytes of outcomes that wait for an earlier one.
    pub fn held_bytes(&self) -> u64 {
        let watermark = self.committed.watermark();
        self.entries.iter().rev().filter(|e| e.first >= watermark).map(Entry::bytes).sum()
    }

    /// The outputs are written and closed.
    pub fn close(&mut self, units: Option<u64>) {
        self.units = units;
        self.closed = true;
    }

    /// A run that was closed before its end goes on.
    pub fn reopen(&mut self) {
        self.closed = self.units.is_some();
        self.concluded &= self.closed;
    }

    /// The run is over, and what it gave is told; a sink tells how many outcomes it had before.
    pub fn conclude(&mut self, duplicates: u64) {
        self.duplicates += duplicates;
        self.concluded = true;
    }

    /// Something was recorded when its sink died, and nobody was told of it.
    pub fn wrote_untold(&mut self) {
        self.untold += 1;
    }

    /// So many outcomes were in the memory of a sink only when it died.
    pub fn lost_in_memory(&mut self, outcomes: usize) {
        self.lost_in_memory += outcomes as u64;
    }

    /// How many outcomes died with their sinks, since they waited in memory only.
    pub fn lost(&self) -> u64 {
        self.lost_in_memory
    }

    /// Outcomes that sinks dropped, as they had them.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// How often something was recorded that nobody was told of.
    pub fn untold(&self) -> u64 {
        self.untold
    }

    /// Whether they are.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether what the run gave has been told.
    pub fn is_concluded(&self) -> bool {
        self.concluded
    }

    /// Units dead-lettered.
    pub fn dead(&self) -> u64 {
        self.dead
    }

    /// All outcomes in the order of the source.
    pub fn in_order(&self) -> Vec<&Entry> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.first);
        entries
    }
}
