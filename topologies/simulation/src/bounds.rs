//! How much each role may keep (P4), whatever happens.
//!
//! Owns the arithmetic of the limits; the roles say what they keep.

use proto::{limits::Limits, rules::dispatch::Dispatch};
use sink::core::Sink;
use ventilator::core::Ventilator;
use worker::core::WorkerRole;

use super::{scenario::Scenario, shape::VALUE_BYTES_MAX};

/// What a process keeps at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Units that may be sent, or have been, and are not committed.
    pub in_flight: u64,
    /// Bytes kept for others until they are committed.
    pub kept_bytes: u64,
    /// Bytes of dead units kept for the sink.
    pub dead_bytes: u64,
    /// Units taken in and not processed.
    pub intake_units: u64,
    /// Their bytes.
    pub intake_bytes: u64,
    /// Second copies, parcels lent and parcels without credit, so far.
    pub copies: u64,
    pub lent: u64,
    pub pressed: u64,
    /// Units that workers gave back since they shall not be worked on, so far.
    pub recalled: u64,
    /// Frames that were more than this process had allowed.
    pub unallowed: u64,
}

/// What a ventilator keeps.
pub(super) fn ventilator(role: &Ventilator) -> Load {
    let (kept, dead) = role.kept_bytes();
    Load {
        in_flight: role.in_flight(),
        kept_bytes: kept as u64,
        dead_bytes: dead as u64,
        ..of(role.stages())
    }
}

/// What a worker keeps.
pub(super) fn worker(role: &WorkerRole) -> Load {
    let (units, bytes) = role.intake();
    Load {
        kept_bytes: role.kept_bytes() as u64,
        intake_units: units as u64,
        intake_bytes: bytes as u64,
        ..of(role.stages())
    }
}

/// What a sink keeps.
pub(super) fn sink(role: &Sink) -> Load {
    let (units, bytes) = role.intake();
    Load {
        in_flight: role.in_flight(),
        intake_units: units as u64,
        intake_bytes: bytes as u64,
        unallowed: role.turned_away().over_credit,
        ..Load::default()
    }
}

fn of<'a>(stages: impl Iterator<Item = &'a Dispatch>) -> Load {
    stages.fold(Load::default(), |sum, stage| Load {
        copies: sum.copies + stage.copies(),
        lent: sum.lent + stage.lent(),
        pressed: sum.pressed + stage.pressed(),
        recalled: sum.recalled + stage.recalled(),
        ..sum
    })
}

/// The most that a process may keep in a scenario.
pub(super) fn most(scenario: &Scenario, is_sink: bool) -> Load {
    let Limits {
        window_units_max,
        window_bytes_max,
        parcel_units_max,
        parcel_bytes_max,
        intake_units_max,
        intake_bytes_max,
        ..
    } = scenario.limits;
    // What is cancelled or waits too long is told at once, without a window.
    let queued = scenario.service.as_ref().map_or(0, |service| 2 * service.queue_units_max);
    let workers: u64 = scenario.stages.iter().map(|stage| u64::from(stage.workers)).sum();
    let value = VALUE_BYTES_MAX as u64;
    // A unit's outputs over all stages, and those of one parcel.
    let tree: u64 =
        scenario.stages.iter().map(|stage| u64::from(stage.shape.outputs_max.max(1))).product();
    let entry = if tree > 1 { EXPANDED_BYTES } else { ENTRY_BYTES };
    let parcel = u64::from(parcel_units_max) * tree * (value + entry);
    // Each sender may overshoot its share by one parcel, and has its share of an intake that fewer
    // senders may have been promised before.
    let senders = workers + 1;
    let open = scenario.stages.iter().filter_map(|stage| stage.stage.concurrency).max();
    let open = u64::from(open.unwrap_or(1)).min(window_units_max * tree);
    let (units, bytes) = if is_sink {
        (4 * intake_units_max, window_bytes_max / 2)
    } else {
        (intake_units_max.max(2 * open), intake_bytes_max)
    };
    Load {
        in_flight: window_units_max + queued,
        // One parcel that was begun, copies, and what belongs to the oldest unit, as often as lost
        // sessions made it come again.
        // What was open when that became too much ends all the same.
        kept_bytes: window_bytes_max
            + 4 * parcel
            + workers * (parcel_bytes_max + value)
            + (open - 1) * tree * (value + entry),
        dead_bytes: (window_units_max + queued) * (2 * value + 4 * entry),
        intake_units: 2 * units + senders * u64::from(parcel_units_max),
        intake_bytes: 2 * bytes + senders * (parcel_bytes_max + value) + parcel,
        copies: u64::MAX,
        lent: u64::MAX,
        pressed: u64::MAX,
        recalled: u64::MAX,
        unallowed: 0,
    }
}

/// What an outcome weighs beside its value.
const ENTRY_BYTES: u64 = 32;
/// The same of an output of a unit that became several.
const EXPANDED_BYTES: u64 = 512;

impl Load {
    /// What of it is beyond `most`.
    pub fn excess(&self, most: &Self) -> Option<String> {
        let all = [
            (self.in_flight, most.in_flight, "units in flight"),
            (self.kept_bytes, most.kept_bytes, "bytes for others"),
            (self.dead_bytes, most.dead_bytes, "bytes of dead units"),
            (self.intake_units, most.intake_units, "units unprocessed"),
            (self.intake_bytes, most.intake_bytes, "bytes unprocessed"),
            (self.unallowed, most.unallowed, "frames that it had not allowed"),
        ];
        let (is, max, what) = all.into_iter().find(|(is, max, _)| is > max)?;
        Some(format!("{is} {what}, and may keep {max}"))
    }
}
