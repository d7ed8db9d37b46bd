//! What a function raised, where its result would be.

use pyo3::{prelude::*, types::PyBytes};

/// In place of a result: what there is to raise, pickled, or the sentence of a unit that failed otherwise.
#[pyclass(frozen, module = "pipeline_zmq._native")]
#[derive(Debug)]
pub(crate) struct Raised {
    /// The pickle of an exception with its story, if the function raised it.
    #[pyo3(get)]
    pickle: Option<Py<PyBytes>>,
    /// What happened, if it was something else.
    #[pyo3(get)]
    problem: Option<String>,
    /// How often the unit was tried; 0 if that is not known.
    #[pyo3(get)]
    attempts: u32,
}

impl Raised {
    /// An exception.
    pub(super) fn pickled(py: Python<'_>, pickle: &[u8]) -> Self {
        Self { pickle: Some(PyBytes::new(py, pickle).unbind()), problem: None, attempts: 0 }
    }

    /// A unit that failed without one.
    pub(crate) fn dead(problem: String, attempts: u32) -> Self {
        Self { pickle: None, problem: Some(problem), attempts }
    }
}
