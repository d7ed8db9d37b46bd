//! How a run went on over time: a bounded number of points, however long it takes.
//!
//! Owns which moments are kept; refuses clocks and files. When there are too many, every second one
//! goes, and those that follow lie twice as far apart.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire::Details;

/// More are thinned out.
const POINTS_MAX: usize = 240;
/// The distance of points at first.
const INTERVAL: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Seconds between two points.
    pub interval_s: f64,
    /// In the order of time.
    pub points: Vec<Point>,
    /// The run's launcher has ended it, and was not killed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_over: bool,
}

fn is_false(is: &bool) -> bool {
    !is
}

/// How a run stood at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Seconds since 1970.
    pub at: f64,
    /// Units with an outcome.
    pub done: u64,
    /// Units that failed for good.
    pub dead: u64,
    /// Workers that took part.
    pub workers: u32,
    /// In the order of the topology.
    pub stages: Vec<StagePoint>,
}

/// How a stage did then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagePoint {
    /// Its name.
    pub name: String,
    /// Units that it had executed.
    pub units: u64,
    /// The share of the time in which its workers had something to do: from 0 to 1.
    pub busy: f64,
    /// Milliseconds in the function, at most, of half of the units of late.
    pub p50_ms: Option<f64>,
    /// The same of 99 in 100.
    pub p99_ms: Option<f64>,
}

impl Default for History {
    fn default() -> Self {
        Self { interval_s: INTERVAL.as_secs_f64(), points: Vec::new(), is_over: false }
    }
}

impl History {
    /// The run stands so, that many seconds after 1970; whether that was kept.
    pub fn note(&mut self, at: f64, details: &Details) -> bool {
        if self.points.last().is_some_and(|last| (0.0..self.interval_s).contains(&(at - last.at))) {
            return false;
        }
        if self.points.len() >= POINTS_MAX {
            let mut index = 0;
            self.points.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.interval_s *= 2.0;
        }
        self.points.push(Point::of(at, details));
        true
    }

    /// The run stands so at its very end.
    pub fn end(&mut self, at: f64, details: &Details) {
        // Two that lie close together would tell a rate that never was.
        let is_close = |last: &Point| (0.0..self.interval_s / 2.0).contains(&(at - last.at));
        if self.points.last().is_some_and(is_close) {
            self.points.pop();
        }
        self.points.push(Point::of(at, details));
        self.is_over = true;
    }
}

impl Point {
    fn of(at: f64, details: &Details) -> Self {
        let stages = details.stages.iter().map(|stage| StagePoint {
            name: stage.name.clone(),
            units: stage.units,
            busy: stage.busy,
            p50_ms: stage.p50_ms,
            p99_ms: stage.p99_ms,
        });
        let status = &details.status;
        Self {
            at,
            done: status.done,
            dead: status.dead,
            workers: status.workers,
            stages: stages.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_long_a_run_takes_there_are_few_points_from_its_beginning_to_its_end() {
        let mut history = History::default();
        for tenth in 0..100_000 {
            history.note(f64::from(tenth) / 10.0, &Details::default());
        }
        assert!(history.points.len() <= POINTS_MAX && history.points.len() > POINTS_MAX / 3);
        assert_eq!(history.points[0].at, 0.0);
        assert_eq!(history.interval_s, 64.0);
        let apart = history.points.windows(2).map(|pair| pair[1].at - pair[0].at);
        assert!(apart.clone().all(|apart| (31.9..=128.1).contains(&apart)), "{history:?}");
    }

    /// A clock that was set back must not end the history.
    #[test]
    fn a_clock_that_goes_back_is_noted_all_the_same() {
        let mut history = History::default();
        assert!(history.note(1_000.0, &Details::default()));
        assert!(!history.note(1_000.5, &Details::default()));
        assert!(history.note(10.0, &Details::default()));
    }
}
