//! A pipeline that is started by hand: three programs and their flags.
//!
//! Owns the two well-known endpoints, the flags that every scenario needs, and the checks that
//! hold for every run. Refuses to know what a scenario is about.

use std::path::PathBuf;

use crate::outcome::Outcome;
use crate::place::{Place, Transport};
use crate::process::Process;

/// A place with the endpoints of a sink and a ventilator.
#[derive(Debug)]
pub struct Hand {
    /// Where it happens.
    pub place: Place,
    ventilator: String,
    sink: String,
}

impl Hand {
    /// A pipeline over `transport`; nothing runs yet.
    pub fn over(transport: Transport) -> Self {
        let place = Place::new();
        let ventilator = place.endpoint(transport, "v");
        let sink = place.endpoint(transport, "s");
        Hand { place, ventilator, sink }
    }

    /// Where the results go, unless a scenario says `--output` itself.
    pub fn output(&self) -> PathBuf {
        self.place.path("out.jsonl")
    }

    /// Starts the sink, with an output.
    pub fn sink(&self, more: &[&str]) -> Process {
        self.aggregating_sink(&[&["--output", "out.jsonl"], more].concat())
    }

    /// Starts the sink without an output.
    pub fn aggregating_sink(&self, more: &[&str]) -> Process {
        let flags = ["--bind", &self.sink, "--summary", "summary.json"];
        self.place.start("sink", &[&flags, more].concat())
    }

    /// Starts the ventilator.
    pub fn ventilator(&self, source: &str, more: &[&str]) -> Process {
        let flags = ["--bind", &self.ventilator, "--sink", &self.sink, "--source", source];
        self.place.start("ventilator", &[&flags, more].concat())
    }

    /// Starts a worker; what it runs is in `more`.
    pub fn worker(&self, more: &[&str]) -> Process {
        self.place.start("worker", &[&["--ventilator", &self.ventilator], more].concat())
    }

    /// The ventilator's endpoint, for a worker that is started otherwise.
    pub fn ventilator_endpoint(&self) -> &str {
        &self.ventilator
    }

    /// The sink's endpoint, for a sink that is started otherwise.
    pub fn sink_endpoint(&self) -> &str {
        &self.sink
    }

    /// How many lines of output are committed so far.
    pub fn lines_so_far(&self) -> usize {
        let bytes = std::fs::read(self.output()).unwrap_or_default();
        bytes.iter().filter(|byte| **byte == b'\n').count()
    }

    /// What the run amounted to, after the sink has ended.
    ///
    /// # Panics
    /// When the summary is missing, or does not add up.
    pub fn outcome(&self) -> Outcome {
        Outcome::read(&self.place.path("summary.json"))
    }
}
