//! The world's time, which no process can see.
//!
//! Owns one number; a process sees the time since its own start.

use std::{ops::Add, time::Duration};

use proto::time::Time;

/// A moment, in nanoseconds since the run began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub u64);

impl Moment {
    /// How a process that started at `start` sees it.
    pub fn seen_since(self, start: Self) -> Time {
        Time(self.0.saturating_sub(start.0))
    }

    /// How long after `earlier` it is.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// In milliseconds.
    pub fn as_ms(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos() as u64))
    }
}
