//! Where units meet the event loop of Python, when many of them are open at once.
//!
//! The loop runs on the process's main thread; units come from the thread that begins them. Owns what goes
//! each way, and the pipe that wakes the loop; refuses to call a function itself.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use proto::net::driver::Handle;
use pyo3::{
    prelude::*,
    types::{PyList, PyTuple},
};
use worker::{
    Failure, OutputLimits, Outputs, Unit,
    concurrent::{Finished, Slot, Waker},
    core::Reply,
    executor::Workbench,
};

use super::{group::Callee, terms::Terms};
use crate::values::Decoder;

/// A unit to work on.
pub(super) struct Ask {
    slot: Slot,
    // Its id, its name, its attempt and its stage.
    unit: (u64, String, u32, String),
    item: Vec<u8>,
    callee: Result<Arc<Callee>, &'static str>,
    terms: Arc<Terms>,
}

impl Ask {
    pub fn new(
        slot: Slot,
        unit: &Unit<'_>,
        item: &[u8],
        callee: Result<Arc<Callee>, &'static str>,
        terms: Arc<Terms>,
    ) -> Self {
        let unit = (unit.id, unit.to_string(), unit.attempt, unit.stage.to_owned());
        Self { slot, unit, item: item.to_vec(), callee, terms }
    }
}

#[derive(Default)]
struct State {
    asks: Vec<Ask>,
    // What units that are open mean when they end.
    open: HashMap<Slot, (u32, Arc<Terms>)>,
    done: Vec<(Slot, Result<Outputs, Failure>)>,
    waker: Waker,
    limits: OutputLimits,
    over: bool,
}

struct Shared {
    state: Mutex<State>,
    // Units that may be open at once; 0 as long as nobody has said so.
    wanted: AtomicU32,
    begun: AtomicBool,
    // Written to wake the loop, and read by it.
    bell: UnixStream,
    heard: UnixStream,
    worker: Mutex<Option<Handle<Reply>>>,
}

/// See the module; cheap to clone.
#[derive(Clone)]
pub(super) struct Port(Arc<Shared>);

impl Port {
    /// A port at which nothing has begun.
    ///
    /// # Errors
    /// When no pipe can be had.
    pub fn new() -> io::Result<Self> {
        let (bell, heard) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        heard.set_nonblocking(true)?;
        Ok(Self(Arc::new(Shared {
            state: Mutex::default(),
            wanted: AtomicU32::new(0),
            begun: AtomicBool::new(false),
            bell,
            heard,
            worker: Mutex::default(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic halfway.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What makes the worker leave.
    pub fn belongs_to(&self, worker: Handle<Reply>) {
        *self.0.worker.lock().unwrap_or_else(PoisonError::into_inner) = Some(worker);
    }

    pub fn worker(&self) -> Option<Handle<Reply>> {
        self.0.worker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn open_at_once(&self, units: u32) {
        self.0.wanted.store(units, Ordering::Release);
    }

    /// Whether many units shall be open at once.
    pub fn is_wanted(&self) -> bool {
        self.open_max() > 1
    }

    pub fn open_max(&self) -> u32 {
        self.0.wanted.load(Ordering::Acquire)
    }

    pub fn begin(&self, open: u32, limits: OutputLimits, waker: Waker) {
        self.open_at_once(open);
        *self.state() = State { waker, limits, ..State::default() };
        self.0.begun.store(true, Ordering::Release);
    }

    /// Whether units come here, and may do so yet.
    pub fn is_begun(&self) -> bool {
        self.0.begun.load(Ordering::Acquire) && !self.state().over
    }

    /// A unit is to be worked on.
    pub fn ask(&self, ask: Ask) {
        self.state().asks.push(ask);
    }

    /// Tells what has finished, and wakes the loop for what was asked.
    pub fn hand_over(&self, finished: &mut Finished) {
        let mut state = self.state();
        let rings = !state.asks.is_empty();
        let mut done = std::mem::take(&mut state.done).into_iter();
        while !finished.is_full()
            && let Some((slot, outcome)) = done.next()
        {
            finished.unit(slot, |out| outcome?.iter().try_for_each(|value| out.push_bytes(value)));
        }
        if done.len() > 0 {
            state.done.extend(done);
            state.waker.wake();
        }
        drop(state);
        if rings {
            self.ring();
        }
    }

    /// Nothing comes any more, and what is open is of no interest.
    pub fn close(&self) {
        self.state().over = true;
        self.ring();
    }

    fn ring(&self) {
        // A full pipe wakes it as well.
        let _ = (&self.0.bell).write(&[1]);
    }
}

/// The port, for the loop.
#[pyclass(frozen, module = "pipeline_zmq._native")]
pub(crate) struct Units {
    port: Port,
    workbench: Arc<Workbench>,
}

impl Units {
    pub(super) fn new(port: Port, workbench: Arc<Workbench>) -> Self {
        Self { port, workbench }
    }
}

#[pymethods]
impl Units {
    /// Readable when there is something to take.
    fn fileno(&self) -> i32 {
        self.port.0.heard.as_raw_fd()
    }

    /// Whether the main thread is wanted for something else.
    fn is_over(&self) -> bool {
        self.port.state().over || self.workbench.is_wanted()
    }

    /// What is to be worked on: a list of (slot, unit, how to call, function, item); an item that can't be
    /// read has ended already.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut bytes = [0; 512];
        while matches!((&self.port.0.heard).read(&mut bytes), Ok(512)) {}
        let asks = std::mem::take(&mut self.port.state().asks);
        let taken = PyList::empty(py);
        for ask in asks {
            let Ask { slot, unit, item, callee, terms } = ask;
            let read = match &callee {
                Ok(_) => Decoder.object(py, &item),
                Err(told) => Err(pyo3::exceptions::PyRuntimeError::new_err(*told)),
            };
            let attempt = unit.2;
            self.port.state().open.insert(slot, (attempt, terms));
            match (read, callee) {
                (Ok(item), Ok(callee)) => {
                    let parts = (slot, unit, &callee.single, &callee.function, item);
                    taken.append(parts)?;
                }
                (Err(error), _) => self.ended(py, slot, Err(error)),
                (Ok(_), Err(_)) => {}
            }
        }
        Ok(taken)
    }

    /// Tells what has come of units: (slot, result, None) or (slot, None, exception) each.
    fn tell(&self, py: Python<'_>, done: &Bound<'_, PyList>) -> PyResult<()> {
        for ended in done.iter() {
            let ended = ended.cast_into::<PyTuple>().map_err(PyErr::from)?;
            let (slot, result, error): (Slot, Bound<'_, PyAny>, Bound<'_, PyAny>) =
                ended.extract()?;
            let outcome = if error.is_none() { Ok(result) } else { Err(PyErr::from_value(error)) };
            self.ended(py, slot, outcome);
        }
        Ok(())
    }
}

impl Units {
    fn ended(&self, py: Python<'_>, slot: Slot, outcome: PyResult<Bound<'_, PyAny>>) {
        let (known, limits) = {
            let mut state = self.port.state();
            (state.open.remove(&slot), state.limits)
        };
        // One that ends twice has said everything the first time.
        let Some((attempt, terms)) = known else { return };
        let mut out = Outputs::new(limits);
        let given = match outcome {
            Ok(result) => terms.give(&result, attempt, &mut out),
            Err(error) => terms.raise(py, error, attempt, &mut out),
        };
        let mut state = self.port.state();
        state.done.push((slot, given.map(|_| out)));
        state.waker.wake();
    }
}
