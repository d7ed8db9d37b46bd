//! Functions that take as long as their value says: what pipelines are tried and measured with.
//!
//! Owns the two kinds of taking time, busy and idle.

use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

/// Keeps a core busy for `micros` microseconds.
pub(super) fn spin(micros: u64) -> u64 {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(micros) {
        spin_loop();
    }
    micros
}

/// Waits for `millis` milliseconds without using a core.
pub(super) fn sleep(millis: u64) -> u64 {
    thread::sleep(Duration::from_millis(millis));
    millis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spinning_and_sleeping_take_as_long_as_they_are_told_and_give_the_value_back() {
        let start = Instant::now();
        assert_eq!(spin(2_000), 2_000);
        assert!(start.elapsed() >= Duration::from_millis(2));
        assert_eq!(sleep(3), 3);
        assert!(start.elapsed() >= Duration::from_millis(5));
    }
}
