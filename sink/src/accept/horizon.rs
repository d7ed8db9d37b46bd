//! How far ahead of the watermark the ventilator may send.
//!
//! Owns the window, which follows the memory that waiting outcomes take: it opens while there is
//! room and closes when there is none, and it never takes back what it has allowed, nor what the sinks
//! before this one have. So what the sink holds is bounded in bytes, although nobody knows beforehand
//! how large outcomes will be.

use proto::{limits::Limits, unit::UnitId};

/// The window that a run starts with, and never goes below: large outcomes may then take this
/// many times their size, but as many workers can be busy.
const FLOOR_UNITS: u64 = 64;
/// The weight of the newest outcomes in the mean size.
const NEWEST: f64 = 0.2;

/// The window between watermark and horizon.
#[derive(Debug)]
pub struct Horizon {
    window: u64,
    units_max: u64,
    bytes_max: u64,
    horizon: UnitId,
    // What the ventilator was told last.
    told: UnitId,
    // Up to here the sinks before this one may have let units be sent. They are on their way, and
    // will not be sent to this one again.
    promised: UnitId,
    // How many units were committed when it last grew.
    grown_at: u64,
    unit_bytes: f64,
}

impl Horizon {
    /// A window at its start, above `watermark`, with `committed` units in all.
    pub fn new(limits: &Limits, watermark: UnitId, committed: u64) -> Self {
        let window = FLOOR_UNITS.min(limits.window_units_max.max(1));
        Self {
            window,
            units_max: limits.window_units_max.max(1),
            bytes_max: limits.window_bytes_max,
            horizon: watermark.saturating_add(window),
            told: watermark,
            promised: 0,
            grown_at: committed,
            unit_bytes: 0.0,
        }
    }

    /// The sinks before this one may have let units be sent so far beyond the watermark; what this one
    /// may allow at most counts as allowed too, since their limits may have been the same.
    pub fn keep_promise(&mut self, window_units: u64) {
        self.promised = self.told.saturating_add(window_units.max(self.units_max));
    }

    /// What the ventilator was told last.
    pub fn told(&self) -> UnitId {
        self.told
    }

    /// Units below this one have been let be sent, by this sink or by those before it.
    pub fn takes_below(&self) -> UnitId {
        self.told.max(self.promised)
    }

    /// Outcomes of so many units have come, which take so much memory together.
    pub fn learn(&mut self, units: u64, bytes: u64) {
        if units > 0 {
            let each = bytes as f64 / units as f64;
            // Growing sizes are believed at once: what is allowed cannot be taken back.
            let mean = self.unit_bytes + NEWEST * (each - self.unit_bytes);
            self.unit_bytes = mean.max(each);
        }
    }

    /// Where the ventilator must stop, which it is told, now that the watermark is here, so many units are committed
    /// in all, and outcomes that wait take `held_bytes`. A straggler holds the watermark, not the
    /// growth of the window.
    pub fn update(&mut self, watermark: UnitId, committed: u64, held_bytes: u64) -> UnitId {
        if held_bytes > self.bytes_max {
            self.window = (self.window / 2).max(FLOOR_UNITS.min(self.units_max));
        } else if held_bytes < self.bytes_max / 4 && committed >= self.grown_at + self.window / 2 {
            // Half a window has been committed since it last grew: the run can use more.
            self.grown_at = committed;
            self.window = (self.window * 2).min(self.units_max);
        }
        let fitting = (self.bytes_max as f64 / self.unit_bytes.max(1.0)) as u64;
        let floor = FLOOR_UNITS.min(self.units_max);
        let window = self.window.min(fitting.max(floor));
        self.horizon = self.horizon.max(watermark.saturating_add(window));
        self.told = self.horizon;
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_with_progress_up_to_the_limit() {
        let limits = Limits { window_units_max: 100_000, ..Limits::default() };
        let mut horizon = Horizon::new(&limits, 0, 0);
        let mut watermark = 0;
        for _ in 0..100 {
            let end = horizon.update(watermark, watermark, 0);
            assert!(end - watermark <= 100_000);
            watermark = end;
        }
        assert_eq!(horizon.update(watermark, watermark, 0) - watermark, 100_000);
    }

    #[test]
    fn large_outcomes_keep_it_small() {
        let limits = Limits { window_bytes_max: 16 << 20, ..Limits::default() };
        let mut horizon = Horizon::new(&limits, 0, 0);
        let mut watermark = 0;
        for _ in 0..100 {
            horizon.learn(1, 100 << 10);
            let end = horizon.update(watermark, watermark, 0);
            assert!(end - watermark <= 163);
            watermark = end;
        }
        horizon.learn(1, 10 << 20);
        assert_eq!(horizon.update(watermark, watermark, 0) - watermark, FLOOR_UNITS);
    }

    #[test]
    fn a_straggler_does_not_keep_it_small() {
        let mut horizon = Horizon::new(&Limits::default(), 0, 0);
        let mut committed = 0;
        for _ in 0..6 {
            committed = horizon.update(0, committed, 0) - 1;
        }
        assert!(committed > 1_000, "{committed}");
    }

    #[test]
    fn it_closes_while_too_much_waits_and_takes_nothing_back() {
        let mut horizon = Horizon::new(&Limits::default(), 0, 0);
        let allowed = horizon.update(10_000, 10_000, 0);
        assert_eq!(horizon.update(10_000, 10_000, u64::MAX), allowed);
        for _ in 0..20 {
            horizon.update(10_000, 10_000, u64::MAX);
        }
        assert_eq!(horizon.update(allowed, allowed, u64::MAX), allowed + FLOOR_UNITS);
    }
}
