//! The outcomes of many units in their order, as an iterator that submits as it goes.
//!
//! Owns how far it reads ahead. Values are read, encoded and submitted in batches, and outcomes decoded in batches, so
//! neither the interpreter is taken nor a thread woken for each; but nothing that is there waits for more to come.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
    vec::IntoIter,
};

use client::{Outcome, Wait};
use pyo3::{prelude::*, types::PyIterator};

use super::{
    connection::{Connection, Manner},
    outcome::object,
    patience::patiently,
};

/// Units that are open at once, unless whoever asks says otherwise.
const WINDOW: usize = 16 << 10;
/// The same at the beginning, as long as it is not known how large outcomes are.
const WINDOW_MIN: usize = 64;
/// Bytes of values and outcomes that are open at once, as far as can be known.
const OPEN_BYTES: usize = 32 << 20;
/// Values that are submitted, and outcomes that are decoded at once.
const BATCH: usize = 1_024;
/// The first in bytes.
const BATCH_BYTES: usize = 256 << 10;
/// What was read by then is submitted: the next value may take long.
const READING: Duration = Duration::from_millis(1);
/// Whoever gives no more than this in that time gives slowly.
const SLOW: usize = 4;

/// See the module.
#[pyclass(weakref, module = "pipeline_zmq._native")]
pub(crate) struct Replies {
    open: VecDeque<client::Ticket>,
    connection: Py<Connection>,
    // None once it has ended.
    source: Option<Py<PyIterator>>,
    // What reading has raised, behind all that came before.
    failure: Option<PyErr>,
    manner: Manner,
    window_max: usize,
    window: usize,
    // The size that values and outcomes have lately.
    bytes: usize,
    decoded: IntoIter<PyResult<Py<PyAny>>>,
    // Reading is waiting, as far as is known: what is there is given before, and what is read is sent alone.
    reads_slowly: bool,
}

impl Replies {
    pub(super) fn new(
        connection: Py<Connection>,
        source: Py<PyIterator>,
        manner: Manner,
        window: Option<usize>,
    ) -> Self {
        let window_max = window.unwrap_or(WINDOW).max(1);
        Self {
            open: VecDeque::new(),
            connection,
            source: Some(source),
            failure: None,
            manner,
            window_max,
            window: WINDOW_MIN.min(window_max),
            bytes: 0,
            decoded: Vec::new().into_iter(),
            reads_slowly: true,
        }
    }

    /// Reads what may be read now, for a moment at most, and submits it.
    fn submit(&mut self, py: Python<'_>) -> PyResult<()> {
        let most = if self.reads_slowly { 1 } else { BATCH };
        let room = self.window.saturating_sub(self.open.len()).min(most);
        let codec = self.connection.get().codec();
        let (mut values, mut bytes) = (Vec::with_capacity(room), 0);
        let until = Instant::now() + READING;
        while values.len() < room && bytes < BATCH_BYTES {
            let Some(source) = &self.source else { break };
            let read = source.bind(py).clone().next();
            match read.map(|value| value.and_then(|value| codec.encode(&value))) {
                Some(Ok(value)) => {
                    bytes += value.len();
                    values.push(value);
                }
                ended => {
                    self.source = None;
                    self.failure = ended.and_then(Result::err);
                }
            }
            self.reads_slowly = Instant::now() >= until && values.len() <= SLOW;
            if Instant::now() >= until {
                break;
            }
        }
        if values.is_empty() {
            return Ok(());
        }
        self.note_bytes(bytes / values.len());
        let sent = self.connection.get().send(py, values, &self.manner, None)?;
        self.open.extend(sent);
        // What has begun goes on, also while workers are started again.
        if self.manner.wait == Wait::ForRoom {
            self.manner.wait = Wait::ForWorkers;
        }
        Ok(())
    }

    /// Values or outcomes have so many bytes each.
    fn note_bytes(&mut self, each: usize) {
        self.bytes = each.max(self.bytes - self.bytes / 4);
    }

    /// Outcomes that are there, from the first that was not given on.
    fn ready(&mut self) -> Vec<Outcome> {
        let mut ready = Vec::new();
        while ready.len() < BATCH
            && self.open.front().is_some_and(client::Ticket::is_ready)
            && let Some(ticket) = self.open.pop_front()
        {
            ready.extend(ticket.get(Some(Duration::ZERO)));
        }
        ready
    }

    fn decode(&mut self, py: Python<'_>, ready: &[Outcome]) {
        let objects: Vec<_> =
            ready.iter().map(|outcome| Ok(object(py, outcome)?.unbind())).collect();
        self.decoded = objects.into_iter();
        let bytes: usize = ready.iter().map(size).sum();
        self.note_bytes(bytes / ready.len());
        let most = OPEN_BYTES / self.bytes.max(1);
        self.window = (self.window * 2).min(most.max(1)).min(self.window_max);
    }

    /// Decodes some more; whether there are any.
    fn more(&mut self, py: Python<'_>) -> PyResult<bool> {
        loop {
            let ready = self.ready();
            let is_any = !ready.is_empty();
            if is_any {
                self.decode(py, &ready);
            }
            let waits = is_any && self.reads_slowly;
            if !waits && self.source.is_some() && self.open.len() < self.window {
                self.submit(py)?;
            }
            if is_any {
                return Ok(true);
            }
            let is_full = self.source.is_none() || self.open.len() >= self.window;
            match self.open.front() {
                None if self.source.is_none() => break,
                Some(first) if is_full => {
                    patiently(py, None, |slice| first.wait(Some(slice)).ok())?;
                }
                _ => {}
            }
        }
        self.failure.take().map_or(Ok(false), Err)
    }
}

fn size(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Value(value) => value.len(),
        Outcome::Values(values) => values.iter().map(|value| value.len()).sum(),
        Outcome::Dead(failure) => failure.error.len() + failure.input.len(),
        Outcome::Filtered | Outcome::Undone(_) => 0,
    }
}

#[pymethods]
impl Replies {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        loop {
            if let Some(next) = self.decoded.next() {
                return next.map(Some);
            }
            if !self.more(py)? {
                return Ok(None);
            }
        }
    }
}
