//! Which units are open, and since when.
//!
//! Owns their numbers: one that is free again is given to the next, so that they stay below the number
//! of units that may be open. Refuses to know what the units are.

use std::time::Instant;

use super::{
    Slot,
    clock::{Clock, Started, Took},
};
use crate::core::Ticket;

/// Where an open unit comes from.
#[derive(Debug)]
pub(super) struct Place {
    pub ticket: Ticket,
    /// Its index in the parcel.
    pub index: u32,
    /// What its value was paired with, where values are pairs.
    pub input: Vec<u8>,
    started: Started,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Places {
    places: Vec<Option<Place>>,
    free: Vec<Slot>,
    clock: Clock,
}

impl Places {
    /// None is there; so many may be open at once.
    pub fn new(now: Instant, open_max: u32) -> Self {
        Self { places: Vec::new(), free: Vec::new(), clock: Clock::new(now, open_max as usize) }
    }

    /// How many are given to the function.
    pub fn given(&self) -> usize {
        self.clock.given()
    }

    /// Time has passed.
    pub fn pass(&mut self, now: Instant) {
        self.clock.pass(now);
    }

    /// A unit is open from now on.
    pub fn begin(&mut self, ticket: Ticket, index: u32, input: &[u8]) -> Slot {
        let place = Place { ticket, index, input: input.to_vec(), started: self.clock.start() };
        let slot = self.free.pop().unwrap_or(self.places.len() as Slot);
        match self.places.get_mut(slot as usize) {
            Some(free) => *free = Some(place),
            None => self.places.push(Some(place)),
        }
        slot
    }

    /// The unit is open no more; none if there is no such one.
    pub fn end(&mut self, slot: Slot) -> Option<(Place, Took)> {
        let place = self.places.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        let took = self.clock.end(place.started);
        Some((place, took))
    }
}
