//! Functions over Rust types: the trait that users implement, and its way to bytes.
//!
//! Owns decoding the input and encoding the outputs around a [`Worker`]; refuses to interpret a
//! value beyond what its type says.

use std::fmt::Display;
use std::marker::PhantomData;

use proto::value::VALUE_DEPTH_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::batch::{Batch, Outcomes, guarded, work_through};
use super::mismatch::is_result;
use super::{Failure, Function, Outputs, Unit, guard};

/// What a worker does with one unit, over Rust types.
///
/// Implement it where a worker has state: a connection, a model, a cache. Where it has none, a
/// closure ([`map`](super::map) and its siblings) is shorter.
pub trait Worker: Send {
    /// The type of an input.
    type Input: DeserializeOwned;
    /// The type of an output. A `Result` is none: it would be written as an object with the key
    /// `Ok` or `Err`, so every unit fails instead; return errors from [`work`](Self::work).
    type Output: Serialize;
    /// Why a unit can fail; its text is kept with the dead letter.
    type Error: Display;

    /// Called once, before the first unit.
    ///
    /// # Errors
    /// When the worker cannot work here at all.
    fn set_up(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Works on one unit, and sends its outputs (none, one or many) to `emit`.
    ///
    /// It can be called more than once for the same unit, here or on another machine; see
    /// [`Unit`] for guarding side effects.
    ///
    /// # Errors
    /// An error, or a panic, fails this attempt: what was sent before is discarded.
    fn work(
        &mut self,
        unit: &Unit<'_>,
        input: Self::Input,
        emit: &mut Emit<'_, Self::Output>,
    ) -> Result<(), Self::Error>;

    /// Called once, after the last unit. Not called when the process is killed.
    fn tear_down(&mut self) {}
}

/// Takes the outputs of one unit.
#[derive(Debug)]
pub struct Emit<'a, T: ?Sized> {
    out: &'a mut Outputs,
    failure: Option<Failure>,
    outputs: PhantomData<fn(&T)>,
}

impl<T: Serialize + ?Sized> Emit<'_, T> {
    /// Adds one output; it is encoded at once.
    ///
    /// An output that cannot be encoded or breaks a limit fails the unit as soon as
    /// [`Worker::work`] returns; what is sent after it is dropped.
    #[inline]
    pub fn send(&mut self, value: &T) {
        if self.failure.is_none() {
            self.failure = self.out.push(value).err();
        }
    }

    /// Whether the unit has failed already, because of an output that was sent. Worth a look in
    /// loops that send for long.
    pub fn is_closed(&self) -> bool {
        self.failure.is_some()
    }
}

/// A [`Worker`] as a [`Function`]: decodes the input, encodes the outputs, catches panics, and
/// makes a failed unit leave no outputs.
#[derive(Debug, Clone)]
pub struct Typed<W>(pub W);

/// Decodes one value as a worker's input is decoded: the counterpart of [`Outputs::push`].
///
/// # Errors
/// When the value is not of the type, or nested deeper than [`VALUE_DEPTH_MAX`].
#[inline]
pub fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(value).with_human_readable();
    decoder.set_max_depth(VALUE_DEPTH_MAX);
    T::deserialize(&mut decoder)
}

/// A unit's input; one of another type is the unit's failure.
#[inline]
pub(crate) fn decode_input<T: DeserializeOwned>(input: &[u8]) -> Result<T, Failure> {
    decode(input).map_err(|error| Failure::wrong_input::<T>(input, &error))
}

impl<W: Worker> Typed<W> {
    #[inline]
    fn work(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        if is_result::<W::Output>() {
            return Err(Failure::result_as_output());
        }
        let input = decode_input(input)?;
        let mut emit = Emit { out, failure: None, outputs: PhantomData };
        self.0.work(unit, input, &mut emit).map_err(|error| Failure::from_error(&error))?;
        emit.failure.map_or(Ok(()), Err)
    }
}

impl<W: Worker> Function for Typed<W> {
    fn set_up(&mut self) -> Result<(), Failure> {
        guard(|| self.0.set_up().map_err(|error| Failure::from_error(&error)))
    }

