//! A connection to a service, for Python.
//!
//! Owns how a service is found and left, and how units are submitted: many in one go without the interpreter.

use std::{
    path::PathBuf,
    process,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use client::{ConnectError, Service, Setup, Terms, Wait};
use pipeline::runs::{
    call, choice,
    services::{self, Access, FindError},
    wire::{Ask, Reply},
};
use pyo3::{exceptions::PyValueError, prelude::*, types::PyDict};

use super::{
    outcome::{Codec, error_of, forked, late, object, unsubmitted},
    patience::{duration, patiently},
    replies::Replies,
    ticket::Ticket,
};

/// Units that are submitted at once at most.
const BATCH_UNITS: usize = 4_096;
/// The same in bytes, unless one is larger.
const BATCH_BYTES: usize = 256 << 10;

/// How units are treated, as `_service.py` gives it.
#[derive(FromPyObject)]
pub(super) struct Wishes {
    unique: Option<String>,
    once: Option<String>,
    priority: u8,
    delay: f64,
    ttl: Option<f64>,
    block: bool,
    wait_for_workers: bool,
}

/// How units are treated, and what is waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct Manner {
    terms: Terms,
    pub wait: Wait,
}

impl Manner {
    pub fn of(wishes: Option<Wishes>) -> PyResult<Self> {
        let Some(wishes) = wishes else { return Ok(Self::default()) };
        let terms = Terms {
            priority: wishes.priority,
            delay: duration(Some(wishes.delay))?.unwrap_or_default(),
            ttl: duration(wishes.ttl)?,
            unique: wishes.unique,
            once: wishes.once,
        };
        let wait = match (wishes.wait_for_workers, wishes.block) {
            (true, true) => Wait::ForWorkers,
            (true, false) => Wait::ForWorkersOnly,
            (false, true) => Wait::ForRoom,
            (false, false) => Wait::Never,
        };
        Ok(Self { terms, wait })
    }
}

/// A connection to a service; not for others than this package.
#[pyclass(frozen, weakref, module = "pipeline_zmq._native")]
pub(crate) struct Connection {
    inner: Option<Service>,
    named: String,
    codec: Codec,
    owner: u32,
}

impl Connection {
    pub(super) fn inner(&self) -> PyResult<&Service> {
        self.inner.as_ref().filter(|_| self.owner == process::id()).ok_or_else(forked)
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Submits values once there is room: all of them at once, so they are not to be many.
    pub(super) fn send(
        &self,
        py: Python<'_>,
        values: Vec<Vec<u8>>,
        manner: &Manner,
        until: Option<Instant>,
    ) -> PyResult<Vec<client::Ticket>> {
        let service = self.inner()?;
        // Mostly there is room, so nobody is asked.
        let at_once =
            py.detach(|| match service.wait_for_room(manner.wait, Some(Duration::ZERO)) {
                Ok(true) => service.submit_encoded(values, &manner.terms, Wait::Waited).map(Ok),
                Ok(false) => Ok(Err(values)),
                Err(error) => Err(error),
            });
        let values = match at_once.map_err(|error| unsubmitted(py, &error))? {
            Ok(tickets) => return Ok(tickets),
            Err(values) => values,
        };
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let room =
            patiently(py, left, |slice| match service.wait_for_room(manner.wait, Some(slice)) {
                Ok(false) => None,
                Ok(true) => Some(Ok(())),
                Err(error) => Some(Err(error)),
            })?;
        let submitted = room.ok_or_else(late)?.and_then(|()| {
            py.detach(|| service.submit_encoded(values, &manner.terms, Wait::Waited))
        });
        submitted.map_err(|error| unsubmitted(py, &error))
    }

    fn one(
        &self,
        value: &Bound<'_, PyAny>,
        manner: &Manner,
        until: Option<Instant>,
    ) -> PyResult<client::Ticket> {
        let encoded = self.codec.encode(value)?;
        let mut tickets = self.send(value.py(), vec![encoded], manner, until)?;
        tickets.pop().ok_or_else(|| error_of(value.py(), "NoService", "it gives no ticket"))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        if self.owner != process::id() {
            // Its thread is the other process's.
            std::mem::forget(inner);
            return;
        }
        // It says goodbye, which takes as long as it takes.
        Python::attach(|py| py.detach(|| drop(inner)));
    }
}

#[pymethods]
impl Connection {
    /// Submits a unit.
    #[pyo3(signature = (value, wishes=None))]
    fn submit(
        slf: &Bound<'_, Self>,
        value: &Bound<'_, PyAny>,
        wishes: Option<Wishes>,
    ) -> PyResult<Ticket> {
        let ticket = slf.get().one(value, &Manner::of(wishes)?, None)?;
        Ok(Ticket::new(ticket, slf.clone().unbind()))
    }

