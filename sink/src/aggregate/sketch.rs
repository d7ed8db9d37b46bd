//! How numbers are distributed, in bounded memory.
//!
//! Owns buckets of equal *relative* width: each power of two is cut into 2^bits of them, as an HDR
//! histogram does. With 10 bits a percentile is off by at most 0.05 %, and whole numbers below 2048
//! are exact. This is our own and not the `hdrhistogram` crate (which counts latencies elsewhere in
//! this project), since that one takes no negative numbers and no fractions, and allocates tens of
//! kilobytes a group where here only the buckets that were hit exist.
//!
//! Magnitudes below 2^-128 count as zero, those from 2^128 on as the last bucket.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::number::Number;

/// Buckets a power of two for percentiles: three significant digits.
pub(super) const PERCENTILE_BITS: u32 = 10;

/// Coarser than this (6 % off), percentiles are not worth their name.
const PERCENTILE_BITS_MIN: u32 = 3;

/// Powers of two on either side of 1 that are told apart.
const EXPONENTS: i32 = 128;

/// What one bucket takes in a hash map, with the room that the map leaves free.
pub(super) const BUCKET_BYTES: usize = 32;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sketch {
    bits: u32,
    /// Negative keys are negative numbers, 0 is zero; keys are ordered as the numbers are.
    buckets: HashMap<i32, u64>,
}

impl Sketch {
    /// With 0 bits it counts powers of two.
    pub(super) fn new(bits: u32) -> Self {
        Sketch { bits, buckets: HashMap::new() }
    }

    /// Counts a number; says whether that took a new bucket.
    #[inline]
    pub(super) fn add(&mut self, number: Number) -> bool {
        let buckets = self.buckets.len();
        *self.buckets.entry(key(number, self.bits)).or_insert(0) += 1;
        self.buckets.len() > buckets
    }

    /// How many buckets there are.
    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Joins neighbouring buckets two by two; `false` when that would make percentiles useless.
    pub(super) fn coarsen(&mut self) -> bool {
        if self.bits <= PERCENTILE_BITS_MIN {
            return false;
        }
        self.bits -= 1;
        let fine = std::mem::take(&mut self.buckets);
        for (key, count) in fine {
            let place = (key.unsigned_abs().cast_signed() - 1) >> 1;
            let coarse = if key == 0 { 0 } else { key.signum() * (place + 1) };
            *self.buckets.entry(coarse).or_insert(0) += count;
        }
        true
    }

    /// Into how many parts a power of two is cut, as a power of two itself.
    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// By how much a percentile can be off, relative to itself.
    pub(super) fn error(&self) -> f64 {
        power(-(self.bits.cast_signed() + 1))
    }

    /// The buckets in the order of their numbers.
    pub(super) fn sorted(&self) -> Vec<(i32, u64)> {
        let mut sorted: Vec<_> = self.buckets.iter().map(|(key, count)| (*key, *count)).collect();
        sorted.sort_unstable();
        sorted
    }

    /// The least number that `permille` of all numbers don't exceed (the nearest rank), as the middle
    /// of its bucket.
    pub(super) fn percentile(&self, permille: u16, whole: Whole) -> Option<f64> {
        let sorted = self.sorted();
        let total: u128 = sorted.iter().map(|(_, count)| u128::from(*count)).sum();
        let rank = (total * u128::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0;
        let found = sorted.iter().find(|(_, count)| {
            seen += u128::from(*count);
            seen >= rank
        });
        found.map(|(key, _)| self.middle(*key, whole))
    }

    fn middle(&self, key: i32, whole: Whole) -> f64 {
        let (low, high) = edges(key.saturating_abs(), self.bits);
        let middle = match whole {
            Whole::Numbers => (low + (high - low - 1.0).max(0.0) / 2.0).floor(),
            Whole::No => low + (high - low) / 2.0,
        };
        f64::from(key.signum()) * middle
    }

    /// The counts of each power of two: (lower edge, upper edge, count). A bucket holds what is
    /// at least as far from zero as its edge nearer to zero, and less far than the other; zero
    /// has a bucket of its own.
    pub(super) fn powers_of_two(&self) -> Vec<(f64, f64, u64)> {
        let mut powers: Vec<(f64, f64, u64)> = Vec::new();
        for (key, count) in self.sorted() {
            let octave = (key.saturating_abs() - 1) >> self.bits;
            let (near, far) = if key == 0 { (0.0, 0.0) } else { edges(octave + 1, 0) };
            let (from, to) = if key < 0 { (-far, -near) } else { (near, far) };
            match powers.last_mut() {
                Some(last) if last.0 == from => last.2 += count,
                _ => powers.push((from, to, count)),
            }
        }
        powers
    }
}

/// Whether all numbers are whole, so that a percentile should be so too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Whole {
    Numbers,
    No,
}

/// The key of a number's bucket. Integers are cut, never rounded, so that none crosses an edge.
#[inline]
fn key(number: Number, bits: u32) -> i32 {
    let (negative, exponent, fraction) = match number {
        Number::Int(0) => return 0,
        Number::Int(int) => {
            let magnitude = int.unsigned_abs();
            let exponent = magnitude.ilog2();
            // The highest bit to the top, then out; what is left is the fraction.
            let fraction = (magnitude << (127 - exponent) << 1) >> 64;
            (int < 0, exponent.cast_signed(), fraction as u64)
        }
        Number::Float(float) => {
            let raw = float.to_bits();
            let exponent = (raw >> 52 & 0x7ff) as i32 - 1023;
            (float < 0.0, exponent, raw << 12)
        }
    };
    if exponent < -EXPONENTS {
        return 0;
    }
    let fraction = if exponent < EXPONENTS { fraction } else { u64::MAX };
    let octave = exponent.min(EXPONENTS - 1) + EXPONENTS;
    // Shifting by 64 for 0 bits is not defined, shifting twice is.
    let fraction = (fraction >> 1 >> (63 - bits)) as i32;
    let place = (octave << bits | fraction) + 1;
    if negative { -place } else { place }
}

