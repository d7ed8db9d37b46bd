//! What each stage and each worker does, of late: for those who look on.
//!
//! Owns the rates and shares, from what the ventilator reports; refuses clocks.

use std::{collections::VecDeque, time::Duration};

use proto::{
    frame::{OpenUnit, Passed, Report, StageTally, WorkerTally},
    time::Time,
};

use crate::runs::wire::{PassedSample, StageStanding, WorkerStanding};

/// Rates are those of so long.
const SPAN: Duration = Duration::from_secs(5);
/// No two moments that are kept lie closer together.
const STEP: Duration = Duration::from_millis(450);
/// More workers are not told one by one; stages count all.
const WORKERS_MAX: usize = 100;

/// What was done up to a moment.
#[derive(Debug, Default)]
struct Moment {
    at: Time,
    workers: Vec<WorkerTally>,
    stages: Vec<StageTally>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Crew {
    moments: VecDeque<Moment>,
    read: u64,
    oldest: Vec<OpenUnit>,
    passed: Vec<Passed>,
}

impl Crew {
    /// The ventilator has told what they have done.
    pub fn note(&mut self, now: Time, report: &Report) {
        self.read = report.read;
        self.oldest.clone_from(&report.oldest);
        self.passed.clone_from(&report.passed);
        if self.moments.back().is_some_and(|moment| now.since(moment.at) < STEP) {
            return;
        }
        let (workers, stages) = (report.tallies.clone(), report.stages.clone());
        self.moments.push_back(Moment { at: now, workers, stages });
        while self.moments.get(1).is_some_and(|moment| now.since(moment.at) >= SPAN) {
            self.moments.pop_front();
        }
    }

    /// Units that were read from the source.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// The units that workers of the first stage have had longest.
    pub fn oldest(&self) -> &[OpenUnit] {
        &self.oldest
    }

    /// What passed of late. `name` is that of a stage.
    pub fn passed<'a>(&self, name: impl Fn(usize) -> &'a str) -> Vec<PassedSample> {
        let each = self.passed.iter();
        each.map(|passed| PassedSample::of(passed, name(passed.stage as usize))).collect()
    }

    /// How each stage does, and each worker. `names` are those of the stages.
    pub fn told<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> (Vec<StageStanding>, Vec<WorkerStanding>) {
        let nobody = Moment::default();
        let (first, last) = match (self.moments.front(), self.moments.back()) {
            (Some(first), Some(last)) => (first, last),
            _ => (&nobody, &nobody),
        };
        let mut stages: Vec<StageStanding> = names.map(StageStanding::of).collect();
        let elapsed = last.at.since(first.at).as_secs_f64();
        for (index, stage) in stages.iter_mut().enumerate() {
            if let Some(now) = last.stages.get(index) {
                fill(stage, now, first.stages.get(index), elapsed);
            }
        }
        let mut workers = Vec::new();
        for now in &last.workers {
            let Some(stage) = stages.get_mut(now.stage as usize) else { continue };
            let busy = self.busy(now, first);
            stage.busy += busy;
            if workers.len() < WORKERS_MAX {
                let (name, stage) = (now.name.clone(), stage.name.clone());
                workers.push(WorkerStanding { name, stage, units: now.units, busy });
            }
        }
        for (index, stage) in stages.iter_mut().enumerate() {
            let told = last.workers.iter().filter(|worker| worker.stage as usize == index);
            stage.busy /= told.count().max(1) as f64;
        }
        (stages, workers)
    }

    /// The share of the time in which a worker had something to do, since a moment. One that is at a
    /// single unit for longer than that has said nothing meanwhile.
    fn busy(&self, now: &WorkerTally, first: &Moment) -> f64 {
        let is_long =
            |open: &OpenUnit| open.worker == now.name && Duration::from_millis(open.ms) >= SPAN;
        if self.oldest.iter().any(is_long) {
            return 1.0;
        }
        let before = first.workers.iter().find(|before| before.name == now.name);
        // One that was started again counts from the beginning.
        let before = before.filter(|before| before.present_ns <= now.present_ns);
        let since = |of: fn(&WorkerTally) -> u64| of(now) - before.map_or(0, of).min(of(now));
        share(since(|of| of.busy_ns), since(|of| of.present_ns))
    }
}

