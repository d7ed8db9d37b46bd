//! Values as they lie in the store, one after the other.
//!
//! Owns where each one ends, which its own bytes tell; they were checked when they came. Refuses to read
//! any.

use proto::{ranges::RangeSet, unit::UnitId, value::value_len};

/// Bytes of the first value.
pub(super) fn length(values: &[u8]) -> usize {
    value_len(values).unwrap_or(values.len()).max(1).min(values.len())
}

/// Whether the first value is there as a whole.
pub(super) fn holds_one(values: &[u8]) -> bool {
    value_len(values).is_ok_and(|length| length <= values.len())
}

/// Bytes of the first so many values.
pub(super) fn skip(values: &[u8], count: u64) -> usize {
    (0..count).fold(0, |at, _| at + values.get(at..).map_or(0, length))
}

/// First unit, how many, and their values.
pub(super) type Piece = (UnitId, u64, Vec<u8>);

/// What of these units is among the `live` ones.
pub(super) fn pieces(
    first: UnitId,
    count: u64,
    values: &[u8],
    live: &RangeSet,
    mut each: impl FnMut(Piece),
) {
    let mut gone = RangeSet::new();
    gone.insert(first..first + count);
    live.iter().for_each(|range| gone.remove(range));
    for range in gone.gaps(first..first + count) {
        let low = skip(values, range.start - first);
        let rest = values.get(low..).unwrap_or_default();
        let bytes = skip(rest, range.end - range.start);
        each((
            range.start,
            range.end - range.start,
            rest.get(..bytes).unwrap_or_default().to_vec(),
        ));
    }
}