    /// Submits many units.
    #[pyo3(signature = (values, wishes=None))]
    fn submit_many(
        slf: &Bound<'_, Self>,
        values: &Bound<'_, PyAny>,
        wishes: Option<Wishes>,
    ) -> PyResult<Vec<Ticket>> {
        let (this, manner) = (slf.get(), Manner::of(wishes)?);
        let (mut tickets, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut values = values.try_iter()?;
        loop {
            let value = values.next().transpose()?;
            let is_last = value.is_none();
            if let Some(value) = value {
                let encoded = this.codec.encode(&value)?;
                bytes += encoded.len();
                batch.push(encoded);
            }
            if batch.len() >= BATCH_UNITS || bytes >= BATCH_BYTES || is_last {
                let sent = this.send(slf.py(), std::mem::take(&mut batch), &manner, None)?;
                let new = |ticket| Ticket::new(ticket, slf.clone().unbind());
                tickets.extend(sent.into_iter().map(new));
                bytes = 0;
            }
            if is_last {
                return Ok(tickets);
            }
        }
    }

    /// Submits a unit and waits for its value.
    #[pyo3(signature = (value, timeout=None, wishes=None))]
    fn call<'py>(
        slf: &Bound<'py, Self>,
        value: &Bound<'py, PyAny>,
        timeout: Option<f64>,
        wishes: Option<Wishes>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, patience) = (slf.py(), duration(timeout)?);
        let until = patience.and_then(|patience| Instant::now().checked_add(patience));
        let ticket = slf.get().one(value, &Manner::of(wishes)?, until)?;
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        // Only the end of the time ends a wait without an outcome.
        let outcome = patiently(py, left, |slice| ticket.get(Some(slice)).ok())?;
        object(py, &outcome.ok_or_else(late)?)
    }

    /// The values of many units, which are submitted as these are taken.
    #[pyo3(signature = (values, window=None, wishes=None))]
    fn map(
        slf: &Bound<'_, Self>,
        values: &Bound<'_, PyAny>,
        window: Option<usize>,
        wishes: Option<Wishes>,
    ) -> PyResult<Replies> {
        let source = values.try_iter()?.unbind();
        Ok(Replies::new(slf.clone().unbind(), source, Manner::of(wishes)?, window))
    }

    /// The ticket of that text.
    fn ticket(slf: &Bound<'_, Self>, text: &str) -> PyResult<Ticket> {
        if client::parse_ticket(text).is_none() {
            let told = format!("{text:?} is no ticket; one looks like 8f3a09c1b2d4e5f6/17");
            return Err(PyValueError::new_err(told));
        }
        let inner = slf.get().inner()?;
        let Some(ticket) = slf.py().detach(|| inner.ticket_of(text)) else {
            let told = format!("{text} is of another run, which this service is not");
            return Err(error_of(slf.py(), "Expired", &told));
        };
        Ok(Ticket::new(ticket, slf.clone().unbind()))
    }

