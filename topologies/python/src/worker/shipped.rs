//! Functions that come while the worker runs, and units that name them.
//!
//! Owns the way from a group of encoded units to a call of Python and back. A value is an array of two: the
//! id of the function's code, and what the function is given. The loop over a group's values is Python,
//! which calls Python functions faster than anything outside; what goes in and comes out is a list each.
//!
//! A unit gives exactly one output, whatever the function returns: None and generators are values here. What
//! it raises is an output too, unless the unit is to be tried again.

use std::{collections::HashMap, io};

use proto::{units::Span, value::value_len};
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyBytes, PyIterator, PyList},
};
use worker::{
    Failure, Function, Outputs, Unit,
    function::{Batch, Outcomes},
};

use super::{
    current::{self, Group},
    watch::Watch,
};
use crate::values::{Decoder, Encoder, Fault, append_raised};

/// The code with which a worker is told what it needs before any function.
const SETUP: u64 = 0;

/// A function, and the loop that calls it in its way.
struct Callee {
    run: Py<PyAny>,
    function: Py<PyAny>,
}

/// Whatever functions the units name.
pub(super) struct Shipped {
    // `pipeline_zmq._worker`, which loads functions and packs exceptions.
    host: Py<PyAny>,
    callees: HashMap<u64, Callee>,
    // How often a unit is tried again that raised.
    retries: u32,
    watch: Watch,
}

impl Shipped {
    /// No functions yet.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn new(host: Py<PyAny>) -> io::Result<Self> {
        Ok(Self { host, callees: HashMap::new(), retries: 0, watch: Watch::start()? })
    }
}

/// The id of the code that a value names, and what the function is given.
fn split(value: &[u8]) -> Option<(u64, &[u8])> {
    let (0x92, rest) = value.split_first().map(|(marker, rest)| (*marker, rest))? else {
        return None;
    };
    let (id, argument) = rest.split_at_checked(value_len(rest).ok()?)?;
    let mut id = id;
    Some((rmp::decode::read_int(&mut id).ok()?, argument))
}

/// Where the outcomes of a group go.
struct Ledger<'a, 'b> {
    batch: &'a mut Batch<'b>,
    out: &'a mut Outputs,
    outcomes: &'a mut Outcomes,
}

impl Ledger<'_, '_> {
    /// Takes the next unit; which try it is.
    fn next(&mut self) -> u32 {
        self.batch.insist_on(1);
        self.out.begin_unit();
        self.batch.next_unit().map_or(1, |(unit, _)| unit.attempt)
    }
}

/// The units of a group, for a function that asks.
struct Identities {
    spans: Vec<Span>,
    attempt: u32,
    stage: String,
}

impl Shipped {
    /// Works on values of one function, as many as there are in a row, behind `before` others of the
    /// group; whether all were begun.
    fn run(
        &self,
        py: Python<'_>,
        (id, arguments): (u64, &[&[u8]]),
        identities: &Identities,
        before: usize,
        ledger: &mut Ledger<'_, '_>,
    ) -> PyResult<bool> {
        let (values, unreadable) = decoded(py, arguments)?;
        let results = PyList::empty(py);
        current::set(Some(Group {
            spans: identities.spans.clone(),
            before,
            results: results.clone().unbind(),
            attempt: identities.attempt,
            stage: identities.stage.clone(),
        }));
        self.watch.begin(&values, &results);
        let called = self.call_until_done(py, id, &values, &results);
        self.watch.end();
        current::set(None);
        let mut raised = called?.into_iter().peekable();
        for (place, result) in results.iter().enumerate() {
            match raised.next_if(|(at, _)| *at == place) {
                None => self.give(&result, ledger)?,
                Some((_, error)) => {
                    let attempt = ledger.next();
                    self.raised(py, error, attempt, ledger)?;
                }
            }
        }
        if results.len() < values.len()
            || values.len() + usize::from(unreadable.is_some()) < arguments.len()
        {
            return Ok(false);
        }
        if let Some(error) = unreadable {
            let attempt = ledger.next();
            self.raised(py, error, attempt, ledger)?;
        }
        Ok(true)
    }

    /// Calls the function for all values; which of them raised what. Their results are None.
    fn call_until_done(
        &self,
        py: Python<'_>,
        id: u64,
        values: &Bound<'_, PyList>,
        results: &Bound<'_, PyList>,
    ) -> PyResult<Vec<(usize, PyErr)>> {
        let iterator = values.try_iter()?;
        let mut raised = Vec::new();
        while let Err(error) = self.call(py, id, &iterator, results) {
            raised.push((results.len(), error));
            results.append(py.None())?;
        }
        Ok(raised)
    }

