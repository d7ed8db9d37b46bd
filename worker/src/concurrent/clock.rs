//! How long open units have taken, and how long any was open.
//!
//! Owns the arithmetic; refuses to ask what time it is. While `k` units are open each of them is
//! charged a `k`-th of the time that passes (processor sharing: L. Kleinrock, "Time-shared Systems",
//! JACM 14, 1967). So what all are charged together is the time with at least one open.

use std::time::{Duration, Instant};

/// The time of open units.
#[derive(Debug)]
pub(super) struct Clock {
    now: Instant,
    open: usize,
    // Nanoseconds that a unit would have been charged that was open from the start.
    charged: f64,
}

/// When a unit was started, in both kinds of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Started {
    at: Instant,
    charged: f64,
}

/// What a unit has taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    /// From its start to its end.
    pub whole: Duration,
    /// Its share of that, in nanoseconds.
    pub charged_ns: f64,
}

impl Clock {
    pub fn new(now: Instant) -> Self {
        Self { now, open: 0, charged: 0.0 }
    }

    /// Time has passed, with as many open as there were.
    pub fn pass(&mut self, now: Instant) {
        if self.open > 0 {
            let passed = now.saturating_duration_since(self.now);
            self.charged += passed.as_nanos() as f64 / self.open as f64;
        }
        self.now = self.now.max(now);
    }

    /// So many are open.
    pub fn open(&self) -> usize {
        self.open
    }

    /// A unit is started.
    pub fn start(&mut self) -> Started {
        self.open += 1;
        Started { at: self.now, charged: self.charged }
    }

    /// A unit has ended.
    pub fn end(&mut self, started: Started) -> Took {
        self.open = self.open.saturating_sub(1);
        Took {
            whole: self.now.saturating_duration_since(started.at),
            charged_ns: self.charged - started.charged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_are_open_together_share_the_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut clock = Clock::new(start);
        clock.pass(at(100));
        let first = clock.start();
        clock.pass(at(110));
        let second = clock.start();
        clock.pass(at(130));
        let took = clock.end(first);
        assert_eq!((took.whole, took.charged_ns as u64), (Duration::from_millis(30), 20_000_000));
        clock.pass(at(140));
        let took = clock.end(second);
        // Together 40 ms, the time in which any was open.
        assert_eq!((took.whole, took.charged_ns as u64), (Duration::from_millis(30), 20_000_000));
        assert_eq!(clock.open(), 0);
    }
}
