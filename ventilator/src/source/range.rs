//! The integers from one to another.

use proto::value::push_int;

use super::{Chunk, Source, SourceError};

/// `next`, `next + step`, … up to `to`.
pub struct Range {
    next: Option<i64>,
    to: i64,
    step: i64,
}

impl Range {
    /// An inclusive range; empty if `to` does not lie in the direction of `step`.
    pub fn new(from: i64, to: i64, step: i64) -> Self {
        Self { next: Some(from), to, step }.checked()
    }

    fn checked(mut self) -> Self {
        let (to, step) = (self.to, self.step);
        self.next = self.next.filter(|next| if step < 0 { *next >= to } else { *next <= to });
        self
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
        while let Some(value) = self.next
            && !chunk.is_full(units_max)
        {
            push_int(&mut chunk.payload, value);
            chunk.end_value();
            let next = value.checked_add(self.step);
            let (to, step) = (self.to, self.step);
            self.next = next.filter(|next| if step < 0 { *next >= to } else { *next <= to });
        }
        Ok(self.next.is_some())
    }

    fn skip(&mut self, units: u64) -> Result<(), SourceError> {
        self.advance(units);
        Ok(())
    }
}
