//! Outcomes on their way from the network to the outputs.
//!
//! Owns the form in which they are accepted, logged and written; refuses to know the order.

use serde::{Deserialize, Serialize};

use proto::{
    diary::{Event, Fate},
    frame::Dead,
    unit::UnitId,
    units::Units,
};

/// Where an outcome comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The stage, counted from 0.
    pub stage: u32,
    /// Which try it was.
    pub attempt: u32,
    /// The worker that gave it.
    pub worker: String,
}

/// The outcome of units `first` to `first + count - 1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The first unit.
    pub first: UnitId,
    /// How many.
    pub count: u64,
    /// What became of them.
    pub outcome: Outcome,
}

/// What became of one unit or of consecutive ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Each gave exactly one value.
    Values {
        /// Who gave them.
        origin: Origin,
        /// The values.
        units: Units,
        /// Microseconds each took: how many in a row, how long each.
        timing: Vec<(u32, u32)>,
    },
    /// One unit gave several values.
    Expanded(Vec<Leaf>),
    /// A stage gave no output for them; the last one, if they had become several.
    Filtered(u32),
    /// One unit failed for good.
    Dead {
        /// Who reported it.
        origin: Origin,
        /// The failure.
        dead: Dead,
    },
}

/// One output of an expanded unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// Which output of which output it is.
    pub indices: Vec<u32>,
    /// Who gave it.
    pub origin: Origin,
    /// The value.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
    /// Microseconds it took.
    pub us: u32,
}

impl Entry {
    /// What the diary says of it.
    pub fn event(&self) -> Event {
        let (fate, origin) = match &self.outcome {
            Outcome::Values { origin, .. } => (Fate::Result, Some(origin)),
            Outcome::Expanded(leaves) => {
                let count = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
                (Fate::Results(count), leaves.first().map(|leaf| &leaf.origin))
            }
            Outcome::Filtered(_) => (Fate::Filtered, None),
            Outcome::Dead { origin, .. } => (Fate::Dead, Some(origin)),
        };
        Event::Committed {
            first: self.first,
            count: self.count,
            fate,
            stage: match self.outcome {
                Outcome::Filtered(stage) => stage,
                _ => origin.map_or(0, |origin| origin.stage),
            },
            worker: origin.map(|origin| origin.worker.clone()).unwrap_or_default(),
            attempt: origin.map_or(0, |origin| origin.attempt),
        }
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> u64 {
        let content = match &self.outcome {
            Outcome::Values { units, timing, .. } => {
                units.bytes() + units.len() * size_of::<u32>() + timing.len() * 8
            }
            Outcome::Expanded(leaves) => leaves.iter().map(|leaf| leaf.value.len() + 128).sum(),
            Outcome::Filtered(_) => 0,
            Outcome::Dead { dead, .. } => dead.input.len() + dead.error.len(),
        };
        content as u64 + 128
    }
}
