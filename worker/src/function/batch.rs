//! Units in a row, as a function is given them, and how they came out.
//!
//! Owns the walk over a parcel's units and the run-length form of their outcomes: thousands of
//! units that gave one output each are one entry. Refuses to know where outputs go.

use std::{
    fmt::{Debug, Formatter},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::units::{Span, Units, ValueIter};

use super::{Failure, OutputLimits, Outputs, Unit, guard};

/// Takes what is done of a batch while its next unit is long in coming: from another thread, as the
/// function is busy.
pub trait Interim: Send + Sync {
    /// The outcomes of the batch's first units, with their outputs, which took so long. The unit behind them is
    /// under way, and those behind that are not begun and will not be: they can be given to others.
    ///
    /// Once for a batch. What is given is not told again when the function returns; but
    /// [`Batch::next_unit`] gives these units all the same.
    fn give(&self, outcomes: &Outcomes, outputs: &mut Outputs, took: Duration);
}

/// Consecutive units of one parcel that have not been worked on.
pub struct Batch<'a> {
    spans: std::vec::IntoIter<Span>,
    // What is left of the span under way; its path is that of the next unit.
    span: Span,
    // The unit that was taken last is the span's first.
    taken: bool,
    values: ValueIter<'a>,
    attempt: u32,
    stage: &'a str,
    // Only the unit under way is wanted any more.
    enough: &'a AtomicBool,
    // But not while more units than this are left.
    left: usize,
    interim: Option<Arc<dyn Interim>>,
}

impl Debug for Batch<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { span, attempt, stage, .. } = self;
        f.debug_struct("Batch")
            .field("span", span)
            .field("attempt", attempt)
            .field("stage", stage)
            .finish_non_exhaustive()
    }
}

impl<'a> Batch<'a> {
    /// The units from `index` of `units` on, `spans` being their identities.
    pub fn new(
        units: &'a Units,
        index: usize,
        spans: Vec<Span>,
        attempt: u32,
        stage: &'a str,
    ) -> Self {
        let count: usize = spans.iter().map(|span| span.count as usize).sum();
        let mut spans = spans.into_iter();
        let span = spans.next().unwrap_or(Span { first: 0, count: 0, path: Vec::new() });
        let values = units.values_iter(index..index + count);
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self {
            spans,
            span,
            taken: false,
            values,
            attempt,
            stage,
            enough: &NEVER,
            left: usize::MAX,
            interim: None,
        }
    }

    /// What is done can be given before all is.
    pub fn with_interim(self, interim: Arc<dyn Interim>) -> Self {
        Self { interim: Some(interim), ..self }
    }

    /// Who takes what is done before all is, if anybody does.
    pub fn interim(&self) -> Option<Arc<dyn Interim>> {
        self.interim.clone()
    }

    /// Ends early, but not before its first unit, once `enough` is set: what took long is not to
    /// hold those behind it.
    pub fn until(self, enough: &'a AtomicBool) -> Self {
        Self { enough, ..self }
    }

    /// The next so many units are taken in any case: they have been worked on already.
    pub fn insist_on(&mut self, units: usize) {
        self.left = self.values.len().saturating_sub(units);
    }

