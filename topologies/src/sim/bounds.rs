//! How much each role may keep (P4), whatever happens.
//!
//! Owns the arithmetic of the limits; the roles say what they keep.

use sink::core::Sink;
use ventilator::core::Ventilator;
use worker::core::Worker;

/// What a ventilator keeps beyond its limits.
pub(super) fn ventilator(_role: &Ventilator) -> Option<String> {
    None
}

/// What a worker keeps beyond its limits.
pub(super) fn worker(_role: &Worker) -> Option<String> {
    None
}

/// What a sink keeps beyond its limits.
pub(super) fn sink(_role: &Sink) -> Option<String> {
    None
}
