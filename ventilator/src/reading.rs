//! How far the source is read.
//!
//! Owns the place in the source, when more is asked for, and where it ends; refuses to read, and to
//! know what becomes of units.

use proto::{
    frame::End,
    limits::Limits,
    rules::{dispatch::Dispatch, downstream::Downstream},
    unit::UnitId,
};

/// Units that are asked of the source at once.
const READ_UNITS: u64 = 32 << 10;
/// Units that wait for each worker, at least: what waits is shared by all of them, and a parcel
/// costs the same however small it is.
const READY_UNITS_PER_WORKER: u64 = 64;
/// Large values that wait for each worker, in parcels. Those that wait for long leave the
/// processor's cache, and are sent from memory.
const READY_PARCELS_PER_WORKER: u64 = 4;

/// Where the source is read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    next: UnitId,
    // The source has been asked for units that are not here yet.
    asked: bool,
    end: Option<End>,
    failed: bool,
    // Of a service: ids below this one were given. Units are read in another order, so `next` is their
    // number.
    given: Option<UnitId>,
}

impl Reading {
    /// Units come from a queue, which gives them out in an order of its own.
    pub fn read_from_queue(&mut self) {
        self.given = Some(0);
    }

    /// The queue has given ids below this one.
    pub fn given(&mut self, below: UnitId) {
        self.given = Some(below);
    }

    /// The unit that is read next; of a queue, how many were read or committed before.
    pub fn next(&self) -> UnitId {
        self.next
    }

    /// Where the source ends for this run, once that is known.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether the source could not be read to its end.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// The first unit to read is this one: those before are committed.
    pub fn seek(&mut self, unit: UnitId) {
        self.next = unit;
    }

    /// The source has answered.
    pub fn answered(&mut self) {
        self.asked = false;
    }

    /// So many units have come.
    pub fn read(&mut self, units: u64) {
        self.next += units;
    }

    /// The source cannot be read any further.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// The run ends with what is read.
    pub fn finish(&mut self, drained: bool) -> End {
        let end = End { units: self.given.unwrap_or(self.next), drained };
        self.end = Some(end);
        end
    }

    /// How many units to ask the source for now: none while the window has no room, or the workers
    /// have enough.
    pub fn ask<W>(&mut self, limits: &Limits, downstream: &Downstream<W>) -> Option<u64> {
        let committed = downstream.committed();
        let window = limits.window_units_max.saturating_sub(committed.in_flight(self.next));
        let room = committed.horizon().saturating_sub(self.next).min(window);
        let wanted = !self.asked
            && self.end.is_none()
            && room > 0
            && (downstream.unit_bytes() as u64) < limits.window_bytes_max;
        let units = match self.given {
            _ if !wanted => 0,
            // What is read may not be overtaken any more.
            Some(_) => what_is_missing(downstream),
            None if is_short(limits, downstream) => READ_UNITS,
            None => 0,
        };
        self.asked |= units > 0;
        (units > 0).then(|| room.min(units))
    }
}

/// How many units more the workers could be sent at once than are there, twice if there are any.
fn what_is_missing<W>(downstream: &Downstream<W>) -> u64 {
    let appetite: usize = downstream.stages().map(Dispatch::appetite).sum();
    let ready: usize = downstream.stages().map(Dispatch::ready).sum();
    if ready < appetite { (2 * appetite - ready) as u64 } else { 0 }
}

/// Whether more could be sent soon than is there.
fn is_short<W>(limits: &Limits, downstream: &Downstream<W>) -> bool {
    let sum = |of: fn(&Dispatch) -> usize| downstream.stages().map(of).sum::<usize>() as u64;
    let workers = sum(Dispatch::peers);
    let units = READ_UNITS.max(READY_UNITS_PER_WORKER * workers);
    let bytes = READY_PARCELS_PER_WORKER
        .saturating_mul(limits.parcel_bytes_max.max(1))
        .saturating_mul(workers.max(1));
    sum(Dispatch::ready) < units && sum(Dispatch::ready_bytes) < bytes
}
