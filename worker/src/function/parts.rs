//! The outputs of the unit under way, for whoever wants to see them before it is done.
//!
//! Owns what was given so far and has not been taken: the function's thread puts it there, another one takes
//! it. Refuses to know who sees it; what counts is what the function has given when it returns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::{service::Part, unit::UnitId};

/// So many bytes are taken at once, or one output.
const TAKEN_BYTES_MAX: usize = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    unit: Option<UnitId>,
    // Those that were taken, and where they end.
    taken: usize,
    taken_bytes: usize,
    values: Vec<u8>,
    ends: Vec<usize>,
}

/// The same, between two threads.
pub(crate) type SharedParts = Arc<Mutex<Parts>>;

/// For a moment.
pub(crate) fn lock(parts: &SharedParts) -> MutexGuard<'_, Parts> {
    // Nothing under the lock can panic halfway.
    parts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Parts {
    /// A unit begins; none if nobody may see its outputs.
    pub fn begin(&mut self, unit: Option<UnitId>) {
        self.unit = unit;
        (self.taken, self.taken_bytes) = (0, 0);
        self.values.clear();
        self.ends.clear();
    }

    /// It has given this.
    pub fn push(&mut self, value: &[u8]) {
        if self.unit.is_some() {
            self.values.extend_from_slice(value);
            self.ends.push(self.values.len());
        }
    }

    /// What was given and not taken, of the first so many outputs that are not large together.
    pub fn take(&mut self) -> Option<Part> {
        let unit = self.unit?;
        let (from, start) = (self.taken, self.taken_bytes);
        let fits = self.ends[from..].partition_point(|end| end - start <= TAKEN_BYTES_MAX);
        let until = (from + fits.max(1)).min(self.ends.len());
        let end = *self.ends[from..until].last()?;
        (self.taken, self.taken_bytes) = (until, end);
        let values = self.values[start..end].to_vec().into();
        Some(Part { unit, index: u32::try_from(from).ok()?, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(index: u32, values: &[u8]) -> Option<Part> {
        Some(Part { unit: 7, index, values: values.to_vec().into() })
    }

    #[test]
    fn outputs_are_taken_once_in_their_order_and_go_with_their_unit() {
        let mut parts = Parts::default();
        parts.push(&[9]);
        assert_eq!(parts.take(), None, "of no unit");
        parts.begin(Some(7));
        assert_eq!(parts.take(), None);
        parts.push(&[1]);
        parts.push(&[2]);
        assert_eq!(parts.take(), part(0, &[1, 2]));
        assert_eq!(parts.take(), None);
        parts.push(&[3]);
        assert_eq!(parts.take(), part(2, &[3]));
        parts.push(&[4]);
        parts.begin(Some(7));
        parts.push(&[5]);
        assert_eq!(parts.take(), part(0, &[5]), "tried again");
    }

    #[test]
    fn much_is_taken_in_pieces_and_a_large_output_by_itself() {
        let mut parts = Parts::default();
        parts.begin(Some(7));
        let large = vec![1; TAKEN_BYTES_MAX + 1];
        let half = vec![2; TAKEN_BYTES_MAX / 2 + 1];
        for value in [&large, &half, &half] {
            parts.push(value);
        }
        assert_eq!(parts.take(), part(0, &large));
        assert_eq!(parts.take(), part(1, &half));
        assert_eq!(parts.take(), part(2, &half));
        assert_eq!(parts.take(), None);
    }
}
