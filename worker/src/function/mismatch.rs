//! Why a value does not fit a type, in the words of whoever wrote the function.
//!
//! Owns those words: lists and objects as in JSON, where in the value, what was expected and what
//! came; refuses to decode for work. It reads the value a second time, so it is for values that
//! have failed already.

use std::any::type_name;

use proto::value::to_json;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure::{short_type_name, shown, start_of};

/// The text for a value that is no `T`; `error` is what decoding it said, and `what` the word for it, as
/// "input".
#[cold]
pub fn explain<T: DeserializeOwned>(value: &[u8], error: &str, what: &str) -> String {
    match misfit::<T>(value) {
        Some((None, why)) => why,
        Some((Some(place), why)) => format!("at {place}: {why}; the {what} is {}", shown(value)),
        // The value has no JSON form, or would fit if it came as JSON.
        None => format!(
            "the {what} {} is not of the type {}: {}",
            shown(value),
            short_type_name::<T>(),
            plain(error)
        ),
    }
}

/// Whether `T` is a `Result`, which serde would write as an object with the one key `Ok` or `Err`.
#[inline]
pub(crate) fn is_result<T>() -> bool {
    type_name::<T>().starts_with("core::result::Result<")
}

/// Where in the input (nowhere in particular: the whole of it), and what is wrong there.
fn misfit<T: DeserializeOwned>(input: &[u8]) -> Option<(Option<String>, String)> {
    let mut json = Vec::new();
    to_json(input, &mut json).ok()?;
    let value: Value = serde_json::from_slice(&json).ok()?;
    let error = serde_path_to_error::deserialize::<_, T>(value).err()?;
    let place = error.path().to_string();
    Some(((place != ".").then_some(place), plain(&error.inner().to_string())))
}

/// Serde's sentence in plain words; one of another form stays as it is.
fn plain(sentence: &str) -> String {
    let parts = sentence
        .strip_prefix("invalid type: ")
        .or_else(|| sentence.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "));
    match parts {
        Some((got, wanted)) => format!("expected {}, got {}", expected(wanted), found(got)),
        None => sentence.to_owned(),
    }
}

/// What a type expects.
fn expected(wanted: &str) -> String {
    match wanted {
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64" | "u128"
        | "usize" => format!("a whole number ({wanted})"),
        "f32" | "f64" => format!("a number ({wanted})"),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "unit" => "null".to_owned(),
        _ => wanted
            .strip_prefix("struct ")
            .map_or_else(|| wanted.to_owned(), |name| format!("an object (the fields of {name})")),
    }
}

/// What came instead.
fn found(got: &str) -> String {
    match got {
        "sequence" => return "a list".to_owned(),
        "map" => return "an object".to_owned(),
        "unit value" => return "null".to_owned(),
        "byte array" => return "bytes".to_owned(),
        _ => {}
    }
    if let Some(text) = got.strip_prefix("string ") {
        return format!("the string {}", start_of(text.as_bytes()));
    }
    ["integer `", "floating point `", "boolean `"]
        .into_iter()
        .find_map(|kind| got.strip_prefix(kind)?.strip_suffix('`'))
        .unwrap_or(got)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::*;
    use crate::testing::call;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Point {
        x: f64,
        tags: Vec<String>,
    }

    fn said<T: DeserializeOwned>(json: &str) -> String {
        call(&mut crate::map(|_: T| 0), json).unwrap_err()
    }

    #[test]
    fn a_wrong_input_is_told_in_plain_words() {
        let table = [
            (said::<i64>(r#""five""#), r#"expected a whole number (i64), got the string "five""#),
            (said::<String>("5"), "expected a string, got 5"),
            (said::<String>("2.5"), "expected a string, got 2.5"),
            (said::<String>("[1]"), "expected a string, got a list"),
            (said::<String>(r#"{"a":1}"#), "expected a string, got an object"),
            (said::<f64>("null"), "expected a number (f64), got null"),
            (said::<bool>("1"), "expected true or false, got 1"),
            (said::<u8>("300"), "expected a whole number (u8), got 300"),
            (said::<u64>("-1"), "expected a whole number (u64), got -1"),
            (said::<Vec<u64>>("true"), "expected a list, got true"),
            (said::<HashMap<String, u8>>("1"), "expected an object, got 1"),
            (said::<Point>("1.5"), "expected an object (the fields of Point), got 1.5"),
            (said::<Point>(r#"{"x":1.5}"#), "missing field `tags`"),
        ];
        for (text, expected) in table {
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_wrong_part_of_an_input_is_told_with_its_place() {
        assert_eq!(
            said::<Point>(r#"{"x":1.0,"tags":["a",7]}"#),
            r#"at tags[1]: expected a string, got 7; the input is {"x":1.0,"tags":["a",7]}"#
        );
    }

    #[test]
    fn a_long_string_is_cut() {
        let text = said::<u8>(&format!("{:?}", "x".repeat(10_000)));
        assert!(text.len() < 400, "{text}");
    }

    #[test]
    fn a_result_is_known_whatever_is_in_it() {
        assert!(is_result::<Result<u8, String>>());
        assert!(is_result::<std::io::Result<Vec<u8>>>());
        assert!(!is_result::<Option<Result<u8, String>>>());
        assert!(!is_result::<String>());
    }
}
