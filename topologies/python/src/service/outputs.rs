//! The outputs of one unit as they come, for Python.

use std::{
    process,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use client::{Stream, StreamError};
use pyo3::{exceptions::PyRuntimeError, prelude::*};

use super::{
    outcome::{dead, forked, late, one, undone},
    patience::patiently,
    ticket::Ticket,
};

/// An iterator over the outputs of a unit, as ``Ticket.stream`` gives it.
#[pyclass(frozen, module = "pipeline_zmq._native")]
pub(crate) struct Outputs {
    // Before the ticket, which may only end without the interpreter.
    stream: Option<Mutex<Stream>>,
    _ticket: Py<Ticket>,
    timeout: Option<Duration>,
    owner: u32,
}

impl Outputs {
    pub(super) fn new(stream: Stream, ticket: Py<Ticket>, timeout: Option<Duration>) -> Self {
        Self { stream: Some(Mutex::new(stream)), _ticket: ticket, timeout, owner: process::id() }
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        if self.owner != process::id() {
            // What it would end is the other process's.
            std::mem::forget(self.stream.take());
        }
    }
}

#[pymethods]
impl Outputs {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let stream = self.stream.as_ref().filter(|_| self.owner == process::id());
        let stream = stream.ok_or_else(forked)?;
        let next = patiently(py, self.timeout, |slice| {
            // Nothing under the lock can panic halfway.
            let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            match stream.next_within(Some(slice)) {
                Some(Err(StreamError::Timeout)) => None,
                next => Some(next),
            }
        })?;
        match next.ok_or_else(late)? {
            None => Ok(None),
            Some(Ok(output)) => one(py, &output).map(Some),
            Some(Err(StreamError::Dead(failure))) => Err(dead(py, &failure)),
            Some(Err(StreamError::Undone(why))) => Err(undone(py, why)),
            Some(Err(error)) => Err(PyRuntimeError::new_err(error.to_string())),
        }
    }
}
