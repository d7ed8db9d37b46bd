//! One MessagePack value at a time: where it ends, and its translation to and from JSON.
//!
//! Owns the walk over encoded values; refuses a tree in memory: everything here works on the
//! bytes, because a sink or a worker sees millions of them.
#![expect(
    clippy::indexing_slicing,
    reason = "the hottest loop: a place is compared with the end before it is used"
)]

use std::io::{self, Write};

use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use serde_json::ser::Formatter;
use thiserror::Error;

/// Nesting deeper than this is refused, so that no value can exhaust a stack.
pub const VALUE_DEPTH_MAX: usize = 128;

/// Why bytes are not a MessagePack value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ValueError {
    /// The bytes end inside a value.
    #[error("a MessagePack value ends after {len} bytes, before it is complete")]
    Truncated {
        /// How many bytes there were.
        len: usize,
    },
    /// The reserved marker `0xc1`.
    #[error("0xc1 is no MessagePack marker")]
    Reserved,
    /// More than [`VALUE_DEPTH_MAX`] levels.
    #[error("a MessagePack value is nested deeper than {VALUE_DEPTH_MAX} levels")]
    TooDeep,
}

/// Why a value could not be translated.
#[derive(Debug, Error)]
pub enum TranslateError {
    /// The text is not JSON, or the value has no JSON form.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// The bytes are not MessagePack.
    #[error("not MessagePack: {0}")]
    MessagePack(#[from] rmp_serde::decode::Error),
    /// The JSON holds something that MessagePack cannot.
    #[error("{0}")]
    Encode(#[from] rmp_serde::encode::Error),
    /// What it means only those know who wrote it, pickled Python objects for example.
    #[error("a value of the MessagePack extension type {kind} has no JSON form")]
    Extension {
        /// The type's number.
        kind: i8,
    },
}

/// The length in bytes of the first value in `bytes`, without decoding it.
///
/// Runs in the number of elements, takes no memory that grows with the value's declared size.
///
/// # Errors
/// [`ValueError`] when the bytes are not one whole value.
#[inline]
pub fn value_len(bytes: &[u8]) -> Result<usize, ValueError> {
    // Most values are numbers and short strings, whose first byte tells their length.
    match bytes.first().map(|marker| plain_len(*marker)) {
        Some(len) if len != 0 && len <= bytes.len() => Ok(len),
        _ => nested_len(bytes, VALUE_DEPTH_MAX - 1),
    }
}

/// The length of the value that a marker begins, or 0 if more has to be looked at.
#[inline]
pub(crate) fn plain_len(marker: u8) -> usize {
    PLAIN_LEN[usize::from(marker)].into()
}

/// For each marker the length of the value that it begins, or 0 if more has to be looked at.
static PLAIN_LEN: [u8; 256] = plain_lengths();

const fn plain_lengths() -> [u8; 256] {
    let mut lengths = [0; 256];
    let mut marker = 0;
    while marker < 256 {
        lengths[marker] = match marker {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => 1,
            0xa0..=0xbf => 1 + (marker as u8 & 0x1f),
            0xcc | 0xd0 => 2,
            0xcd | 0xd1 | 0xd4 => 3,
            0xd5 => 4,
            0xca | 0xce | 0xd2 => 5,
            0xd6 => 6,
            0xcb | 0xcf | 0xd3 => 9,
            0xd7 => 10,
            0xd8 => 18,
            _ => 0,
        };
        marker += 1;
    }
    lengths
}

/// As [`value_len`], for a value that may hold others, `depth` levels of them at most.
fn nested_len(bytes: &[u8], depth: usize) -> Result<usize, ValueError> {
    let truncated = ValueError::Truncated { len: bytes.len() };
    let (mut at, children) = element(bytes)?;
    if children > 0 && depth == 0 {
        return Err(ValueError::TooDeep);
    }
    for _ in 0..children {
        let rest = bytes.get(at..).ok_or(truncated)?;
        let plain = rest.first().map_or(0, |marker| plain_len(*marker));
        at += match plain {
            0 => nested_len(rest, depth - 1)?,
            len => len,
        };
    }
    if at > bytes.len() { Err(truncated) } else { Ok(at) }
}

/// The size of one element's own bytes (marker, length, scalar or string data) and how many
/// values it contains.
fn element(bytes: &[u8]) -> Result<(usize, u64), ValueError> {
    let truncated = ValueError::Truncated { len: bytes.len() };
    let marker = *bytes.first().ok_or(truncated)?;
    let length = |width: usize| -> Result<u64, ValueError> {
        let digits = bytes.get(1..1 + width).ok_or(truncated)?;
        Ok(digits.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    };
    let data = |width: usize, extra: usize| -> Result<(usize, u64), ValueError> {
        let len = usize::try_from(length(width)?).map_err(|_| truncated)?;
        Ok((1 + width + extra + len, 0))
    };
    Ok(match marker {
        0x80..=0x8f => (1, u64::from(marker & 0x0f) * 2),
        0x90..=0x9f => (1, u64::from(marker & 0x0f)),
        0xc1 => return Err(ValueError::Reserved),
        0xc4 | 0xd9 => data(1, 0)?,
        0xc5 | 0xda => data(2, 0)?,
        0xc6 | 0xdb => data(4, 0)?,
        0xc7 => data(1, 1)?,
        0xc8 => data(2, 1)?,
        0xc9 => data(4, 1)?,
        0xdc => (3, length(2)?),
        0xdd => (5, length(4)?),
        0xde => (3, length(2)? * 2),
        0xdf => (5, length(4)? * 2),
        _ => (plain_len(marker), 0),
    })
}

/// The whole number that a value is, if it is one that is not negative.
#[inline]
pub fn read_uint(value: &[u8]) -> Option<u64> {
    match *value {
        [marker @ 0x00..=0x7f] => Some(u64::from(marker)),
        [0xcc | 0xd0, a] => not_negative(value[0], u64::from(a), 0x80),
        [0xcd | 0xd1, a, b] => {
            not_negative(value[0], u64::from(u16::from_be_bytes([a, b])), 0x8000)
        }
        [0xce | 0xd2, a, b, c, d] => {
            not_negative(value[0], u64::from(u32::from_be_bytes([a, b, c, d])), 1 << 31)
        }
        [0xcf | 0xd3, a, b, c, d, e, f, g, h] => {
            not_negative(value[0], u64::from_be_bytes([a, b, c, d, e, f, g, h]), 1 << 63)
        }
        _ => None,
    }
}

/// A number read as if it had no sign; what has one is told by its marker and its highest bit.
#[inline]
fn not_negative(marker: u8, number: u64, sign: u64) -> Option<u64> {
    (marker < 0xd0 || number < sign).then_some(number)
}

/// Appends a whole number in its shortest form.
#[inline]
pub fn push_uint(payload: &mut Vec<u8>, number: u64) {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    match number {
        0..0x80 => payload.push(h),
        0x80..0x100 => payload.extend_from_slice(&[0xcc, h]),
        0x100..0x1_0000 => payload.extend_from_slice(&[0xcd, g, h]),
        0x1_0000..0x1_0000_0000 => payload.extend_from_slice(&[0xce, e, f, g, h]),
        _ => payload.extend_from_slice(&[0xcf, a, b, c, d, e, f, g, h]),
    }
}

/// Appends a text.
#[inline]
pub fn push_str(payload: &mut Vec<u8>, text: &str) {
    let len = text.len() as u32;
    let [a, b, c, d] = len.to_be_bytes();
    match len {
        0..0x20 => payload.push(0xa0 | d),
        0x20..0x100 => payload.extend_from_slice(&[0xd9, d]),
        0x100..0x1_0000 => payload.extend_from_slice(&[0xda, c, d]),
        _ => payload.extend_from_slice(&[0xdb, a, b, c, d]),
    }
    payload.extend_from_slice(text.as_bytes());
}

/// Appends a whole number, which may be negative, in its shortest form.
#[inline]
pub fn push_int(payload: &mut Vec<u8>, number: i64) {
    if let Ok(number) = u64::try_from(number) {
        return push_uint(payload, number);
    }
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    match number {
        -0x20.. => payload.push(h),
        -0x80.. => payload.extend_from_slice(&[0xd0, h]),
        -0x8000.. => payload.extend_from_slice(&[0xd1, g, h]),
        -0x8000_0000.. => payload.extend_from_slice(&[0xd2, e, f, g, h]),
        _ => payload.extend_from_slice(&[0xd3, a, b, c, d, e, f, g, h]),
    }
}

/// Compact JSON in which bytes are base64 text (RFC 4648, with padding).
struct Compact;

impl Formatter for Compact {
    fn write_byte_array<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        bytes: &[u8],
    ) -> io::Result<()> {
        write!(writer, "\"{}\"", Base64Display::new(bytes, &STANDARD))
    }
}

/// Appends the JSON text of one MessagePack value. Binary data becomes text, in base64; NaN and
/// the infinities become `null`.
///
/// # Errors
/// [`TranslateError`] when `value` is not MessagePack or has no JSON form (a map keyed by arrays,
/// an extension type).
pub fn to_json(value: &[u8], json: &mut Vec<u8>) -> Result<(), TranslateError> {
    if let Some(kind) = extension(value) {
        return Err(TranslateError::Extension { kind });
    }
    let mut from = rmp_serde::Deserializer::from_read_ref(value);
    from.set_max_depth(VALUE_DEPTH_MAX);
    let mut to = serde_json::Serializer::with_formatter(json, Compact);
    serde_transcode::transcode(&mut from, &mut to)?;
    Ok(())
}

/// The number of the first extension type in a value, if any is in it.
fn extension(value: &[u8]) -> Option<i8> {
    let mut rest = value;
    while let Some(marker) = rest.first() {
        let kind_at = match marker {
            0xd4..=0xd8 => 1,
            0xc7 => 2,
            0xc8 => 3,
            0xc9 => 5,
            _ => {
                let own = match plain_len(*marker) {
                    0 => element(rest).ok()?.0,
                    len => len,
                };
                rest = rest.get(own..)?;
                continue;
            }
        };
        return rest.get(kind_at).map(|kind| *kind as i8);
    }
    None
}

/// Appends the MessagePack form of one JSON text, surrounding white space allowed.
///
/// # Errors
/// [`TranslateError`] when `json` is not exactly one JSON value.
pub fn from_json(json: &[u8], value: &mut Vec<u8>) -> Result<(), TranslateError> {
    let mut from = serde_json::Deserializer::from_slice(json);
    let mut to = rmp_serde::Serializer::new(value);
    serde_transcode::transcode(&mut from, &mut to)?;
    from.end()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(json: &str) -> Vec<u8> {
        let mut value = Vec::new();
        from_json(json.as_bytes(), &mut value).unwrap();
        value
    }

    #[test]
    fn json_survives_the_way_there_and_back() {
        for text in [
            "null",
            "[]",
            "{}",
            "-1",
            "18446744073709551615",
            "-9223372036854775808",
            "1.5",
            "\"é\\n\"",
            r#"{"b":[1,{"a":null}],"a":"x"}"#,
        ] {
            let mut json = Vec::new();
            to_json(&pack(text), &mut json).unwrap();
            assert_eq!(String::from_utf8(json).unwrap(), text);
        }
    }

    /// Bytes are text in JSON, wherever they stand; an extension type is nobody's but its maker's.
    #[test]
    fn bytes_are_base64_in_json_and_extension_types_have_no_form() {
        let json = |value: &[u8]| {
            let mut json = Vec::new();
            to_json(value, &mut json).map(|()| String::from_utf8(json).unwrap()).ok()
        };
        let bytes = |bytes: &[u8]| [&[0xc4, bytes.len() as u8], bytes].concat();
        for (given, text) in [
            (&b""[..], r#""""#),
            (b"f", r#""Zg==""#),
            (b"fo", r#""Zm8=""#),
            (b"foo", r#""Zm9v""#),
            (&[0xfb, 0xff, 0xfe], r#""+//+""#),
        ] {
            assert_eq!(json(&bytes(given)).as_deref(), Some(text));
        }
        let nested = [&[0x92, 0x01, 0x81, 0xa1, b'b'], &bytes(b"foo")[..]].concat();
        assert_eq!(json(&nested).as_deref(), Some(r#"[1,{"b":"Zm9v"}]"#));
        assert_eq!(json(&[0xd4, 1, 7]), None);
        assert_eq!(json(&[0x91, 0xc7, 1, 2, 7]), None);
    }

    #[test]
    fn a_value_ends_where_the_next_one_starts() {
        let long = format!("\"{}\"", "x".repeat(70_000));
        let values = ["1", "300", "[1,[2,3],{\"k\":[]}]", "\"abc\"", "1.25", &long, "null"];
        let stream: Vec<u8> = values.iter().flat_map(|v| pack(v)).collect();
        let mut at = 0;
        for text in values {
            let len = value_len(&stream[at..]).unwrap();
            assert_eq!(stream[at..at + len], pack(text)[..]);
            at += len;
        }
        assert_eq!(at, stream.len());
    }

    #[test]
    fn what_is_cut_short_or_too_deep_or_reserved_is_refused() {
        let whole = pack(r#"{"key":[1,2,300000],"s":"text"}"#);
        for len in 0..whole.len() {
            assert!(matches!(value_len(&whole[..len]), Err(ValueError::Truncated { .. })), "{len}");
        }
        assert_eq!(value_len(&[0x91; 200]), Err(ValueError::TooDeep));
        assert_eq!(value_len(&[0xc1]), Err(ValueError::Reserved));
        // An array that claims four billion elements is found out at once.
        assert!(value_len(&[0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    #[test]
    fn whole_numbers_have_the_form_that_the_library_gives_them_and_are_read_in_any() {
        let powers = (0..64).map(|bit| 1u64 << bit);
        for number in powers.flat_map(|power| [power - 1, power, power + 1]).chain([u64::MAX]) {
            let mut value = Vec::new();
            push_uint(&mut value, number);
            assert_eq!(value, rmp_serde::to_vec(&number).unwrap());
            assert_eq!(read_uint(&value), Some(number));
            let negative = (number as i64).wrapping_neg();
            let mut value = Vec::new();
            push_int(&mut value, negative);
            assert_eq!(value, rmp_serde::to_vec(&negative).unwrap());
            assert_eq!(read_uint(&value), u64::try_from(negative).ok());
        }
        assert_eq!(read_uint(&[0xd3, 0, 0, 0, 0, 0, 0, 0, 7]), Some(7));
        assert_eq!(read_uint(&[0xd0, 0xff]), None);
        assert_eq!(read_uint(&[0xcb, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(read_uint(&[]), None);
    }

    #[test]
    fn texts_have_the_form_that_the_library_gives_them() {
        for len in [0, 1, 31, 32, 255, 256, 65_535, 65_536] {
            let text = "x".repeat(len);
            let mut value = Vec::new();
            push_str(&mut value, &text);
            assert_eq!(value, rmp_serde::to_vec(&text).unwrap());
        }
    }

    #[test]
    fn text_after_the_value_is_refused() {
        assert!(from_json(b"1 2", &mut Vec::new()).is_err());
        assert!(from_json(b"", &mut Vec::new()).is_err());
        assert!(from_json(b" 1 \n", &mut Vec::new()).is_ok());
    }
}
