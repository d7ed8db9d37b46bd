//! Units on their way to the ventilator.
//!
//! Owns how far calls are read: not beyond what the ventilator has asked for and what each call has room
//! for. Units of all calls come in one row, as they are put; code that they name goes before them. Refuses
//! to know Python.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use proto::{frame::Code, net::driver::Handle, units::Units};
use sink::entry::{Entry, Outcome};
use ventilator::core::{Reply, Request};
use worker::{OutputLimits, Outputs};

use super::{
    call::{Call, Piece},
    ready::Ready,
    routes::{Found, Routes},
    shelves::Shelves,
};

/// Bytes of values that wait to be asked for before calls are left alone.
const READY_BYTES_MAX: usize = 256 << 10;
/// The same for calls of one item each, whose number is bounded elsewhere.
const SINGLE_BYTES_MAX: usize = 64 << 20;

/// With fewer items under way a single one is sent at once, by whoever puts it. Beyond that those who compute have
/// something to do, and what is put meanwhile goes together.
const LONE_ITEMS: u64 = 8;

/// What became of a single item.
pub(super) enum Put {
    /// It has this number.
    Number(u64),
    /// There is no room so far.
    Full,
    /// Nothing can be put any more.
    Closed,
}

/// How much may be put.
pub(super) enum Room {
    /// So many items.
    Items(u64),
    /// None so far.
    Full,
    /// Nobody wants any more.
    Closed,
}

struct State {
    ready: Ready,
    codes: Vec<Code>,
    // The unit of the first that is ready.
    first: u64,
    // Units that the ventilator has asked for, and so many beyond those that are ready.
    allowed: u64,
    demand: u64,
    // The ventilator waits for an answer.
    asked: bool,
    // No more will be put.
    closing: bool,
    ended: bool,
    broken: Option<String>,
    routes: Routes,
    // Calls whose items are not all put.
    feeding: usize,
    // What is not taken is kept, however much it is.
    unbound: bool,
    // Calls that are iterated over are read no further.
    no_streams: bool,
    // Roles that have ended.
    over: usize,
    // Items whose outcomes have come, and how many of them failed for good.
    came: u64,
    dead: u64,
}

impl State {
    /// Adds items of a call to those that are ready; the index of the first.
    fn add(&mut self, call: &Arc<Call>, values: &mut Outputs) -> u64 {
        let count = values.len() as u64;
        let index = call.feed(count);
        let first = self.first + self.ready.len();
        self.routes.add(first, count, call, index);
        self.demand = self.demand.saturating_sub(count);
        self.ready.put(values);
        index
    }

    /// Has the ventilator ask once more, by then for all that is ready.
    fn ask_again(&mut self) -> Reply {
        self.asked = false;
        Reply::Read { units: Units::new(), ended: false }
    }

    /// What the ventilator is given: never more than it has asked for.
    fn take(&mut self) -> Reply {
        let (payload, ends) = self.ready.take(self.allowed);
        let units = Units::from_source(self.first, payload, ends);
        self.first += units.len() as u64;
        self.ended = self.closing && self.ready.is_empty();
        self.asked = false;
        match self.codes.is_empty() {
            true => Reply::Read { units, ended: self.ended },
            false => {
                let codes = std::mem::take(&mut self.codes);
                Reply::Named { codes, units, ended: self.ended }
            }
        }
    }
}

/// Where calls and the ventilator meet.
pub(super) struct Intake {
    state: Mutex<State>,
    room: Condvar,
    ventilator: Handle<Reply>,
    limits: OutputLimits,
    /// Where large buffers are.
    pub shelves: Shelves,
}

