//! The items of a call, on their way from Python.
//!
//! Owns the waiting for room, without the interpreter, and the encoding of items with it. An iterator is
//! read by a thread of its own; what it has given leaves as soon as its next item is long in coming.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use proto::value::push_uint;
use pyo3::{exceptions::PyValueError, prelude::*, types::PyIterator};
use worker::{Failure, Outputs};

use super::{
    call::Call,
    intake::{Intake, Room},
    results::broken,
};
use crate::values::{Encoder, Fault, push_int, too_large};

/// How long room is waited for before a look whether it is wanted at all.
const PATIENCE: Duration = Duration::from_millis(500);
/// Items that are encoded before they are put.
const CHUNK: u64 = 2_048;
/// The same in bytes.
const CHUNK_BYTES: usize = 256 << 10;
/// What an iterator has given leaves after so long, at the latest.
const LINGER: Duration = Duration::from_millis(2);

/// The way from a call's items to the ventilator.
struct Channel {
    call: Arc<Call>,
    intake: Arc<Intake>,
    // Encoded, and not put. Whoever puts them holds the lock, so items stay in their order.
    values: Mutex<Outputs>,
    over: AtomicBool,
    // Items are left that nobody wanted.
    cut: AtomicBool,
    // The intake knows that no more items follow.
    told: AtomicBool,
}

impl Channel {
    fn values(&self) -> MutexGuard<'_, Outputs> {
        // Nothing under the lock can panic halfway.
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_room(&self) -> Option<u64> {
        loop {
            match self.intake.wait_for_room(&self.call, PATIENCE) {
                Room::Items(items) => return Some(items.min(CHUNK)),
                Room::Closed => {
                    self.cut.store(true, Ordering::Release);
                    return None;
                }
                Room::Full => {}
            }
        }
    }

    /// Puts what is encoded.
    fn put(&self) -> Result<(), String> {
        let mut values = self.values();
        match values.is_empty() {
            true => Ok(()),
            false => self.intake.put(&self.call, &mut values).map(drop),
        }
    }

    /// No more items follow; however often it is said. Python may keep a feed for longer than its items.
    fn fed(&self) {
        if !self.told.swap(true, Ordering::AcqRel) {
            self.intake.fed();
        }
    }

    /// Puts what is encoded every now and then, until the items are over.
    fn linger(&self) {
        while !self.over.load(Ordering::Acquire) {
            thread::sleep(LINGER);
            if self.put().is_err() {
                return;
            }
        }
    }
}

/// One call's items go here.
#[pyclass(frozen, module = "pipeline_zmq._native")]
pub(crate) struct Feed {
    channel: Arc<Channel>,
    code: u64,
    encoder: Encoder,
}

impl Feed {
    pub(super) fn new(call: Arc<Call>, intake: Arc<Intake>, code: u64, encoder: Encoder) -> Self {
        intake.feeding();
        let values = Mutex::new(Outputs::new(intake.limits()));
        let channel = Channel {
            call,
            intake,
            values,
            over: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            told: AtomicBool::new(false),
        };
        Self { channel: Arc::new(channel), code, encoder }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.channel.fed();
    }
}

/// Encodes an item: the code's id, then the value.
pub(super) fn encode(
    values: &mut Outputs,
    (code, encoder): (u64, &Encoder),
    item: &Bound<'_, PyAny>,
) -> Result<(), Fault> {
    values.begin_unit();
    values.push_written(|out| {
        push_head(out, code);
        encoder.append(item, out)
    })
}

/// What stands before each item: that it is one of two, and the code's id.
fn push_head(out: &mut Vec<u8>, code: u64) {
    out.push(0x92);
    push_uint(out, code);
}

/// What cannot be sent, for Python.
pub(super) fn refused(fault: Fault) -> PyErr {
    match fault {
        Fault::Raised(error) => error,
        Fault::Refused(failure) => PyValueError::new_err(too_large("an item", failure)),
    }
}

#[pymethods]
impl Feed {
    /// Reads an iterator as far as its items are wanted, to its end. What it raises is raised behind what
    /// it gave before.
    fn read(&self, py: Python<'_>, items: &Bound<'_, PyIterator>) -> PyResult<()> {
        let channel = self.channel.clone();
        let lingerer = thread::Builder::new().name("items".into());
        lingerer.spawn(move || channel.linger())?;
        let read = self.read_all(py, items);
        self.channel.over.store(true, Ordering::Release);
        py.detach(|| self.channel.put()).map_err(|why| broken(py, &why))?;
        read
    }

    /// Puts the numbers of a range, without the interpreter, until they end or are not wanted.
    fn range(&self, py: Python<'_>, first: i64, step: i64, count: u64) -> PyResult<()> {
        py.detach(|| {
            let mut done = 0;
            while done < count {
                let Some(room) = self.channel.wait_for_room() else { return Ok(()) };
                let places = done..count.min(done + room);
                done = places.end;
                self.encode_numbers(first, step, places);
                self.channel.put()?;
            }
            Ok(())
        })
        .map_err(|why: String| broken(py, &why))
    }

    /// How many results have come, and how many items there are once that is known.
    fn progress(&self) -> (u64, Option<u64>) {
        self.channel.call.progress()
    }

    /// No more items follow.
    fn end(&self) {
        let channel = &self.channel;
        let broken = channel.intake.broken().filter(|_| channel.cut.load(Ordering::Acquire));
        match broken {
            // What came so far is not all.
            Some(why) => channel.call.break_off(&why),
            None => channel.call.end(),
        }
        channel.fed();
    }

    /// No more items follow: reading them has raised this.
    fn fail_with(&self, error: Py<PyAny>) {
        self.channel.call.fail(error);
        self.channel.fed();
    }
}

impl Feed {
    fn read_all(&self, py: Python<'_>, items: &Bound<'_, PyIterator>) -> PyResult<()> {
        let mut items = items.clone();
        loop {
            let Some(room) = py.detach(|| self.channel.wait_for_room()) else { return Ok(()) };
            for _ in 0..room {
                let Some(item) = items.next() else { return Ok(()) };
                let item = item?;
                // Python runs while the lock is held, and who waits for it needs no Python.
                let mut values = self.channel.values();
                encode(&mut values, (self.code, &self.encoder), &item).map_err(refused)?;
                let is_much = values.payload().len() >= CHUNK_BYTES;
                drop(values);
                if is_much || self.channel.intake.shelves.is_full() {
                    break;
                }
            }
            py.detach(|| self.channel.put()).map_err(|why| broken(py, &why))?;
        }
    }

    fn encode_numbers(&self, first: i64, step: i64, places: std::ops::Range<u64>) {
        let mut values = self.channel.values();
        for place in places {
            let number = first.wrapping_add(step.wrapping_mul(place as i64));
            values.begin_unit();
            // No limit is as low as a number.
            let _ = values.push_written(|out| {
                push_head(out, self.code);
                push_int(out, number);
                Ok::<_, Failure>(())
            });
        }
    }
}
