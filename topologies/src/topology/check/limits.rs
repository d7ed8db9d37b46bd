//! `[limits]`: every limit of the runtime by its own name, and friendlier forms of some.
//!
//! Owns the friendlier forms; the limits' names and defaults are the runtime's.

use proto::limits::{FRAME_BYTES_CEILING, Limits, PARCEL_UNITS_CEILING};

use super::reader::{Reader, UNSIGNED};
use crate::topology::{
    diagnose::{Fault, Problem},
    location::Located,
    section::{DURATION_LIMITS, limit_defaults},
};

/// The smallest value of every limit: none of them may be switched off.
const MIN: i128 = 1;

pub(super) fn limits(mut reader: Reader<'_>) -> Limits {
    let mut limits = Limits::default();
    for name in limit_defaults().keys() {
        // A name bears its unit, so the unit need not be told twice.
        let number = if name.ends_with("_bytes_max") {
            reader.bytes(name, MIN..=max_of(name))
        } else if name.ends_with("_ms") {
            reader.milliseconds(name, MIN..=*UNSIGNED.end())
        } else {
            reader.integer(name, MIN..=max_of(name)).and_then(unsigned)
        };
        if let Some(number) = number {
            set(&mut reader, &mut limits, name, &number);
        }
    }
    for (key, name) in DURATION_LIMITS {
        let duration = reader.milliseconds(key, MIN..=*UNSIGNED.end());
        if let Some(duration) = duration {
            set(&mut reader, &mut limits, name, &duration);
        }
        refuse_both(&mut reader, key, name);
    }
    refuse_deafness(&mut reader, &limits);
    limits
}

/// A worker listens before it is told the run's limits, so frames have ceilings for all runs.
fn max_of(name: &str) -> i128 {
    match name {
        "frame_bytes_max" => FRAME_BYTES_CEILING.into(),
        "parcel_units_max" => PARCEL_UNITS_CEILING.into(),
        _ => *UNSIGNED.end(),
    }
}

fn unsigned(number: Located<i128>) -> Option<Located<u64>> {
    Some(Located { value: u64::try_from(number.value).ok()?, place: number.place })
}

/// Sets a limit by its name; a number that its type cannot hold is refused.
fn set(reader: &mut Reader<'_>, limits: &mut Limits, name: &str, number: &Located<u64>) {
    let changed = serde_json::to_value(&*limits).and_then(|mut all| {
        all[name] = number.value.into();
        serde_json::from_value(all)
    });
    match changed {
        Ok(changed) => *limits = changed,
        Err(_) => {
            let fault = Fault::OutOfRange {
                key: name.to_owned(),
                value: number.value.into(),
                min: MIN,
                max: u32::MAX.into(),
            };
            reader.refuse(&number.place, fault);
        }
    }
}

fn refuse_both(reader: &mut Reader<'_>, key: &str, name: &str) {
    let (Some(short), Some(long)) = (reader.entry(key), reader.entry(name)) else {
        return;
    };
    let fault = Fault::SameLimit { first: name.to_owned(), second: key.to_owned() };
    let problem = Problem::at(short.key_place.clone(), fault);
    reader.report(problem.with_context(long.key_place.clone(), "set here, too"));
}

/// A peer must be heard at least once before it is given up.
fn refuse_deafness(reader: &mut Reader<'_>, limits: &Limits) {
    let (liveness, heartbeat) = (limits.liveness_ms, limits.heartbeat_interval_ms);
    let keys = ["liveness", "liveness_ms", "heartbeat", "heartbeat_interval_ms"];
    let written = keys.iter().find_map(|key| reader.entry(key));
    if let Some(entry) = written.filter(|_| liveness <= heartbeat) {
        let fault = Fault::NoHeartbeat { liveness, heartbeat };
        reader.refuse(&entry.item.place, fault);
    }
}

#[cfg(test)]
mod tests {
    use crate::topology::section::{DURATION_LIMITS, limit_defaults};

    #[test]
    fn every_friendlier_key_sets_a_limit_that_exists() {
        for (key, name) in DURATION_LIMITS {
            assert!(limit_defaults().contains_key(*name), "{key}");
        }
    }
}