    fn call(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        let before = out.len();
        let worked = guard(|| self.work(unit, input, out));
        if worked.is_err() {
            out.truncate(before);
        }
        worked
    }

    fn call_all(&mut self, batch: &mut Batch<'_>, out: &mut Outputs, outcomes: &mut Outcomes) {
        guarded(batch, out, outcomes, |batch, out, outcomes| {
            work_through(batch, out, outcomes, |unit, input, out| self.work(unit, input, out));
        });
    }

    fn tear_down(&mut self) {
        let torn_down = guard(|| {
            self.0.tear_down();
            Ok(())
        });
        if let Err(failure) = torn_down {
            tracing::warn!(error = %failure, "the worker's tear-down failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::function::OutputLimits;
    use crate::testing::{call, pack, unit};

    /// Counts down from its input; what it meets on the way depends on the number.
    #[derive(Default)]
    struct CountDown {
        units: u32,
    }

    impl Worker for CountDown {
        type Input = i64;
        type Output = i64;
        type Error = String;

        fn set_up(&mut self) -> Result<(), String> {
            self.units = 100;
            Ok(())
        }

        fn work(
            &mut self,
            _: &Unit<'_>,
            input: i64,
            emit: &mut Emit<'_, i64>,
        ) -> Result<(), String> {
            self.units += 1;
            for n in (0..input.min(10)).rev() {
                emit.send(&n);
            }
            match input {
                11 => Err("eleven".into()),
                12 => panic!("twelve, as the {}. unit", self.units),
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn a_worker_gives_none_one_or_many_outputs() {
        let mut worker = Typed(CountDown::default());
        assert_eq!(call(&mut worker, "0"), Ok(vec![]));
        assert_eq!(call(&mut worker, "1"), Ok(vec!["0".into()]));
        assert_eq!(call(&mut worker, "3"), Ok(["2", "1", "0"].map(String::from).to_vec()));
    }

    #[test]
    fn an_error_or_a_panic_after_some_outputs_discards_them() {
        let mut worker = Typed(CountDown::default());
        worker.set_up().unwrap();
        let mut out = Outputs::default();
        out.push("kept").unwrap();
        let mut fail = |n| worker.call(&unit(), &pack(n), &mut out).unwrap_err().into_text();
        assert_eq!(fail("11"), "eleven");
        assert_eq!(fail("12"), "panicked: twelve, as the 102. unit");
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn an_input_of_another_type_is_a_failure_that_says_what_was_expected() {
        let text = call(&mut Typed(CountDown::default()), r#""five""#).unwrap_err();
        assert_eq!(text, r#"expected a whole number (i64), got the string "five""#);
    }

    #[test]
    fn an_input_that_claims_more_than_it_has_is_a_failure() {
        let mut worker = Typed(CountDown::default());
        for input in [&[0xdb, 0xff, 0xff, 0xff, 0xff][..], &[], &[0xc1]] {
            assert!(worker.call(&unit(), input, &mut Outputs::default()).is_err());
        }
    }

    #[test]
    fn outputs_beyond_a_limit_fail_the_unit_though_the_worker_goes_on() {
        let mut out = Outputs::new(OutputLimits { units_max: 2, ..OutputLimits::default() });
        let mut worker = Typed(CountDown::default());
        let failure = worker.call(&unit(), &pack("5"), &mut out).unwrap_err();
        assert!(failure.text().contains("expansion_units_max"));
        assert!(out.is_empty());
        worker.call(&unit(), &pack("2"), &mut out).unwrap();
    }

    #[test]
    fn a_struct_is_read_from_a_map_by_the_names_of_its_fields() {
        #[derive(Deserialize)]
        struct Point {
            x: f64,
            y: f64,
        }
        let mut norm = crate::map(|p: Point| p.x.hypot(p.y));
        assert_eq!(call(&mut norm, r#"{"y":4.0,"x":3.0}"#), Ok(vec!["5.0".into()]));
    }
}
