//! Results that are told as they come: those of single calls, and of calls that are done as a whole.
//!
//! Owns the queue between the sink's thread and the one thread of Python that tells them.

use std::{
    collections::VecDeque,
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

#[derive(Default)]
struct State {
    news: VecDeque<News>,
    over: bool,
}

/// The queue.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    filled: Condvar,
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
        state.news.push_back(news);
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Nothing will be told any more behind what is there.
    pub fn close(&self) {
        self.state().over = true;
        self.filled.notify_all();
    }

    /// Waits for what is to be told, for so long at most; none once it is over.
    pub fn take(&self, patience: Duration) -> Option<Vec<News>> {
        let is_idle = |state: &mut State| state.news.is_empty() && !state.over;
        let waited = self.filled.wait_timeout_while(self.state(), patience, is_idle);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_over = state.news.is_empty() && !waited.timed_out();
        (!is_over).then(|| state.news.drain(..).collect())
    }
}
