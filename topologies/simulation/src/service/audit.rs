//! What must hold of a service: of each answer at once, and of all once everybody has what was wanted.
//!
//! Owns what is compared with what; refuses to look into a process: what clients were told, the sink's
//! disk and the queue's store count.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use client::outcome::{Outcome, Undone};
use proto::unit::UnitId;
use sink::entry::{Entry, Outcome as Recorded};

use super::{Premises, desk::Desk};
use crate::{
    clock::Moment,
    coverage::{Coverage, Seen},
    model::Disk,
    shape::{Expected, Shape, expected},
};

/// What is kept longer than it may for so long was forgotten.
const SLACK: Duration = Duration::from_secs(5);
/// Records that the queue's store has at most while nothing waits: those of one segment.
const RECORDS_MAX: usize = 400;
/// Records for each unit that waits.
const RECORDS_PER_UNIT: usize = 8;

/// What a client is told of a unit.
pub(super) struct Told<'a> {
    pub unit: UnitId,
    pub outcome: &'a Outcome,
}

/// Whether outputs that a client was shown of a unit before its outcome are those of the outcome. The models'
/// functions give the same each time; one that fails for good may have shown some.
///
/// # Errors
/// Says what is wrong.
pub(super) fn shown(
    unit: UnitId,
    shown: &BTreeMap<u32, Bytes>,
    outcome: &Outcome,
) -> Result<(), String> {
    let all = match outcome {
        Outcome::Value(value) => std::slice::from_ref(value),
        Outcome::Values(values) => values,
        Outcome::Filtered => &[],
        Outcome::Dead(_) | Outcome::Undone(_) => return Ok(()),
    };
    let is_so = shown.iter().all(|(place, value)| all.get(*place as usize) == Some(value));
    is_so.then_some(()).ok_or_else(|| format!("other outputs of unit {unit} were shown"))
}

/// Whether a client may be told this.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn told(
    desk: &mut Desk,
    told: &Told<'_>,
    disk: &Disk,
    shapes: &[(Shape, u32)],
) -> Result<(), String> {
    let Told { unit, outcome } = told;
    let Some(entry) = disk.outcome_of(*unit) else {
        return Err(format!("is told of unit {unit}, whose outcome is not safe"));
    };
    let found = match outcome {
        Outcome::Value(value) => Expected::Results(vec![value.to_vec()]),
        Outcome::Values(values) => {
            Expected::Results(values.iter().map(|value| value.to_vec()).collect())
        }
        Outcome::Filtered => Expected::Filtered,
        Outcome::Dead(_) | Outcome::Undone(_) => Expected::Dead,
    };
    let error = match outcome {
        Outcome::Dead(failure) => Some(failure.error.as_str()),
        _ => None,
    };
    right(desk, *unit, &found, error, shapes)?;
    let (found, safe) = (format!("{found:?}"), format!("{:?}", recorded(entry, *unit).0));
    if found != safe {
        return Err(format!("is told that unit {unit} came out as {found}, recorded is {safe}"));
    }
    match desk.told.insert(*unit, found.clone()) {
        Some(before) if before != found => {
            Err(format!("is told that unit {unit} came out as {found}, and before as {before}"))
        }
        _ => Ok(()),
    }
}

/// Whether a unit may come out like this.
fn right(
    desk: &Desk,
    unit: UnitId,
    found: &Expected,
    error: Option<&str>,
    shapes: &[(Shape, u32)],
) -> Result<(), String> {
    let Some(ticket) = desk.tickets.get(&unit) else { return Ok(()) };
    // A ventilator that was started anew does not know what the one before had given out, nor one that has
    // lost a worker what that had begun.
    let may_be_lost = desk.begun.contains(unit) && (desk.is_resumed || desk.is_disturbed);
    let is_certain = desk.cancelled.contains(unit) && !may_be_lost;
    let is_cancelled = error.is_some_and(|error| error.starts_with("cancelled before"));
    if is_certain && !is_cancelled {
        return Err(format!("unit {unit} was said to be cancelled, and came out as {found:?}"));
    }
    let may_be = match error {
        Some(_) if is_cancelled => ticket.may_be_cancelled,
        Some(error) if error.starts_with("waited longer") => ticket.may_be_late,
        // How often it killed its workers is looked at on the disk.
        Some(error) if error.contains("died while executing") => true,
        Some(error) if error.starts_with("lost with") => false,
        _ => expected(shapes, ticket.value) == *found,
    };
    may_be.then_some(()).ok_or_else(|| {
        let expected = expected(shapes, ticket.value);
        format!("unit {unit} came out as {found:?} ({error:?}), and not as {expected:?}")
    })
}

