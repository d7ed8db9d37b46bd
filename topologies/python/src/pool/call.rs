//! One call of a pool: how much of it is under way, and what has come of it.
//!
//! Owns the order in which results are taken, and the bound on what waits to be taken: no item is read
//! beyond it. Refuses to know what a result is.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use proto::units::Units;
use pyo3::{Py, PyAny};

use super::desk::{Desk, News};

/// Items of one call that are under way or wait to be taken, unless its caller says otherwise.
pub(super) const WINDOW: u64 = 1 << 18;
/// Bytes of results that wait to be taken; no more is read beyond.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Results of items in a row.
#[derive(Debug)]
pub(super) enum Piece {
    /// The values of these units.
    Values(Units, Range<usize>),
    /// One item, whose unit failed for good.
    Dead {
        /// The story of the last attempt.
        error: String,
        attempts: u32,
    },
}

impl Piece {
    /// Of how many items.
    pub fn len(&self) -> u64 {
        match self {
            Self::Values(_, range) => range.len() as u64,
            Self::Dead { .. } => 1,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Values(units, range) => units.values(range.clone()).len(),
            Self::Dead { error, .. } => error.len(),
        }
    }

    /// The first so many of them, if that is neither none nor all; these are the rest then.
    pub fn cut(&mut self, count: usize) -> Option<Self> {
        (0 < count && (count as u64) < self.len()).then(|| self.split_off_front(count)).flatten()
    }

    /// The first so many of them, which are fewer than all; these are the rest then.
    fn split_off_front(&mut self, count: usize) -> Option<Self> {
        let Self::Values(units, range) = self else { return None };
        let front = range.start..range.start + count;
        range.start += count;
        Some(Self::Values(units.slice(front.clone()), 0..count))
    }
}

/// In which way results are taken.
#[derive(Debug, Clone)]
pub(super) enum Manner {
    /// By whoever asks, in the items' order.
    Ordered,
    /// By whoever asks, as they come.
    AsTheyCome,
    /// All at once, when all are there; the desk tells when.
    Whole(Arc<Desk>),
    /// Each one by the desk, as they come.
    Told(Arc<Desk>),
}

#[derive(Debug, Default)]
struct State {
    /// By the index of their first item.
    arrived: BTreeMap<u64, Piece>,
    arrived_bytes: usize,
    fed: u64,
    came: u64,
    taken: u64,
    // Of these, those that whoever took them is done with.
    given: u64,
    // How many there are, once that is known.
    total: Option<u64>,
    // Nobody wants anything of it any more.
    dropped: bool,
    // Nothing comes any more, and why.
    broken: Option<String>,
    told_done: bool,
    // What reading the items raised, behind what came before.
    failure: Option<Py<PyAny>>,
}

/// What a caller finds.
pub(super) enum Taken {
    /// Results, with the index of the first.
    Piece(u64, Piece),
    /// All were taken.
    End,
    /// Nothing comes any more; why.
    Broken(String),
    /// Nothing has come so far.
    Nothing,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    state: Mutex<State>,
    news: Condvar,
    manner: Manner,
    window: u64,
    /// By which the desk's listener knows it.
    pub token: u64,
}

impl Call {
    pub fn new(manner: Manner, window: Option<u64>, token: u64) -> Arc<Self> {
        let window = window.unwrap_or(WINDOW).max(1);
        Arc::new(Self { state: Mutex::default(), news: Condvar::new(), manner, window, token })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more items may be fed now; none once nobody wants them.
    pub fn room(&self) -> Option<u64> {
        let state = self.state();
        if state.dropped || state.broken.is_some() {
            return None;
        }
        if state.arrived_bytes >= WAITING_BYTES_MAX && !matches!(self.manner, Manner::Whole(_)) {
            return Some(0);
        }
        // What is taken as a whole is kept anyway.
        let gone = if matches!(self.manner, Manner::Whole(_)) { state.came } else { state.given };
        Some(self.window.saturating_sub(state.fed - gone))
    }

    /// Items were fed; the index of the first.
    pub fn feed(&self, items: u64) -> u64 {
        let mut state = self.state();
        let first = state.fed;
        state.fed += items;
        first
    }

    /// How many results have come, and how many items there are once that is known; what came is all there
    /// is once nobody wants more.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let state = self.state();
        let is_over = state.dropped || state.broken.is_some();
        (state.came, if is_over { Some(state.came) } else { state.total })
    }

