//! What Python sees of a pool's inside.
//!
//! Owns the pool's threads and its calls; refuses what Python does as well: the worker processes, and what
//! a user sees.

use std::{
    path::PathBuf,
    process,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pipeline::topology::public_endpoint;
use pyo3::{
    exceptions::{PyOSError, PyValueError},
    prelude::*,
    types::{PyBytes, PyList},
};
use worker::Outputs;

use super::{
    call::{Call, Manner, Taken},
    desk::{Desk, News},
    feed::{Feed, encode, refused},
    intake::{Intake, Put},
    results::{Results, SLICE, broken, decoded},
    threads::{ROLES, Terms, Threads},
};
use crate::values::Encoder;

/// A pool's ventilator and sink, and the calls that go through them.
#[pyclass(frozen, module = "pipeline_zmq._native")]
pub(crate) struct Engine {
    // None once it is stopped.
    threads: Mutex<Option<Threads>>,
    intake: Arc<Intake>,
    desk: Arc<Desk>,
    // Calls of one item each.
    singles: Arc<Call>,
    codes: AtomicU64,
    encoder: Encoder,
    // The process that it belongs to: what a fork has of it is not it.
    owner: u32,
    endpoint: String,
    folder: PathBuf,
}

/// What a pool is started with, as a dict.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Options {
    bind: Option<String>,
    key: Option<PathBuf>,
    retries: u32,
    // Seconds.
    backoff: f64,
    crash_limit: u32,
    concurrency: u32,
    codec: String,
}

impl Options {
    fn is_plain(&self) -> bool {
        self.codec == "plain"
    }

    fn terms(self) -> Result<Terms, String> {
        let is_plain = self.is_plain();
        Ok(Terms {
            bind: self.bind.as_deref().map(public_endpoint).transpose()?,
            key: self.key,
            retries: self.retries,
            backoff_ms: (self.backoff.max(0.0) * 1e3) as u64,
            crash_limit: self.crash_limit,
            concurrency: self.concurrency,
            shelves: !is_plain,
        })
    }
}

