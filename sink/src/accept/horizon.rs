//! How far the ventilator may send.
//!
//! Owns the window of units in flight, which are those that may be sent and are not committed. It
//! opens while the sink has room, and closes while units of which not all outputs are here take too
//! much memory; it is no larger than the room for outcomes that wait, in memory or on disk, for an
//! earlier one. It never takes back what it has allowed, nor what the sinks before this one have. So
//! what the sink holds is bounded in bytes, although nobody knows beforehand how large outcomes will
//! be; and one slow unit takes the place of one unit, not of all behind it.

use proto::{limits::Limits, unit::UnitId};

/// The window that a run starts with, and never goes below: large outcomes may then take this
/// many times their size, but as many workers can be busy.
const FLOOR_UNITS: u64 = 64;
/// The weight of the newest outcomes in the mean size.
const NEWEST: f64 = 0.2;

/// What outcomes take that are not written yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Memory of units of which not all outputs are here.
    pub incomplete_bytes: u64,
    /// Of those that wait for an earlier one, in memory and on disk.
    pub waiting_bytes: u64,
}

/// The window, and the horizon that follows from it.
#[derive(Debug)]
pub struct Horizon {
    window: u64,
    units_max: u64,
    memory_bytes_max: u64,
    waiting_bytes_max: u64,
    // What the ventilator was told last.
    told: UnitId,
    // Up to here the sinks before this one may have let units be sent. They are on their way, and
    // will not be sent to this one again.
    promised: UnitId,
    // How many units were committed at the start, and when it last grew.
    begun_at: u64,
    grown_at: u64,
    unit_bytes: f64,
    // Units of a service are not sent in the order of their ids: so far ahead of the others one may be.
    ahead: u64,
}

impl Horizon {
    /// A window at its start, with `committed` units.
    pub fn new(limits: &Limits, committed: u64) -> Self {
        Self {
            window: FLOOR_UNITS.min(limits.window_units_max.max(1)),
            units_max: limits.window_units_max.max(1),
            memory_bytes_max: limits.window_bytes_max,
            waiting_bytes_max: limits.waiting_bytes_max,
            told: committed,
            promised: 0,
            begun_at: committed,
            grown_at: committed,
            unit_bytes: 0.0,
            ahead: 0,
        }
    }

    /// The sinks before this one may have let so many units be in flight; what this one may allow at
    /// most counts as allowed too, since their limits may have been the same.
    pub fn keep_promise(&mut self, window_units: u64) {
        self.promised = self.begun_at.saturating_add(window_units.max(self.units_max));
    }

    /// What the ventilator was told last.
    pub fn told(&self) -> UnitId {
        self.told
    }

    /// Units below this one have been let be sent, by this sink or by those before it.
    pub fn takes_below(&self) -> UnitId {
        self.told.max(self.promised).saturating_add(self.ahead)
    }

    /// Units are not sent in the order of their ids: of so many that wait any may be. Then the window is
    /// never closed.
    pub fn reach_ahead(&mut self, units: u64) {
        self.ahead = units;
    }

