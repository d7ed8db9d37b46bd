//! Functions over numbers.
//!
//! Owns exact arithmetic: what does not fit 64 bits is an error, never rounded or wrapped.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use proto::value::read_uint;

use crate::{Emit, Failure, Function, Outputs, Typed, Unit, Worker};

/// A number as it came: whole ones stay whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Number {
    Natural(u64),
    Negative(i64),
    Real(f64),
}

impl<'de> Deserialize<'de> for Number {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;

        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Number, E> {
                Ok(Number::Natural(n))
            }

            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Number, E> {
                Ok(Number::Negative(n))
            }

            fn visit_f64<E: de::Error>(self, n: f64) -> Result<Number, E> {
                Ok(Number::Real(n))
            }
        }

        deserializer.deserialize_any(NumberVisitor)
    }
}

/// Why a number has no square here.
#[derive(Debug, thiserror::Error)]
#[error("the square of {0} does not fit 64 bits")]
pub(super) struct SquareOverflow(String);

/// A number times itself; whole numbers stay whole.
pub(super) struct Square;

impl Function for Square {
    #[inline]
    fn call(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        // Whole numbers, which are nearly all, are read and written without a detour.
        match read_uint(input).and_then(|n| n.checked_mul(n)) {
            Some(square) => out.push_uint(square),
            None => Typed(AnySquare).call(unit, input, out),
        }
    }
}

/// [`Square`] for numbers of all kinds.
struct AnySquare;

impl Worker for AnySquare {
    type Input = Number;
    type Output = Number;
    type Error = SquareOverflow;

    #[inline]
    fn work(
        &mut self,
        _: &Unit<'_>,
        input: Number,
        emit: &mut Emit<'_, Number>,
    ) -> Result<(), SquareOverflow> {
        let whole = |n: u64| n.checked_mul(n).map(Number::Natural);
        let square = match input {
            Number::Natural(n) => whole(n).ok_or_else(|| SquareOverflow(n.to_string()))?,
            Number::Negative(n) => {
                whole(n.unsigned_abs()).ok_or_else(|| SquareOverflow(n.to_string()))?
            }
            Number::Real(n) if n.is_finite() && !(n * n).is_finite() => {
                return Err(SquareOverflow(format!("{n:e}")));
            }
            Number::Real(n) => Number::Real(n * n),
        };
        emit.send(&square);
        Ok(())
    }
}

/// Zero has no prime factors.
#[derive(Debug, thiserror::Error)]
#[error("0 is divided by every prime: it has no prime factors to sum")]
pub(super) struct ZeroFactored;

/// The steps from 7 over all numbers that 2, 3 and 5 don't divide.
const WHEEL: [u64; 8] = [4, 2, 4, 2, 4, 6, 2, 6];

/// The sum of the prime factors of `n`, each as often as it divides `n`; 0 for 1.
///
/// By trial division, which is work of a kind that pipelines are made for: from a few
/// nanoseconds to some seconds, for a prime near 2^64.
pub(super) fn factor_sum(mut n: u64) -> Result<u64, ZeroFactored> {
    if n == 0 {
        return Err(ZeroFactored);
    }
    let mut sum = 0;
    for prime in [2, 3, 5] {
        divide_out(&mut n, prime, &mut sum);
    }
    let mut candidate = 7;
    for step in WHEEL.iter().cycle() {
        // Not `candidate * candidate`, which overflows near 2^64.
        if candidate > n / candidate {
            break;
        }
        divide_out(&mut n, candidate, &mut sum);
        candidate += step;
    }
    // What is left is 1 or a prime.
    Ok(if n > 1 { sum + n } else { sum })
}

/// Divides `n` by `divisor` as often as it goes, adding the divisor to `sum` each time.
#[inline]
fn divide_out(n: &mut u64, divisor: u64, sum: &mut u64) {
    while n.is_multiple_of(divisor) {
        *n /= divisor;
        *sum += divisor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, lines};

    #[test]
    fn a_square_is_whole_for_whole_numbers_of_either_sign_and_real_for_others() {
        for (n, squared) in [
            ("0", "0"),
            ("7", "49"),
            ("-7", "49"),
            ("300", "90000"),
            ("4294967295", "18446744065119617025"),
            ("-2147483648", "4611686018427387904"),
            ("1.5", "2.25"),
            ("-0.5", "0.25"),
        ] {
            assert_eq!(call(&mut Square, n), lines(squared), "{n}");
        }
    }

    #[test]
    fn a_square_that_does_not_fit_is_an_error_and_not_wrapped() {
        for n in ["4294967296", "-4294967296", "1e200"] {
            assert_eq!(
                call(&mut Square, n),
                Err(format!("the square of {n} does not fit 64 bits"))
            );
        }
    }

    #[test]
    fn what_is_no_number_has_no_square() {
        let text = call(&mut Square, r#""7""#).unwrap_err();
        assert!(text.contains("expected a number"), "{text}");
    }

    #[test]
    fn prime_factors_are_summed_as_often_as_they_divide() {
        let naive = |n: u64| {
            let (mut rest, mut sum, mut p) = (n, 0, 2);
            while rest > 1 {
                if rest % p == 0 {
                    rest /= p;
                    sum += p;
                } else {
                    p += 1;
                }
            }
            sum
        };
        assert_eq!(factor_sum(12).unwrap(), 7);
        assert_eq!(factor_sum(1).unwrap(), 0);
        for n in 1..5_000 {
            assert_eq!(factor_sum(n).unwrap(), naive(n), "{n}");
        }
    }

    #[test]
    fn factors_are_found_up_to_the_largest_number() {
        assert_eq!(factor_sum(u64::MAX).unwrap(), 3 + 5 + 17 + 257 + 641 + 65_537 + 6_700_417);
        assert_eq!(factor_sum(1 << 63).unwrap(), 126);
        // The square of a prime, the hardest case of its size.
        assert_eq!(factor_sum(15_485_863 * 15_485_863).unwrap(), 2 * 15_485_863);
        assert!(factor_sum(0).is_err());
    }
}
