//! What a worker does with one unit: the contract between a function and whoever calls it.
//!
//! Owns the erased trait [`Function`], the unit's identity as a function sees it, and the guard
//! that turns panics into failures; refuses transport, retries and scheduling.

mod batch;
mod closures;
mod failure;
mod mismatch;
mod outputs;
mod pairs;
mod parts;
mod typed;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proto::unit::{Step, UnitId, UnitName};

use crate::Concurrent;

use batch::guarded;
pub(crate) use batch::work_through;
pub use batch::{Batch, Executed, Interim, Outcomes};
pub use closures::{filter_map, flat_map, map, try_map};
pub use failure::{FAILURE_TEXT_BYTES_MAX, Failure};
pub(crate) use failure::{shown, start_of};
pub use mismatch::explain;
pub(crate) use mismatch::is_result;
pub use outputs::{OutputLimits, Outputs};
pub(crate) use pairs::{paired, split_pair};
pub(crate) use parts::{SharedParts, lock as lock_parts};
pub(crate) use typed::decode_input;
pub use typed::{Emit, Typed, Worker, decode};

/// Which unit a function is called for, and for which time.
///
/// A result reaches the sink exactly once, but a function's *side effects* can happen more than
/// once: a unit is tried again when its worker dies, is cut off or is slow at the end of a run.
/// The unit's name (its [`Display`](fmt::Display) form) and `attempt` are there to guard them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit<'a> {
    /// The place in the source, counted from 0.
    pub id: UnitId,
    /// The expansions on the way here, outermost first; empty when no stage expanded the unit.
    pub path: &'a [Step],
    /// Which try this is, from 1.
    pub attempt: u32,
    /// The name of the stage.
    pub stage: &'a str,
}

impl fmt::Display for Unit<'_> {
    /// The unit's name: its id, then `.` and the index for each expansion, as in `17.3.0`. The
    /// same unit has the same name in every attempt, if the stages before are deterministic.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        UnitName(self.id, self.path.iter().map(|step| step.index)).fmt(f)
    }
}

/// A function over encoded values, as a worker's executor calls it.
///
/// Most functions are better written as a [`Worker`] or as a closure ([`map`] and its siblings),
/// which [`Typed`] turns into this; implement it directly to work on the encoded bytes.
pub trait Function: Send {
    /// So many units are asked to be open at once, by the stage or by the worker's flags; called
    /// before it is set up, and only for more than one.
    fn open_at_once(&mut self, units: u32) {
        let _ = units;
    }

    /// Called once, before the first unit.
    ///
    /// # Errors
    /// A [`Failure`] when the function cannot work here at all.
    fn set_up(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Learns code that units may name from now on by its `id`, or that none does any more. Only
    /// functions whose units name code understand it; it means nothing to others.
    ///
    /// # Errors
    /// A [`Failure`] when the function cannot work here at all any more. Code that can't be used fails the
    /// units that name it instead.
    fn define(&mut self, id: u64, code: Option<&[u8]>) -> Result<(), Failure> {
        let _ = (id, code);
        Ok(())
    }

    /// Works on one unit: `input` is exactly one MessagePack value, the outputs (none, one or
    /// many) are appended to `out`.
    ///
    /// # Errors
    /// A [`Failure`] is the outcome of this attempt. What the call appended before it is void; a
    /// caller that keeps outputs of earlier units in `out` truncates it to where it was.
    fn call(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure>;

    /// Works on units in a row; as [`call`](Self::call) for each of them. There is no need to
    /// implement it: it is here so that short functions are called without a detour, and for those
    /// that give large values on as they are ([`Outcomes::pass`]).
    fn call_all(&mut self, batch: &mut Batch<'_>, out: &mut Outputs, outcomes: &mut Outcomes) {
        work_through(batch, out, outcomes, |unit, input, out| self.call(unit, input, out));
    }

    /// How long units may last that are begun together. Others of the parcel can meanwhile be
    /// given to another worker, these can't.
    fn together(&self) -> Duration {
        Duration::from_micros(200)
    }

    /// The same function as one that has many units open at once, if it is such a one: then a worker
    /// calls it like that, and not for a unit at a time.
    fn concurrent(&mut self) -> Option<&mut dyn Concurrent> {
        None
    }

    /// Called once, after the last unit. Not called when the process is killed.
    fn tear_down(&mut self) {}
}

impl<F: Function + ?Sized> Function for Box<F> {
    fn set_up(&mut self) -> Result<(), Failure> {
        (**self).set_up()
    }

    fn open_at_once(&mut self, units: u32) {
        (**self).open_at_once(units);
    }

    fn define(&mut self, id: u64, code: Option<&[u8]>) -> Result<(), Failure> {
        (**self).define(id, code)
    }

    fn call(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        (**self).call(unit, input, out)
    }

    fn call_all(&mut self, batch: &mut Batch<'_>, out: &mut Outputs, outcomes: &mut Outcomes) {
        (**self).call_all(batch, out, outcomes);
    }

    fn together(&self) -> Duration {
        (**self).together()
    }

    fn concurrent(&mut self) -> Option<&mut dyn Concurrent> {
        (**self).concurrent()
    }

    fn tear_down(&mut self) {
        (**self).tear_down();
    }
}

/// Runs `work`; a panic in it becomes a [`Failure`] with the panic's text.
///
/// What `work` changed before it panicked stays as it is: a function that panics halfway has to
/// be as fit for the next unit as one that returns an error halfway.
///
/// # Errors
/// The failure of `work`, or its panic.
pub fn guard<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Failure::from_panic(panic.as_ref())))
}

