//! Where in what the user wrote a key or a value stands.
//!
//! Owns positions; refuses text: what stands there is kept by the diagnostics.

use std::ops::Range;

/// One of the texts that a topology is read from. The file comes before the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The topology file.
    File,
    /// A `--set` flag, counted from 0.
    Set(usize),
}

/// A stretch of one of the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which text.
    pub origin: Origin,
    /// Bytes of it; the end is exclusive.
    pub range: Range<usize>,
}

impl Place {
    pub(super) fn new(origin: Origin, range: Range<usize>) -> Self {
        Self { origin, range }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed<T> {
    pub value: T,
    pub place: Place,
}
