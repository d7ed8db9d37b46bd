//! Units that fail, and units that kill workers.
//!
//! Owns what becomes of them: another try after a pause, the search for the one that is the cause,
//! or a dead letter. Refuses to know where they were.

use std::time::Duration;

use super::{Dispatch, History, Instruction, Sent, Stock};
use crate::{
    frame::Dead, limits::BACKOFF_MS_MAX, ranges::RangeSet, role::Turn, time::Time, units::Units,
};

/// Into how many pieces a parcel is cut when its worker died.
const PIECES: usize = 16;
/// A unit whose workers die waits so long before the next one gets it, at the least: lanes that break
/// by one cause are heard of one after the other, and none of them was a death.
const APART: Duration = Duration::from_millis(50);

/// Why units are given up.
struct Verdict<'a> {
    attempts: u32,
    error: &'a str,
    worker: &'a str,
}

/// The death of a worker, for those units that may have caused it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Death<'a> {
    /// Its name.
    pub worker: &'a str,
    /// How many units are searched together; none: only these.
    pub among: Option<usize>,
}

impl Dispatch {
    /// Units have failed in one attempt, each with its error. What failed together is tried again
    /// together, unless it has to travel alone: a million that fail must not take a place each.
    pub(super) fn failed<'a>(
        &mut self,
        turn: &mut Turn<'_, Instruction>,
        failed: impl Iterator<Item = (Units, &'a str)>,
        history: History,
        worker: &str,
        committed: &RangeSet,
    ) {
        let history = history.failed();
        let mut again = Units::new();
        for (units, error) in failed.filter(|(units, _)| !units.all_in(committed)) {
            if history.failures > self.terms.retries {
                // Not what was lost or copied on the way: that is chance, and a dead letter is none.
                let verdict = Verdict { attempts: history.failures, error, worker };
                self.give_up(&units, &verdict, turn.out);
            } else if history.is_suspect() {
                self.later(turn.now, units, history);
            } else {
                again.append(&units);
            }
        }
        if !again.is_empty() {
            self.later(turn.now, again, history);
        }
    }

    /// Tries units that have failed once more, after a pause.
    fn later(&mut self, now: Time, units: Units, history: History) {
        self.delay(now + self.pause(history.failures), units, history);
    }

    /// The pause after so many failures of a unit.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = self.terms.backoff.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(Duration::from_millis(BACKOFF_MS_MAX))
    }

    fn delay(&mut self, due: Time, units: Units, history: History) {
        let order = self.next_number();
        self.stocks.delay(due, order, Stock::new(units, history));
    }

    /// The worker died while it executed this parcel, probably: one of its units may be the
    /// cause. It is cut into pieces; a unit that was all its worker had when workers died often
    /// enough is dead.
    pub(super) fn charge(
        &mut self,
        turn: &mut Turn<'_, Instruction>,
        mut sent: Sent,
        death: Death<'_>,
        committed: &RangeSet,
    ) {
        sent.units = std::mem::take(&mut sent.units).without(committed);
        // Only what was suspect before was all that its worker had.
        let charged = sent.units.len() == 1 && sent.history.is_suspect();
        let history = sent.history.suspected(charged, turn.now);
        if !charged {
            let among = death.among.unwrap_or(sent.units.len());
            return self.cut(&sent.units, among, history);
        }
        if history.deaths() >= self.terms.crash_limit {
            return self.give_up_killer(&sent.units, history, death.worker, turn.out);
        }
        self.delay(turn.now + self.pause(history.deaths()).max(APART), sent.units, history);
    }

    /// Cuts what may have killed a worker into pieces that travel alone, as if all `among` which it
    /// is were cut together.
    pub(super) fn cut(&mut self, units: &Units, among: usize, history: History) {
        let size = among.div_ceil(PIECES).max(1);
        for from in (0..units.len()).step_by(size) {
            let piece = units.slice(from..(from + size).min(units.len()));
            self.stocks.put_back(Stock::new(piece, history));
        }
    }

    /// A unit has killed as many workers as one may.
    pub(super) fn give_up_killer(
        &mut self,
        units: &Units,
        history: History,
        worker: &str,
        orders: &mut Vec<Instruction>,
    ) {
        let deaths = history.deaths();
        let error = format!("{deaths} workers died while executing it");
        let attempts = history.failures.saturating_add(deaths);
        let verdict = Verdict { attempts, error: &error, worker };
        self.give_up(units, &verdict, orders);
    }

    fn give_up(&self, units: &Units, verdict: &Verdict<'_>, orders: &mut Vec<Instruction>) {
        for (root, path, value) in units.iter() {
            orders.push(Instruction::Dead(Dead {
                root,
                path,
                stage: self.terms.stage_index,
                input: value.to_vec(),
                error: verdict.error.to_owned(),
                attempts: verdict.attempts,
                worker: verdict.worker.to_owned(),
            }));
        }
    }
}