    /// What the service has to do, as far as its launcher is on this machine.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.inner()?;
        let asked = py.detach(|| {
            let entry = choice::service(&self.named).map_err(|error| error.to_string())?;
            let entry = entry
                .ok_or_else(|| format!("no service `{}` goes on on this machine", self.named))?;
            call::call(&entry, Ask::Status, Some(call::PATIENCE)).map_err(|error| error.to_string())
        });
        let status = match asked {
            Ok(Reply::Status(status)) => status,
            Ok(_) => return Err(error_of(py, "NoService", "the launcher answers something else")),
            Err(told) => return Err(error_of(py, "NoService", &told)),
        };
        let standing = status.service.unwrap_or_default();
        let told = PyDict::new(py);
        told.set_item("queued", standing.queued)?;
        told.set_item("queued_bytes", standing.queued_bytes)?;
        told.set_item("oldest_ms", standing.oldest_ms)?;
        told.set_item("clients", standing.clients)?;
        told.set_item("done", status.done)?;
        told.set_item("kept", standing.kept)?;
        told.set_item("kept_bytes", standing.kept_bytes)?;
        Ok(told)
    }

    /// Whether it is this process's, and not that of which this one is a fork.
    fn is_own(&self) -> bool {
        self.owner == process::id()
    }

    /// Whether everything that was submitted is accepted, waiting for that so many seconds at most.
    fn flush(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let inner = self.inner()?;
        let flushed =
            patiently(py, duration(Some(seconds))?, |slice| inner.flush(slice).then_some(()))?;
        Ok(flushed.is_some())
    }

    /// Says goodbye.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let inner = self.inner()?;
        py.detach(|| inner.close());
        Ok(())
    }
}

/// How a connection is made, as `_service.py` gives it.
#[derive(FromPyObject)]
pub(crate) struct Way {
    key: Option<PathBuf>,
    insecure: bool,
    client: String,
    first: u64,
    timeout: f64,
    codec: String,
    cancels: bool,
}

/// Connects to the service of that name.
///
/// Raises what a signal's handler raises while it waits.
#[pyfunction]
pub(crate) fn connect(py: Python<'_>, named: String, way: Way) -> PyResult<Connection> {
    let codec = Codec::named(&way.codec)?;
    let timeout = duration(Some(way.timeout))?.unwrap_or_default();
    let access = Access { key: way.key.as_deref(), insecure: way.insecure };
    let found = py.detach(|| services::find(&named, access));
    let mut setup = found.map_err(|error| unfound(py, &error))?;
    (setup.client, setup.first_number, setup.timeout) = (way.client, way.first, timeout);
    setup.cancels = way.cancels;
    let answer = connecting(setup)?;
    // It ends by itself in time.
    let answered = patiently(py, None, move |slice| match answer.recv_timeout(slice) {
        Err(mpsc::RecvTimeoutError::Timeout) => None,
        told => Some(told),
    })?;
    match answered {
        Some(Ok(Ok(service))) => {
            Ok(Connection { inner: Some(service), named, codec, owner: process::id() })
        }
        Some(Ok(Err(error))) => Err(error_of(py, "NoService", &error.to_string())),
        _ => Err(error_of(py, "NoService", "cannot connect")),
    }
}

/// Connects on a thread of its own, which whoever waits can leave alone.
fn connecting(setup: Setup) -> PyResult<Answer> {
    let (tell, answer) = mpsc::channel();
    thread::Builder::new()
        .name("connect".into())
        .spawn(move || tell.send(Service::connect(setup)))?;
    Ok(answer)
}

type Answer = mpsc::Receiver<Result<Service, ConnectError>>;

#[cold]
fn unfound(py: Python<'_>, error: &FindError) -> PyErr {
    match error {
        FindError::Unknown { .. } | FindError::Choice(_) | FindError::Key(_) => {
            error_of(py, "NoService", &error.to_string())
        }
        FindError::Endpoint(_) | FindError::Config { .. } => {
            PyValueError::new_err(error.to_string())
        }
    }
}