    /// The values of those units that were not taken.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        self.values.clone()
    }

    /// The identities of all of them, as long as none was taken.
    pub fn spans(&self) -> Vec<Span> {
        [self.span.clone()].into_iter().chain(self.spans.as_slice().iter().cloned()).collect()
    }

    /// Which try of the units this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The name of the stage.
    pub fn stage(&self) -> &str {
        self.stage
    }

    /// The next unit with its value; none behind the last, or when it is enough.
    #[inline]
    pub fn next_unit(&mut self) -> Option<(Unit<'_>, &'a [u8])> {
        let value = self.next_value()?;
        Some((self.unit(), value))
    }

    /// Takes the next unit and gives its value. Apart from its identity, because a value comes in
    /// registers, and both together through memory, which short functions notice.
    #[inline(always)]
    fn next_value(&mut self) -> Option<&'a [u8]> {
        if self.taken && self.enough.load(Ordering::Relaxed) && self.values.len() <= self.left {
            return None;
        }
        let value = self.values.next()?;
        if std::mem::replace(&mut self.taken, true) {
            self.step();
        }
        Some(value)
    }

    /// The unit that was taken last.
    #[inline]
    fn unit(&self) -> Unit<'_> {
        let Self { span, attempt, stage, .. } = self;
        Unit { id: span.first, path: &span.path, attempt: *attempt, stage }
    }

    #[inline]
    fn step(&mut self) {
        self.span.count -= 1;
        if self.span.count == 0 {
            if let Some(span) = self.spans.next() {
                self.span = span;
            }
            return;
        }
        match self.span.path.last_mut() {
            Some(step) => step.index += 1,
            None => self.span.first += 1,
        }
    }
}

/// How units came out, in their order.
#[derive(Debug, Default)]
pub struct Outcomes(Vec<Executed>);

/// How one unit, or several in a row, came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Executed {
    /// So many units with so many outputs each.
    Outputs {
        /// Units.
        units: u32,
        /// Outputs of each.
        each: u32,
    },
    /// So many units, each with its own value as its one output.
    Passed {
        /// Units.
        units: u32,
    },
    /// One unit without any, with this error.
    Failed(Failure),
}

impl Outcomes {
    /// One more unit, with so many outputs.
    #[inline]
    pub fn push(&mut self, outputs: u32) {
        match self.0.last_mut() {
            Some(Executed::Outputs { units, each }) if *each == outputs => *units += 1,
            _ => self.0.push(Executed::Outputs { units: 1, each: outputs }),
        }
    }

    /// One more unit, whose one output is its value as it is. The value stays where it lies, so
    /// this costs the same however large it is. It fails if it is larger than an output may be.
    #[inline]
    pub fn pass(&mut self, value: &[u8], limits: OutputLimits) {
        if let Err(failure) = limits.admit_value(value.len()) {
            return self.push_failed(failure);
        }
        match self.0.last_mut() {
            Some(Executed::Passed { units }) => *units += 1,
            _ => self.0.push(Executed::Passed { units: 1 }),
        }
    }

    /// One more unit, which failed.
    pub fn push_failed(&mut self, failure: Failure) {
        self.0.push(Executed::Failed(failure));
    }

