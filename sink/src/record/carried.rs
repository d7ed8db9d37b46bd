//! Counts that are carried from one start of a run's ventilators and sinks to the next, as far as they
//! lived to tell.
//!
//! Owns the sums; refuses to guess: of a ventilator that was killed nothing more is known than that
//! each unit committed by then was tried once.

use proto::frame::PeerId;
use serde::{Deserialize, Serialize};

/// Sums over the starts so far, kept in the run directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CarriedCounts {
    ventilator: PeerId,
    /// Tries before this ventilator's start, at least.
    tries_before: u64,
    /// Tries up to the last Tally.
    tries: u64,
    /// Duplicates that the sinks before this one discarded.
    duplicates_before: u64,
}

impl CarriedCounts {
    /// A ventilator has said Hello when so many units were committed; true if it is a new one.
    pub fn joined(&mut self, ventilator: PeerId, committed: u64) -> bool {
        let new = self.ventilator != ventilator;
        if new {
            self.ventilator = ventilator;
            self.tries_before = self.tries.max(self.tries_before).max(committed);
        }
        new
    }

    /// The ventilator has told its tries, or was lost before it could; so many units are committed.
    pub fn told(&mut self, tries: Option<u64>, committed: u64) {
        let sum = self.tries_before.saturating_add(tries.unwrap_or_default());
        self.tries = sum.max(committed);
    }

    /// The sinks before this one had discarded so many in all.
    pub fn inherit_duplicates(&mut self, duplicates: u64) {
        self.duplicates_before = self.duplicates_before.max(duplicates);
    }

    /// Duplicates in all, when this sink has discarded so many.
    pub fn duplicates(&self, here: u64) -> u64 {
        self.duplicates_before.saturating_add(here)
    }

    /// Tries of units in the first stage in all.
    pub fn tries(&self) -> u64 {
        self.tries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_of_a_ventilator_that_was_killed_are_those_of_what_was_committed() {
        let mut carried = CarriedCounts::default();
        assert!(carried.joined(1, 0));
        // It was killed after 60 units; the next one made 50 tries for the other 40.
        assert!(carried.joined(2, 60));
        // The same ventilator, seen by a sink that was started again.
        assert!(!carried.joined(2, 80));
        carried.told(Some(50), 100);
        assert_eq!(carried.tries(), 110);
    }

    #[test]
    fn tries_of_a_run_that_was_drained_and_resumed_are_added_up() {
        let mut carried = CarriedCounts::default();
        carried.joined(1, 0);
        carried.told(Some(75), 60);
        carried.joined(2, 60);
        carried.told(Some(40), 100);
        assert_eq!(carried.tries(), 115);
    }

    #[test]
    fn without_a_tally_each_committed_unit_was_tried_once() {
        let mut carried = CarriedCounts::default();
        carried.joined(1, 0);
        carried.told(None, 30);
        assert_eq!(carried.tries(), 30);
    }
}
