//! How a run comes to its end.
//!
//! Owns where the source ended and who has said so, and the steps from the last commit to the exit;
//! refuses to take any of them. They are
//!
//! ```text
//! Running --all committed--> Closing --outputs closed--> Closed --the ventilator has told what it
//! knows, or is lost--> Concluding --people are told--> Concluded
//! ```

use std::time::Duration;

use proto::{
    frame::{End, PeerId, Tally},
    time::Time,
    unit::UnitId,
};

use super::requests::exit;

/// A step of the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Running,
    /// Everything is committed, and written out.
    Closing,
    /// The outputs are closed; the ventilator still has to say what it knows.
    Closed {
        since: Time,
    },
    Concluding,
    /// Observers are told; then this process goes.
    Concluded,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) phase: Phase,
    end: Option<End>,
    /// Who said so.
    by: Option<PeerId>,
    /// What the ventilator knows.
    pub(super) tally: Option<Tally>,
    /// The first Hello of a ventilator.
    began: Option<Time>,
    /// The outputs were closed.
    finished: Time,
    /// The run shall end with what has begun.
    pub(super) is_draining: bool,
    /// The ventilator has left a run that it was asked to end, with units that nobody is left to do.
    pub(super) is_abandoned: bool,
    /// A ventilator has said goodbye while the outputs were being closed: it has told what it knows.
    pub(super) has_parted: bool,
    /// Since when a run that this process was asked to end has lost its ventilator.
    pub(super) lost: Option<Time>,
    /// This process goes.
    pub(super) exit: Option<i32>,
}

impl Ending {
    /// A run of which it is known, if at all, how many units it has.
    pub(super) fn new(units: Option<u64>) -> Self {
        let end = units.map(|units| End { units, drained: false });
        Self { end, ..Self::default() }
    }

    /// A ventilator has said Hello.
    pub(super) fn begin(&mut self, now: Time) {
        self.began.get_or_insert(now);
    }

    /// Where the source ends, if that is known.
    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// It ends there, as somebody has told, or as this sink knows by itself.
    pub(super) fn ends_at(&mut self, end: End, by: Option<PeerId>) {
        // One that stops early may not know yet that everything is committed all the same.
        if self.phase == Phase::Running || !end.drained {
            (self.end, self.by) = (Some(end), by);
        }
    }

    /// Where a ventilator stopped, or saw the source end, is of no use to the one that has taken
    /// its place: that may send what is beyond, and says itself where it ends. `there` are the
    /// ventilators of now.
    pub(super) fn forget_end_of_others(
        &mut self,
        mut there: impl ExactSizeIterator<Item = Option<PeerId>>,
    ) {
        let is_told = self.phase == Phase::Running && self.by.is_some();
        if is_told && there.len() > 0 && !there.any(|peer| peer == self.by) {
            (self.end, self.by) = (None, None);
        }
    }

    /// Where the run ends, once all below that is committed and nothing was done about it.
    pub(super) fn is_reached(&self, watermark: UnitId) -> Option<End> {
        let end = self.end.filter(|end| watermark >= end.units)?;
        (self.phase == Phase::Running).then_some(end)
    }

    /// The outputs are closed.
    pub(super) fn close(&mut self, now: Time) {
        self.phase = Phase::Closed { since: now };
        self.finished = now;
    }

    /// When it's no use to wait any longer for what the ventilator knows, or finishes.
    pub(super) fn gives_up_at(&self, patience: Duration) -> Option<Time> {
        match self.phase {
            Phase::Closed { since } => Some(since + patience),
            Phase::Running => Some(self.lost? + patience),
            _ => None,
        }
    }

    /// Whether every unit is committed and written out.
    pub(super) fn is_complete(&self) -> bool {
        !matches!(self.phase, Phase::Running | Phase::Closing)
    }

    /// From the first Hello of a ventilator to the last commit.
    pub(super) fn elapsed(&self) -> Duration {
        self.finished.since(self.began.unwrap_or_default())
    }

    /// The exit code of the run, in which so many units are dead.
    pub(super) fn code(&self, dead: u64) -> i32 {
        match self.end {
            Some(End { drained: false, .. }) if dead > 0 => exit::DEAD,
            Some(End { drained: false, .. }) => exit::COMPLETE,
            _ => exit::DRAINED,
        }
    }
}