impl Intake {
    pub fn new(limits: OutputLimits, ventilator: Handle<Reply>, shelves: Shelves) -> Self {
        let state = State {
            ready: Ready::new(limits),
            codes: Vec::new(),
            first: 0,
            allowed: 0,
            demand: 0,
            asked: false,
            closing: false,
            ended: false,
            broken: None,
            routes: Routes::default(),
            feeding: 0,
            unbound: false,
            no_streams: false,
            over: 0,
            came: 0,
            dead: 0,
        };
        Self { state: Mutex::new(state), room: Condvar::new(), ventilator, limits, shelves }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one value may take.
    pub fn limits(&self) -> OutputLimits {
        self.limits
    }

    /// Does what the ventilator asks: now if there is anything to give, else when there is.
    pub fn perform(&self, request: Request) -> Option<Reply> {
        let Request::Read(units_max) = request else {
            // A new run, and no other, begins at unit 0.
            return None;
        };
        let mut state = self.state();
        state.allowed = units_max;
        state.demand = units_max.saturating_sub(state.ready.len());
        let has_something = !state.ready.is_empty() || (state.closing && !state.ended);
        state.asked = !has_something && !state.ended;
        let reply = has_something.then(|| state.take());
        drop(state);
        self.room.notify_all();
        reply
    }

    /// Code that units which are put from now on may name, or that none does any more.
    pub fn define(&self, id: u64, bytes: Option<Vec<u8>>) {
        let mut state = self.state();
        if bytes.is_none() && state.codes.iter().any(|code| code.id == id) {
            return state.codes.retain(|code| code.id != id);
        }
        state.codes.push(Code { id, bytes });
    }

    /// Waits until items of a call may be put, for so long at most.
    pub fn wait_for_room(&self, call: &Call, patience: Duration) -> Room {
        self.wait(patience, |state| {
            let Some(room) = call.room() else { return Some(Room::Closed) };
            if state.no_streams && call.is_stream() {
                return Some(Room::Closed);
            }
            let items = if state.unbound { state.demand } else { room.min(state.demand) };
            let is_free =
                items > 0 && state.ready.bytes() < READY_BYTES_MAX && !self.shelves.is_full();
            is_free.then_some(Room::Items(items))
        })
    }

    /// Waits until a single item may be put, for so long at most.
    pub fn wait_for_one(&self, patience: Duration) -> Room {
        self.wait(patience, |state| {
            let is_free = state.ready.bytes() < SINGLE_BYTES_MAX && !self.shelves.is_full();
            is_free.then_some(Room::Items(1))
        })
    }

    fn wait(&self, patience: Duration, look: impl Fn(&State) -> Option<Room>) -> Room {
        let deadline = Instant::now() + patience;
        let mut state = self.state();
        loop {
            if state.broken.is_some() || state.closing {
                return Room::Closed;
            }
            if let Some(room) = look(&state) {
                return room;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Room::Full;
            }
            state = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// One more call is about to put items; [`fed`](Self::fed) tells that it has put all.
    pub fn feeding(&self) {
        self.state().feeding += 1;
    }

    /// A call has put all its items.
    pub fn fed(&self) {
        let mut state = self.state();
        state.feeding -= 1;
        drop(state);
        self.room.notify_all();
    }

    /// Waits until all calls have put all their items, and says that no more come.
    pub fn finish(&self) {
        let mut state = self.state();
        while state.feeding > 0 && state.broken.is_none() {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.close();
    }

    /// What nobody takes is kept from now on, however much it is.
    pub fn unbind(&self) {
        self.state().unbound = true;
        self.room.notify_all();
    }

    /// Calls that are iterated over are read no further.
    pub fn end_streams(&self) {
        self.state().no_streams = true;
        self.room.notify_all();
    }

    /// Room may have become free somewhere else.
    pub fn look_again(&self) {
        self.room.notify_all();
    }

    /// Puts the next items of a call; why not, if nothing can be put any more. The index of the first.
    pub fn put(&self, call: &Arc<Call>, values: &mut Outputs) -> Result<u64, String> {
        let mut state = self.state();
        if let Some(why) = &state.broken {
            return Err(why.clone());
        }
        self.shelves.put(state.first + state.ready.len(), values);
        let index = state.add(call, values);
        if state.asked {
            let reply = state.take();
            drop(state);
            self.ventilator.carry_in(reply);
        }
        Ok(index)
    }

    /// Puts one item of a call whose items are counted elsewhere, without waiting.
    pub fn put_one(&self, call: &Arc<Call>, values: &mut Outputs) -> Put {
        let mut state = self.state();
        if state.broken.is_some() || state.closing {
            return Put::Closed;
        }
        if state.ready.bytes() >= SINGLE_BYTES_MAX {
            return Put::Full;
        }
        self.shelves.put(state.first + state.ready.len(), values);
        let number = state.add(call, values);
        if state.asked {
            let under_way = state.first + state.ready.len() - state.came;
            let is_lone = under_way <= LONE_ITEMS;
            let reply = if is_lone { state.take() } else { state.ask_again() };
            drop(state);
            match is_lone {
                true => self.ventilator.carry_in(reply),
                false => self.ventilator.reply(reply),
            }
        }
        Put::Number(number)
    }

    /// No more will be put.
    fn close(&self) {
        let mut state = self.state();
        if state.closing {
            return;
        }
        state.closing = true;
        if state.asked {
            let reply = state.take();
            drop(state);
            self.ventilator.reply(reply);
        }
        self.room.notify_all();
    }

    /// Nothing goes on: all calls are told why.
    pub fn break_off(&self, why: &str) {
        let mut state = self.state();
        state.broken.get_or_insert_with(|| why.to_owned());
        let calls: Vec<Arc<Call>> = state.routes.calls().cloned().collect();
        drop(state);
        calls.iter().for_each(|call| call.break_off(why));
        self.room.notify_all();
    }

    /// One of the roles has ended.
    pub fn role_over(&self) {
        self.state().over += 1;
        self.room.notify_all();
    }

    /// Waits until so many roles have ended, for so long at most; whether they have.
    pub fn wait_until_over(&self, roles: usize, patience: Duration) -> bool {
        let state = self.state();
        let ended = self.room.wait_timeout_while(state, patience, |state| state.over < roles);
        !ended.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Items that were put, and of those whose outcomes have come, and who failed without an exception.
    pub fn counts(&self) -> (u64, u64, u64) {
        let state = self.state();
        (state.first + state.ready.len(), state.came, state.dead)
    }

    /// Why nothing goes on, if so.
    pub fn broken(&self) -> Option<String> {
        self.state().broken.clone()
    }

    /// A worker with this shelf has ended: no unit that is put from now on was its.
    pub fn retire_shelf(&self, id: u64) {
        let state = self.state();
        self.shelves.retire(id, state.first + state.ready.len());
    }

    /// Gives outcomes to their calls.
    pub fn deliver(&self, mut entry: Entry) {
        let mut missing = None;
        if let Outcome::Values { units, .. } = &mut entry.outcome {
            match self.shelves.whole(units) {
                Ok(Some(whole)) => *units = whole,
                Ok(None) => {}
                Err(error) => missing = Some(format!("a result is missing: {error}")),
            }
        }
        let found = {
            let mut state = self.state();
            state.came += entry.count;
            state.dead += u64::from(matches!(entry.outcome, Outcome::Dead { .. }));
            let found = state.routes.take(entry.first, entry.count);
            let open = state.routes.first();
            self.shelves.came(entry.first, entry.count, open);
            found
        };
        for Found { call, index, offset, count } in found {
            let piece = match &entry.outcome {
                Outcome::Values { .. } if missing.is_some() => {
                    let error = missing.clone().unwrap_or_default();
                    Piece::Dead { error, attempts: 1 }
                }
                Outcome::Values { units, .. } => {
                    let range = offset as usize..(offset + count) as usize;
                    Piece::Values(units.slice(range), 0..count as usize)
                }
                Outcome::Dead { dead, .. } => {
                    Piece::Dead { error: dead.error.clone(), attempts: dead.attempts }
                }
                Outcome::Expanded(_) | Outcome::Filtered(_) => Piece::Dead {
                    error: "a worker gave several outputs, or none, for one item".to_owned(),
                    attempts: 1,
                },
            };
            call.deliver(index, piece);
        }
        self.room.notify_all();
    }
}
