//! How long open units have taken, and how long any was open.
//!
//! Owns the arithmetic; refuses to ask what time it is. While `k` units are open each of them is
//! charged a `k`-th of the time that passes (processor sharing: L. Kleinrock, "Time-shared Systems",
//! JACM 14, 1967). So what all are charged together is the time with at least one open. A function
//! may be given more units than it has open at once, so that it need not wait for the next: those
//! take time, and are not open.

use std::time::{Duration, Instant};

/// The time of open units.
#[derive(Debug)]
pub(super) struct Clock {
    now: Instant,
    // Units that may be open at once, and those that the function has.
    open_max: usize,
    given: usize,
    // Nanoseconds that a unit would have been charged that was there from the start, and how long it
    // would have been open.
    charged: f64,
    opened: f64,
}

/// When a unit was started, in both kinds of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Started {
    at: Instant,
    charged: f64,
    opened: f64,
}

/// What a unit has taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    /// From its start to its end.
    pub whole: Duration,
    /// Its share of that, in nanoseconds.
    pub charged_ns: f64,
    /// How much of it the unit was open, in nanoseconds: all of it, unless the function had more
    /// units than may be open.
    pub open_ns: f64,
}

impl Clock {
    /// So many may be open at once.
    pub fn new(now: Instant, open_max: usize) -> Self {
        Self { now, open_max, given: 0, charged: 0.0, opened: 0.0 }
    }

    /// Time has passed, with as many given as there were.
    pub fn pass(&mut self, now: Instant) {
        if self.given > 0 {
            let passed = now.saturating_duration_since(self.now).as_nanos() as f64;
            let each = passed / self.given as f64;
            self.charged += each;
            self.opened += each * self.given.min(self.open_max) as f64;
        }
        self.now = self.now.max(now);
    }

    /// So many are given to the function.
    pub fn given(&self) -> usize {
        self.given
    }

    /// A unit is started.
    pub fn start(&mut self) -> Started {
        self.given += 1;
        Started { at: self.now, charged: self.charged, opened: self.opened }
    }

    /// A unit has ended.
    pub fn end(&mut self, started: Started) -> Took {
        self.given = self.given.saturating_sub(1);
        Took {
            whole: self.now.saturating_duration_since(started.at),
            charged_ns: self.charged - started.charged,
            open_ns: self.opened - started.opened,
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
        let mut clock = Clock::new(start, 2);
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
        assert_eq!((took.open_ns as u64, clock.given()), (30_000_000, 0));
    }

    #[test]
    fn no_more_are_open_than_may_be() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut clock = Clock::new(start, 2);
        clock.pass(at(0));
        let all = [clock.start(), clock.start(), clock.start()];
        clock.pass(at(30));
        let took = all.map(|started| clock.end(started));
        assert_eq!(took.map(|took| took.whole), [Duration::from_millis(30); 3]);
        assert_eq!(took.map(|took| took.open_ns as u64), [20_000_000; 3], "two for 30 ms");
    }
}
