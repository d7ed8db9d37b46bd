//! Numbers for those who work at the same time, so that each can have something of its own: a
//! display, a port, a folder.
//!
//! Owns that no two have the same, and that they stay small: from 1 to as many as ever worked at
//! once.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The numbers, and who has one.
#[derive(Debug, Default)]
pub struct Slots(Mutex<Free>);

#[derive(Debug, Default)]
struct Free {
    given_back: BTreeSet<u32>,
    made: u32,
}

/// A number; given back when dropped.
#[derive(Debug)]
pub struct Slot<'a> {
    slots: &'a Slots,
    number: u32,
}

impl Slots {
    /// The lowest number that nobody has, from 1.
    pub fn take(&self) -> Slot<'_> {
        let mut free = self.free();
        let number = free.given_back.pop_first().unwrap_or_else(|| {
            free.made += 1;
            free.made
        });
        Slot { slots: self, number }
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        // Nothing under the lock can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot<'_> {
    /// Which one.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.slots.free().given_back.insert(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_that_is_free_is_given() {
        let slots = Slots::default();
        let (first, second) = (slots.take(), slots.take());
        assert_eq!((first.number(), second.number()), (1, 2));
        drop(first);
        let (third, fourth) = (slots.take(), slots.take());
        assert_eq!((third.number(), fourth.number()), (1, 3));
    }
}
