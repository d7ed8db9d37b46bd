//! What a function made of some units, ready to leave.
//!
//! Owns the pairing of outputs with identities: one output keeps its unit's, several get a step
//! of their execution each, none is a unit that was filtered.

use proto::{
    frame::Failed,
    rules::outbox::push_timing,
    units::{Span, Units, push_span},
};

use crate::Outputs;

/// The outcomes of consecutive units of a parcel.
#[derive(Debug, Default)]
pub struct Product {
    /// The outputs.
    pub units: Units,
    /// Units without outputs.
    pub filtered: Vec<Span>,
    /// Units that failed.
    pub failed: Vec<Failed>,
    /// Microseconds each output took: how many in a row, how long each.
    pub timing: Vec<(u32, u32)>,
}

/// How one unit came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// So many outputs.
    Outputs(u32),
    /// None, with this error.
    Failed(String),
}

impl Product {
    /// Whether there is anything.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.filtered.is_empty() && self.failed.is_empty()
    }

    /// Appends what comes after it.
    pub fn append(&mut self, next: Self) {
        if self.is_empty() {
            *self = next;
            return;
        }
        self.units.append(&next.units);
        next.filtered.into_iter().for_each(|span| push_span(&mut self.filtered, span));
        self.failed.extend(next.failed);
        next.timing.into_iter().for_each(|(count, us)| push_timing(&mut self.timing, count, us));
    }

    /// Adds the outcomes of the units of `span`, whose first has `index` in its parcel.
    /// `outputs` holds their outputs from output `from` on; `us` is what each took; unit `i` of
    /// the parcel is execution `execution + i`.
    pub fn add(&mut self, work: Worked<'_>, outcomes: &[Outcome], outputs: &Outputs) {
        let mut at = 0;
        let mut output = work.from;
        while at < outcomes.len() {
            let same = |outcome: &&Outcome| **outcome == Outcome::Outputs(1);
            let run = outcomes[at..].iter().take_while(same).count();
            if run > 0 {
                self.add_run(work.span.part(at as u32..(at + run) as u32), outputs, output, run);
                output += run;
                at += run;
                self.time(run as u32, work.us);
                continue;
            }
            let span = work.span.part(at as u32..at as u32 + 1);
            match &outcomes[at] {
                Outcome::Outputs(0) => push_span(&mut self.filtered, span),
                Outcome::Outputs(count) => {
                    let values = outputs.iter().skip(output).take(*count as usize);
                    let execution = work.execution.wrapping_add(u64::from(work.index) + at as u64);
                    self.units.push_outputs(span.first, &span.path, execution, values);
                    output += *count as usize;
                    self.time(*count, work.us);
                }
                Outcome::Failed(error) => {
                    let index = work.index + at as u32;
                    self.failed.push(Failed { index, error: error.clone() });
                }
            }
            at += 1;
        }
    }

    fn add_run(&mut self, span: Span, outputs: &Outputs, from: usize, count: usize) {
        let ends = outputs.ends();
        let start = if from == 0 { 0 } else { ends[from - 1] };
        let run = &ends[from..from + count];
        let payload = &outputs.payload()[start as usize..run[count - 1] as usize];
        self.units.push_run(span, payload, run, start);
    }

    fn time(&mut self, count: u32, us: u32) {
        push_timing(&mut self.timing, count, us);
    }
}

/// Which units were worked on.
#[derive(Debug, Clone, Copy)]
pub struct Worked<'a> {
    /// Their identities.
    pub span: &'a Span,
    /// The index of the first in its parcel.
    pub index: u32,
    /// The first of their outputs.
    pub from: usize,
    /// Microseconds that each took.
    pub us: u32,
    /// The execution of the parcel's first unit.
    pub execution: u64,
}

#[cfg(test)]
mod tests {
    use proto::unit::Step;

    use super::*;

    #[test]
    fn none_one_and_many_outputs_and_failures_keep_their_units() {
        let mut outputs = Outputs::default();
        (1..=5).for_each(|n| outputs.push(&n).unwrap());
        let outcomes = [
            Outcome::Outputs(1),
            Outcome::Outputs(0),
            Outcome::Outputs(3),
            Outcome::Failed("no".into()),
            Outcome::Outputs(1),
        ];
        let span = Span { first: 10, count: 5, path: vec![] };
        let work = Worked { span: &span, index: 2, from: 0, us: 7, execution: 100 };
        let mut product = Product::default();
        product.add(work, &outcomes, &outputs);
        let units: Vec<_> = product.units.iter().map(|(id, path, v)| (id, path, v[0])).collect();
        let step = |index| vec![Step { execution: 104, index, of: 3 }];
        assert_eq!(
            units,
            [
                (10, vec![], 1),
                (12, step(0), 2),
                (12, step(1), 3),
                (12, step(2), 4),
                (14, vec![], 5)
            ]
        );
        assert_eq!(product.filtered, [Span::one(11, vec![])]);
        assert_eq!(product.failed, [Failed { index: 5, error: "no".into() }]);
        assert_eq!(product.timing, [(5, 7)]);
    }
}
