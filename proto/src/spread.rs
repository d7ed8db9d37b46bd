//! How long units took, in few numbers: how many there were up to each power of two.
//!
//! Owns the bounds and what can be told from the counts; refuses clocks. Bounded in size, cheap to add
//! to and to add up, and exact within a factor of two.

use serde::{Deserialize, Serialize};

/// The last count is of everything longer than the bound before it, an hour and more.
pub const COUNTS_MAX: usize = 33;

/// See the module. Count `i` is of units that took more than 2^(i-1) and up to 2^i microseconds; those
/// behind the longest are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spread(Vec<u64>);

impl Spread {
    /// So many units took so long, each.
    pub fn record(&mut self, took_ns: u64, units: u64) {
        let us = took_ns.div_ceil(1_000).max(1);
        let index = (u64::BITS - (us - 1).leading_zeros()) as usize;
        self.bump(index.min(COUNTS_MAX - 1), units);
    }

    /// What another one counted is counted here too. A peer may say anything.
    pub fn add(&mut self, other: &Self) {
        for (index, units) in other.0.iter().take(COUNTS_MAX).enumerate() {
            self.bump(index, *units);
        }
    }

    /// What has been counted since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.0.iter().copied().chain(std::iter::repeat(0));
        Self(self.0.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect())
    }

    fn bump(&mut self, index: usize, units: u64) {
        if units == 0 {
            return;
        }
        if self.0.len() <= index {
            self.0.resize(index + 1, 0);
        }
        if let Some(count) = self.0.get_mut(index) {
            *count = count.saturating_add(units);
        }
    }

    /// All units that were counted.
    pub fn units(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Units that took up to 2^`power` microseconds.
    pub fn up_to(&self, power: usize) -> u64 {
        self.0.iter().take(power + 1).fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// So many seconds or less this share of the units took, from 0 to 1; none without units. Between
    /// two bounds the units are taken to lie evenly.
    pub fn quantile_s(&self, share: f64) -> Option<f64> {
        let units = self.units();
        let wanted = share * units as f64;
        let mut before = 0.0;
        for (index, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (count, bound) = (*count as f64, 2f64.powi(index as i32));
            if before + count >= wanted {
                let below = if index == 0 { 0.0 } else { bound / 2.0 };
                let part = ((wanted - before) / count).clamp(0.0, 1.0);
                return Some((below + (bound - below) * part) / 1e6);
            }
            before += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(took_us: &[u64]) -> Spread {
        let mut spread = Spread::default();
        took_us.iter().for_each(|us| spread.record(us * 1_000, 1));
        spread
    }

    #[test]
    fn a_unit_is_counted_at_the_first_bound_that_it_does_not_pass() {
        let counted = spread(&[0, 1, 2, 3, 4, 5, 1_024, 1_025]);
        assert_eq!(counted.0[..4], [2, 1, 2, 1]);
        assert_eq!((counted.up_to(10), counted.up_to(11), counted.units()), (7, 8, 8));
        let mut longest = Spread::default();
        longest.record(u64::MAX, 3);
        assert_eq!((longest.0.len(), longest.units()), (COUNTS_MAX, 3));
    }

    #[test]
    fn a_quantile_lies_between_the_bounds_of_its_units() {
        let mut counted = spread(&[700; 99]);
        counted.record(3_000_000_000, 1);
        let told = [0.5, 0.99, 1.0].map(|share| counted.quantile_s(share).unwrap_or_default());
        assert!(told[0] > 512e-6 && told[0] < 1_024e-6, "{told:?}");
        assert!(told[1] <= 1_024e-6 && told[2] > 2.0 && told[2] <= 4.2, "{told:?}");
        assert_eq!(Spread::default().quantile_s(0.5), None);
    }

    #[test]
    fn spreads_add_up_and_what_a_peer_says_too_much_is_left_out() {
        let mut all = spread(&[1, 1]);
        all.add(&spread(&[1, 100]));
        assert_eq!((all.units(), all.up_to(0)), (4, 3));
        assert_eq!(all.since(&spread(&[1, 100])).units(), 2);
        all.add(&Spread(vec![1; 1_000]));
        assert_eq!((all.0.len(), all.units()), (COUNTS_MAX, 4 + COUNTS_MAX as u64));
    }
}
