//! The integers from one to another.

use proto::value::push_int;

use super::{
    Source, SourceError,
    chunk::{CHUNK_BYTES, Chunk},
};

/// The longest form of a whole number.
const INT_BYTES_MAX: usize = 9;

/// `next`, `next + step`, … up to `to`.
pub struct Range {
    next: Option<i64>,
    to: i64,
    step: i64,
}

impl Range {
    /// An inclusive range; empty if `to` does not lie in the direction of `step`.
    pub fn new(from: i64, to: i64, step: i64) -> Self {
        let range = Self { next: None, to, step };
        Self { next: Some(from).filter(|next| range.has(*next)), ..range }
    }

    /// Whether a number that is reached in steps is part of it.
    #[inline]
    fn has(&self, number: i64) -> bool {
        if self.step < 0 { number >= self.to } else { number <= self.to }
    }

    fn advance(&mut self, units: u64) {
        let distance = i128::from(self.step) * i128::from(units);
        let to = i128::from(self.to);
        self.next = self.next.and_then(|next| {
            let next = i128::from(next) + distance;
            let within = if self.step < 0 { next >= to } else { next <= to };
            within.then(|| i64::try_from(next).ok()).flatten()
        });
    }
}

impl Source for Range {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        let Some(first) = self.next else { return Ok(false) };
        let distance = i128::from(self.to) - i128::from(first);
        let left = distance.checked_div(self.step.into()).map_or(i128::MAX, |steps| steps + 1);
        let units = units_max.min(CHUNK_BYTES / INT_BYTES_MAX);
        let units = usize::try_from(left).unwrap_or(usize::MAX).min(units);
        chunk.payload.reserve(units * INT_BYTES_MAX);
        chunk.ends.reserve(units);
        let mut value = first;
        for _ in 0..units {
            push_int(&mut chunk.payload, value);
            chunk.end_value();
            value = value.wrapping_add(self.step);
        }
        self.advance(units as u64);
        Ok(self.next.is_some())
    }

    fn skip(&mut self, units: u64) -> Result<(), SourceError> {
        self.advance(units);
        Ok(())
    }
}
