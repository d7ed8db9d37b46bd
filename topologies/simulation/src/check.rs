//! The promises, checked on a run that has ended, or has not.
//!
//! Owns what is compared with what; refuses to look into a process: only the disk, the exit
//! codes and the shape of the pipeline count.

use proto::unit::UnitId;
use sink::entry::{Entry, Outcome};
use thiserror::Error;

use super::{
    coverage::killed_its_workers,
    faults::FaultKind,
    losses::Losses,
    model::Disk,
    process::{Life, Process, SINK, VENTILATOR},
    scenario::Scenario,
    service::{Premises, audit},
    shape::{Expected, expected},
};

/// The exit code of a sink whose run has dead letters.
const DEAD: i32 = sink::core::exit::DEAD;

/// The exit code of a ventilator that stopped before it knew that all is recorded.
const DRAINED: i32 = ventilator::core::exit::DRAINED;

/// A promise that a run broke.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Broken {
    /// Not every process has left by itself in time (P5).
    #[error("the run does not end: still there are {}", .left.join(", "))]
    Endless {
        /// The processes that are still there.
        left: Vec<String>,
    },
    /// A process has left with an exit code that says that something went wrong (P5).
    #[error("{process} leaves with exit code {code}")]
    Exit {
        /// Its name.
        process: String,
        /// The code.
        code: i32,
    },
    /// A unit has no outcome (P1).
    #[error("unit {unit} has no outcome, although the run has ended")]
    Missing {
        /// The unit.
        unit: UnitId,
    },
    /// All is recorded, and nobody was told what came out (P5).
    #[error("the run has ended, and its sink has not told what came out")]
    Untold,
    /// There are outcomes of units that the source never gave (P1).
    #[error("unit {unit} has an outcome, but the source has only {units} units")]
    Invented {
        /// The unit.
        unit: UnitId,
        /// How many there are.
        units: u64,
    },
    /// A unit has another outcome than without faults (P1, P3).
    #[error("unit {unit} came out as {found}, and not as {expected}")]
    Wrong {
        /// The unit.
        unit: UnitId,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A unit was given up for killing its workers, which were not lost often enough for that.
    #[error(
        "unit {unit} was given up for its workers' deaths, and was lost with {lost} of the {needed} that it takes"
    )]
    Blamed {
        /// The unit.
        unit: UnitId,
        /// How often it was lost with its worker.
        lost: u32,
        /// How often it would have to be.
        needed: u32,
    },
    /// More than its limits is kept by a process (P4).
    #[error("{process} keeps {excess}")]
    Excess {
        /// Its name.
        process: String,
        /// How much.
        excess: String,
    },
    /// A process has not learnt for long that a unit is committed, although nothing is in its way
    /// (P4, P5: it keeps what it needs not, and may send less than it could).
    #[error("{process} does not know that unit {unit} is committed")]
    Unknowing {
        /// Its name.
        process: String,
        /// The unit.
        unit: UnitId,
    },
    /// A process wants to be woken again and again although nothing follows.
    #[error("{process} spins: it wants to be woken at once, again and again")]
    Spins {
        /// Its name.
        process: String,
    },
    /// A model saw what must never happen, such as a unit that is recorded twice (P1).
    #[error("{process}: {what}")]
    Seen {
        /// The process.
        process: String,
        /// What it did.
        what: String,
    },
}

/// A run in which nobody is there any more.
pub(super) struct Ended<'a> {
    pub scenario: &'a Scenario,
    pub processes: &'a [Process],
    pub disk: &'a Disk,
    /// How often units were lost with their workers.
    pub losses: &'a Losses,
    /// Of a service.
    pub premises: Option<&'a Premises>,
}

impl Ended<'_> {
    /// Everything that can be said of it.
    pub fn check(&self) -> Result<(), Broken> {
        let Self { scenario, disk, losses, .. } = self;
        left(self)?;
        let Some(premises) = self.premises else { return outcomes(scenario, disk, losses) };
        for entry in disk.in_order() {
            blamed(scenario, entry, losses)?;
        }
        let seen = |what| Broken::Seen { process: "service".into(), what };
        audit::ended(premises, disk, &scenario.shapes()).map_err(seen)?;
        if disk.is_concluded() { Ok(()) } else { Err(Broken::Untold) }
    }
}

/// Whether everyone has left as is proper.
fn left(ended: &Ended<'_>) -> Result<(), Broken> {
    let Ended { scenario, processes, disk, .. } = ended;
    for (index, process) in processes.iter().enumerate() {
        let may_tell_of_dead = index == SINK && disk.dead() > 0 && scenario.service.is_none();
        match process.life {
            // It never ends by itself.
            Life::Left(DRAINED) if index <= SINK && scenario.service.is_some() => {}
            Life::Left(0) if !may_tell_of_dead => {}
            Life::Left(DEAD) if may_tell_of_dead => {}
            // Asked to end, it went before it heard that everything is recorded.
            Life::Left(DRAINED) if index == VENTILATOR && scenario.faults.has(FaultKind::Drain) => {
            }
            // Killed when the run was over.
            Life::Down => {}
            Life::Left(code) => {
                return Err(Broken::Exit { process: process.name.clone(), code });
            }
            Life::Up => return Err(Broken::Endless { left: vec![process.name.clone()] }),
        }
    }
    Ok(())
}

/// One outcome for each unit, and the right one.
fn outcomes(scenario: &Scenario, disk: &Disk, losses: &Losses) -> Result<(), Broken> {
    let shapes = scenario.shapes();
    let mut next = 0;
    for entry in disk.in_order() {
        if entry.first > next {
            return Err(Broken::Missing { unit: next });
        }
        next = entry.first + entry.count;
        if next > scenario.units {
            return Err(Broken::Invented { unit: next - 1, units: scenario.units });
        }
        for unit in entry.first..next {
            let (expected, found) = (expected(&shapes, unit), found(entry, unit));
            if expected != found && !blamed(scenario, entry, losses)? {
                let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
                return Err(Broken::Wrong { unit, expected, found });
            }
        }
    }
    if next < scenario.units || !disk.is_closed() {
        return Err(Broken::Missing { unit: next });
    }
    if !disk.is_concluded() {
        return Err(Broken::Untold);
    }
    Ok(())
}

/// Whether a unit was given up that was said to have killed its workers; then it must have been lost with
/// them often enough. The first loss makes it suspect, so that it is alone with
/// its workers from then on; the others count, and the first of them may have the same cause.
fn blamed(scenario: &Scenario, entry: &Entry, losses: &Losses) -> Result<bool, Broken> {
    let Outcome::Dead { dead, .. } = &entry.outcome else { return Ok(false) };
    let Some(stage) = scenario.stages.get(dead.stage as usize) else { return Ok(false) };
    if !killed_its_workers(dead) {
        return Ok(false);
    }
    let (unit, lost) = (dead.root, losses.of(dead.root, &dead.path));
    let needed = stage.stage.crash_limit.max(1);
    if lost < needed { Err(Broken::Blamed { unit, lost, needed }) } else { Ok(true) }
}

fn found(entry: &Entry, unit: UnitId) -> Expected {
    match &entry.outcome {
        Outcome::Values { units, .. } => {
            Expected::Results(vec![units.value((unit - entry.first) as usize).to_vec()])
        }
        Outcome::Expanded(outputs) => {
            Expected::Results(outputs.leaves().map(|leaf| leaf.value.to_vec()).collect())
        }
        Outcome::Filtered(_) => Expected::Filtered,
        Outcome::Dead { .. } => Expected::Dead,
    }
}
