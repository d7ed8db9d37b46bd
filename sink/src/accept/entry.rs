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

impl Entry {
    /// Cuts it in two at a unit within it: what is of the units below, and what is of the others.
    pub fn cut(self, at: UnitId) -> (Self, Option<Self>) {
        let count = at.saturating_sub(self.first);
        if count == 0 || count >= self.count {
            return (self, None);
        }
        let (low, high) = match self.outcome {
            Outcome::Values { origin, units, timing } => {
                let place = usize::try_from(count).unwrap_or(usize::MAX).min(units.len());
                let (before, behind) = cut_timing(&timing, count);
                let low = units.slice(0..place);
                let low = Outcome::Values { origin: origin.clone(), units: low, timing: before };
                let units = units.slice(place..units.len());
                (low, Outcome::Values { origin, units, timing: behind })
            }
            other => (other.clone(), other),
        };
        let rest = Self { first: at, count: self.count - count, outcome: high };
        (Self { first: self.first, count, outcome: low }, Some(rest))
    }
}

/// How many units in a row, and how long each took.
type Timing = Vec<(u32, u32)>;

/// A list of times, cut after so many units.
fn cut_timing(timing: &[(u32, u32)], units: u64) -> (Timing, Timing) {
    let (mut left, mut before, mut behind) = (units, Vec::new(), Vec::new());
    for (run, us) in timing {
        let low = u32::try_from(left.min(u64::from(*run))).unwrap_or(*run);
        left -= u64::from(low);
        before.extend((low > 0).then_some((low, *us)));
        behind.extend((*run > low).then_some((*run - low, *us)));
    }
    (before, behind)
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
    Expanded(Expanded),
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

/// The values of a unit that became several, in the order of its outputs. What came together lies
/// together, so that a million small values take little more than their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expanded {
    runs: Vec<Outputs>,
    batches: Vec<Batch>,
}

/// Consecutive outputs: where they lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// Which output of which output the first of them is.
    pub indices: Vec<u32>,
    /// Which of the batches has them.
    pub batch: u32,
    /// The place of the first one's value there.
    pub from: u32,
    /// How many they are.
    pub count: u32,
}

/// Values that came together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Who gave them.
    pub origin: Origin,
    /// The values; their identities are not kept.
    pub units: Units,
    /// Microseconds that each took, up to the one at this place.
    pub times: Vec<(u32, u32)>,
}

/// One output of an expanded unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf<'a> {
    outputs: &'a Outputs,
    offset: u32,
    /// Who gave it.
    pub origin: &'a Origin,
    /// The value.
    pub value: &'a [u8],
    /// Microseconds it took.
    pub us: u32,
}

impl Leaf<'_> {
    /// Which output of which output it is.
    pub fn indices(&self) -> impl Iterator<Item = u32> {
        let last = self.outputs.indices.len().saturating_sub(1);
        let offset = move |place| if place == last { self.offset } else { 0 };
        let indices = self.outputs.indices.iter().enumerate();
        indices.map(move |(place, index)| index.saturating_add(offset(place)))
    }
}

impl Batch {
    /// Values with the times that their worker told: how many in a row, how long each.
    pub fn new(origin: Origin, units: Units, timing: &[(u32, u32)]) -> Self {
        let mut until = 0u32;
        let times = timing.iter().map(|(count, us)| {
            until = until.saturating_add(*count);
            (until, *us)
        });
        let times = times.collect();
        Self { origin, units: units.unplaced(), times }
    }

    fn us(&self, place: u32) -> u32 {
        let run = self.times.partition_point(|(until, _)| *until <= place);
        self.times.get(run).map_or(0, |(_, us)| *us)
    }
}

impl Expanded {
    /// Values that lie in these batches.
    pub fn new(runs: Vec<Outputs>, batches: Vec<Batch>) -> Self {
        Self { runs, batches }
    }

    /// How many values.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.count)).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The output at an offset in a run of outputs.
    pub fn leaf(&self, run: usize, offset: u32) -> Option<Leaf<'_>> {
        let outputs = self.runs.get(run).filter(|outputs| offset < outputs.count)?;
        let batch = self.batches.get(outputs.batch as usize)?;
        let place = outputs.from.checked_add(offset)?;
        let index = place as usize;
        let value = (index < batch.units.len()).then(|| batch.units.value(index))?;
        Some(Leaf { outputs, offset, origin: &batch.origin, value, us: batch.us(place) })
    }

    /// All of them in order.
    pub fn leaves(&self) -> impl Iterator<Item = Leaf<'_>> {
        let each = move |(run, outputs): (usize, &Outputs)| {
            (0..outputs.count).filter_map(move |offset| self.leaf(run, offset))
        };
        self.runs.iter().enumerate().flat_map(each)
    }

    fn bytes(&self) -> usize {
        let batch = |batch: &Batch| {
            batch.units.bytes() + batch.units.len() * size_of::<u32>() + batch.times.len() * 8 + 160
        };
        self.runs.len() * 64 + self.batches.iter().map(batch).sum::<usize>()
    }
}

impl Entry {
    /// The stage and the worker that it comes of, and which try it was; of units that were filtered
    /// only the stage is known.
    pub fn came_of(&self) -> (u32, &str, u32) {
        match &self.outcome {
            Outcome::Values { origin, .. } => (origin.stage, &origin.worker, origin.attempt),
            Outcome::Expanded(outputs) => match outputs.leaf(0, 0) {
                Some(leaf) => (leaf.origin.stage, &leaf.origin.worker, leaf.origin.attempt),
                None => (0, "", 0),
            },
            Outcome::Filtered(stage) => (*stage, "", 0),
            // Who reported it is the one who had sent it there.
            Outcome::Dead { origin, dead } => {
                let worker = if dead.worker.is_empty() { &origin.worker } else { &dead.worker };
                (dead.stage, worker, origin.attempt)
            }
        }
    }

    /// What the diary says of it.
    pub fn event(&self) -> Event {
        let fate = match &self.outcome {
            Outcome::Values { .. } => Fate::Result,
            Outcome::Expanded(outputs) => {
                Fate::Results(u32::try_from(outputs.len()).unwrap_or(u32::MAX))
            }
            Outcome::Filtered(_) => Fate::Filtered,
            Outcome::Dead { .. } => Fate::Dead,
        };
        let (stage, worker, attempt) = self.came_of();
        Event::Committed {
            first: self.first,
            count: self.count,
            fate,
            stage,
            worker: worker.to_owned(),
            attempt,
        }
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> u64 {
        let content = match &self.outcome {
            Outcome::Values { units, timing, .. } => {
                units.bytes() + units.len() * size_of::<u32>() + timing.len() * 8
            }
            Outcome::Expanded(outputs) => outputs.bytes(),
            Outcome::Filtered(_) => 0,
            Outcome::Dead { dead, .. } => dead.input.len() + dead.error.len(),
        };
        content as u64 + 128
    }
}

/// A unit that failed for good, for tests.
#[cfg(test)]
pub(crate) fn dead(id: UnitId) -> Entry {
    let origin = Origin { stage: 0, attempt: 1, worker: "w".into() };
    let dead = Dead {
        root: id,
        path: Vec::new(),
        stage: 0,
        input: vec![1],
        error: "e".into(),
        attempts: 3,
        worker: "w".into(),
    };
    Entry { first: id, count: 1, outcome: Outcome::Dead { origin, dead } }
}
