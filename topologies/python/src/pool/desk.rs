//! Results that are told as they come: those of single calls, and of calls that are done as a whole.
//!
//! Owns the queue between the sink's thread and the one thread of Python that tells them, and the way past it: whoever
//! waits for one single call is given its result at once, which saves waking two threads, one after the other.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::call::{Call, Piece};

/// What is told.
pub(super) enum News {
    /// The results of calls of one item each, from this number on.
    Results(u64, Piece),
    /// A call is done as a whole, or never will be.
    Done(Arc<Call>),
}

/// A single call that is waited for.
#[derive(Default)]
struct Awaited {
    waiters: usize,
    // Its result, until one of them has told it.
    piece: Option<Arc<Piece>>,
}

#[derive(Default)]
struct State {
    news: VecDeque<News>,
    over: bool,
    // By their numbers.
    awaited: HashMap<u64, Awaited>,
    // How often everything that was taken has been told.
    rounds: u64,
}

impl State {
    /// Gives those who wait for one of these results theirs; whether there was any.
    fn give(&mut self, mut first: u64, mut piece: Piece) -> bool {
        let numbers = first..first + piece.len();
        let mut wanted: Vec<u64> =
            self.awaited.keys().copied().filter(|number| numbers.contains(number)).collect();
        wanted.sort_unstable();
        for number in &wanted {
            if let Some(before) = piece.cut((number - first) as usize) {
                self.news.push_back(News::Results(first, before));
            }
            let Some(awaited) = self.awaited.get_mut(number) else { continue };
            first = number + 1;
            match piece.cut(1) {
                Some(one) => awaited.piece = Some(Arc::new(one)),
                None => {
                    awaited.piece = Some(Arc::new(piece));
                    return true;
                }
            }
        }
        self.news.push_back(News::Results(first, piece));
        !wanted.is_empty()
    }
}

/// The queue.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    filled: Condvar,
    told: Condvar,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is to be told.
    pub fn put(&self, news: News) {
        let mut state = self.state();
        let was_empty = state.news.is_empty();
        let given = match news {
            News::Results(first, piece) if !state.awaited.is_empty() => state.give(first, piece),
            news => {
                state.news.push_back(news);
                false
            }
        };
        let fills = was_empty && !state.news.is_empty();
        drop(state);
        if given {
            self.told.notify_all();
        }
        if fills {
            self.filled.notify_one();
        }
    }

    /// Nothing will be told any more behind what is there.
    pub fn close(&self) {
        self.state().over = true;
        self.filled.notify_all();
    }

    /// Waits for what is to be told, for so long at most; none once it is over. What was taken before has been told.
    pub fn take(&self, patience: Duration) -> Option<Vec<News>> {
        self.look_again();
        let is_idle = |state: &mut State| state.news.is_empty() && !state.over;
        let waited = self.filled.wait_timeout_while(self.state(), patience, is_idle);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_over = state.news.is_empty() && !waited.timed_out();
        (!is_over).then(|| state.news.drain(..).collect())
    }

    /// Whoever waits for a single call looks whether it was told.
    pub fn look_again(&self) {
        let mut state = self.state();
        state.rounds += 1;
        let is_awaited = !state.awaited.is_empty();
        drop(state);
        if is_awaited {
            self.told.notify_all();
        }
    }

    /// Somebody is about to wait for this single call, if it is not told yet; since when they have to look for that.
    /// They say when they no longer wait.
    pub fn expect(&self, number: u64) -> u64 {
        let mut state = self.state();
        state.awaited.entry(number).or_default().waiters += 1;
        state.rounds
    }

    /// Waits for the result of a single call, for so long at most, or until it may have been told after `rounds`.
    pub fn wait_for(
        &self,
        number: u64,
        rounds: u64,
        patience: Duration,
    ) -> (u64, Option<Arc<Piece>>) {
        let is_idle = |state: &mut State| {
            let awaited = state.awaited.get(&number);
            awaited.is_some_and(|awaited| awaited.piece.is_none()) && state.rounds == rounds
        };
        let waited = self.told.wait_timeout_while(self.state(), patience, is_idle);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        (state.rounds, state.awaited.get(&number).and_then(|awaited| awaited.piece.clone()))
    }

    /// They wait no longer. A result that they did not tell goes the usual way.
    pub fn leave(&self, number: u64, is_told: bool) {
        let mut state = self.state();
        let Some(awaited) = state.awaited.get_mut(&number) else { return };
        awaited.waiters -= 1;
        if is_told {
            awaited.piece = None;
        }
        if awaited.waiters > 0 {
            return;
        }
        let left = state.awaited.remove(&number).and_then(|awaited| awaited.piece);
        // Whoever else looked at it has left.
        if let Some(piece) = left.and_then(Arc::into_inner) {
            state.news.push_back(News::Results(number, piece));
            drop(state);
            self.filled.notify_one();
        }
    }
}
