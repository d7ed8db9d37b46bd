//! How many peers are let in.
//!
//! Owns the limits: not more than there may be, and not more strangers at a time than lanes can be
//! opened for. Refuses to know who they are.

use std::time::Duration;

use crate::{
    frame::{PeerId, Refusal},
    time::Time,
};

/// Hellos of strangers that are taken at once; from then on one an interval.
const HELLOS_AT_ONCE: u32 = 64;
const HELLO_INTERVAL: Duration = Duration::from_millis(5);

/// Who says Hello, in which session of its own counting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub peer: PeerId,
    pub session: u32,
}

/// How many are let in.
#[derive(Debug)]
pub(super) struct Door {
    peers_max: u32,
    // When the next stranger's Hello would be due, if they came one an interval.
    due: Time,
}

impl Door {
    pub fn new(peers_max: u32) -> Self {
        Self { peers_max, due: Time::default() }
    }

    /// What those are told who are too many.
    pub fn refusal(&self) -> Refusal {
        Refusal::Full { max: self.peers_max }
    }

    /// Whether there are as many as there may be.
    pub fn is_full(&self, links: usize) -> bool {
        links >= self.peers_max as usize
    }

    /// Those beyond the limit are told so, unless there are far too many even for that.
    pub fn is_thronged(&self, links: usize) -> bool {
        links >= self.peers_max.saturating_mul(2) as usize
    }

    /// Whether one more lane may be opened for a stranger.
    pub fn takes(&mut self, now: Time) -> bool {
        let takes = self.due <= now + HELLO_INTERVAL * HELLOS_AT_ONCE;
        if takes {
            self.due = self.due.max(now) + HELLO_INTERVAL;
        }
        takes
    }
}
