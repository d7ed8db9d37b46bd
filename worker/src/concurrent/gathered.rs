//! From units that have finished in any order to a product.
//!
//! Owns what is known of a parcel under way, and the pairing of its finished units with their
//! outputs. Refuses to wait for any.

use super::{clock::Took, crew::Terms, desk::Task, finished::Outcome};
use crate::{
    Failure, Outputs,
    core::{Busy, Ticket},
    function::{Outcomes, paired},
    product::{Cursor, Product, Worked},
};

/// A parcel under way.
#[derive(Debug)]
pub(super) struct Parcel {
    pub task: Task,
    /// Units that are kept, once all of them are begun.
    pub kept: Option<u32>,
    done: u32,
    charged_ns: f64,
    open_ns: f64,
}

impl Parcel {
    pub fn new(task: Task) -> Self {
        Self { task, kept: None, done: 0, charged_ns: 0.0, open_ns: 0.0 }
    }

    /// One of its units has ended.
    pub fn ended(&mut self, took: Took) {
        self.done += 1;
        self.charged_ns += took.charged_ns;
        self.open_ns += took.open_ns;
    }

    /// Whether all that is kept of it has ended.
    pub fn is_done(&self) -> bool {
        self.kept == Some(self.done)
    }

    pub fn busy(&self) -> Busy {
        Busy { wall_ns: self.charged_ns as u64, open_ns: self.open_ns as u64 }
    }
}

/// A unit that has finished and is not told.
#[derive(Debug)]
pub(super) struct Gathered {
    pub ticket: Ticket,
    pub index: u32,
    pub took: Took,
    /// What its value was paired with.
    pub input: Vec<u8>,
    pub outcome: Outcome,
}

impl Gathered {
    fn us(&self) -> u32 {
        u32::try_from(self.took.whole.as_micros()).unwrap_or(u32::MAX)
    }

    /// Whether `next` is the next unit, and took as long.
    fn goes_on_with(&self, next: &Self) -> bool {
        self.index.checked_add(1) == Some(next.index) && self.us() == next.us()
    }
}

/// What has come of these units of a parcel, ascending by index.
pub(super) fn product_of(task: &Task, units: &[Gathered], all: &Outputs, terms: &Terms) -> Product {
    let mut product = Product::default();
    let mut cursor = Cursor::new(&task.units);
    let mut outputs = Outputs::new(terms.limits);
    for run in units.chunk_by(Gathered::goes_on_with) {
        let Some(first) = run.first() else { continue };
        let mut outcomes = Outcomes::default();
        outputs.clear();
        for unit in run {
            match given(unit, all, &mut outputs, terms.pairs) {
                Ok(count) => outcomes.push(count),
                Err(failure) => outcomes.push_failed(failure),
            }
        }
        cursor.skip_to(first.index as usize);
        let worked = Worked { us: first.us(), execution: task.execution };
        product.add(&mut cursor, &outcomes, &mut outputs, worked);
    }
    product
}

/// Appends the outputs of one unit; how many they are.
fn given(unit: &Gathered, all: &Outputs, to: &mut Outputs, pairs: bool) -> Result<u32, Failure> {
    let (first, count) = match &unit.outcome {
        Outcome::Outputs { first, count } => (*first, *count),
        Outcome::Failed(failure) => return Err(failure.clone()),
    };
    let before = to.len();
    to.begin_unit();
    let pushed = all.range(first..first + count).try_for_each(|value| match pairs {
        false => to.push_bytes(value),
        true => to.push_bytes(&paired(&unit.input, value)),
    });
    if pushed.is_err() {
        to.truncate(before);
    }
    pushed.map(|()| count as u32)
}
