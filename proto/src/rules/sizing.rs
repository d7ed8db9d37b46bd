//! How many units travel together.
//!
//! Owns one number per peer; refuses configuration. A parcel starts as one unit, doubles while
//! its peer finishes it well within the target service time, and follows the measured service
//! time from then on. Towards the end of a source whose remainder is known it shrinks (guided
//! self-scheduling: C. Polychronopoulos, D. Kuck, IEEE Trans. Computers C-36, 1987).
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::time::Duration;

/// The service time of one peer, learned from its finished parcels.
#[derive(Debug, Clone, Copy)]
pub struct Sizing {
    target: Duration,
    units_max: usize,
    ns_per_unit: Option<f64>,
    grown: usize,
    // No parcel needs to be smaller, unless there is no more.
    least: usize,
}

/// The weight of the newest parcel in the mean.
const NEWEST: f64 = 0.3;
/// A peer that has many units open at once gets so many parcels of them at least: then a parcel
/// lasts an eighth of a unit's time beyond that time.
const PARCELS_OF_OPEN: usize = 8;

impl Sizing {
    /// A peer of which nothing is known.
    pub fn new(target: Duration, units_max: usize) -> Self {
        Self { target, units_max, ns_per_unit: None, grown: 1, least: 1 }
    }

    /// The peer has so many units open at once: small parcels would fill it slowly.
    pub fn opens(&mut self, units: usize) {
        self.least = units.div_ceil(PARCELS_OF_OPEN).clamp(1, self.units_max.max(1));
    }

    /// A parcel of `units` took the peer this long. Of several that it has open at once each takes
    /// its share of the time.
    pub fn finished(&mut self, units: usize, busy: Duration) {
        if units == 0 {
            return;
        }
        let each = busy.as_nanos() as f64 / units as f64;
        let mean = self.ns_per_unit.map_or(each, |known| known + NEWEST * (each - known));
        self.ns_per_unit = Some(mean);
        let fits = (self.target.as_nanos() as f64 / mean.max(1.0)) as usize;
        self.grown = self.grown.saturating_mul(2).min(fits).clamp(1, self.units_max);
    }

    /// How many units the next parcel may hold.
    pub fn units(&self) -> usize {
        self.grown.max(self.least)
    }

    /// How many units the next parcel may hold when `left` units are all that is left for
    /// `peers` of equal speed.
    pub fn units_near_end(&self, left: usize, peers: usize) -> usize {
        self.units().min(left.div_ceil(peers.max(1).saturating_mul(2))).max(1)
    }

    /// How long this many units are expected to take; nothing is known before the first parcel.
    pub fn expected(&self, units: usize) -> Option<Duration> {
        Some(Duration::from_nanos((self.ns_per_unit? * units as f64) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(4);

    #[test]
    fn tiny_units_end_in_full_parcels() {
        let mut sizing = Sizing::new(TARGET, 10_000);
        assert_eq!(sizing.units(), 1);
        for _ in 0..14 {
            sizing.finished(sizing.units(), Duration::from_nanos(100) * sizing.units() as u32);
        }
        assert_eq!(sizing.units(), 10_000);
    }

    #[test]
    fn a_peer_with_many_units_open_is_filled_by_a_few_parcels() {
        let mut sizing = Sizing::new(TARGET, 10_000);
        sizing.opens(500);
        assert_eq!(sizing.units(), 63);
        sizing.finished(63, Duration::from_millis(63));
        assert_eq!(sizing.units(), 63);
        assert_eq!(sizing.units_near_end(4, 1), 2);
        sizing.opens(usize::MAX);
        assert_eq!(sizing.units(), 10_000);
        sizing.opens(1);
        assert_eq!(sizing.units(), 2);
    }

    #[test]
    fn no_number_is_too_large() {
        let mut sizing = Sizing::new(Duration::MAX, usize::MAX);
        for _ in 0..70 {
            sizing.finished(usize::MAX, Duration::ZERO);
        }
        assert_eq!(sizing.units(), usize::MAX);
        assert_eq!(sizing.units_near_end(usize::MAX, usize::MAX), 1);
        sizing.finished(1, Duration::MAX);
        assert!(sizing.expected(usize::MAX).is_some());
    }

    #[test]
    fn long_units_travel_alone() {
        let mut sizing = Sizing::new(TARGET, 10_000);
        sizing.finished(1, Duration::from_millis(50));
        assert_eq!(sizing.units(), 1);
    }

    #[test]
    fn parcels_follow_units_that_become_slower() {
        let mut sizing = Sizing::new(TARGET, 10_000);
        for _ in 0..14 {
            sizing.finished(sizing.units(), Duration::from_micros(1) * sizing.units() as u32);
        }
        assert_eq!(sizing.units(), 4_000);
        for _ in 0..30 {
            sizing.finished(sizing.units(), Duration::from_millis(1) * sizing.units() as u32);
        }
        assert_eq!(sizing.units(), 4);
    }

    #[test]
    fn parcels_shrink_towards_a_known_end() {
        let mut sizing = Sizing::new(TARGET, 10_000);
        for _ in 0..14 {
            sizing.finished(sizing.units(), Duration::from_nanos(1) * sizing.units() as u32);
        }
        assert_eq!(sizing.units_near_end(800, 4), 100);
        assert_eq!(sizing.units_near_end(3, 4), 1);
        assert_eq!(sizing.units_near_end(0, 0), 1);
    }
}
