//! In which order queued units are given out.
//!
//! Owns which units wait and whose turn it is: the highest priority first, then who came first; those
//! that have to wait for a time not before it. Units that came together, under the same terms, are one
//! run: it takes the memory of one. Refuses values, and clocks: times are arguments, in milliseconds.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use proto::{service::IdRange, unit::UnitId};
use serde::{Deserialize, Serialize};

/// Where in the store something begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The segment.
    pub segment: u64,
    /// Bytes before it there.
    pub offset: u64,
}

impl Place {
    /// So many bytes further.
    pub fn behind(self, bytes: u64) -> Self {
        Self { offset: self.offset.saturating_add(bytes), ..self }
    }
}

/// How units are treated; times are milliseconds since 1970, by the clock of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    /// Higher ones first.
    pub priority: u8,
    /// Not before this time; 0: at once.
    pub not_before: u64,
    /// Not after this time.
    pub deadline: Option<u64>,
    /// By what a unit is joined.
    pub unique: Option<String>,
    /// Since when it may be given out.
    #[serde(default)]
    pub since: u64,
}

/// Consecutive units that wait together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// How many.
    pub count: u64,
    /// Where their values lie, one after the other.
    pub place: Place,
    /// Bytes of the values.
    pub bytes: u64,
    /// How they are treated.
    pub treatment: Treatment,
    /// Among those of one priority the lower one is first.
    pub turn: u64,
}

/// The units that wait.
#[derive(Debug, Default)]
pub struct Order {
    // By their first unit.
    runs: BTreeMap<UnitId, Run>,
    ready: BTreeSet<(Reverse<u8>, u64, UnitId)>,
    later: BTreeSet<(u64, UnitId)>,
    // Those that are ready, by the time since which they are.
    ages: BTreeSet<(u64, UnitId)>,
    deadlines: BTreeSet<(u64, UnitId)>,
    turns: u64,
    units: u64,
    bytes: u64,
}

impl Order {
    /// Units that wait.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Bytes of their values.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A turn behind all that were drawn before.
    pub fn draw(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    /// Consecutive units wait from now on, the first of which is `first`.
    pub fn add(&mut self, first: UnitId, run: Run) {
        self.units += run.count;
        self.bytes += run.bytes;
        match run.treatment.not_before {
            0 => {
                self.ready.insert(place_of(first, &run));
                self.ages.insert((run.treatment.since, first));
            }
            at => _ = self.later.insert((at, first)),
        }
        if let Some(deadline) = run.treatment.deadline {
            self.deadlines.insert((deadline, first));
        }
        self.runs.insert(first, run);
    }

    /// Takes a run out.
    pub fn take(&mut self, first: UnitId) -> Option<Run> {
        let run = self.runs.remove(&first)?;
        self.units -= run.count;
        self.bytes -= run.bytes;
        self.ready.remove(&place_of(first, &run));
        self.ages.remove(&(run.treatment.since, first));
        self.later.remove(&(run.treatment.not_before, first));
        if let Some(deadline) = run.treatment.deadline {
            self.deadlines.remove(&(deadline, first));
        }
        Some(run)
    }

    /// The run whose turn it is.
    pub fn next(&self) -> Option<UnitId> {
        self.ready.first().map(|(_, _, first)| *first)
    }

    /// The run that begins with this unit.
    pub fn run(&self, first: UnitId) -> Option<&Run> {
        self.runs.get(&first)
    }

    /// The runs that hold any of these units.
    pub fn within(&self, range: Range<UnitId>) -> Vec<UnitId> {
        let before = self.runs.range(..range.start).next_back();
        let reaches = |(first, run): &(&UnitId, &Run)| **first + run.count > range.start;
        let before = before.filter(reaches).map(|(first, _)| *first);
        let inside = self.runs.range(range.start..range.end.max(range.start));
        before.into_iter().chain(inside.map(|(first, _)| *first)).collect()
    }

    /// What of these units waits: which part of which run.
    pub fn parts(&self, units: Range<UnitId>) -> impl Iterator<Item = (IdRange, &Run)> {
        let runs = self.within(units.clone()).into_iter();
        runs.filter_map(move |first| {
            let run = self.runs.get(&first)?;
            Some(((first.max(units.start), (first + run.count).min(units.end)), run))
        })
    }

    /// Those whose time has come may be given out.
    pub fn ripen(&mut self, now: u64) {
        while let Some((at, first)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.remove(&(at, first));
            let turn = self.draw();
            if let Some(run) = self.runs.get_mut(&first) {
                (run.treatment.not_before, run.turn) = (0, turn);
                self.ready.insert(place_of(first, run));
                self.ages.insert((run.treatment.since, first));
            }
        }
    }

    /// Since when the oldest unit waits that may be given out.
    pub fn oldest(&self) -> Option<u64> {
        self.ages.first().map(|(since, _)| *since)
    }

    /// A run that waits longer than it may.
    pub fn overdue(&self, now: u64) -> Option<UnitId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, first)| *first)
    }

    /// When something is due by time alone.
    pub fn due(&self) -> Option<u64> {
        let first = |times: &BTreeSet<(u64, UnitId)>| times.first().map(|(at, _)| *at);
        [first(&self.later), first(&self.deadlines)].into_iter().flatten().min()
    }
}