    /// Whether it is iterated over.
    pub fn is_stream(&self) -> bool {
        matches!(self.manner, Manner::Ordered | Manner::AsTheyCome)
    }

    /// No more items will be fed, since reading them has raised this.
    pub fn fail(self: &Arc<Self>, error: Py<PyAny>) {
        self.state().failure = Some(error);
        self.end();
    }

    /// What reading the items has raised.
    pub fn take_failure(&self) -> Option<Py<PyAny>> {
        self.state().failure.take()
    }

    /// No more items will be fed.
    pub fn end(self: &Arc<Self>) {
        let mut state = self.state();
        state.total = Some(state.fed);
        self.announce(&mut state);
        drop(state);
        self.news.notify_all();
    }

    /// Results have come.
    pub fn deliver(self: &Arc<Self>, index: u64, piece: Piece) {
        if let Manner::Told(desk) = &self.manner {
            self.state().came += piece.len();
            return desk.put(News::Results(index, piece));
        }
        let mut state = self.state();
        state.came += piece.len();
        if state.dropped {
            return;
        }
        let is_next = index == state.taken || !matches!(self.manner, Manner::Ordered);
        state.arrived_bytes += piece.bytes();
        state.arrived.insert(index, piece);
        self.announce(&mut state);
        let tells = is_next && matches!(self.manner, Manner::Ordered | Manner::AsTheyCome);
        drop(state);
        if tells {
            self.news.notify_all();
        }
    }

    fn announce(self: &Arc<Self>, state: &mut State) {
        let Manner::Whole(desk) = &self.manner else { return };
        let done = state.total == Some(state.came) || state.broken.is_some();
        if done && !state.told_done {
            state.told_done = true;
            desk.put(News::Done(self.clone()));
        }
    }

    /// Nothing comes any more.
    pub fn break_off(self: &Arc<Self>, why: &str) {
        let mut state = self.state();
        let is_done = state.total == Some(state.came);
        if !is_done {
            state.broken.get_or_insert_with(|| why.to_owned());
            self.announce(&mut state);
        }
        drop(state);
        self.news.notify_all();
    }

    /// Nobody wants anything of it any more.
    pub fn drop_results(&self) {
        let mut state = self.state();
        state.dropped = true;
        state.arrived.clear();
        state.arrived_bytes = 0;
    }

    /// How many results are taken at once at most: a small part of the window, since others come in their places only
    /// when all of them are given.
    pub fn batch(&self) -> usize {
        usize::try_from(self.window / 8).unwrap_or(usize::MAX).max(1)
    }

    /// Whoever took so many results is done with them.
    pub fn give(&self, results: u64) {
        self.state().given += results;
    }

    /// Takes results that are there, `most` at most.
    fn take(&self, state: &mut State, most: usize) -> Option<(u64, Piece)> {
        let mut first = state.arrived.first_entry()?;
        let index = *first.key();
        if matches!(self.manner, Manner::Ordered | Manner::Whole(_)) && index != state.taken {
            return None;
        }
        let piece = match first.get().len() > most as u64 {
            true => {
                let front = first.get_mut().split_off_front(most)?;
                let rest = first.remove();
                state.arrived.insert(index + most as u64, rest);
                front
            }
            false => first.remove(),
        };
        state.arrived_bytes = state.arrived_bytes.saturating_sub(piece.bytes());
        state.taken += piece.len();
        Some((index, piece))
    }

    /// Waits for results for so long at most, and takes `most` of them at most.
    pub fn wait(&self, most: usize, patience: Duration) -> Taken {
        let deadline = Instant::now() + patience;
        let mut state = self.state();
        loop {
            if let Some((index, piece)) = self.take(&mut state, most) {
                return Taken::Piece(index, piece);
            }
            if state.total == Some(state.taken) {
                return Taken::End;
            }
            if let Some(why) = &state.broken {
                return Taken::Broken(why.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::Nothing;
            }
            let waited = self.news.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
