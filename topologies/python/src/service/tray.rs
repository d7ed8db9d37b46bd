//! Tickets that are done, for event loops and futures.
//!
//! Owns who waits for which ticket; how they are told is Python's.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pyo3::prelude::*;

use super::ticket::Ticket;

/// How long whoever takes waits before they look whether they are wanted.
const PATIENCE: Duration = Duration::from_millis(500);

type Waiting = (Py<PyAny>, Py<Ticket>);

/// See the module.
#[pyclass(frozen, module = "pipeline_zmq._native")]
#[derive(Default)]
pub(crate) struct Tray {
    inner: Arc<client::Tray>,
    waiting: Mutex<HashMap<u64, Waiting>>,
    next: AtomicU64,
}

impl Tray {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        // Nothing under the lock can panic halfway.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Tray {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Once the ticket is done, it is taken together with this.
    fn put(&self, whom: Py<PyAny>, ticket: Py<Ticket>) -> PyResult<()> {
        let inner = ticket.get().inner()?.clone();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting().insert(number, (whom, ticket));
        inner.deliver(self.inner.clone(), number);
        Ok(())
    }

    /// What is done, waiting a moment for some; None once it is closed.
    fn take(&self, py: Python<'_>) -> Option<Vec<Waiting>> {
        let done = py.detach(|| self.inner.take(PATIENCE))?;
        let mut waiting = self.waiting();
        Some(done.iter().filter_map(|number| waiting.remove(number)).collect())
    }

    /// Ends ``take``.
    fn close(&self) {
        self.inner.close();
    }
}
