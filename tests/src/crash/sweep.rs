//! Which points are tried: dealt over cases, roles, operations and kinds from a seed.
//!
//! Owns the dealing. How many operations a role has is measured on a calm run; which one is the N-th
//! may differ a little from run to run, since processes do.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::point::{How, Loss, Point, ROLES, Reach, Role, word};
use super::shim::Trace;

/// The sink writes most.
const DEAL: [Role; 6] =
    [Role::Sink, Role::Ventilator, Role::Sink, Role::Launcher, Role::Sink, Role::Launcher];
const HOWS: [How; 10] = [
    How::KillBefore,
    How::KillHalf,
    How::KillAfter,
    How::Eio,
    How::KillHalf,
    How::KillAfter,
    How::Enospc,
    How::Short,
    How::KillHalf,
    How::Eintr,
];
const LOSSES: [Loss; 5] = [Loss::Nothing, Loss::All, Loss::Torn, Loss::Some, Loss::All];
/// One kill in so many is followed by another one in the process that comes after it.
const AGAIN: usize = 4;
/// One loss in so many is that of the whole machine.
const POWER: usize = 2;

/// A point of `case`, the `index`-th; none if the role does nothing there.
pub fn deal(
    rng: &mut Rng,
    index: usize,
    case: &str,
    traces: &BTreeMap<String, Vec<Trace>>,
) -> Option<Point> {
    let role = DEAL[index % DEAL.len()];
    let of_role = traces.get(word(&ROLES, &role))?;
    let operations = of_role.iter().map(Vec::len).max().filter(|count| *count > 0)? as u64;
    let how = HOWS[rng.usize(..HOWS.len())];
    let mut at = vec![rng.u64(1..=operations)];
    let (mut loss, mut reach) = (Loss::Nothing, Reach::Process);
    if how.kills() {
        loss = LOSSES[rng.usize(..LOSSES.len())];
        if rng.usize(..AGAIN) == 0 {
            at.push(rng.u64(1..=operations));
        }
        // What was read from a pipe is read as long as the system runs, and unless that stops nothing is lost.
        let reads = role == Role::Ventilator;
        if role != Role::Launcher && loss != Loss::Nothing && (reads || rng.usize(..POWER) == 0) {
            reach = Reach::Run;
        }
    }
    Some(Point { case: case.to_owned(), role, at, how, loss, reach })
}