impl Engine {
    fn threads(&self) -> MutexGuard<'_, Option<Threads>> {
        // Nothing under the lock can panic halfway.
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_mine(&self) -> bool {
        self.owner == process::id()
    }
}

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, options: Options) -> PyResult<Self> {
        proto::process::keep_memory();
        let is_plain = options.is_plain();
        let terms = options.terms().map_err(PyValueError::new_err)?;
        let threads = py
            .detach(|| Threads::start(&terms))
            .map_err(|error| PyOSError::new_err(proto::causes::with_causes(&error)))?;
        let desk = Arc::new(Desk::default());
        let encoder = match is_plain {
            true => Encoder::plain(),
            false => Encoder::with_shelf(threads.intake.shelves.items().cloned()),
        };
        Ok(Self {
            intake: threads.intake.clone(),
            singles: Call::new(Manner::Told(desk.clone()), Some(u64::MAX / 2), 0),
            desk,
            codes: AtomicU64::new(0),
            encoder,
            owner: process::id(),
            endpoint: threads.endpoint(),
            folder: threads.folder().to_owned(),
            threads: Mutex::new(Some(threads)),
        })
    }

    /// Where workers on this machine find it.
    #[getter]
    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Its private folder, which goes when it is stopped.
    #[getter]
    fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Makes code known to all workers; the id by which items name it. The first has the id 0.
    fn define(&self, code: &Bound<'_, PyBytes>) -> u64 {
        let id = self.codes.fetch_add(1, Ordering::Relaxed);
        self.intake.define(id, Some(code.as_bytes().to_vec()));
        id
    }

    /// Items that were put, those whose outcomes have come, and of these the ones that failed without an
    /// exception.
    fn counts(&self) -> (u64, u64, u64) {
        self.intake.counts()
    }

    /// No item names this code any more.
    fn forget(&self, code: u64) {
        self.intake.define(code, None);
    }

    /// A call whose results are iterated over: where its items go, and its results.
    #[pyo3(signature = (code, *, ordered, window=None))]
    fn stream(&self, code: u64, ordered: bool, window: Option<u64>) -> (Feed, Results) {
        let manner = if ordered { Manner::Ordered } else { Manner::AsTheyCome };
        let call = Call::new(manner, window, 0);
        let feed = Feed::new(call.clone(), self.intake.clone(), code, self.encoder.clone());
        (feed, Results::new(call, self.intake.clone()))
    }

    /// A call whose results are told all at once, under this token: where its items go.
    #[pyo3(signature = (code, token, *, window=None))]
    fn whole(&self, code: u64, token: u64, window: Option<u64>) -> Feed {
        let call = Call::new(Manner::Whole(self.desk.clone()), window, token);
        Feed::new(call, self.intake.clone(), code, self.encoder.clone())
    }

    /// A call of one item, whose result is told: its number, counted from 0.
    fn single(&self, py: Python<'_>, code: u64, item: &Bound<'_, PyAny>) -> PyResult<u64> {
        let mut values = Outputs::new(self.intake.limits());
        encode(&mut values, (code, &self.encoder), item).map_err(refused)?;
        loop {
            // The interpreter is kept: this lasts a moment, and to get it back can take long.
            match self.intake.put_one(&self.singles, &mut values) {
                Put::Number(number) => return Ok(number),
                Put::Closed => {
                    let why = self.intake.broken();
                    return Err(broken(py, why.as_deref().unwrap_or("the pool was closed")));
                }
                Put::Full => {
                    py.detach(|| self.intake.wait_for_one(SLICE));
                    py.check_signals()?;
                }
            }
        }
    }

    /// Somebody is about to wait for the result of this single call, and says so with `leave` when they no longer do.
    /// They look whether it was told already, and then `wait_for` it with what this gives.
    fn expect(&self, number: u64) -> u64 {
        self.desk.expect(number)
    }

    /// Waits a moment for the result of a single call: with what to wait on, and the result in a tuple, if it has come.
    fn wait_for<'py>(
        &self,
        py: Python<'py>,
        number: u64,
        rounds: u64,
        seconds: f64,
    ) -> PyResult<(u64, Option<(Bound<'py, PyAny>,)>)> {
        let patience = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(SLICE).min(SLICE);
        let (rounds, piece) = py.detach(|| self.desk.wait_for(number, rounds, patience));
        let Some(piece) = piece else {
            py.check_signals()?;
            return Ok((rounds, None));
        };
        Ok((rounds, Some((decoded(py, &piece)?.get_item(0)?,))))
    }

    /// They wait no longer; a result that they have not told is told as the others are.
    fn leave(&self, number: u64, is_told: bool) {
        self.desk.leave(number, is_told);
    }

    /// Whoever waits for a single call looks whether it was told.
    fn look_again(&self) {
        self.desk.look_again();
    }

    /// Waits for results that are told: a list of (token or number, what has come), where what has come is a
    /// list of results for calls of one item each from this number on, or for a call as a whole a tuple of all its
    /// results and None, or of None and why there will be none. None once nothing will be told any more.
    fn news<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let Some(news) = py.detach(|| self.desk.take(Duration::from_secs(3_600))) else {
            return Ok(None);
        };
        let told = PyList::empty(py);
        for news in news {
            match news {
                News::Results(first, piece) => {
                    told.append((first, decoded(py, &piece)?))?;
                }
                News::Done(call) => told.append((call.token, whole(py, &call)?))?,
            }
        }
        Ok(Some(told))
    }

    /// The shelves of one more worker on this machine: the descriptors of that of the items and of that of its results,
    /// as far as there are any, and the id of the latter. None if nothing goes by shelves.
    fn shelves(&self) -> Option<(Option<i32>, Option<i32>, u64)> {
        (!self.encoder.is_plain()).then(|| self.intake.shelves.for_worker())
    }

    /// The worker that had the shelf of this id has ended.
    fn retire_shelf(&self, id: u64) {
        self.intake.retire_shelf(id);
    }

    /// Waits until all calls have put their items, and takes no more. What is under way is finished.
    fn finish(&self, py: Python<'_>) {
        if self.is_mine() {
            py.detach(|| self.intake.finish());
        }
    }

    /// What nobody takes is kept from now on, however much it is.
    fn unbind(&self, py: Python<'_>) {
        py.detach(|| self.intake.unbind());
    }

    /// What is iterated over is read no further.
    fn end_streams(&self, py: Python<'_>) {
        py.detach(|| self.intake.end_streams());
    }

    /// Waits until ventilator and sink have ended, for so many seconds at most; whether they have.
    fn wait_until_over(&self, py: Python<'_>, seconds: f64) -> bool {
        let patience = Duration::from_secs_f64(seconds.clamp(0.0, 3_600.0));
        py.detach(|| self.intake.wait_until_over(ROLES, patience))
    }

    /// Nothing goes on, and every call is told why.
    fn break_off(&self, py: Python<'_>, why: &str) {
        if self.is_mine() {
            py.detach(|| {
                self.intake.break_off(why);
                self.singles.break_off(why);
            });
        }
    }

    /// Ends at once, and removes the folder.
    fn stop(&self, py: Python<'_>) {
        if !self.is_mine() {
            return;
        }
        py.detach(|| {
            let threads = self.threads().take();
            self.intake.break_off("the pool was terminated");
            if let Some(threads) = threads {
                threads.stop();
            }
            self.intake.shelves.clear();
            self.desk.close();
        });
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let threads = self.threads().take();
        match threads {
            // The folder and the sockets are another process's.
            Some(threads) if !self.is_mine() => std::mem::forget(threads),
            Some(threads) => {
                threads.stop();
                self.desk.close();
            }
            None => {}
        }
    }
}

/// All results of a call that is done, or why there are none.
fn whole<'py>(py: Python<'py>, call: &Call) -> PyResult<Bound<'py, PyAny>> {
    let all = PyList::empty(py);
    loop {
        match call.wait(usize::MAX, Duration::ZERO) {
            Taken::Piece(_, piece) => {
                all.call_method1("extend", (decoded(py, &piece)?,))?;
            }
            Taken::End => {
                let told = match call.take_failure() {
                    Some(error) => (py.None(), error).into_pyobject(py)?,
                    None => (all, py.None()).into_pyobject(py)?,
                };
                return Ok(told.into_any());
            }
            Taken::Broken(why) => return Ok((py.None(), why).into_pyobject(py)?.into_any()),
            Taken::Nothing => {
                return Ok((py.None(), "a result is missing").into_pyobject(py)?.into_any());
            }
        }
    }
}
