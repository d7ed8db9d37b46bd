//! What a function made of some units, ready to leave.
//!
//! Owns the pairing of outputs with identities: one output keeps its unit's, several get a step
//! of their execution each, none is a unit that was filtered.

use proto::{
    frame::Failed,
    rules::outbox::push_timing,
    units::{Span, Units, push_span},
};

use crate::{
    Outputs,
    function::{Executed, Outcomes},
};

/// Outputs of this size are taken over with their memory, smaller ones are copied so that it is
/// there for the next.
const MOVED_BYTES: usize = 64 << 10;

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
    /// How many units this came of.
    pub worked: u32,
}

impl Product {
    /// Whether there is anything.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.filtered.is_empty() && self.failed.is_empty()
    }

    /// Hands over what there is, with no other values kept alive by it, and starts anew.
    pub fn take(&mut self) -> Self {
        let mut product = std::mem::take(self);
        product.units.let_go();
        product
    }

    /// Adds the outcomes of the next units of `cursor`, with their outputs; `us` is what each
    /// took; unit `i` of the parcel is execution `execution + i`.
    pub fn add(
        &mut self,
        cursor: &mut Cursor<'_>,
        outcomes: &Outcomes,
        outputs: &mut Outputs,
        worked: Worked,
    ) {
        self.worked += outcomes.units();
        if self.units.is_empty()
            && outputs.payload().len() >= MOVED_BYTES
            && let Some(Executed::Outputs { units, each: 1 }) = outcomes.only()
        {
            let (mut payload, ends) = outputs.take();
            payload.shrink_to_fit();
            self.units = Units::from_outputs(cursor.take(*units), payload, ends);
            return push_timing(&mut self.timing, *units, worked.us);
        }
        let mut output = 0;
        for outcome in outcomes.iter() {
            match outcome {
                Executed::Outputs { units, each: 0 } => {
                    let spans = cursor.take(*units).into_iter();
                    spans.for_each(|span| push_span(&mut self.filtered, span));
                }
                Executed::Outputs { units, each: 1 } => {
                    for span in cursor.take(*units) {
                        let count = span.count as usize;
                        self.add_run(span, outputs, output, count);
                        output += count;
                    }
                    push_timing(&mut self.timing, *units, worked.us);
                }
                Executed::Outputs { units, each } => {
                    for _ in 0..*units {
                        let execution = worked.execution.wrapping_add(cursor.index() as u64);
                        let values = outputs.range(output..output + *each as usize);
                        for Span { first, path, .. } in cursor.take(1) {
                            self.units.push_outputs(first, &path, execution, values.clone());
                        }
                        output += *each as usize;
                        push_timing(&mut self.timing, *each, worked.us);
                    }
                }
                Executed::Passed { units } => {
                    let from = cursor.index();
                    let spans = cursor.take(*units);
                    self.units.append_part(cursor.units, from..cursor.index(), spans);
                    push_timing(&mut self.timing, *units, worked.us);
                }
                Executed::Failed(failure) => {
                    let index = cursor.index() as u32;
                    cursor.take(1);
                    self.failed.push(Failed { index, error: failure.text().to_owned() });
                }
            }
        }
    }

    fn add_run(&mut self, span: Span, outputs: &Outputs, from: usize, count: usize) {
        let ends = outputs.ends();
        let start = if from == 0 { 0 } else { ends[from - 1] };
        let run = &ends[from..from + count];
        let payload = &outputs.payload()[start as usize..run[count - 1] as usize];
        self.units.push_run(span, payload, run, start);
    }
}

/// How units were worked on.
#[derive(Debug, Clone, Copy)]
pub struct Worked {
    /// Microseconds that each took.
    pub us: u32,
    /// The execution of the parcel's first unit.
    pub execution: u64,
}

/// Walks the spans of a parcel.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    units: &'a Units,
    span: usize,
    offset: u32,
    index: usize,
}

impl<'a> Cursor<'a> {
    /// Before the first unit.
    pub fn new(units: &'a Units) -> Self {
        Self { units, span: 0, offset: 0, index: 0 }
    }