/// The edges of the bucket with this positive key: the lower belongs to it, the upper does not.
fn edges(key: i32, bits: u32) -> (f64, f64) {
    let edge = |place: i32| {
        let fraction = f64::from(place & ((1 << bits) - 1)) / f64::from(1 << bits);
        power((place >> bits) - EXPONENTS) * (1.0 + fraction)
    };
    if key == 0 {
        return (0.0, 0.0);
    }
    (edge(key - 1), edge(key))
}

fn power(exponent: i32) -> f64 {
    2f64.powi(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(bits: u32, numbers: impl IntoIterator<Item = Number>) -> Sketch {
        let mut sketch = Sketch::new(bits);
        for number in numbers {
            sketch.add(number);
        }
        sketch
    }

    fn ints(numbers: impl IntoIterator<Item = i128>) -> Sketch {
        sketch(PERCENTILE_BITS, numbers.into_iter().map(Number::Int))
    }

    #[test]
    fn whole_numbers_below_2048_are_exact() {
        for number in -2047..2048 {
            let middle = ints([number]).percentile(500, Whole::Numbers).unwrap();
            assert_eq!(middle, number as f64);
        }
    }

    #[test]
    fn percentiles_are_off_by_at_most_what_is_promised() {
        let mut state = 1u64;
        for _ in 0..100_000 {
            // Knuth's linear congruential generator: any numbers of many sizes do.
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let float =
                f64::from_bits(state >> 12 | 0x3ff << 52) * power((state % 200) as i32 - 100);
            for number in [
                Number::Float(float),
                Number::Float(-float),
                Number::Int((state >> (state % 60)).into()),
            ] {
                let one = sketch(PERCENTILE_BITS, [number]);
                let found = one.percentile(500, Whole::No).unwrap();
                let off = (found - number.as_f64()).abs();
                let promised = one.error() * number.as_f64().abs();
                assert!(off <= promised, "{number:?} {found}");
            }
        }
    }

    #[test]
    fn a_percentile_is_of_the_nearest_rank() {
        let hundred = ints(1..=100);
        for (permille, expected) in [(500, 50.0), (900, 90.0), (990, 99.0), (999, 100.0)] {
            assert_eq!(hundred.percentile(permille, Whole::Numbers), Some(expected));
        }
        assert_eq!(ints([7]).percentile(1, Whole::Numbers), Some(7.0));
        assert_eq!(ints([]).percentile(500, Whole::Numbers), None);
    }

    #[test]
    fn integers_and_floats_share_buckets() {
        for number in [1i128, 3, 1000, 1023, 1024, 1_000_003, 1 << 52] {
            for sign in [1, -1] {
                let int = Number::Int(number * sign);
                let float = Number::Float((number * sign) as f64);
                assert_eq!(key(int, 10), key(float, 10));
                assert_eq!(key(int, 0), key(float, 0));
            }
        }
        // Rounded to a float this one would be 2^54, in the next bucket.
        assert!(key(Number::Int((1 << 54) - 1), 0) < key(Number::Int(1 << 54), 0));
    }

    #[test]
    fn negative_numbers_come_first() {
        let mixed = sketch(PERCENTILE_BITS, [-5.0, -0.25, 0.0, 0.5, 3.0].map(Number::Float));
        let middles: Vec<f64> =
            mixed.sorted().iter().map(|(key, _)| mixed.middle(*key, Whole::No)).collect();
        for (found, expected) in middles.iter().zip([-5.0, -0.25, 0.0, 0.5, 3.0f64]) {
            assert!((found - expected).abs() <= expected.abs() * 0.0005, "{middles:?}");
        }
        assert_eq!(middles.len(), 5);
    }

    #[test]
    fn numbers_beyond_every_bucket_are_counted_in_the_last_one() {
        let ends = [1e-300, -1e-300, 5e-324, -0.0, 1e300, f64::MAX, -1e300].map(Number::Float);
        let keys: Vec<i32> = ends.iter().map(|number| key(*number, 10)).collect();
        let last = 256 << 10;
        assert_eq!(keys, [0, 0, 0, 0, last, last, -last]);
    }

    #[test]
    fn powers_of_two_are_counted_whatever_the_resolution() {
        let numbers = [-3, 0, 1, 2, 3, 4, 7, 8].map(Number::Int);
        let expected = [
            (-4.0, -2.0, 1),
            (0.0, 0.0, 1),
            (1.0, 2.0, 1),
            (2.0, 4.0, 2),
            (4.0, 8.0, 2),
            (8.0, 16.0, 1),
        ];
        assert_eq!(sketch(0, numbers).powers_of_two(), expected);
        assert_eq!(sketch(PERCENTILE_BITS, numbers).powers_of_two(), expected);
    }

    #[test]
    fn coarsening_halves_the_buckets_and_keeps_the_counts() {
        let mut numbers = ints(1_000_000..1_100_000);
        let (fine, powers) = (numbers.buckets(), numbers.powers_of_two());
        assert!(numbers.coarsen());
        assert!(numbers.buckets() <= fine / 2 + 1);
        assert_eq!(numbers.powers_of_two(), powers);
        let found = numbers.percentile(500, Whole::Numbers).unwrap();
        assert!((found / 1_050_000.0 - 1.0).abs() < numbers.error());
        while numbers.coarsen() {}
        assert_eq!(numbers.error(), 0.0625);
        assert_eq!(numbers.sorted().iter().map(|(_, count)| count).sum::<u64>(), 100_000);
    }
}
