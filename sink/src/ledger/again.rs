//! Units that had failed for good and are tried again: where their results belong, and where they are.
//!
//! Owns what has to be known of that from one start of the sink to the next; refuses to move anything.

use std::{collections::BTreeMap, ops::Range};

use proto::unit::UnitId;
use serde::{Deserialize, Serialize};

/// Where the results of units belong that are tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placing {
    /// Behind what is there.
    #[default]
    Behind,
    /// Where they would stand if the units had not failed.
    InPlace,
}

/// What is known of units that are tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// Where their results belong.
    pub placing: Placing,
    /// How many bytes of the output stand before the place of each unit, as far as that is known.
    pub places: BTreeMap<UnitId, u64>,
    /// What was written behind until it can be put in its place.
    pub moves: Vec<Move>,
    /// The output had results behind before, which stay there.
    pub had_late: bool,
}

/// Bytes of the output that belong elsewhere in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The first unit that they are the result of.
    pub unit: UnitId,
    /// Where they are.
    pub from: u64,
    /// Where they end.
    pub to: u64,
    /// How many bytes of the output, as it is now, stand before the place where they belong.
    pub place: u64,
}

impl Again {
    /// The results of these units are written behind, at these bytes of the output.
    pub fn wrote(&mut self, units: Range<UnitId>, bytes: Range<u64>) {
        if self.placing == Placing::Behind || bytes.is_empty() {
            return;
        }
        // Nothing stands between consecutive units that have failed, so their place is one.
        if let Some((_, place)) = self.places.range(units.clone()).next() {
            let (from, to) = (bytes.start, bytes.end);
            self.moves.push(Move { unit: units.start, from, to, place: *place });
        }
    }

    /// What it takes in a checkpoint, about.
    pub fn size_hint(&self) -> usize {
        (self.places.len() + self.moves.len()) * size_of::<Move>()
    }
}
