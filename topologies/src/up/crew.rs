//! What each worker does, of late: for those who look on.
//!
//! Owns the rates and shares, from what the ventilator reports; refuses clocks.

use std::{collections::VecDeque, time::Duration};

use proto::{frame::WorkerTally, time::Time};

use crate::runs::wire::{StageStanding, WorkerStanding};

/// Rates are those of so long.
const SPAN: Duration = Duration::from_secs(5);
/// No two moments that are kept lie closer together.
const STEP: Duration = Duration::from_millis(450);
/// More workers are not told one by one; stages count all.
const WORKERS_MAX: usize = 100;

/// See the module.
#[derive(Debug, Default)]
pub struct Crew {
    moments: VecDeque<(Time, Vec<WorkerTally>)>,
}

impl Crew {
    /// The ventilator has told what they have done.
    pub fn note(&mut self, now: Time, workers: &[WorkerTally]) {
        if self.moments.back().is_some_and(|(at, _)| now.since(*at) < STEP) {
            return;
        }
        self.moments.push_back((now, workers.to_vec()));
        while self.moments.get(1).is_some_and(|(at, _)| now.since(*at) >= SPAN) {
            self.moments.pop_front();
        }
    }

    /// How each stage does, and each worker. `names` are those of the stages.
    pub fn told<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> (Vec<StageStanding>, Vec<WorkerStanding>) {
        let nobody = (Time::default(), Vec::new());
        let (first, last) = match (self.moments.front(), self.moments.back()) {
            (Some(first), Some(last)) => (first, last),
            _ => (&nobody, &nobody),
        };
        let elapsed = last.0.since(first.0).as_secs_f64();
        let mut stages: Vec<StageStanding> = names.map(StageStanding::of).collect();
        let mut workers = Vec::new();
        for now in &last.1 {
            let before = first.1.iter().find(|before| before.name == now.name);
            // One that was started again counts from the beginning.
            let before = before.filter(|before| before.present_ns <= now.present_ns);
            let since = |of: fn(&WorkerTally) -> u64| of(now) - before.map_or(0, of);
            let busy = share(since(|of| of.busy_ns), since(|of| of.present_ns));
            if let Some(stage) = stages.get_mut(now.stage as usize) {
                stage.workers += 1;
                stage.units += now.units;
                stage.outputs += now.outputs;
                stage.busy += busy;
                if elapsed > 0.0 {
                    stage.rate += since(|of| of.units) as f64 / elapsed;
                }
                if workers.len() < WORKERS_MAX {
                    let (name, stage) = (now.name.clone(), stage.name.clone());
                    workers.push(WorkerStanding { name, stage, units: now.units, busy });
                }
            }
        }
        for stage in &mut stages {
            stage.busy /= f64::from(stage.workers.max(1));
        }
        (stages, workers)
    }
}

fn share(busy: u64, present: u64) -> f64 {
    if present == 0 { 0.0 } else { (busy as f64 / present as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(name: &str, stage: u32, units: u64, busy: u64, present: u64) -> WorkerTally {
        let second = |of: u64| of * 1_000_000_000;
        WorkerTally {
            name: name.into(),
            stage,
            units,
            busy_ns: second(busy),
            present_ns: second(present),
            ..WorkerTally::default()
        }
    }

    #[test]
    fn rates_and_shares_are_those_of_the_last_seconds() {
        let mut crew = Crew::default();
        crew.note(Time::from_ms(0), &[tally("a-1", 0, 1_000, 100, 100)]);
        crew.note(Time::from_ms(100), &[tally("a-1", 0, 5_000, 100, 100)]);
        let now = [tally("a-1", 0, 1_040, 101, 104), tally("b-1", 1, 8, 2, 4)];
        crew.note(Time::from_ms(4_000), &now);
        let (stages, workers) = crew.told(["a", "b"].into_iter());
        assert_eq!((stages[0].units, stages[0].rate, stages[0].busy), (1_040, 10.0, 0.25));
        assert_eq!((stages[1].workers, stages[1].rate, stages[1].busy), (1, 2.0, 0.5));
        assert_eq!((workers[0].stage.as_str(), workers[1].busy), ("a", 0.5));
    }

    #[test]
    fn a_worker_that_was_started_again_makes_no_negative_rate() {
        let mut crew = Crew::default();
        crew.note(Time::from_ms(0), &[tally("a-1", 0, 1_000, 100, 100)]);
        crew.note(Time::from_ms(1_000), &[tally("a-1", 0, 3, 1, 1)]);
        assert_eq!(crew.told(["a"].into_iter()).0[0].rate, 3.0);
        assert_eq!(Crew::default().told(["a"].into_iter()).0[0].workers, 0);
    }
}