    /// The index of the next unit in the parcel.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Goes on to the unit of this index, which is not before the next one.
    pub fn skip_to(&mut self, index: usize) {
        while let Some(span) = self.units.spans().get(self.span)
            && self.index < index
        {
            let left = (span.count - self.offset) as usize;
            let skipped = left.min(index - self.index);
            self.index += skipped;
            if skipped == left {
                self.span += 1;
                self.offset = 0;
            } else {
                self.offset += skipped as u32;
            }
        }
    }

    /// The next `count` units, as parts of spans.
    pub fn take(&mut self, mut count: u32) -> Vec<Span> {
        let mut parts = Vec::new();
        while let Some(span) = self.units.spans().get(self.span)
            && count > 0
        {
            let part = count.min(span.count - self.offset);
            parts.push(span.part(self.offset..self.offset + part));
            self.offset += part;
            self.index += part as usize;
            count -= part;
            if self.offset == span.count {
                self.span += 1;
                self.offset = 0;
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use proto::unit::Step;

    use super::*;
    use crate::Failure;

    #[test]
    fn none_one_and_many_outputs_and_failures_keep_their_units() {
        let mut outputs = Outputs::default();
        (1..=5).for_each(|n| outputs.push(&n).unwrap());
        let mut outcomes = Outcomes::default();
        [1, 0, 3].into_iter().for_each(|outputs| outcomes.push(outputs));
        outcomes.push_failed(Failure::new("no"));
        outcomes.push(1);
        let parcel = Units::from_source(8, vec![0; 7], (1..=7).collect());
        let mut cursor = Cursor::new(&parcel);
        cursor.take(2);
        let mut product = Product::default();
        product.add(&mut cursor, &outcomes, &mut outputs, Worked { us: 7, execution: 100 });
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

    #[test]
    fn values_that_pass_stay_where_they_lie_and_large_outputs_where_they_were_written() {
        let mut parcel = Units::from_source(8, vec![0; 8], (1..=8).collect());
        parcel.share();
        let mut cursor = Cursor::new(&parcel);
        let mut outputs = Outputs::default();
        let mut product = Product::default();
        for units in [2, 3] {
            let mut outcomes = Outcomes::default();
            (0..units).for_each(|_| outcomes.pass(&[0], outputs.limits()));
            product.add(&mut cursor, &outcomes, &mut outputs, Worked { us: 7, execution: 0 });
        }
        assert_eq!(product.units, parcel.slice(0..5));
        assert_eq!(product.units.values(0..5).as_ptr(), parcel.values(0..5).as_ptr());
        assert_eq!(product.timing, [(5, 7)]);

        outputs.push(&"x".repeat(MOVED_BYTES)).unwrap();
        let written = outputs.payload().as_ptr();
        let mut outcomes = Outcomes::default();
        outcomes.push(1);
        let mut product = Product::default();
        product.add(&mut cursor, &outcomes, &mut outputs, Worked { us: 7, execution: 0 });
        assert_eq!(product.units.spans(), [Span { first: 13, count: 1, path: vec![] }]);
        assert_eq!(product.units.value(0).as_ptr(), written);
        assert!(outputs.is_empty());
    }

    #[test]
    fn a_cursor_cuts_spans_where_groups_end() {
        let mut units = Units::new();
        units.append(&Units::from_source(0, vec![0; 3], vec![1, 2, 3]));
        units.append(&Units::from_source(10, vec![0; 3], vec![1, 2, 3]));
        let mut cursor = Cursor::new(&units);
        let shape = |parts: Vec<Span>| parts.iter().map(|p| (p.first, p.count)).collect::<Vec<_>>();
        assert_eq!(shape(cursor.take(2)), [(0, 2)]);
        assert_eq!(shape(cursor.take(2)), [(2, 1), (10, 1)]);
        assert_eq!(shape(cursor.take(9)), [(11, 2)]);
        let mut cursor = Cursor::new(&units);
        cursor.skip_to(2);
        assert_eq!(shape(cursor.clone().take(2)), [(2, 1), (10, 1)]);
        cursor.skip_to(5);
        assert_eq!((cursor.index(), shape(cursor.take(9))), (5, vec![(12, 1)]));
    }
}