/// Any [`Function`], guarded: its panics are failures, and a failed unit leaves no outputs.
///
/// [`Typed`] does this for itself; this is for functions over bytes that others wrote.
#[derive(Debug, Clone)]
pub struct Guarded<F>(pub F);

impl<F: Function> Function for Guarded<F> {
    fn set_up(&mut self) -> Result<(), Failure> {
        guard(|| self.0.set_up())
    }

    fn open_at_once(&mut self, units: u32) {
        self.0.open_at_once(units);
    }

    fn define(&mut self, id: u64, code: Option<&[u8]>) -> Result<(), Failure> {
        guard(|| self.0.define(id, code))
    }

    fn call(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        let before = out.len();
        let worked = guard(|| self.0.call(unit, input, out));
        if worked.is_err() {
            out.truncate(before);
        }
        worked
    }

    fn call_all(&mut self, batch: &mut Batch<'_>, out: &mut Outputs, outcomes: &mut Outcomes) {
        guarded(batch, out, outcomes, |batch, out, outcomes| {
            self.0.call_all(batch, out, outcomes);
        });
    }

    fn together(&self) -> Duration {
        self.0.together()
    }

    fn concurrent(&mut self) -> Option<&mut dyn Concurrent> {
        self.0.concurrent()
    }

    fn tear_down(&mut self) {
        let torn_down = guard(|| {
            self.0.tear_down();
            Ok(())
        });
        if let Err(failure) = torn_down {
            tracing::warn!(error = %failure, "the function's tear-down failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::unit;

    struct Breaks;

    impl Function for Breaks {
        fn call(&mut self, _: &Unit<'_>, _: &[u8], out: &mut Outputs) -> Result<(), Failure> {
            out.push(&1)?;
            panic!("broken at {}", out.len());
        }

        fn tear_down(&mut self) {
            panic!("and again");
        }
    }

    #[test]
    fn a_guarded_function_fails_instead_of_panicking_and_leaves_nothing() {
        let mut out = Outputs::default();
        out.push(&"earlier").unwrap();
        let mut function = Guarded(Breaks);
        let failure = function.call(&unit(), &[0xc0], &mut out).unwrap_err();
        assert_eq!(failure.text(), "panicked: broken at 2");
        assert_eq!(out.len(), 1);
        function.tear_down();
    }

    #[test]
    fn a_units_name_is_its_id_and_its_place_in_each_expansion() {
        let step = |execution, index| Step { execution, index, of: 5 };
        let path = [step(99, 3), step(98, 0)];
        let unit = Unit { id: 17, path: &path, attempt: 2, stage: "s" };
        assert_eq!(unit.to_string(), "17.3.0");
        assert_eq!(Unit { path: &[], ..unit }.to_string(), "17");
    }
}
