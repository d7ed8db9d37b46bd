//! `[limits]`: every limit of the runtime by its own name, and friendlier forms of some.
//!
//! Owns the friendlier forms; the limits' names and defaults are the runtime's.

use proto::limits::Limits;

use super::reader::Reader;
use crate::topology::{
    diagnose::{Fault, Problem},
    keys::{DURATION_LIMITS, Form, limit_defaults},
    location::Located,
};

pub(super) fn limits(mut reader: Reader<'_>) -> Limits {
    let mut limits = Limits::default();
    for name in limit_defaults().keys() {
        let number = match reader.section.key(name).map(|key| key.form) {
            Some(Form::Size(_)) => reader.bytes(name),
            Some(Form::Duration(_)) => reader.milliseconds(name),
            _ => reader.integer(name).and_then(unsigned),
        };
        if let Some(number) = number {
            set(&mut limits, name, &number);
        }
    }
    for (key, name) in DURATION_LIMITS {
        let duration = reader.milliseconds(key);
        if let Some(duration) = duration {
            set(&mut limits, name, &duration);
        }
        refuse_both(&mut reader, key, name);
    }
    refuse_deafness(&mut reader, &limits);
    limits
}

fn unsigned(number: Located<i128>) -> Option<Located<u64>> {
    Some(Located { value: u64::try_from(number.value).ok()?, place: number.place })
}

/// Sets a limit by its name. Its type holds what its key takes.
fn set(limits: &mut Limits, name: &str, number: &Located<u64>) {
    let changed = serde_json::to_value(&*limits).and_then(|mut all| {
        all[name] = number.value.into();
        serde_json::from_value(all)
    });
    if let Ok(changed) = changed {
        *limits = changed;
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
