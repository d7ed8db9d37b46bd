//! Units that are worked on one after the other.
//!
//! Owns the way from a group of encoded units to a call of Python and back. The loop over a group's values is
//! Python, which calls Python functions faster than anything outside; what goes in and comes out is a list
//! each.

use std::sync::Arc;

use proto::units::Span;
use pyo3::{
    prelude::*,
    types::{PyIterator, PyList},
};
use worker::{
    Failure, Outputs,
    function::{Batch, Outcomes},
};

use super::{
    current::{self, Group},
    terms::Terms,
    watch::{Raised, Watch, Watched, Work},
};
use crate::values::Decoder;

/// A function, and the ways to call it.
#[derive(Debug)]
pub(super) struct Callee {
    /// For many items in a row.
    pub run: Py<PyAny>,
    /// For one.
    pub single: Py<PyAny>,
    pub function: Py<PyAny>,
}

impl Callee {
    /// As `pipeline_zmq._worker` gives it.
    pub fn from(parts: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (run, single, function) = parts.extract()?;
        Ok(Self { run, single, function })
    }
}

/// Where the outcomes of a group go.
pub(super) struct Ledger<'a, 'b> {
    pub batch: &'a mut Batch<'b>,
    pub out: &'a mut Outputs,
    pub outcomes: &'a mut Outcomes,
}

impl Ledger<'_, '_> {
    /// Takes the next unit; which try it is.
    #[inline]
    fn next(&mut self) -> u32 {
        self.batch.insist_on(1);
        self.out.begin_unit();
        self.batch.next_unit().map_or(1, |(unit, _)| unit.attempt)
    }

    /// Notes what came of the unit that was taken last.
    #[inline]
    fn note(&mut self, outcome: Result<u32, Failure>) {
        match outcome {
            Ok(outputs) => self.outcomes.push(outputs),
            Err(failure) => {
                self.out.forget_unit();
                self.outcomes.push_failed(failure);
            }
        }
    }

    /// The next unit has failed, before anything was done with it.
    pub fn fail(&mut self, failure: Failure) {
        self.next();
        self.note(Err(failure));
    }
}

/// The units of a group, for a function that asks.
pub(super) struct Identities {
    spans: Vec<Span>,
    attempt: u32,
    stage: String,
}

impl Identities {
    /// Those of a batch of which none was taken.
    pub fn of(batch: &Batch<'_>) -> Self {
        let stage = batch.stage().to_owned();
        Self { spans: batch.spans(), attempt: batch.attempt(), stage }
    }
}

/// Calls a function for values in a row, behind `before` others of the batch; whether all were begun.
pub(super) fn work_on(
    py: Python<'_>,
    (terms, watch): (&Arc<Terms>, &Watch),
    callee: &Callee,
    values: &[&[u8]],
    (identities, before): (&Identities, usize),
    ledger: &mut Ledger<'_, '_>,
) -> PyResult<bool> {
    let (items, unreadable) = decoded(py, values)?;
    let work = Work { values: items, results: PyList::empty(py), raised: PyList::empty(py) };
    current::set(Some(Group {
        spans: identities.spans.clone(),
        before,
        results: work.results.clone().unbind(),
        attempt: identities.attempt,
        stage: identities.stage.clone(),
    }));
    // Only the first units of a batch can be handed over before the others.
    let interim = ledger.batch.interim().filter(|_| before == 0);
    let limits = ledger.out.limits();
    watch.begin(Watched::new(&work, terms, (interim, limits), identities.attempt));
    let called = call(py, callee, &work);
    let given = watch.end();
    current::set(None);
    called?;
    let raised = Raised::of(&work.raised);
    for (place, result) in work.results.iter().enumerate() {
        let attempt = ledger.next();
        if place < given {
            continue;
        }
        let outcome = match raised.at(place) {
            None => terms.give(&result, attempt, ledger.out),
            Some(error) => terms.raise(py, error, attempt, ledger.out),
        };
        ledger.note(outcome);
    }
    let readable = work.values.len() + usize::from(unreadable.is_some());
    if work.results.len() < work.values.len() || readable < values.len() {
        return Ok(false);
    }
    if let Some(error) = unreadable {
        let attempt = ledger.next();
        let outcome = terms.raise(py, error, attempt, ledger.out);
        ledger.note(outcome);
    }
    Ok(true)
}

/// Calls the function for all values. The results of those that raised are None.
fn call(py: Python<'_>, callee: &Callee, work: &Work<'_>) -> PyResult<()> {
    let Work { values, results, raised } = work;
    let iterator: Bound<'_, PyIterator> = values.try_iter()?;
    let append = results.getattr("append")?;
    while let Err(error) = callee.run.call1(py, (&callee.function, &iterator, &append)) {
        raised.append((results.len(), error.into_value(py)))?;
        results.append(py.None())?;
    }
    Ok(())
}

/// The objects that values are, up to the first that is none, and why that is none.
fn decoded<'py>(
    py: Python<'py>,
    values: &[&[u8]],
) -> PyResult<(Bound<'py, PyList>, Option<PyErr>)> {
    let list = PyList::empty(py);
    for value in values {
        match Decoder.object(py, value) {
            Ok(object) => list.append(object)?,
            Err(error) => return Ok((list, Some(error))),
        }
    }
    Ok((list, None))
}
