//! Sums, extremes and spread of numbers, exact where that is possible.
//!
//! Owns the arithmetic: integers are summed and compared exactly in 128 bits, floats with Neumaier's
//! compensation (ZAMM 54, 1974), the spread with Welford's recurrence (Technometrics 4, 1962). The
//! same numbers in the same order give the same bits.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::walk::{Scalar, scalar};

/// A number that can be added up: NaN and the infinities are none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    /// The number that a MessagePack value is, if it is one.
    #[inline]
    pub(super) fn of(value: &[u8]) -> Option<Self> {
        match scalar(value) {
            Scalar::Int(number) => Some(Number::Int(number)),
            Scalar::Float(float) if float.is_finite() => Some(Number::Float(float)),
            _ => None,
        }
    }

    pub(super) fn as_f64(self) -> f64 {
        match self {
            Number::Int(number) => number as f64,
            Number::Float(float) => float,
        }
    }

    /// As JSON: integers beyond 64 bits are text, so that no digit is lost; what overflowed is null.
    pub(super) fn to_json(self) -> Value {
        match self {
            Number::Float(float) => Value::from(float),
            Number::Int(number) => u64::try_from(number)
                .map(Value::from)
                .or_else(|_| i64::try_from(number).map(Value::from))
                .unwrap_or_else(|_| Value::from(number.to_string())),
        }
    }
}

/// Count, sum and extremes of all numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Totals {
    ints: u64,
    int_sum: i128,
    int_range: Option<(i128, i128)>,
    floats: u64,
    float_sum: f64,
    /// What rounding took away from `float_sum`.
    float_rest: f64,
    float_range: Option<(f64, f64)>,
}

/// Whole numbers that are added to [`Totals`] together.
#[derive(Debug, Default)]
pub(super) struct Naturals {
    count: u64,
    sum: u128,
    range: Option<(u64, u64)>,
}

impl Naturals {
    #[inline]
    pub(super) fn add(&mut self, number: u64) {
        self.count += 1;
        self.sum += u128::from(number);
        let (min, max) = self.range.unwrap_or((number, number));
        self.range = Some((min.min(number), max.max(number)));
    }
}

impl Totals {
    pub(super) fn add_naturals(&mut self, naturals: &Naturals) {
        let Some((min, max)) = naturals.range else { return };
        self.ints += naturals.count;
        // 2^63 values of 64 bits each fit into 127 bits.
        self.int_sum += naturals.sum as i128;
        let (lowest, highest) = self.int_range.unwrap_or((min.into(), max.into()));
        self.int_range = Some((lowest.min(min.into()), highest.max(max.into())));
    }

    #[inline]
    pub(super) fn add(&mut self, number: Number) {
        match number {
            Number::Int(int) => {
                self.ints += 1;
                // 2^64 values of 64 bits each fit into 128 bits.
                self.int_sum += int;
                let (min, max) = self.int_range.unwrap_or((int, int));
                self.int_range = Some((min.min(int), max.max(int)));
            }
            Number::Float(float) => self.add_float(float),
        }
    }

    fn add_float(&mut self, float: f64) {
        self.floats += 1;
        let sum = self.float_sum + float;
        self.float_rest += if self.float_sum.abs() >= float.abs() {
            (self.float_sum - sum) + float
        } else {
            (float - sum) + self.float_sum
        };
        self.float_sum = sum;
        let (min, max) = self.float_range.unwrap_or((float, float));
        self.float_range = Some((min.min(float), max.max(float)));
    }

    pub(super) fn count(&self) -> u64 {
        self.ints + self.floats
    }

    /// Whether every number was an integer.
    pub(super) fn integral(&self) -> bool {
        self.floats == 0
    }

    pub(super) fn sum(&self) -> Number {
        if self.integral() {
            return Number::Int(self.int_sum);
        }
        Number::Float(self.int_sum as f64 + (self.float_sum + self.float_rest))
    }

    pub(super) fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum().as_f64() / self.count() as f64)
    }

    pub(super) fn min(&self) -> Option<Number> {
        self.extreme(|range| range.0, |range| range.0, |a, b| a < b)
    }

    pub(super) fn max(&self) -> Option<Number> {
        self.extreme(|range| range.1, |range| range.1, |a, b| a > b)
    }

    fn extreme(
        &self,
        int: fn((i128, i128)) -> i128,
        float: fn((f64, f64)) -> f64,
        beyond: fn(f64, f64) -> bool,
    ) -> Option<Number> {
        match (self.int_range.map(int), self.float_range.map(float)) {
            (Some(int), Some(float)) if beyond(float, int as f64) => Some(Number::Float(float)),
            (Some(int), _) => Some(Number::Int(int)),
            (None, float) => float.map(Number::Float),
        }
    }
}

/// The standard deviation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Spread {
    pub(super) fn add(&mut self, number: Number) {
        let number = number.as_f64();
        self.count += 1;
        let off = number - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (number - self.mean);
    }

    /// That of the population: all values are there, none is estimated.
    pub(super) fn stddev(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.squares / self.count as f64).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(numbers: impl IntoIterator<Item = Number>) -> Totals {
        let mut totals = Totals::default();
        numbers.into_iter().for_each(|number| totals.add(number));
        totals
    }

    #[test]
    fn integer_sums_are_exact_beyond_64_bits() {
        let sum = totals([Number::Int(u64::MAX.into()), Number::Int(u64::MAX.into())]).sum();
        assert_eq!(sum.to_json(), "36893488147419103230");
        let small = totals([Number::Int(-5), Number::Int(3)]).sum();
        assert_eq!(small.to_json(), -2);
    }

    #[test]
    fn float_sums_keep_what_rounding_takes_away() {
        let sum = totals([1.0, 1e100, 1.0, -1e100].map(Number::Float)).sum();
        assert_eq!(sum, Number::Float(2.0));
        let tenths = totals(std::iter::repeat_n(Number::Float(0.1), 1_000_000));
        assert_eq!(tenths.sum(), Number::Float(100_000.0));
    }

    #[test]
    fn extremes_are_found_among_integers_and_floats() {
        let mixed =
            totals([Number::Int(3), Number::Float(2.5), Number::Int(-1), Number::Float(3.5)]);
        assert_eq!(mixed.min(), Some(Number::Int(-1)));
        assert_eq!(mixed.max(), Some(Number::Float(3.5)));
        assert_eq!(mixed.mean(), Some(2.0));
        assert_eq!(totals([]).min(), None);
        assert_eq!(totals([]).mean(), None);
    }

    #[test]
    fn the_spread_is_that_of_the_population_even_far_from_zero() {
        let mut spread = Spread::default();
        assert_eq!(spread.stddev(), None);
        for number in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            spread.add(Number::Float(number + 1e9));
        }
        assert!((spread.stddev().unwrap() - 2.0).abs() < 1e-6);
    }

    #[test]
    fn nan_and_infinity_are_no_numbers() {
        for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Number::of(&rmp_serde::to_vec(&float).unwrap()), None);
        }
        assert_eq!(Number::of(&[0xa1, b'1']), None);
        assert_eq!(Number::of(&[0xc3]), None);
    }
}