    /// Workers have so many units open at once, and want as many to go on with: a smaller window
    /// would leave them idle until it has grown.
    pub fn serve(&mut self, open: u64) {
        self.window = self.window.max(open.saturating_mul(2).min(self.units_max));
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

    /// Where the ventilator must stop, which it is told, now that all units below the watermark and
    /// `committed` units in all are committed. While outcomes wait that take too much, only the
    /// oldest unit that is not committed, and some behind it, may be sent.
    pub fn update(&mut self, watermark: UnitId, committed: u64, held: Held) -> UnitId {
        let floor = FLOOR_UNITS.min(self.units_max);
        if held.incomplete_bytes > self.memory_bytes_max {
            self.window = (self.window / 2).max(floor);
        } else if held.incomplete_bytes < self.memory_bytes_max / 4
            && committed >= self.grown_at + self.window / 2
        {
            // Half a window has been committed since it last grew: the run can use more.
            self.grown_at = committed;
            self.window = (self.window * 2).min(self.units_max);
        }
        let room = self.waiting_bytes_max.saturating_sub(held.waiting_bytes);
        let fitting = (room as f64 / self.unit_bytes.max(1.0)) as u64;
        let window = match self.ahead {
            0 => self.window.min(fitting),
            // The oldest unit may be any of those that wait for their turn, so it is not sent before
            // others are.
            _ => self.window.min(fitting).max(floor),
        };
        let oldest = watermark.saturating_add(floor);
        self.told = self.told.max(oldest).max(committed.saturating_add(window));
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Held = Held { incomplete_bytes: 0, waiting_bytes: 0 };
    const TOO_MUCH: Held = Held { waiting_bytes: u64::MAX, ..NOTHING };

    /// How far the window grows in which all that was allowed is committed, over and over.
    fn grown(horizon: &mut Horizon, held: Held) -> u64 {
        let end = (0..100).fold(0, |end, _| horizon.update(end, end, held));
        horizon.update(end, end, held) - end
    }

    #[test]
    fn it_opens_with_progress_up_to_the_limit() {
        let limits = Limits { window_units_max: 100_000, ..Limits::default() };
        assert_eq!(grown(&mut Horizon::new(&limits, 0), NOTHING), 100_000);
    }

    #[test]
    fn it_opens_at_once_for_workers_that_have_many_units_open() {
        let limits = Limits { window_units_max: 5_000, ..Limits::default() };
        let mut horizon = Horizon::new(&limits, 0);
        assert_eq!(horizon.update(0, 0, NOTHING), FLOOR_UNITS);
        horizon.serve(500);
        assert_eq!(horizon.update(0, 0, NOTHING), 1_000);
        horizon.serve(1);
        assert_eq!(horizon.update(0, 0, NOTHING), 1_000);
        horizon.serve(u64::MAX);
        assert_eq!(horizon.update(0, 0, NOTHING), 5_000, "the limit is the limit");
    }

    #[test]
    fn a_straggler_takes_the_place_of_one_unit() {
        let limits = Limits { window_units_max: 100_000, ..Limits::default() };
        let mut horizon = Horizon::new(&limits, 0);
        let mut committed = 0;
        for _ in 0..100 {
            // All but unit 0.
            committed = horizon.update(0, committed, NOTHING) - 1;
        }
        assert!(committed > 1_000_000, "{committed}");
        assert_eq!(horizon.update(0, committed, NOTHING) - committed, 100_000);
    }

    #[test]
    fn outcomes_that_would_have_to_wait_get_as_much_as_there_is_room_for() {
        let limits = Limits { waiting_bytes_max: 16 << 20, ..Limits::default() };
        let mut horizon = Horizon::new(&limits, 0);
        horizon.learn(1, 100 << 10);
        assert_eq!(grown(&mut horizon, NOTHING), 163);
        let half = Held { waiting_bytes: 8 << 20, ..NOTHING };
        let committed = 1_000_000;
        assert_eq!(horizon.update(committed, committed, half) - committed, 81);
        horizon.learn(1, 10 << 20);
        assert_eq!(horizon.update(2 * committed, committed, half) - 2 * committed, FLOOR_UNITS);
    }

    /// A delayed unit of a service is the oldest for an hour, and what waits for it fills all room there is:
    /// others are sent before it, and it has to be sent after them.
    #[test]
    fn where_units_are_sent_in_another_order_it_is_never_closed() {
        let limits = Limits { window_units_max: 100_000, ..Limits::default() };
        let mut horizon = Horizon::new(&limits, 0);
        horizon.reach_ahead(1_000);
        assert_eq!(horizon.update(0, 5_000, TOO_MUCH) - 5_000, FLOOR_UNITS);
        assert_eq!(horizon.update(0, 6_000, TOO_MUCH) - 6_000, FLOOR_UNITS);
    }

    #[test]
    fn it_closes_while_incomplete_units_take_too_much_memory() {
        let mut horizon = Horizon::new(&Limits::default(), 0);
        assert!(grown(&mut horizon, NOTHING) > 10_000);
        let full = Held { incomplete_bytes: u64::MAX, ..NOTHING };
        let committed = horizon.told();
        let window = |horizon: &mut Horizon| horizon.update(0, committed, full) - committed;
        (0..20).for_each(|_| _ = window(&mut horizon));
        let committed = 2 * committed;
        assert_eq!(horizon.update(0, committed, full) - committed, FLOOR_UNITS);
    }

    #[test]
    fn it_stands_while_too_much_waits_and_takes_nothing_back() {
        let mut horizon = Horizon::new(&Limits::default(), 10_000);
        let allowed = horizon.update(10_000, 10_000, NOTHING);
        for committed in 10_000..allowed {
            assert_eq!(horizon.update(10_000, committed, TOO_MUCH), allowed);
        }
        assert_eq!(horizon.update(allowed, allowed, TOO_MUCH), allowed + FLOOR_UNITS);
    }

    #[test]
    fn those_before_it_have_promised_as_much_as_they_could() {
        let mut horizon = Horizon::new(&Limits::default(), 70);
        assert_eq!(horizon.takes_below(), 70);
        horizon.keep_promise(1_000_000);
        assert_eq!(horizon.takes_below(), 1_000_070);
    }
}
