//! Why one attempt of a unit failed.
//!
//! Owns the text and its bound; refuses to decide whether the unit is tried again.

use std::any::{Any, type_name};
use std::error::Error;
use std::fmt;

use proto::value::to_json;
use serde::de::DeserializeOwned;

use super::mismatch::explain;

/// The longest text of a failure; longer ones are cut. It bounds what a dead letter can hold.
pub const FAILURE_TEXT_BYTES_MAX: usize = 16 << 10;

/// How much of a value is repeated in an error text.
const SHOWN_CHARS_MAX: usize = 200;

/// What stands where a text was cut.
const CUT: &str = " … (cut)";

/// The failure of one attempt: a text for the person who reads the dead letters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    text: String,
}

impl Failure {
    /// A failure with this text, cut to [`FAILURE_TEXT_BYTES_MAX`] bytes at a character.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.len() > FAILURE_TEXT_BYTES_MAX {
            let mut end = FAILURE_TEXT_BYTES_MAX - CUT.len();
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str(CUT);
            text.shrink_to_fit();
        }
        Self { text }
    }

    /// The failure that a worker's own error means. Errors that print their causes in the
    /// alternate form (`{:#}`, as `anyhow` does) are shown with them.
    pub(crate) fn from_error(error: &impl fmt::Display) -> Self {
        Self::new(format!("{error:#}"))
    }

    /// The failure of an input that is no `T`; `error` is what decoding it said.
    #[cold]
    pub(crate) fn wrong_input<T: DeserializeOwned>(input: &[u8], error: &dyn Error) -> Self {
        Self::new(explain::<T>(input, &error.to_string(), "input"))
    }

    /// The failure of every unit of a function whose outputs are `Result`s.
    #[cold]
    pub(crate) fn result_as_output() -> Self {
        Self::new(
            "the function's output is a Result, which would be written as {\"Ok\": …}: \
             use worker::try_map, or return the error from Worker::work",
        )
    }

    /// The failure that a caught panic means.
    pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::new(format!("panicked: {}", text.unwrap_or("without a text")))
    }

    /// What went wrong.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text, without a copy.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// The start of a value's JSON, for an error text.
pub(crate) fn shown(value: &[u8]) -> String {
    let mut json = Vec::new();
    if let Err(error) = to_json(value, &mut json) {
        return format!("({error})");
    }
    start_of(&json)
}

/// The start of a text that may be long or no text at all, for an error text.
pub(crate) fn start_of(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

/// A type's name without the modules that it lives in: `Vec<String>`.
pub(crate) fn short_type_name<T: ?Sized>() -> String {
    let name = type_name::<T>();
    name.split_inclusive(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | ':'))
        .map(|part| part.rsplit("::").next().unwrap_or(part))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_cut_at_a_character() {
        for shift in 0..3 {
            let failure = Failure::new("x".repeat(shift) + &"€".repeat(FAILURE_TEXT_BYTES_MAX));
            assert!(failure.text().len() <= FAILURE_TEXT_BYTES_MAX);
            assert!(failure.text().len() > FAILURE_TEXT_BYTES_MAX - 4);
            assert!(failure.text().ends_with("€ … (cut)"));
        }
    }

    #[test]
    fn a_type_is_named_without_its_modules() {
        assert_eq!(short_type_name::<Vec<String>>(), "Vec<String>");
        assert_eq!(
            short_type_name::<std::collections::HashMap<String, Option<(u8, f64)>>>(),
            "HashMap<String, Option<(u8, f64)>>"
        );
    }

    #[test]
    fn a_text_of_just_the_longest_size_is_kept_whole() {
        let text = "x".repeat(FAILURE_TEXT_BYTES_MAX);
        assert_eq!(Failure::new(text.clone()).into_text(), text);
    }
}
