//! Tells the thread that starts units to look at its function again.
//!
//! Owns the bell; refuses to say what has happened.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Wakes who polls a concurrent function. Cheap to clone, and to call many times in a row.
#[derive(Debug, Clone, Default)]
pub struct Waker(Arc<Bell>);

#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Waker {
    /// Something has happened: the function is polled soon.
    pub fn wake(&self) {
        let mut rung = self.0.rung();
        if !std::mem::replace(&mut *rung, true) {
            self.0.heard.notify_one();
        }
    }

    /// Waits until somebody has called [`wake`](Self::wake) since the last wait, or that moment.
    pub(crate) fn wait(&self, until: Option<Instant>) {
        let mut rung = self.0.rung();
        while !*rung {
            rung = match until {
                None => self.0.heard.wait(rung).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    let waited = self.0.heard.wait_timeout(rung, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *rung = false;
    }
}

impl Bell {
    fn rung(&self) -> MutexGuard<'_, bool> {
        // A truth value cannot be left half done.
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