/// What a stage has done, and how fast since a moment. A ventilator that was started again counts from
/// the beginning.
fn fill(stage: &mut StageStanding, now: &StageTally, before: Option<&StageTally>, elapsed: f64) {
    let nothing = StageTally::default();
    let before = before.filter(|before| before.units <= now.units).unwrap_or(&nothing);
    stage.workers = now.workers;
    (stage.units, stage.outputs, stage.failed) = (now.units, now.outputs, now.failed);
    stage.open_s = now.open_ns as f64 / 1e9;
    stage.spread = now.spread.clone();
    if elapsed > 0.0 {
        stage.rate = (now.units - before.units) as f64 / elapsed;
    }
    let late = now.spread.since(&before.spread);
    let spread = if late.units() > 0 { &late } else { &now.spread };
    let ms = |share| spread.quantile_s(share).map(|seconds| seconds * 1e3);
    (stage.p50_ms, stage.p99_ms) = (ms(0.5), ms(0.99));
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

    fn report(tallies: &[WorkerTally]) -> Report {
        let mut stages = vec![StageTally::default(); 2];
        for tally in tallies {
            let stage = &mut stages[tally.stage as usize];
            stage.workers += 1;
            stage.add(tally);
        }
        Report { tallies: tallies.to_vec(), stages, ..Report::default() }
    }

    #[test]
    fn rates_and_shares_are_those_of_the_last_seconds() {
        let mut crew = Crew::default();
        crew.note(Time::from_ms(0), &report(&[tally("a-1", 0, 1_000, 100, 100)]));
        crew.note(Time::from_ms(100), &report(&[tally("a-1", 0, 5_000, 100, 100)]));
        let now = [tally("a-1", 0, 1_040, 101, 104), tally("b-1", 1, 8, 2, 4)];
        crew.note(Time::from_ms(4_000), &report(&now));
        let (stages, workers) = crew.told(["a", "b"].into_iter());
        assert_eq!((stages[0].units, stages[0].rate, stages[0].busy), (1_040, 10.0, 0.25));
        assert_eq!((stages[1].workers, stages[1].rate, stages[1].busy), (1, 2.0, 0.5));
        assert_eq!((workers[0].stage.as_str(), workers[1].busy), ("a", 0.5));
    }

    #[test]
    fn a_worker_that_was_started_again_makes_no_negative_rate() {
        let mut crew = Crew::default();
        crew.note(Time::from_ms(0), &report(&[tally("a-1", 0, 1_000, 100, 100)]));
        crew.note(Time::from_ms(1_000), &report(&[tally("a-1", 0, 3, 1, 1)]));
        assert_eq!(crew.told(["a"].into_iter()).0[0].rate, 3.0);
        assert_eq!(Crew::default().told(["a"].into_iter()).0[0].workers, 0);
    }

    #[test]
    fn who_is_at_one_unit_all_the_time_is_busy_although_it_says_nothing() {
        let mut crew = Crew::default();
        let open = OpenUnit { unit: 7, worker: "a-1".into(), ms: 60_000 };
        let told = Report { oldest: vec![open], ..report(&[tally("a-1", 0, 3, 1, 10)]) };
        crew.note(Time::from_ms(0), &told);
        crew.note(Time::from_ms(5_000), &told);
        assert_eq!(crew.told(["a"].into_iter()).0[0].busy, 1.0);
        crew.note(Time::from_ms(5_010), &report(&[tally("a-1", 0, 3, 1, 10)]));
        assert_eq!(crew.told(["a"].into_iter()).0[0].busy, 0.0);
    }
}