    /// Of how many units.
    pub fn units(&self) -> u32 {
        let each = self.0.iter().map(|outcome| match outcome {
            Executed::Outputs { units, .. } | Executed::Passed { units } => *units,
            Executed::Failed(_) => 1,
        });
        each.sum()
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The one entry, if they all came out alike.
    pub(crate) fn only(&self) -> Option<&Executed> {
        match &self.0[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Executed> {
        self.0.iter()
    }
}

/// Works through a batch with `work`. A failed unit leaves no outputs.
#[inline]
pub(crate) fn work_through(
    batch: &mut Batch<'_>,
    out: &mut Outputs,
    outcomes: &mut Outcomes,
    mut work: impl FnMut(&Unit<'_>, &[u8], &mut Outputs) -> Result<(), Failure>,
) {
    while let Some(input) = batch.next_value() {
        out.begin_unit();
        let before = out.len();
        match work(&batch.unit(), input, out) {
            Ok(()) => outcomes.push((out.len() - before) as u32),
            Err(failure) => {
                out.truncate(before);
                outcomes.push_failed(failure);
            }
        }
    }
}

/// Works through a batch with `work_all`, where a panic fails its unit and the next ones are
/// worked on.
#[inline]
pub(super) fn guarded(
    batch: &mut Batch<'_>,
    out: &mut Outputs,
    outcomes: &mut Outcomes,
    mut work_all: impl FnMut(&mut Batch<'_>, &mut Outputs, &mut Outcomes),
) {
    // One guard for all: to enter one costs as much as a short function.
    while let Err(panic) = guard(|| {
        work_all(batch, out, outcomes);
        Ok(())
    }) {
        out.forget_unit();
        outcomes.push_failed(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_names_each_unit_of_each_span() {
        let mut units = Units::from_source(5, vec![1, 2], vec![1, 2]);
        let outputs = [[7], [8]];
        units.push_outputs(9, &[], 4, outputs.iter().map(|value| &value[..]));
        let spans = units.spans().to_vec();
        let mut batch = Batch::new(&units, 0, spans, 1, "s");
        let mut seen = Vec::new();
        while let Some((unit, value)) = batch.next_unit() {
            seen.push((unit.to_string(), value[0]));
        }
        let seen: Vec<_> = seen.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(seen, [("5", 1), ("6", 2), ("9.0", 7), ("9.1", 8)]);
    }

    #[test]
    fn a_batch_ends_early_when_it_is_enough_but_not_before_its_first_unit() {
        let units = Units::from_source(0, vec![1, 2, 3], vec![1, 2, 3]);
        let enough = AtomicBool::new(true);
        let mut batch = Batch::new(&units, 0, units.spans().to_vec(), 1, "s").until(&enough);
        let mut outcomes = Outcomes::default();
        work_through(&mut batch, &mut Outputs::default(), &mut outcomes, |_, _, _| Ok(()));
        assert_eq!(outcomes.units(), 1);
        enough.store(false, Ordering::Relaxed);
        work_through(&mut batch, &mut Outputs::default(), &mut outcomes, |unit, _, _| {
            enough.store(unit.id == 1, Ordering::Relaxed);
            Ok(())
        });
        assert_eq!(outcomes.units(), 2);
        assert_eq!(batch.values().collect::<Vec<_>>(), [[3]]);
        batch.insist_on(1);
        assert!(batch.next_unit().is_some());
    }

    #[test]
    fn a_panic_fails_its_unit_alone_and_leaves_no_output_of_it() {
        let units = Units::from_source(0, vec![1, 2, 3], vec![1, 2, 3]);
        let mut batch = Batch::new(&units, 0, units.spans().to_vec(), 1, "s");
        let (mut out, mut outcomes) = (Outputs::default(), Outcomes::default());
        guarded(&mut batch, &mut out, &mut outcomes, |batch, out, outcomes| {
            work_through(batch, out, outcomes, |_, input, out| {
                out.push_bytes(input)?;
                assert_ne!(input, [2], "broken");
                Ok(())
            });
        });
        assert_eq!(out.payload(), [1, 3]);
        let outcomes: Vec<_> = outcomes.iter().collect();
        assert_eq!(*outcomes[0], Executed::Outputs { units: 1, each: 1 });
        assert!(
            matches!(outcomes[1], Executed::Failed(failure) if failure.text().contains("broken"))
        );
        assert_eq!(*outcomes[2], Executed::Outputs { units: 1, each: 1 });
    }

    #[test]
    fn a_value_that_is_too_large_to_be_an_output_does_not_pass() {
        let mut outcomes = Outcomes::default();
        let limits = OutputLimits { value_bytes_max: 2, ..OutputLimits::default() };
        [&[1][..], &[1, 2], &[1, 2, 3]].into_iter().for_each(|value| outcomes.pass(value, limits));
        let outcomes: Vec<_> = outcomes.iter().collect();
        assert_eq!(*outcomes[0], Executed::Passed { units: 2 });
        assert!(
            matches!(outcomes[1], Executed::Failed(failure) if failure.text().contains("3 bytes"))
        );
    }

    #[test]
    fn units_that_came_out_alike_are_one_entry() {
        let mut outcomes = Outcomes::default();
        for outputs in [1, 1, 1, 0, 0, 2] {
            outcomes.push(outputs);
        }
        let runs: Vec<_> = outcomes.iter().cloned().collect();
        let run = |units, each| Executed::Outputs { units, each };
        assert_eq!(runs, [run(3, 1), run(2, 0), run(1, 2)]);
    }
}