fn recorded(entry: &Entry, unit: UnitId) -> (Expected, Option<&str>) {
    match &entry.outcome {
        Recorded::Values { units, .. } => {
            let value = units.value((unit - entry.first) as usize).to_vec();
            (Expected::Results(vec![value]), None)
        }
        Recorded::Expanded(outputs) => {
            let values = outputs.leaves().map(|leaf| leaf.value.to_vec());
            (Expected::Results(values.collect()), None)
        }
        Recorded::Filtered(_) => (Expected::Filtered, None),
        Recorded::Dead { dead, .. } => (Expected::Dead, Some(&dead.error)),
    }
}

/// Whether a client may be told that there is nothing to be told of a unit.
///
/// # Errors
/// Says why not.
pub(super) fn undone(
    premises: &Premises,
    unit: UnitId,
    why: Undone,
    now: Moment,
) -> Result<(), String> {
    let mut desk = premises.desk.borrow_mut();
    let age = premises.shelf.borrow().age(now, unit);
    let is_old = age.is_some_and(|age| age >= premises.service.retain);
    match why {
        Undone::Expired if is_old || desk.fetched.contains(unit) => {
            desk.expired += 1;
            Ok(())
        }
        _ => Err(format!("nothing is told of unit {unit}: {why}")),
    }
}

/// Whether nothing grows while a service runs: what waits is in the queue's store, and no outcome is kept
/// for ever.
///
/// # Errors
/// Says what does.
pub(crate) fn bounded(premises: &Premises, disk: &Disk, now: Moment) -> Result<(), String> {
    let vault = premises.vault.borrow();
    if let Some(next) = vault.next {
        let waiting = next.saturating_sub(disk.committed().len()) as usize;
        let most = RECORDS_MAX + RECORDS_PER_UNIT * waiting;
        if vault.records() > most {
            return Err(format!("{} records are kept for {waiting} units", vault.records()));
        }
    }
    let old = premises.shelf.borrow().older(now, premises.service.retain + SLACK);
    match old.first() {
        Some(unit) => Err(format!("the outcome of unit {unit} is kept too long")),
        None => Ok(()),
    }
}

/// Whether all units that were ever accepted have an outcome.
pub(crate) fn is_all_done(premises: &Premises, disk: &Disk) -> bool {
    premises.vault.borrow().next == Some(disk.watermark())
        && disk.watermark() == disk.committed().len()
}

/// What is left of what is committed, beside what the segment that is written holds.
pub(crate) fn left_over(premises: &Premises) -> Option<String> {
    let vault = premises.vault.borrow();
    let (records, older) = (vault.records(), vault.older());
    let what =
        || format!("{records} records are left in {older} segments and the last, for nothing");
    (older > 0).then(what)
}

/// Everything that can be said once nobody is there any more.
///
/// # Errors
/// Says what is wrong.
pub(crate) fn ended(
    premises: &Premises,
    disk: &Disk,
    shapes: &[(Shape, u32)],
) -> Result<(), String> {
    let (desk, vault) = (premises.desk.borrow(), premises.vault.borrow());
    for (index, person) in desk.people().iter().enumerate() {
        if let Some(wish) = person.notes.iter().position(|note| !note.is_done) {
            return Err(format!("client {index} does not know what became of its wish {wish}"));
        }
    }
    for unit in desk.tickets.keys() {
        let Some(entry) = disk.outcome_of(*unit) else {
            return Err(format!("unit {unit} was accepted, and has no outcome"));
        };
        let (found, error) = recorded(entry, *unit);
        right(&desk, *unit, &found, error, shapes)?;
    }
    // Where clients come all day, few were there in the last hour before the queue forgot any.
    let people = desk.people().len();
    let remembered = vault.clients();
    if !premises.service.span.is_zero() && remembered > people / 3 {
        return Err(format!("{remembered} clients are remembered of {people}"));
    }
    Ok(())
}

/// What was seen of a service.
pub(crate) fn note(premises: &Premises, coverage: &mut Coverage) {
    let (desk, vault) = (premises.desk.borrow(), premises.vault.borrow());
    coverage.saw(Seen::TicketAgain, desk.again);
    coverage.saw(Seen::Joined, desk.joined);
    coverage.saw(Seen::Cancelled, desk.cancelled.len());
    coverage.saw(Seen::CancelledOut, vault.cancelled_out);
    coverage.saw(Seen::Begun, desk.told_begun);
    coverage.saw(Seen::Unknown, desk.unknown);
    coverage.saw(Seen::OutcomeExpired, desk.expired);
    coverage.saw(Seen::Declined, desk.declined);
    coverage.saw(Seen::AcceptedUntold, vault.untold);
    coverage.saw(Seen::KeptAgain, premises.shelf.borrow().again);
}
