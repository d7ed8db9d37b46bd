//! Where in what the user wrote a key or a value stands.
//!
//! Owns positions; refuses text: what stands there is kept by the diagnostics.

use std::ops::Range;

/// One of the texts that a topology is read from. The file comes before the flags, and those
/// before other files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The topology file.
    File,
    /// A `--set` flag, counted from 0.
    Set(usize),
    /// A file of Python source that a stage leads to, counted from 0.
    Python(usize),
}

/// A stretch of one of the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Which text.
    pub origin: Origin,
    /// Bytes of it; the end is exclusive.
    pub range: Range<usize>,
}

impl Location {
    pub(super) fn new(origin: Origin, range: Range<usize>) -> Self {
        Self { origin, range }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located<T> {
    pub value: T,
    pub place: Location,
}

impl Located<String> {
    /// The place of the byte at `offset` of the text, as far as it can be told: where escapes
    /// stand in it, that is the whole value.
    pub fn within(&self, offset: usize) -> Location {
        let Range { start, end } = self.place.range;
        let quotes = (end - start).saturating_sub(self.value.len());
        match quotes {
            0 | 2 if offset < self.value.len() => {
                let at = start + quotes / 2 + offset;
                let width = self.value[offset..].chars().next().map_or(1, char::len_utf8);
                Location::new(self.place.origin, at..at + width)
            }
            _ => self.place.clone(),
        }
    }
}
