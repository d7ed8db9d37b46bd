//! The values as they are read, until it is enough.
//!
//! Owns the word that no further unit is to begin, whoever gives it: a signal, a rule, a source that
//! cannot be read.

use std::{
    io::{self, Write},
    process,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use proto::{kin, signals};

use super::Refusal;
use crate::{
    map::arguments::{Row, Rows},
    up::exit,
};

/// How far the values are to be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    closed: AtomicBool,
    signalled: AtomicBool,
    stopped: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Reading {
    /// To their end. The first Ctrl-C lets those end that have begun, the second ends them; `closing` is
    /// called with the first.
    pub fn start(closing: impl Fn() + Send + Sync + 'static) -> Result<Self, Refusal> {
        let reading = Self::default();
        let shared = reading.0.clone();
        let heard = move |count| {
            shared.signalled.store(true, SeqCst);
            shared.closed.store(true, SeqCst);
            closing();
            if count > 1 {
                shared.stopped.store(true, SeqCst);
                kin::end_all();
            }
            if count > 2 {
                // The thread that would leave may be stuck in a terminal that is gone.
                process::exit(exit::INTERRUPTED);
            }
            let line = "pipeline: no further one is begun; Ctrl-C again ends those that run";
            if count == 1 {
                let _ = writeln!(io::stderr(), "{line}");
            }
        };
        signals::listen(heard).map_err(|error| (exit::SYSTEM, error.to_string()))?;
        Ok(reading)
    }

    /// No further.
    pub fn close(&self) {
        self.0.closed.store(true, SeqCst);
    }

    /// Whether what had begun was ended, by a second signal: what comes of it is of no use.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(SeqCst)
    }

    /// Units with their numbers, from 1.
    pub fn units(&self, mut rows: Rows) -> impl Iterator<Item = (u64, Row)> + Send + 'static {
        let shared = self.0.clone();
        let read = std::iter::from_fn(move || {
            if shared.closed.load(SeqCst) {
                return None;
            }
            match rows.next()? {
                Ok(row) => Some(row),
                Err(error) => {
                    *shared.trouble() = Some(format!("cannot read the values: {error}"));
                    None
                }
            }
        });
        (1..).zip(read)
    }

    /// What to leave with, after so many failures.
    ///
    /// # Errors
    /// The values could not be read to their end.
    pub fn code(&self, failed: u64) -> Result<i32, Refusal> {
        if let Some(trouble) = self.0.trouble().take() {
            return Err((exit::INPUT_OUTPUT, trouble));
        }
        Ok(if self.is_stopped() {
            exit::INTERRUPTED
        } else if self.0.signalled.load(SeqCst) {
            exit::DRAINED
        } else if failed > 0 {
            exit::DEAD
        } else {
            exit::COMPLETE
        })
    }
}

impl Shared {
    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        // Nothing under the lock can panic halfway.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