fn place_of(first: UnitId, run: &Run) -> (Reverse<u8>, u64, UnitId) {
    (Reverse(run.treatment.priority), run.turn, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(order: &mut Order, count: u64, treatment: Treatment) -> Run {
        Run { count, place: Place::default(), bytes: count, treatment, turn: order.draw() }
    }

    fn add(order: &mut Order, first: UnitId, priority: u8, not_before: u64) {
        let treatment = Treatment { priority, not_before, ..Treatment::default() };
        let run = run(order, 10, treatment);
        order.add(first, run);
    }

    fn taken(order: &mut Order) -> Vec<UnitId> {
        std::iter::from_fn(|| {
            let first = order.next()?;
            order.take(first).map(|_| first)
        })
        .collect()
    }

    #[test]
    fn the_highest_priority_is_first_and_then_who_came_first() {
        let mut order = Order::default();
        for (first, priority) in [(0, 0), (10, 5), (20, 0), (30, 9), (40, 5)] {
            add(&mut order, first, priority, 0);
        }
        assert_eq!((order.units(), order.bytes()), (50, 50));
        assert_eq!(taken(&mut order), [30, 10, 40, 0, 20]);
        assert_eq!((order.units(), order.bytes()), (0, 0));
    }

    #[test]
    fn what_has_to_wait_for_a_time_comes_behind_what_was_ready_by_then() {
        let mut order = Order::default();
        add(&mut order, 0, 0, 500);
        add(&mut order, 10, 0, 0);
        order.ripen(499);
        assert_eq!((order.next(), order.due()), (Some(10), Some(500)));
        order.ripen(500);
        add(&mut order, 20, 0, 0);
        assert_eq!(order.due(), None);
        assert_eq!(taken(&mut order), [10, 0, 20]);
    }

    #[test]
    fn the_oldest_is_the_one_that_waits_longest_since_it_may_be_given_out() {
        let mut order = Order::default();
        for (first, priority, since, not_before) in [(0, 9, 70, 0), (10, 0, 50, 0), (20, 0, 60, 60)]
        {
            let treatment = Treatment { priority, since, not_before, ..Treatment::default() };
            let run = run(&mut order, 10, treatment);
            order.add(first, run);
        }
        let oldest = |order: &mut Order, taken| {
            order.take(taken);
            order.oldest()
        };
        assert_eq!(order.oldest(), Some(50));
        assert_eq!(oldest(&mut order, 10), Some(70), "what is delayed does not count");
        order.ripen(65);
        assert_eq!(order.oldest(), Some(60));
        assert_eq!(oldest(&mut order, 20), Some(70));
        assert_eq!(oldest(&mut order, 0), None);
    }

    #[test]
    fn runs_are_found_by_any_of_their_units() {
        let mut order = Order::default();
        add(&mut order, 0, 0, 0);
        add(&mut order, 10, 0, 0);
        add(&mut order, 30, 0, 0);
        assert_eq!(order.within(5..6), [0]);
        assert_eq!(order.within(9..11), [0, 10]);
        assert_eq!(order.within(20..30), Vec::<UnitId>::new());
        assert_eq!(order.within(0..100), [0, 10, 30]);
    }

    #[test]
    fn what_waits_too_long_is_found() {
        let mut order = Order::default();
        let treatment = Treatment { deadline: Some(70), ..Treatment::default() };
        let late = run(&mut order, 1, treatment);
        order.add(3, late);
        assert_eq!((order.overdue(69), order.overdue(70)), (None, Some(3)));
        order.take(3);
        assert_eq!((order.overdue(70), order.due()), (None, None));
    }
}
