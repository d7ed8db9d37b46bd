//! The source of an embedded pipeline: an iterator, pulled by a thread of its own.
//!
//! Owns how far the iterator is pulled: never beyond what the ventilator has asked for. What has
//! been pulled leaves as soon as it is asked for, although the next item may be long in coming.
//! Refuses to know what an item is, beyond its encoding.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use proto::{net::driver::Handle, units::Units};
use serde::Serialize;
use ventilator::core::{Reply, Request};
use worker::{Failure, OutputLimits, Outputs};

/// Bytes of values that wait to be asked for before the iterator is left alone.
const READY_BYTES_MAX: usize = 256 << 10;

/// Why the iterator was not pulled to its end.
pub(super) enum Break {
    /// It panicked, with this payload.
    Panic(Box<dyn Any + Send>),
    /// An item has no form in which it could travel.
    Item {
        /// Its place, from 0.
        id: u64,
        /// Why.
        failure: Failure,
    },
}

/// Where the pulling thread and the ventilator meet.
pub(super) struct Tap {
    state: Mutex<State>,
    wanted: Condvar,
    ventilator: Handle<Reply>,
}

struct State {
    ready: Outputs,
    // The place of the first that is ready.
    first: u64,
    // Items that may still be pulled.
    demand: u64,
    // The ventilator waits for an answer.
    asked: bool,
    // The pulling thread waits for demand.
    idle: bool,
    ended: bool,
    closed: bool,
    broke: Option<Break>,
}

impl State {
    fn is_wanted(&self) -> bool {
        self.demand > 0 && self.ready.payload().len() < READY_BYTES_MAX
    }

    fn take(&mut self) -> Reply {
        let (payload, ends) = self.ready.take();
        let units = Units::from_source(self.first, payload, ends);
        self.first += units.len() as u64;
        Reply::Read { units, ended: self.ended }
    }

    fn end(&mut self, broke: Option<Break>) {
        self.ended = true;
        self.broke = broke;
    }

    fn put(&mut self, value: &[u8]) {
        self.ready.begin_unit();
        if let Err(failure) = self.ready.push_bytes(value) {
            return self.break_off(failure);
        }
        self.demand -= 1;
    }

    fn break_off(&mut self, failure: Failure) {
        let id = self.first + self.ready.len() as u64;
        self.end(Some(Break::Item { id, failure }));
    }
}

impl Tap {
    pub(super) fn new(limits: OutputLimits, ventilator: Handle<Reply>) -> Self {
        let state = State {
            ready: Outputs::new(limits),
            first: 0,
            demand: 0,
            asked: false,
            idle: false,
            ended: false,
            closed: false,
            broke: None,
        };
        Self { state: Mutex::new(state), wanted: Condvar::new(), ventilator }
    }

    /// Does what the ventilator asks: now if there is anything to give, else when there is.
    pub(super) fn perform(&self, request: Request) -> Option<Reply> {
        let Request::Read(units_max) = request else {
            // A new run, and no other, begins at unit 0.
            return None;
        };
        let mut state = self.lock();
        state.demand = units_max.saturating_sub(state.ready.len() as u64);
        state.asked = state.ready.is_empty() && !state.ended;
        let reply = (!state.asked).then(|| state.take());
        if state.idle && state.is_wanted() {
            self.wanted.notify_one();
        }
        reply
    }

    /// Pulls `items` as far as asked, until they end or the tap is closed. The iterator's own
    /// code, its items' and their encoding run without the lock.
    pub(super) fn feed<I>(&self, mut items: I)
    where
        I: Iterator,
        I::Item: Serialize,
    {
        let mut state = self.lock();
        let mut encoded = Outputs::new(state.ready.limits());
        loop {
            state = self.await_demand(state);
            if state.closed {
                return;
            }
            drop(state);
            encoded.clear();
            let pulled =
                catch_unwind(AssertUnwindSafe(|| items.next().map(|item| encoded.push(&item))));
            state = self.lock();
            match pulled {
                Ok(Some(Ok(()))) => state.put(encoded.payload()),
                Ok(Some(Err(failure))) => state.break_off(failure),
                Ok(None) => state.end(None),
                Err(panic) => state.end(Some(Break::Panic(panic))),
            }
            if state.asked {
                state.asked = false;
                let reply = state.take();
                self.ventilator.reply(reply);
            }
            if state.ended {
                return;
            }
        }
    }

    /// Waits until an item is wanted, or none will be any more.
    fn await_demand<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while !state.closed && !state.is_wanted() {
            state.idle = true;
            state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle = false;
        }
        state
    }

    /// Nothing is pulled any more; an item that is being pulled is dropped when it comes.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wanted.notify_one();
    }

    /// Why the iterator was not pulled to its end, if it was not.
    pub(super) fn take_break(&self) -> Option<Break> {
        self.lock().broke.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under the lock, so nothing can be left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
