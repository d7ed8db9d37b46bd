//! What a worker says of itself to the ventilator.
//!
//! Owns the figures, and how often they are told; refuses to send them.

use std::time::Duration;

use proto::{
    frame::{Sample, WorkerTally},
    time::Time,
    turned_away::TurnedAway,
    units::Units,
};

use crate::request::Busy;

/// Interval between two of its reports to the ventilator.
const INTERVAL: Duration = Duration::from_millis(500);

/// The figures of one worker.
#[derive(Debug)]
pub(crate) struct Figures {
    tally: WorkerTally,
    joined: Time,
    // When they were told, and how many units there were then.
    told: Time,
    told_units: u64,
}

impl Figures {
    /// Those of a worker that has done nothing.
    pub fn new(name: String) -> Self {
        let tally = WorkerTally { name, ..WorkerTally::default() };
        Self { tally, joined: Time::default(), told: Time::default(), told_units: 0 }
    }

    /// It is part of a stage from now on.
    pub fn join(&mut self, now: Time, stage: u32) {
        self.tally.stage = stage;
        self.joined = now;
    }

    /// These outputs were made; one of them is told with the figures.
    pub fn made(&mut self, units: &Units) {
        self.tally.outputs += units.len() as u64;
        if self.tally.sample.is_none() {
            self.tally.sample = Sample::of(units).map(Box::new);
        }
    }

    /// A parcel has ended: its units, how many of them failed, and how long the function took for them.
    pub fn finished(&mut self, units: usize, failed: usize, busy: Busy) {
        self.tally.units += units as u64;
        self.tally.failed += failed as u64;
        if let Some(each) = busy.open_ns.checked_div(units as u64) {
            self.tally.spread.record(each, units as u64);
        }
        self.tally.busy_ns = self.tally.busy_ns.saturating_add(busy.wall_ns);
        self.tally.open_ns = self.tally.open_ns.saturating_add(busy.open_ns);
    }

    /// Whether they are to be told: something has been done since, and not just now.
    pub fn are_due(&self, now: Time) -> bool {
        self.tally.units != self.told_units && now.since(self.told) >= INTERVAL
    }

    /// The figures, to be told now.
    pub fn tell(&mut self, now: Time, turned_away: TurnedAway) -> WorkerTally {
        (self.told, self.told_units) = (now, self.tally.units);
        self.tally.turned_away = turned_away;
        self.tally.present_ns = now.since(self.joined).as_nanos() as u64;
        let sample = self.tally.sample.take();
        WorkerTally { sample, ..self.tally.clone() }
    }
}
