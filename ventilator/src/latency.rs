//! How long units are under way, from their leaving to their commit.
//!
//! Owns one histogram of bounded size; refuses clocks.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told apart: an hour.
const MAX_US: u64 = 3_600_000_000;

/// Latencies in microseconds, to two significant digits.
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(
            Histogram::new_with_bounds(1, MAX_US, 2)
                .expect("1 µs to 1 h in two digits is a valid range"),
        )
    }
}

impl Latency {
    /// Adds latencies, each with the number of units that had it.
    pub fn record(&mut self, latencies: Vec<(Duration, usize)>) {
        for (latency, units) in latencies {
            let us = u64::try_from(latency.as_micros()).unwrap_or(MAX_US).clamp(1, MAX_US);
            self.0.saturating_record_n(us, units as u64);
        }
    }

    /// The 50th, 90th and 99th percentile and the maximum.
    pub fn percentiles_us(&self) -> [u64; 4] {
        [0.5, 0.9, 0.99, 1.0].map(|quantile| self.0.value_at_quantile(quantile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_weigh_units_not_parcels() {
        let mut latency = Latency::default();
        latency.record(vec![(Duration::from_micros(10), 99), (Duration::from_micros(1000), 1)]);
        let [p50, _, p99, max] = latency.percentiles_us();
        assert_eq!((p50, p99), (10, 10));
        assert!((990..=1010).contains(&max));
    }
}
