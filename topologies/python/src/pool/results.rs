//! The results of a call, for whoever iterates over them.
//!
//! Owns the waiting, in slices so that signals are heard, and the decoding of many results at a time.

use std::{
    process,
    sync::Arc,
    time::{Duration, Instant},
};

use pyo3::{
    exceptions::{PyRuntimeError, PyTimeoutError},
    prelude::*,
    sync::PyOnceLock,
    types::{PyList, PyType},
};

use super::{
    call::{Call, Piece, Taken},
    intake::Intake,
};
use crate::values::{Decoder, Raised};

/// Results that are decoded at once.
const BATCH: usize = 4_096;
/// How long a wait lasts before signals are looked at.
pub(super) const SLICE: Duration = Duration::from_millis(40);

/// What a fork has of a pool is neither its threads nor its sockets.
const FORKED: &str = "this pool is another process's, of which this one is a fork; make one here";

static BROKEN: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static RAISE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static TIMED_OUT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// `pipeline_zmq.Broken`, with this text.
pub(super) fn broken(py: Python<'_>, why: &str) -> PyErr {
    let class = BROKEN.import(py, "pipeline_zmq._errors", "Broken");
    match class {
        Ok(class) => PyErr::from_type(class.clone(), why.to_owned()),
        Err(_) => PyRuntimeError::new_err(why.to_owned()),
    }
}

/// The error of a wait that lasted too long, which is that of `multiprocessing` too.
fn timed_out(py: Python<'_>) -> PyErr {
    let told = "no result came in time";
    let made = TIMED_OUT
        .import(py, "pipeline_zmq._result", "timed_out")
        .and_then(|make| make.call1((told,)));
    made.map_or_else(|_| PyTimeoutError::new_err(told), PyErr::from_value)
}

/// The objects of a piece: results, and [`Raised`] in the places of those that are none.
pub(super) fn decoded<'py>(py: Python<'py>, piece: &Piece) -> PyResult<Bound<'py, PyList>> {
    match piece {
        Piece::Values(units, range) => {
            let list = PyList::empty(py);
            for value in units.values_iter(range.clone()) {
                match Decoder.object(py, value) {
                    Ok(object) => list.append(object)?,
                    Err(error) => {
                        let problem = format!("the result can't be unpickled here: {error}");
                        list.append(Raised::dead(problem, 1))?;
                    }
                }
            }
            Ok(list)
        }
        Piece::Dead { error, attempts } => {
            PyList::new(py, [Raised::dead(error.clone(), *attempts)])
        }
    }
}

/// An iterator over the results of one call.
#[pyclass(module = "pipeline_zmq._native", weakref)]
pub(crate) struct Results {
    call: Arc<Call>,
    intake: Arc<Intake>,
    // Decoded, and not given.
    batch: Option<Py<PyList>>,
    next: usize,
    // Results that were taken, and are not all given.
    taken: u64,
    // The item that the first of the batch belongs to.
    first: u64,
    over: bool,
    // The process that it belongs to.
    owner: u32,
    // What is kept as long as results may come.
    held: Option<Py<PyAny>>,
}

impl Results {
    pub(super) fn new(call: Arc<Call>, intake: Arc<Intake>) -> Self {
        Self {
            call,
            intake,
            batch: None,
            next: 0,
            taken: 0,
            first: 0,
            over: false,
            owner: process::id(),
            held: None,
        }
    }

    /// Waits for results for so long at most; whether any are there.
    fn fetch(&mut self, py: Python<'_>, patience: Option<Duration>) -> PyResult<bool> {
        if self.owner != process::id() {
            return Err(PyRuntimeError::new_err(FORKED));
        }
        let given = std::mem::take(&mut self.taken);
        if given > 0 {
            let (call, intake) = (&self.call, &self.intake);
            py.detach(|| {
                call.give(given);
                intake.look_again();
            });
        }
        let most = BATCH.min(self.call.batch());
        let deadline = patience.map(|patience| Instant::now() + patience);
        while !self.over {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let slice = left.map_or(SLICE, |left| left.min(SLICE));
            let call = &self.call;
            let taken = py.detach(|| call.wait(most, slice));
            match taken {
                Taken::Piece(first, piece) => {
                    self.taken = piece.len();
                    self.batch = Some(decoded(py, &piece)?.unbind());
                    (self.first, self.next) = (first, 0);
                    return Ok(true);
                }
                Taken::End => {
                    self.over = true;
                    if let Some(error) = self.call.take_failure() {
                        return Err(PyErr::from_value(error.into_bound(py)));
                    }
                }
                Taken::Broken(why) => {
                    self.over = true;
                    return Err(broken(py, &why));
                }
                Taken::Nothing => {
                    // A call whose items have not come yet has no unit that would tell it.
                    if let Some(why) = self.intake.broken() {
                        self.call.break_off(&why);
                    }
                    py.check_signals()?;
                    if left.is_some_and(|left| left <= slice) {
                        return Err(timed_out(py));
                    }
                }
            }
        }
        Ok(false)
    }

    #[inline]
    fn give<'py>(
        &mut self,
        py: Python<'py>,
        patience: Option<Duration>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        loop {
            if let Some(batch) = &self.batch {
                let batch = batch.bind(py);
                if self.next < batch.len() {
                    let result = batch.get_item(self.next)?;
                    // Whoever has it decides how long it lives.
                    batch.set_item(self.next, py.None())?;
                    self.next += 1;
                    return match result.is_exact_instance_of::<Raised>() {
                        true => Err(self.raise(py, &result)),
                        false => Ok(Some(result)),
                    };
                }
            }
            self.batch = None;
            if !self.fetch(py, patience)? {
                return Ok(None);
            }
        }
    }

    #[cold]
    fn raise(&self, py: Python<'_>, raised: &Bound<'_, PyAny>) -> PyErr {
        let index = self.first + self.next as u64 - 1;
        let raise = RAISE.import(py, "pipeline_zmq._errors", "unpacked");
        match raise.and_then(|raise| raise.call1((raised, index))) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    }
}

#[pymethods]
impl Results {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.give(py, None)
    }

    /// The next result, waited for so many seconds at most.
    #[pyo3(signature = (timeout=None))]
    fn next<'py>(&mut self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let patience = timeout.map(|seconds| {
            Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX / 4)
        });
        self.give(py, patience)?.ok_or_else(|| pyo3::exceptions::PyStopIteration::new_err(()))
    }

    /// All that is left, as a list; stops at the first that raised.
    fn rest<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let all = PyList::empty(py);
        while let Some(result) = self.give(py, None)? {
            all.append(result)?;
        }
        Ok(all)
    }

    /// All that is decoded, waiting for some if there is none; empty at the end. What was raised is in it.
    fn some<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let some = PyList::empty(py);
        loop {
            if let Some(batch) = self.batch.take() {
                let batch = batch.into_bound(py);
                let rest = batch.get_slice(self.next, batch.len());
                if !rest.is_empty() {
                    return Ok(rest);
                }
            }
            if !self.fetch(py, None)? {
                return Ok(some);
            }
        }
    }

    /// Keeps this as long as results may come.
    fn hold(&mut self, what: Py<PyAny>) {
        self.held = Some(what);
    }

    /// Nobody wants the rest.
    fn close(&mut self, py: Python<'_>) {
        self.over = true;
        self.batch = None;
        let (call, intake) = (&self.call, &self.intake);
        py.detach(|| {
            call.drop_results();
            intake.look_again();
        });
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        self.call.drop_results();
        self.intake.look_again();
    }
}
