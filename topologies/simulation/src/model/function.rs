//! What a function of a shape does, and what is asked of whoever calls it.
//!
//! Owns the way from a unit to its part of a product; refuses to know which units are begun, and when.

use proto::units::Units;
use worker::{
    Failure, Outputs,
    core::Request,
    function::Outcomes,
    product::{Cursor, Product, Worked},
};

use crate::{
    actor::{Context, Deed},
    doom::Job,
    shape::{Shape, Work},
};

/// A function of this shape, in one stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    pub stage: u32,
    pub retries: u32,
    pub shape: Shape,
}

/// One attempt of units of a parcel.
#[derive(Debug)]
pub(super) struct Attempt {
    pub attempt: u32,
    pub execution: u64,
    pub units: Units,
}

/// What is asked, as dooms name it.
pub(super) fn job(request: &Request) -> Job {
    match request {
        Request::Load(_) | Request::Define(_) => Job::Load,
        Request::Execute { .. } => Job::Execute,
        Request::Truncate { .. } => Job::Truncate,
        // No worker here keeps a diary.
        Request::Collect | Request::Note(_) => Job::Collect,
    }
}

impl Function {
    /// What it does with a unit.
    pub fn work(&self, of: &Attempt, index: u32) -> Work {
        let value = of.units.value(index as usize);
        self.shape.work(self.stage, value, of.attempt, self.retries)
    }

    /// A unit is begun; how long it takes.
    pub fn begin(
        &self,
        of: &Attempt,
        index: u32,
        context: &mut Context<'_>,
    ) -> std::time::Duration {
        let unit = of.units.slice(index as usize..index as usize + 1);
        context.deeds.extend(unit.spans().first().map(|span| Deed::Began(span.first)));
        self.shape.takes(self.stage, of.units.value(index as usize))
    }
}

/// Adds what came of the unit at the cursor.
pub(super) fn add(work: Work, of: &Attempt, cursor: &mut Cursor<'_>, product: &mut Product) {
    let (mut outputs, mut outcomes) = (Outputs::default(), Outcomes::default());
    match work {
        Work::Outputs(values) => {
            for value in &values {
                outputs.push_bytes(value).expect("a model's values are small");
            }
            outcomes.push(values.len() as u32);
        }
        Work::Fails | Work::Dies => outcomes.push_failed(Failure::new("as planned")),
    }
    let worked = Worked { us: 7, execution: of.execution };
    product.add(cursor, &outcomes, &mut outputs, worked);
}
