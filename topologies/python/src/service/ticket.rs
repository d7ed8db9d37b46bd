//! One unit that was submitted, for Python.

use std::{process, time::Duration};

use client::{Outcome, WaitError};
use proto::service::CancelState;
use pyo3::prelude::*;

use super::{
    connection::Connection,
    outcome::{forked, late, object, unmet},
    outputs::Outputs,
    patience::{duration, patiently},
};

/// A unit that was submitted: it has exactly one outcome, which stays here once it has come.
///
/// Its text (``str(ticket)``) is what anybody else who may use the service asks for the outcome with. A ticket
/// can be awaited.
#[pyclass(frozen, weakref, module = "pipeline_zmq")]
pub(crate) struct Ticket {
    // Before the connection, which may only end without the interpreter.
    inner: Option<client::Ticket>,
    _connection: Py<Connection>,
    owner: u32,
}

impl Ticket {
    pub(super) fn new(inner: client::Ticket, connection: Py<Connection>) -> Self {
        Self { inner: Some(inner), _connection: connection, owner: process::id() }
    }

    pub(super) fn inner(&self) -> PyResult<&client::Ticket> {
        self.inner.as_ref().filter(|_| self.owner == process::id()).ok_or_else(forked)
    }

    /// Waits for what `ask` finds; a wait that was too short is none.
    fn waited<T: Send>(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        ask: impl Fn(&client::Ticket, Duration) -> Result<T, WaitError> + Sync,
    ) -> PyResult<Option<T>> {
        let inner = self.inner()?;
        let found = patiently(py, duration(timeout)?, |slice| match ask(inner, slice) {
            Err(WaitError::Timeout) => None,
            found => Some(found),
        })?;
        found.transpose().map_err(|error| unmet(py, &error))
    }

    fn outcome(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Outcome>> {
        let inner = self.inner()?;
        if let Ok(outcome) = inner.get(Some(Duration::ZERO)) {
            return Ok(Some(outcome));
        }
        self.waited(py, timeout, |ticket, slice| ticket.get(Some(slice)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.owner != process::id() {
            // What it would end is the other process's.
            std::mem::forget(self.inner.take());
        }
    }
}

#[pymethods]
impl Ticket {
    /// The unit's number at its service. Waits until it is accepted.
    #[getter]
    fn id(&self, py: Python<'_>) -> PyResult<u64> {
        self.waited(py, None, |ticket, slice| ticket.id(Some(slice)))?.ok_or_else(late)
    }

    /// Whether its outcome has come.
    fn ready(&self) -> PyResult<bool> {
        Ok(self.inner()?.is_ready())
    }

    /// The unit's value, waited for so many seconds at most. None if it was filtered, a list if it gave several.
    ///
    /// Raises:
    ///     UnitError: It failed for good.
    ///     Expired: Its outcome is not kept any more.
    ///     TimeoutError: It has not come in time.
    #[pyo3(signature = (timeout=None))]
    fn get<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let outcome = self.outcome(py, timeout)?.ok_or_else(late)?;
        object(py, &outcome)
    }

    /// The same as ``get()``, as an attribute, which blocks.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get(py, None)
    }

    /// Waits until its outcome has come, so many seconds at most; whether it has.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        Ok(self.waited(py, timeout, |ticket, slice| ticket.wait(Some(slice)))?.is_some())
    }

    /// Has it not worked on if no worker has begun it: ``"cancelled"``, else ``"begun"`` or ``"over"``.
    ///
    /// A cancelled unit is dead: ``get()`` raises ``UnitError``.
    #[pyo3(signature = (timeout=None))]
    fn cancel(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<&'static str> {
        let asked = self.waited(py, timeout, |ticket, slice| ticket.ask_to_cancel(Some(slice)))?;
        asked.ok_or_else(late)?;
        let state = self.waited(py, timeout, |ticket, slice| ticket.cancelled(Some(slice)))?;
        Ok(match state.ok_or_else(late)? {
            CancelState::Cancelled => "cancelled",
            CancelState::Begun => "begun",
            CancelState::Over => "over",
        })
    }

    /// An iterator over its outputs in their order, each once: as they come, if the stage streams. Each is
    /// waited for so many seconds at most.
    #[pyo3(signature = (timeout=None))]
    fn stream(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Outputs> {
        let stream = slf.get().inner()?.stream();
        Ok(Outputs::new(stream, slf.clone().unbind(), duration(timeout)?))
    }

    /// A ``concurrent.futures.Future`` of its value.
    fn future<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("pipeline_zmq._service")?.getattr("future_of")?.call1((slf,))
    }

    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("pipeline_zmq._service")?.getattr("awaited")?.call1((slf,))
    }

    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        self.waited(py, None, |ticket, slice| ticket.text(Some(slice)))?.ok_or_else(late)
    }

    fn __repr__(&self) -> PyResult<String> {
        let told = self.inner()?.text(Some(Duration::ZERO));
        Ok(format!("<Ticket {}>", told.as_deref().unwrap_or("not accepted yet")))
    }
}
