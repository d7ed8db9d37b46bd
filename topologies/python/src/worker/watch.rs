//! A look at the function from outside, while it works on a group of units.
//!
//! A unit that takes longer than it may is interrupted: `pipeline_zmq._worker` has the main thread raise an
//! exception. Units are begun in groups, and one that suddenly takes long must not hold those behind it: what of its
//! group is not begun is taken from it, so that other workers can have it, and what is done is handed over. Owns the thread that does so,
//! which needs the interpreter only then; a function that holds the interpreter itself is not interrupted.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use pyo3::{prelude::*, types::PyList};
use worker::{
    OutputLimits, Outputs,
    function::{Interim, Outcomes},
};

use super::terms::Terms;

/// A group that lasts longer is cut behind the unit that is under way.
const GROUP_MAX: Duration = Duration::from_millis(5);
/// So many looks at nothing, and the thread sleeps until it is woken.
const IDLE_LOOKS: u32 = 200;

/// What is worked on.
pub(super) struct Watched {
    begun: Instant,
    // Values, the results of those that are done, and what some of these raised instead: pairs of a place and
    // an exception.
    values: Py<PyList>,
    results: Py<PyList>,
    raised: Py<PyList>,
    terms: Arc<Terms>,
    attempt: u32,
    interim: Option<Arc<dyn Interim>>,
    limits: OutputLimits,
    cut: bool,
    // Units that are done, and since when the next one is worked on.
    at: (usize, Instant),
    interrupted: bool,
    // Results that were handed over.
    given: usize,
}

impl Watched {
    /// A group that begins now.
    pub fn new(
        work: &Work<'_>,
        terms: &Arc<Terms>,
        (interim, limits): (Option<Arc<dyn Interim>>, OutputLimits),
        attempt: u32,
    ) -> Self {
        Self {
            begun: Instant::now(),
            values: work.values.clone().unbind(),
            results: work.results.clone().unbind(),
            raised: work.raised.clone().unbind(),
            terms: terms.clone(),
            attempt,
            interim,
            limits,
            cut: false,
            at: (0, Instant::now()),
            interrupted: false,
            given: 0,
        }
    }

    /// Hands over what is done, and lets go of what is not begun, since the unit under way takes long.
    fn hand_over(&mut self, py: Python<'_>) {
        let results = self.results.bind(py);
        let done = results.len();
        let Some(interim) = self.interim.take() else { return };
        let (mut outputs, mut outcomes) = (Outputs::new(self.limits), Outcomes::default());
        let raised = Raised::of(self.raised.bind(py));
        for place in 0..done {
            outputs.begin_unit();
            let outcome = match (raised.at(place), results.get_item(place)) {
                (Some(error), _) => self.terms.raise(py, error, self.attempt, &mut outputs),
                (None, Ok(result)) => self.terms.give(&result, self.attempt, &mut outputs),
                (None, Err(error)) => self.terms.raise(py, error, self.attempt, &mut outputs),
            };
            match outcome {
                Ok(count) => outcomes.push(count),
                Err(failure) => {
                    outputs.forget_unit();
                    outcomes.push_failed(failure);
                }
            }
        }
        interim.give(&outcomes, &mut outputs, self.begun.elapsed());
        self.given = done;
    }
}

/// A group's lists.
pub(super) struct Work<'py> {
    pub values: Bound<'py, PyList>,
    pub results: Bound<'py, PyList>,
    pub raised: Bound<'py, PyList>,
}

/// What units of a group raised, by their places.
pub(super) struct Raised<'py>(HashMap<usize, Bound<'py, PyAny>>);

impl<'py> Raised<'py> {
    /// Reads a list of pairs of a place and an exception.
    pub fn of(list: &Bound<'py, PyList>) -> Self {
        Self(list.iter().filter_map(|pair| pair.extract().ok()).collect())
    }

    /// What the unit at this place raised.
    pub fn at(&self, place: usize) -> Option<PyErr> {
        self.0.get(&place).map(|error| PyErr::from_value(error.clone()))
    }
}

/// How long a unit may take, and who interrupts it.
#[derive(Clone)]
struct Limit {
    most: Duration,
    terms: Arc<Terms>,
}

struct Shared {
    watched: Mutex<Option<Watched>>,
    limit: Mutex<Option<Limit>>,
    asleep: AtomicBool,
    over: AtomicBool,
}

impl Shared {
    fn watched(&self) -> MutexGuard<'_, Option<Watched>> {
        // Nothing under the lock can panic halfway.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread; it ends when this is dropped.
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: thread::Thread,
}

impl Watch {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            watched: Mutex::new(None),
            limit: Mutex::new(None),
            asleep: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let theirs = shared.clone();
        let thread = thread::Builder::new().name("watch".into()).spawn(move || look(&theirs))?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    /// A unit may take so many seconds at most.
    pub fn limit(&self, seconds: Option<f64>, terms: &Arc<Terms>) {
        let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let limit = limit.map(|most| Limit { most, terms: terms.clone() });
        *self.shared.limit.lock().unwrap_or_else(PoisonError::into_inner) = limit;
    }

    /// The function works on a group.
    pub fn begin(&self, watched: Watched) {
        *self.shared.watched() = Some(watched);
        if self.shared.asleep.swap(false, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }

    /// It works on nothing now; how many of the group's results were handed over.
    pub fn end(&self) -> usize {
        let ended = self.shared.watched().take();
        // What was watched is dropped here, not under the lock: it is Python's.
        ended.map_or(0, |watched| watched.given)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn look(shared: &Shared) {
    let mut idle = 0;
    while !shared.over.load(Ordering::Acquire) {
        if idle == IDLE_LOOKS {
            shared.asleep.store(true, Ordering::Release);
            if shared.watched().is_none() && !shared.over.load(Ordering::Acquire) {
                thread::park();
            }
            shared.asleep.store(false, Ordering::Release);
            idle = 0;
        }
        thread::sleep(GROUP_MAX);
        let late = match &mut *shared.watched() {
            None => {
                idle += 1;
                continue;
            }
            Some(watched) => !watched.cut && watched.begun.elapsed() >= GROUP_MAX,
        };
        idle = 0;
        // Not held while the interpreter is waited for.
        let limit = shared.limit.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if late {
            Python::attach(|py| cut(py, shared));
        }
        if let Some(limit) = &limit {
            Python::attach(|py| interrupt(py, shared, limit));
        }
    }
}

/// Interrupts the unit that is worked on, if that takes too long.
fn interrupt(py: Python<'_>, shared: &Shared, limit: &Limit) {
    let Some(watched) = &mut *shared.watched() else { return };
    let done = watched.results.bind(py).len();
    if watched.at.0 != done {
        watched.at = (done, Instant::now());
        watched.interrupted = false;
    }
    if !watched.interrupted && watched.at.1.elapsed() >= limit.most {
        watched.interrupted = true;
        let seconds = limit.most.as_secs_f64();
        // Python says so itself where it can't.
        let _ = limit.terms.host.bind(py).call_method1("interrupt", (seconds,));
    }
}

/// Takes from the group what is not begun, and hands over what is done. The interpreter is held, so it
/// stays as it is meanwhile.
fn cut(py: Python<'_>, shared: &Shared) {
    let Some(watched) = &mut *shared.watched() else { return };
    if watched.begun.elapsed() < GROUP_MAX {
        return;
    }
    let values = watched.values.bind(py);
    let begun = watched.results.bind(py).len() + 1;
    if begun < values.len() {
        // A list can always be shortened.
        let _ = values.del_slice(begun, values.len());
    }
    watched.hand_over(py);
    watched.cut = true;
}