    fn call(
        &self,
        py: Python<'_>,
        id: u64,
        values: &Bound<'_, PyIterator>,
        results: &Bound<'_, PyList>,
    ) -> PyResult<()> {
        let Some(Callee { run, function }) = self.callees.get(&id) else {
            return match values.clone().next().transpose()? {
                Some(_) => Err(PyRuntimeError::new_err(
                    "the function of this unit is not known here any more: nobody waits for it",
                )),
                None => Ok(()),
            };
        };
        let append = results.getattr("append")?;
        run.call1(py, (function, values, append)).map(drop)
    }

    /// A unit's result.
    #[inline]
    fn give(&self, result: &Bound<'_, PyAny>, ledger: &mut Ledger<'_, '_>) -> PyResult<()> {
        let attempt = ledger.next();
        match ledger.out.push_written(|out| Encoder.append(result, out)) {
            Ok(()) => ledger.outcomes.push(1),
            Err(Fault::Raised(error)) => self.raised(result.py(), error, attempt, ledger)?,
            Err(Fault::Refused(failure)) => {
                let error = PyRuntimeError::new_err(failure.into_text());
                self.raised(result.py(), error, attempt, ledger)?;
            }
        }
        Ok(())
    }

    /// A unit's exception: the unit fails and is tried again, or this is what it gives.
    fn raised(
        &self,
        py: Python<'_>,
        error: PyErr,
        attempt: u32,
        ledger: &mut Ledger<'_, '_>,
    ) -> PyResult<()> {
        if attempt <= self.retries {
            ledger.outcomes.push_failed(Failure::new(error.to_string()));
            return Ok(());
        }
        let packed = self.host.bind(py).call_method1("pack", (error.into_value(py), attempt))?;
        let packed = packed.cast::<PyBytes>()?;
        match ledger.out.push_written(|out| append_raised(packed.as_bytes(), out)) {
            Ok(()) => ledger.outcomes.push(1),
            Err(Fault::Refused(failure)) => ledger.outcomes.push_failed(failure),
            Err(Fault::Raised(error)) => return Err(error),
        }
        Ok(())
    }

    fn work_on(&mut self, py: Python<'_>, ledger: &mut Ledger<'_, '_>) -> PyResult<()> {
        let values: Vec<&[u8]> = ledger.batch.values().collect();
        let split: Vec<(u64, &[u8])> = values.iter().filter_map(|value| split(value)).collect();
        if split.len() < values.len() {
            return Err(PyRuntimeError::new_err("a unit names no function"));
        }
        let identities = Identities {
            spans: ledger.batch.spans(),
            attempt: ledger.batch.attempt(),
            stage: ledger.batch.stage().to_owned(),
        };
        let mut before = 0;
        for same in split.chunk_by(|a, b| a.0 == b.0) {
            let Some((id, _)) = same.first() else { continue };
            let arguments: Vec<&[u8]> = same.iter().map(|(_, argument)| *argument).collect();
            if !self.run(py, (*id, &arguments), &identities, before, ledger)? {
                break;
            }
            before += same.len();
        }
        Ok(())
    }
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

impl Function for Shipped {
    fn define(&mut self, id: u64, code: Option<&[u8]>) -> Result<(), Failure> {
        let Some(code) = code else {
            let former = self.callees.remove(&id);
            Python::attach(|_| drop(former));
            return Ok(());
        };
        Python::attach(|py| {
            let host = self.host.bind(py);
            let code = PyBytes::new(py, code);
            if id == SETUP {
                self.retries = host.call_method1("set_up", (code,))?.extract()?;
                return Ok(());
            }
            let (run, function) = host.call_method1("define", (code,))?.extract()?;
            self.callees.insert(id, Callee { run, function });
            Ok(())
        })
        .map_err(|error: PyErr| Failure::new(story(&error)))
    }

    fn call(&mut self, _: &Unit<'_>, _: &[u8], _: &mut Outputs) -> Result<(), Failure> {
        // Units come in batches only: they carry no input beside their value.
        Err(Failure::new("a pool's units do not carry what the source gave"))
    }

    fn call_all(&mut self, batch: &mut Batch<'_>, out: &mut Outputs, outcomes: &mut Outcomes) {
        let mut ledger = Ledger { batch, out, outcomes };
        let worked = Python::attach(|py| {
            self.work_on(py, &mut ledger).map_err(|error| Failure::new(story(&error)))
        });
        if let Err(failure) = worked
            && ledger.batch.next_unit().is_some()
        {
            ledger.outcomes.push_failed(failure);
        }
    }
}

/// An exception with its traceback, as text.
fn story(error: &PyErr) -> String {
    Python::attach(|py| {
        let format = py
            .import("traceback")
            .and_then(|module| module.call_method1("format_exception", (error.value(py),)));
        let lines = format.and_then(|lines| lines.extract::<Vec<String>>());
        lines.map_or_else(|_| error.to_string(), |lines| lines.concat().trim_end().to_owned())
    })
}
