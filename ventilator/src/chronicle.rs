//! What becomes of units, for people: in the diary, in the log, and as figures.
//!
//! Owns the words and the counts; refuses to decide anything.

use std::time::Duration;

use proto::{
    diary,
    frame::{Dead, Work},
    rules::downstream::{Failure, Witness},
};

use crate::{
    latency::Latency,
    obituary::Obituary,
    request::{Request, Turn},
};

/// What is told of units.
#[derive(Default)]
pub(crate) struct Chronicle {
    obituary: Obituary,
    latency: Latency,
    dead: u64,
}

impl Chronicle {
    /// Units that have failed for good here.
    pub fn dead(&self) -> u64 {
        self.dead
    }

    /// How long units were under way: the 50th, 90th and 99th percentile and the maximum.
    pub fn latency_us(&self) -> [u64; 4] {
        self.latency.percentiles_us()
    }

    /// The run is over: what was not told yet of dead units is told.
    pub fn close(&mut self) {
        self.obituary.tell();
    }
}

impl Witness<Request> for Chronicle {
    fn sent(&mut self, turn: &mut Turn<'_>, worker: &str, work: &Work) {
        turn.request(Request::Note(diary::Event::sent(worker, work)));
    }

    fn failed(&mut self, turn: &mut Turn<'_>, worker: &str, failure: Failure<'_>) {
        turn.request(Request::Note(diary::Event::failed(worker, failure)));
    }

    fn dead(&mut self, dead: &Dead) {
        self.obituary.note(dead);
        self.dead += 1;
    }

    fn committed(&mut self, latencies: Vec<(Duration, usize)>) {
        self.latency.record(latencies);
    }
}
