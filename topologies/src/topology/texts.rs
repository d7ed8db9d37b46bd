//! The texts that the places of a topology point into.
//!
//! Owns them, with the names that a user knows them by; refuses to know what they mean.

use std::ops::Range;

use super::{
    location::{Located, Location, Origin},
    written,
};

/// The topology, the flags, and files of Python source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Texts {
    path: String,
    text: String,
    sets: Vec<String>,
    sources: Vec<(String, String)>,
}

impl Texts {
    pub fn new(path: String, text: String, sets: &[String]) -> Self {
        Self { path, text, sets: sets.to_vec(), sources: Vec::new() }
    }

    /// The topology's own name.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Takes a file of Python source; its number.
    pub fn add(&mut self, path: &str, text: &str) -> usize {
        self.sources.push((path.to_owned(), text.to_owned()));
        self.sources.len() - 1
    }

    /// The name and the content of what was written there.
    pub fn of(&self, origin: Origin) -> (&str, &str) {
        match origin {
            Origin::File => (&self.path, &self.text),
            Origin::Set(index) => ("--set", self.sets.get(index).map_or("", String::as_str)),
            Origin::Python(index) => {
                self.sources.get(index).map_or(("", ""), |(path, text)| (path, text))
            }
        }
    }

    /// The place of a part of a string.
    pub fn within(&self, string: &Located<String>, part: Range<usize>) -> Location {
        let Location { origin, range } = &string.place;
        let (_, text) = self.of(*origin);
        let Some(written) = text.get(range.clone()) else { return string.place.clone() };
        let at = |offset| range.start + written::place_in(written, &string.value, offset);
        let (start, end) = (at(part.start), at(part.end));
        // An end of the source is shown at the quotes behind it.
        Location::new(*origin, start..end.max(start + usize::from(start < range.end)))
    }
}
