//! Functions that take as long as their value says: what pipelines are tried and measured with.
//!
//! Owns the two kinds of taking time, busy and idle; idle ones can be many at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

use crate::concurrent::{Concurrent, Finished, Slot, Waker};
use crate::function::decode;
use crate::{Failure, OutputLimits, Unit};

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

/// Many waits at once, without a thread for each.
#[derive(Debug, Default)]
pub(super) struct Sleeps {
    // When each is over, which one it is, and for how many milliseconds it was.
    waits: BinaryHeap<Reverse<(Instant, Slot, u64)>>,
    failed: Vec<(Slot, Failure)>,
}

impl Concurrent for Sleeps {
    fn open_max(&self) -> u32 {
        1
    }

    fn begin(&mut self, open: u32, _: OutputLimits, _: Waker) -> Result<u32, Failure> {
        Ok(open)
    }

    fn start(&mut self, slot: Slot, _: &Unit<'_>, input: &[u8]) {
        let until = decode::<u64>(input)
            .map_err(|error| Failure::wrong_input::<u64>(input, &error))
            .and_then(|ms| match Instant::now().checked_add(Duration::from_millis(ms)) {
                Some(until) => Ok((until, slot, ms)),
                None => Err(Failure::new("longer than there is time")),
            });
        match until {
            Ok(wait) => self.waits.push(Reverse(wait)),
            Err(failure) => self.failed.push((slot, failure)),
        }
    }

    fn poll(&mut self, finished: &mut Finished) {
        for (slot, failure) in self.failed.drain(..) {
            finished.failed(slot, failure);
        }
        let now = Instant::now();
        while self.due().is_some_and(|due| due <= now) {
            if let Some(Reverse((_, slot, ms))) = self.waits.pop() {
                finished.unit(slot, |out| out.push_uint(ms));
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.waits.peek().map(|Reverse((until, ..))| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concurrent::Alone;
    use crate::testing::{call, lines};

    #[test]
    fn a_sleep_of_many_gives_its_value_back_and_fails_for_what_is_no_time() {
        let mut sleep = Alone::new(Sleeps::default());
        assert_eq!(call(&mut sleep, "1"), lines("1"));
        assert!(call(&mut sleep, "\"long\"").unwrap_err().contains("expected a whole number"));
    }

    #[test]
    fn spinning_and_sleeping_take_as_long_as_they_are_told_and_give_the_value_back() {
        let start = Instant::now();
        assert_eq!(spin(2_000), 2_000);
        assert!(start.elapsed() >= Duration::from_millis(2));
        assert_eq!(sleep(3), 3);
        assert!(start.elapsed() >= Duration::from_millis(5));
    }
}
