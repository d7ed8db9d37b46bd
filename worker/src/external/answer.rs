//! From a program's text to values, and from a value to a program's text.
//!
//! Owns what JSON is accepted; refuses numbers that would lose digits on the way. A 64-bit number
//! has to explain each digit: `0.10000000000000001` is the float nearest to 0.1, and taken, but
//! behind `12345678901234.567` there is none. What is printed without a contract is a number only
//! if it would be written back with the same characters.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

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
    /// The nearest float has other digits.
    #[error("a 64-bit float cannot hold the digits of {0}; print it as a string")]
    DigitsLost(String),
}

/// Appends the one JSON value that `json` is to `value`, as MessagePack.
pub(super) fn decode(json: &[u8], value: &mut Vec<u8>) -> Result<(), AnswerError> {
    from_json(json, value)?;
    let mut at = 0;
    while let Some(number) = next_number(json, &mut at) {
        if !is_real(number) {
            if number.parse::<u64>().is_err() && number.parse::<i64>().is_err() {
                return Err(AnswerError::NumberTooLarge(start_of(number.as_bytes())));
            }
        } else if !is_explained(number) {
            return Err(AnswerError::DigitsLost(start_of(number.as_bytes())));
        }
    }
    Ok(())
}

fn is_real(number: &str) -> bool {
    number.contains(['.', 'e', 'E'])
}

/// The elements of a JSON array, as they are written; none if it is no array. What is no JSON gives
/// elements that are none.
pub(super) fn elements(json: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let mut rest = json.trim_ascii().strip_prefix(b"[")?.strip_suffix(b"]")?;
    Some(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = element_len(rest);
        let element = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(element)
    }))
}

/// Up to the next comma that is in no string, array or object.
fn element_len(json: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_u32);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                at += string_len(&json[at..]);
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    json.len().min(at)
}

/// The next number in valid JSON.
fn next_number<'a>(json: &'a [u8], at: &mut usize) -> Option<&'a str> {
    while let Some(byte) = json.get(*at) {
        match byte {
            b'"' => *at += string_len(&json[*at..]),
            b'-' | b'0'..=b'9' => {
                let start = *at;
                *at = json[start..]
                    .iter()
                    .position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
                    .map_or(json.len(), |len| start + len);
                return str::from_utf8(&json[start..*at]).ok();
            }
            _ => *at += 1,
        }
    }
    None
}

/// Whether the float that is nearest to a real number has its digits, as many as are given.
fn is_explained(number: &str) -> bool {
    // Up to 15 digits always come back, unless the number is near the ends of what there is.
    const SAFE_LEN: usize = 16;
    /// No float has more of them.
    const DIGITS_MAX: usize = 800;
    if number.len() <= SAFE_LEN && !number.contains(['e', 'E']) {
        return true;
    }
    let Ok(value) = number.parse::<f64>() else { return false };
    let digits = significant(number);
    if digits.is_empty() || value == 0.0 {
        return digits.is_empty();
    }
    digits.len() <= DIGITS_MAX && significant(&format!("{:.*e}", digits.len() - 1, value)) == digits
}

/// The digits of a number before its exponent, from the first to the last that is not 0.
fn significant(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
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

/// What a program is given for a value: a string and bytes as they are, so that a file's name is
/// that name; anything else as JSON.
pub(super) fn argument(input: &[u8]) -> Result<OsString, Failure> {
    if let Ok(text) = rmp_serde::from_slice::<&str>(input) {
        return Ok(text.into());
    }
    if let Some(0xc4..=0xc6) = input.first()
        && let Ok(bytes) = rmp_serde::from_slice::<&[u8]>(input)
    {
        return Ok(OsString::from_vec(bytes.to_vec()));
    }
    let mut json = Vec::new();
    append_json(input, &mut json)?;
    Ok(OsString::from_vec(json))
}

/// Appends a value's compact JSON.
pub(super) fn append_json(input: &[u8], json: &mut Vec<u8>) -> Result<(), Failure> {
    to_json(input, json).map_err(|error| no_json(&error))
}

fn no_json(error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("the input has no JSON form: {error}"))
}

/// Pushes what a program printed: the JSON value that it is, or else the text without its last
/// line end; nothing for nothing. A number that JSON would write in another way is text.
pub(super) fn push_printed(
    program: &str,
    printed: &[u8],
    out: &mut Outputs,
) -> Result<(), Failure> {
    if printed.is_empty() {
        return Ok(());
    }
    let mut value = Vec::new();
    if decode(printed, &mut value).is_ok() && is_written_back(printed.trim_ascii(), &value) {
        return out.push_bytes(&value);
    }
    let text = str::from_utf8(printed).map_err(|error| {
        Failure::new(format!("`{program}` printed text that is not UTF-8: {error}"))
    })?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    out.push(line.strip_suffix('\r').unwrap_or(line))
}

