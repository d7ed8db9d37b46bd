//! Tickets that are done, for whoever waits for many at once.
//!
//! Owns the list of what is done and was not taken, by the numbers that its owner gave; whoever takes from it is
//! woken once for all that has come. Refuses to know what became of a unit.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

#[derive(Debug, Default)]
struct State {
    done: Vec<u64>,
    closed: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Tray {
    state: Mutex<State>,
    filled: Condvar,
}

impl Tray {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ticket of this number is done.
    pub fn put(&self, number: u64) {
        let mut state = self.lock();
        let was_empty = state.done.is_empty();
        state.done.push(number);
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// The numbers of all that are done and were not taken; waits for some, at most so long. None once it is
    /// closed and empty.
    pub fn take(&self, patience: Duration) -> Option<Vec<u64>> {
        let is_idle = |state: &mut State| state.done.is_empty() && !state.closed;
        let waited = self.filled.wait_timeout_while(self.lock(), patience, is_idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let is_over = state.closed && state.done.is_empty();
        (!is_over).then(|| std::mem::take(&mut state.done))
    }

    /// Nobody waits here any more once what is done was taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn what_is_done_is_taken_at_once_and_nothing_follows_a_tray_that_is_closed() {
        let tray = Arc::new(Tray::default());
        assert_eq!(tray.take(Duration::ZERO), Some(vec![]));
        let theirs = tray.clone();
        let puts = thread::spawn(move || (0..100).for_each(|number| theirs.put(number)));
        let mut taken = Vec::new();
        while taken.len() < 100 {
            taken.extend(tray.take(Duration::from_secs(60)).unwrap());
        }
        puts.join().unwrap();
        assert_eq!(taken, (0..100).collect::<Vec<_>>());
        tray.put(7);
        tray.close();
        assert_eq!(tray.take(Duration::from_secs(60)), Some(vec![7]));
        assert_eq!(tray.take(Duration::from_secs(60)), None);
    }
}
