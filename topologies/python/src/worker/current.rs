//! Which unit the function works on.
//!
//! Owns the place where a function can ask for it. Nothing is noted for each unit: it is where the results
//! of its group end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::units::Span;
use pyo3::{prelude::*, types::PyList};

/// A group of units that are worked on one after the other.
#[derive(Debug)]
pub(super) struct Group {
    /// The units, from the first of the group.
    pub spans: Vec<Span>,
    /// Units of it that were done before these results.
    pub before: usize,
    /// What has come of the others.
    pub results: Py<PyList>,
    pub attempt: u32,
    pub stage: String,
}

static CURRENT: Mutex<Option<Group>> = Mutex::new(None);

fn current() -> MutexGuard<'static, Option<Group>> {
    // Nothing under the lock can panic halfway.
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A group begins, or goes on, or has ended.
pub(super) fn set(group: Option<Group>) -> Option<Group> {
    std::mem::replace(&mut current(), group)
}

/// The unit that the function works on, as its id, its name, its attempt and its stage; none outside.
#[pyfunction]
pub(crate) fn current_unit(py: Python<'_>) -> Option<(u64, String, u32, String)> {
    let current = current();
    let group = current.as_ref()?;
    let mut index = group.before + group.results.bind(py).len();
    let mut spans = group.spans.iter();
    let span = spans.find(|span| {
        let here = index < span.count as usize;
        index -= if here { 0 } else { span.count as usize };
        here
    })?;
    let (id, path) = span.unit(index as u32);
    let unit = worker::Unit { id, path: &path, attempt: group.attempt, stage: &group.stage };
    Some((id, unit.to_string(), group.attempt, group.stage.clone()))
}