/// Whether a value that is a number has the characters that were printed. Other values are JSON on
/// purpose, in which 1.10 is the number 1.1.
fn is_written_back(printed: &[u8], value: &[u8]) -> bool {
    if !matches!(printed.first(), Some(b'-' | b'0'..=b'9')) {
        return true;
    }
    let mut json = Vec::new();
    to_json(value, &mut json).is_ok() && json == printed
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
    fn an_array_is_taken_apart_where_its_elements_end() {
        let apart = |json: &'static str| -> Vec<&str> {
            let elements = elements(json.as_bytes()).unwrap();
            elements.map(|element| str::from_utf8(element).unwrap()).collect()
        };
        assert_eq!(apart("[]"), [""; 0]);
        let parts = ["1", r#""a,]\"""#, r#"[2,{"b":[3,4]}]"#, "{}"];
        let whole = r#"[1,"a,]\"",[2,{"b":[3,4]}],{}]"#;
        assert_eq!(apart(whole), parts);
        for broken in ["", "[", "1", "[\"", "{}", "[\"abc\\\"]"] {
            elements(broken.as_bytes()).into_iter().flatten().for_each(drop);
        }
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

    /// Numbers that a program prints came out with other digits.
    #[test]
    fn a_printed_number_is_one_only_if_it_is_written_back_with_the_same_characters() {
        for number in
            ["0", "-7", "1.5", "1.0", "18446744073709551615", "1e+21", "0.1", "-0.0", "1e-7"]
        {
            assert_eq!(printed(&format!("{number}\n")), pack(number), "{number}");
        }
        for text in [
            "1.10",
            "12e5",
            "1E5",
            "-0",
            "1e400",
            "1e-400",
            "007",
            "+5",
            "NaN",
            "-Infinity",
            ".5",
            "5.",
            "0x1f",
            "1_000",
            "123456789012345678901",
            "-9223372036854775809",
            "3.14159265358979323846",
            "0.10000000000000001",
            "100.00",
        ] {
            assert_eq!(printed(&format!("{text}\n")), pack(&format!("\"{text}\"")), "{text}");
        }
        // In an array or an object a number is what JSON means by it, if no digit is lost.
        assert_eq!(
            printed(r#"{"price": 1.10, "n": [12e5]}"#),
            pack(r#"{"price":1.1,"n":[1200000.0]}"#)
        );
        for text in
            ["[123456789012345678901]", r#"{"a":3.14159265358979323846}"#, "[1e400]", "[1e-400]"]
        {
            let quoted = serde_json::to_string(text).unwrap();
            assert_eq!(printed(text), pack(&quoted), "{text}");
        }
    }

    /// Digits were lost silently on the way through a 64-bit float.
    #[test]
    fn a_real_number_is_an_answer_only_if_a_float_explains_each_of_its_digits() {
        let is_answer = |json: &str| match decode(json.as_bytes(), &mut Vec::new()) {
            Ok(()) => true,
            Err(AnswerError::DigitsLost(_)) => false,
            Err(other) => panic!("{json}: {other}"),
        };
        for fine in [
            "1.10",
            "12e5",
            "-0",
            "-0.0",
            "0.00",
            "0e99",
            "0.10000000000000001",
            "1.1000000000000001",
            "0.1000000000000000055511151231257827",
            "5e-324",
            "1.7976931348623157e308",
            "123456789012345.25",
            "[1.5, {\"a\": 0.30000000000000004}]",
            "\"12345678901234.567\"",
            "100000000000000000000.000000000",
        ] {
            assert!(is_answer(fine), "{fine}");
        }
        let long = format!("0.{}", "123456789".repeat(1_000));
        for lost in [
            "12345678901234.567",
            "[3.14159265358979323846]",
            "100000000000000000000.5",
            "1e-400",
            "0.1234567890123456789",
            &long,
        ] {
            assert!(!is_answer(lost), "{lost}");
        }
    }

    #[test]
    fn bytes_are_an_argument_as_they_are() {
        let name = rmp_serde::to_vec(&serde_bytes::Bytes::new(b"caf\xe9")).unwrap();
        assert_eq!(argument(&name).unwrap().into_vec(), b"caf\xe9");
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
            "[1e30,100000000000000000000.0,-0]",
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
