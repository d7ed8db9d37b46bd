//! A parcel that a worker has, and what happened to its units before.
//!
//! Owns the states of both; refuses to know who the worker is.

use std::time::Duration;

use crate::{time::Time, units::Units};

/// Lanes that break within so short a time may do so by one cause: a cut, or a kill of many workers.
const ONE_CAUSE: Duration = Duration::from_millis(10);

/// What happened to units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct History {
    /// How often they were given to a worker that may have begun them: of what a worker has, which
    /// try that is, from 1.
    pub tries: u32,
    /// How many of these failed.
    pub failures: u32,
    pub trust: Trust,
}

/// Whether units may be what kills workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing speaks against them.
    Clear,
    /// A worker died over them: they travel without others. So many have died over a unit that was
    /// all they had, which is what it can be charged with; and when the last one was lost.
    Suspect { deaths: u32, lost: Time },
}

/// Of units that were never sent.
pub(super) const FRESH: History = History { tries: 0, failures: 0, trust: Trust::Clear };

impl History {
    /// The same, when a worker is given them.
    pub fn tried(self) -> Self {
        Self { tries: self.tries.saturating_add(1), ..self }
    }

    /// The same, when a worker that was given them has not begun them.
    pub fn untried(self) -> Self {
        Self { tries: self.tries.saturating_sub(1), ..self }
    }

    /// The same, when their last try failed.
    pub fn failed(self) -> Self {
        Self { failures: self.failures.saturating_add(1), ..self }
    }

    pub fn is_suspect(&self) -> bool {
        self.trust != Trust::Clear
    }

    pub fn deaths(&self) -> u32 {
        match self.trust {
            Trust::Clear => 0,
            Trust::Suspect { deaths, .. } => deaths,
        }
    }

    /// The same, when a worker has been lost `now` that had them. That is one death more to account
    /// for if it is `charged`, unless one cause may have taken another worker with it.
    pub fn suspected(self, charged: bool, now: Time) -> Self {
        let apart = match self.trust {
            Trust::Clear => true,
            Trust::Suspect { lost, .. } => now.since(lost) >= ONE_CAUSE,
        };
        let deaths = self.deaths() + u32::from(charged && apart);
        Self { trust: Trust::Suspect { deaths, lost: now }, ..self }
    }
}

/// What it means for units that a worker has them. At any time one holder of a unit counts, be it
/// a worker or the stock: what is lost or fails there is tried again, and nowhere else, or units
/// would multiply. All others have copies.
///
/// ```text
///          sent             an idle worker gets a copy
///   stock ──────► Sole ─────────────────────────────► Doubled
///                 ▲  │ its worker is quiet, and           │
///   it is heard   │  │ the units are for others           │ the same
///   again, or the │  ▼                                    ▼
///   other is lost Copy ◄──────────────────────────────────┘
/// ```
///
/// From each of them the worker may be asked to give back what it has not begun, until it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holding {
    /// It counts.
    Sole,
    /// It counts, and another worker was given a copy: there is no second one.
    Doubled,
    /// It counts, and shall be given back as far as it is not begun.
    Retracting { doubled: bool },
    /// It does not count.
    Copy,
    /// It does not count, and needs not be begun.
    RetractingCopy,
}

impl Holding {
    pub fn is_copy(self) -> bool {
        matches!(self, Self::Copy | Self::RetractingCopy)
    }

    /// Whether the worker has been asked to give back, and has not answered.
    pub fn is_retracting(self) -> bool {
        matches!(self, Self::Retracting { .. } | Self::RetractingCopy)
    }

    /// Whether another worker may be given a copy.
    pub fn may_double(self) -> bool {
        matches!(self, Self::Sole | Self::Retracting { doubled: false })
    }

    /// Another worker is given a copy.
    pub fn double(&mut self) {
        *self = match *self {
            Self::Sole => Self::Doubled,
            Self::Retracting { .. } => Self::Retracting { doubled: true },
            other => other,
        };
    }

    /// The worker is asked to give back what it has not begun.
    pub fn retract(&mut self) {
        *self = match *self {
            Self::Sole => Self::Retracting { doubled: false },
            Self::Doubled => Self::Retracting { doubled: true },
            Self::Copy => Self::RetractingCopy,
            asked => asked,
        };
    }

    /// The worker has answered.
    pub fn answered(&mut self) {
        *self = match *self {
            Self::Retracting { doubled: false } => Self::Sole,
            Self::Retracting { doubled: true } => Self::Doubled,
            Self::RetractingCopy => Self::Copy,
            not_asked => not_asked,
        };
    }

    /// Somebody else counts from now on.
    pub fn give_up(&mut self) {
        *self = if self.is_retracting() { Self::RetractingCopy } else { Self::Copy };
    }

    /// This one counts from now on.
    pub fn take_over(&mut self) {
        *self = match *self {
            Self::Copy => Self::Sole,
            Self::RetractingCopy => Self::Retracting { doubled: false },
            counts => counts,
        };
    }
}

/// A parcel that a worker has, or has executed.
#[derive(Debug)]
pub(super) struct Sent {
    pub units: Units,
    pub history: History,
    /// When it was sent.
    pub at: Time,
    pub holding: Holding,
    /// All of it is begun: there is nothing to call back.
    pub begun: bool,
}

impl Sent {
    /// What a worker was sent then, and nobody else has.
    pub fn then(at: Time, units: Units, history: History) -> Self {
        Self { units, history, at, holding: Holding::Sole, begun: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Holding; 6] = [
        Holding::Sole,
        Holding::Doubled,
        Holding::Retracting { doubled: false },
        Holding::Retracting { doubled: true },
        Holding::Copy,
        Holding::RetractingCopy,
    ];

    fn after(mut holding: Holding, change: fn(&mut Holding)) -> Holding {
        change(&mut holding);
        holding
    }

    #[test]
    fn whether_it_counts_is_changed_by_giving_up_and_taking_over_alone() {
        for holding in ALL {
            assert!(after(holding, Holding::give_up).is_copy());
            assert!(!after(holding, Holding::take_over).is_copy());
            for change in [Holding::double, Holding::retract, Holding::answered] {
                assert_eq!(after(holding, change).is_copy(), holding.is_copy());
            }
        }
    }

    #[test]
    fn what_is_asked_for_stays_so_until_the_worker_has_answered() {
        for holding in ALL {
            let asked = after(holding, Holding::retract);
            for change in [Holding::double, Holding::give_up, Holding::take_over] {
                assert!(after(asked, change).is_retracting());
            }
            assert!(!after(asked, Holding::answered).is_retracting());
        }
    }

    #[test]
    fn nothing_is_copied_twice() {
        for holding in ALL {
            assert!(!after(holding, Holding::double).may_double());
        }
        let asked = after(Holding::Doubled, Holding::retract);
        assert_eq!(after(asked, Holding::answered), Holding::Doubled);
    }
}
