//! From a program's text to values, and from a value to a program's text.
//!
//! Owns what JSON is accepted; refuses numbers that would lose digits on the way.

use proto::value::{from_json, to_json};

use crate::function::start_of;
use crate::{Failure, Outputs};

/// Why a text is no value.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("{0}")]
    NotJson(#[from] proto::value::TranslateError),
    /// JSON readers take such a number for a real one, and give other digits back.
    #[error("the whole number {0} does not fit 64 bits; print it as a string")]
    NumberTooLarge(String),
}

/// Appends the one JSON value that `json` is to `value`, as MessagePack.
pub(super) fn decode(json: &[u8], value: &mut Vec<u8>) -> Result<(), AnswerError> {
    from_json(json, value)?;
    match whole_number_too_large(json) {
        Some(number) => Err(AnswerError::NumberTooLarge(number)),
        None => Ok(()),
    }
}

/// The first whole number in valid JSON that fits neither an i64 nor an u64.
fn whole_number_too_large(json: &[u8]) -> Option<String> {
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at += string_len(&json[at..]),
            b'-' | b'0'..=b'9' => {
                let end = json[at..]
                    .iter()
                    .position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
                    .map_or(json.len(), |len| at + len);
                let number = str::from_utf8(&json[at..end]).unwrap_or_default();
                let is_real = number.contains(['.', 'e', 'E']);
                if !is_real && number.parse::<u64>().is_err() && number.parse::<i64>().is_err() {
                    return Some(start_of(number.as_bytes()));
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

/// The length of the JSON string that `json` starts with, quotes included.
fn string_len(json: &[u8]) -> usize {
    let mut at = 1;
    loop {
        match json.get(at) {
            None => return json.len(),
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// The text that a program is given for a value: a string as it is, anything else as JSON.
pub(super) fn argument(input: &[u8]) -> Result<String, Failure> {
    if let Ok(text) = rmp_serde::from_slice::<&str>(input) {
        return Ok(text.to_owned());
    }
    let mut json = Vec::new();
    append_json(input, &mut json)?;
    String::from_utf8(json).map_err(|error| no_json(&error))
}

/// Appends a value's compact JSON.
pub(super) fn append_json(input: &[u8], json: &mut Vec<u8>) -> Result<(), Failure> {
    to_json(input, json).map_err(|error| no_json(&error))
}

fn no_json(error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("the input has no JSON form: {error}"))
}

/// Pushes what a program printed: the JSON value that it is, or else the text without its last
/// line end; nothing for nothing.
pub(super) fn push_printed(
    program: &str,
    printed: &[u8],
    out: &mut Outputs,
) -> Result<(), Failure> {
    if printed.is_empty() {
        return Ok(());
    }
    let mut value = Vec::new();
    if decode(printed, &mut value).is_ok() {
        return out.push_bytes(&value);
    }
    let text = str::from_utf8(printed).map_err(|error| {
        Failure::new(format!("`{program}` printed text that is not UTF-8: {error}"))
    })?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    out.push(line.strip_suffix('\r').unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pack;

    fn printed(text: &str) -> Vec<u8> {
        let mut out = Outputs::default();
        push_printed("p", text.as_bytes(), &mut out).unwrap();
        out.payload().to_vec()
    }

    #[test]
    fn what_is_json_is_that_value_and_anything_else_is_text() {
        assert_eq!(printed(" {\"a\": [1]} \n"), pack(r#"{"a":[1]}"#));
        assert_eq!(printed("null\n"), pack("null"));
        assert_eq!(printed("two words\n"), pack(r#""two words""#));
        assert_eq!(printed("1\n2\n"), pack(r#""1\n2""#));
        assert_eq!(printed("\r\n"), pack(r#""""#));
        assert_eq!(printed("007"), pack(r#""007""#));
        assert!(printed("").is_empty());
    }

    #[test]
    fn bytes_that_are_no_text_are_a_failure() {
        let failure = push_printed("p", &[0xff], &mut Outputs::default()).unwrap_err();
        assert!(failure.text().starts_with("`p` printed text that is not UTF-8"));
    }

    #[test]
    fn a_whole_number_beyond_64_bits_keeps_its_digits_as_text() {
        let digits = "100000000000000000001";
        assert_eq!(printed(digits), pack(&format!("\"{digits}\"")));
    }

    #[test]
    fn a_whole_number_beyond_64_bits_is_no_answer_wherever_it_stands() {
        for json in
            ["18446744073709551616", "[0,-9223372036854775809]", r#"{"a\"":18446744073709551616}"#]
        {
            assert!(
                matches!(
                    decode(json.as_bytes(), &mut Vec::new()),
                    Err(AnswerError::NumberTooLarge(_))
                ),
                "{json}"
            );
        }
    }

    #[test]
    fn the_largest_numbers_and_real_ones_and_digits_in_strings_are_fine() {
        for json in [
            "[18446744073709551615,-9223372036854775808]",
            "[1e30,100000000000000000000.5,-0]",
            r#"{"99999999999999999999":"\\\"99999999999999999999"}"#,
        ] {
            decode(json.as_bytes(), &mut Vec::new()).unwrap();
        }
    }

    #[test]
    fn an_argument_is_a_string_as_it_is_or_json() {
        assert_eq!(argument(&pack(r#""a \"b""#)).unwrap(), "a \"b");
        assert_eq!(argument(&pack(r#"{"a":"b"}"#)).unwrap(), r#"{"a":"b"}"#);
        assert_eq!(argument(&pack("1.5")).unwrap(), "1.5");
    }
}
