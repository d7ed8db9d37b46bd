//! Reading MessagePack values where they lie.
//!
//! Owns the way from bytes to a scalar, to the entries of a map, and to JSON text; allocates
//! nothing and trusts nothing: bytes that are not MessagePack are [`Scalar::Other`], never a panic.

use proto::value::{TranslateError, to_json, value_len};

/// A value that is not made of other values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    Nil,
    Bool(bool),
    /// Any integer that MessagePack knows: from -2^63 to 2^64 - 1.
    Int(i128),
    Float(f64),
    Text(&'a str),
    /// Arrays, maps, binary data, extensions, and what is no value at all.
    Other,
}

/// The first value in `value`, if it is a scalar.
#[inline]
pub(crate) fn scalar(value: &[u8]) -> Scalar<'_> {
    read(value).unwrap_or(Scalar::Other)
}

#[inline]
fn read(value: &[u8]) -> Option<Scalar<'_>> {
    let (&marker, rest) = value.split_first()?;
    Some(match marker {
        0x00..=0x7f => Scalar::Int(marker.into()),
        0xe0..=0xff => Scalar::Int(marker.cast_signed().into()),
        0xcc => Scalar::Int((*rest.first()?).into()),
        0xcd => Scalar::Int(u16::from_be_bytes(*rest.first_chunk()?).into()),
        0xce => Scalar::Int(u32::from_be_bytes(*rest.first_chunk()?).into()),
        0xcf => Scalar::Int(u64::from_be_bytes(*rest.first_chunk()?).into()),
        0xd0 => Scalar::Int(i8::from_be_bytes(*rest.first_chunk()?).into()),
        0xd1 => Scalar::Int(i16::from_be_bytes(*rest.first_chunk()?).into()),
        0xd2 => Scalar::Int(i32::from_be_bytes(*rest.first_chunk()?).into()),
        0xd3 => Scalar::Int(i64::from_be_bytes(*rest.first_chunk()?).into()),
        0xca => Scalar::Float(f32::from_be_bytes(*rest.first_chunk()?).into()),
        0xcb => Scalar::Float(f64::from_be_bytes(*rest.first_chunk()?)),
        0xc0 => Scalar::Nil,
        0xc2 => Scalar::Bool(false),
        0xc3 => Scalar::Bool(true),
        0xa0..=0xbf | 0xd9..=0xdb => Scalar::Text(text(marker, rest)?),
        _ => return None,
    })
}

fn text(marker: u8, rest: &[u8]) -> Option<&str> {
    std::str::from_utf8(text_bytes(marker, rest)?).ok()
}

/// What should be UTF-8 behind a text's marker.
#[inline]
fn text_bytes(marker: u8, rest: &[u8]) -> Option<&[u8]> {
    let (len, rest) = match marker {
        0xd9 => rest.split_first().map(|(len, rest)| (u32::from(*len), rest))?,
        0xda => two_bytes(rest)?,
        0xdb => four_bytes(rest)?,
        _ => (u32::from(marker & 0x1f), rest),
    };
    rest.get(..usize::try_from(len).ok()?)
}

/// A length of two bytes, and what is behind it.
#[inline]
fn two_bytes(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*len).into(), rest))
}

/// A length of four bytes, and what is behind it.
#[inline]
fn four_bytes(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*len), rest))
}

/// A text of which every byte is a character that stands for itself in JSON, as most do. One look
/// at each byte tells that it is, and that it is UTF-8.
#[inline]
fn plain_text(value: &[u8]) -> Option<&[u8]> {
    let (&marker, rest) = value.split_first()?;
    let text = match marker {
        0xa0..=0xbf | 0xd9..=0xdb => text_bytes(marker, rest)?,
        _ => return None,
    };
    (plain_len(text) == text.len()).then_some(text)
}

/// The keys and values of a map, in the order in which the worker gave them; `None` when
/// `value` is no map. Ends early where the bytes are not MessagePack.
pub(crate) fn entries(value: &[u8]) -> Option<Entries<'_>> {
    let (&marker, rest) = value.split_first()?;
    let (left, rest) = match marker {
        0x80..=0x8f => (u32::from(marker & 0x0f), rest),
        0xde => two_bytes(rest)?,
        0xdf => four_bytes(rest)?,
        _ => return None,
    };
    Some(Entries { rest, left })
}

/// See [`entries`].
#[derive(Debug, Clone)]
pub(crate) struct Entries<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Entries<'a> {
    fn take(&mut self) -> Option<&'a [u8]> {
        let (value, rest) = self.rest.split_at_checked(value_len(self.rest).ok()?)?;
        self.rest = rest;
        Some(value)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some((self.take()?, self.take()?))
    }
}

/// The value of the field `name` of a map; the first one, should there be several.
pub(crate) fn field<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    entries(value)?.find(|(key, _)| scalar(key) == Scalar::Text(name)).map(|(_, value)| value)
}

/// Appends the JSON text of one value, as [`to_json`] does.
///
/// Integers and strings, which most results are, skip the general translation.
///
/// # Errors
/// Those of [`to_json`]; `json` may then hold a part of the text.
#[inline]
pub(crate) fn append_json(value: &[u8], json: &mut Vec<u8>) -> Result<(), TranslateError> {
    if let Some(text) = plain_text(value) {
        json.reserve(text.len() + 3);
        json.push(b'"');
        json.extend_from_slice(text);
        json.push(b'"');
        return Ok(());
    }
    match scalar(value) {
        Scalar::Int(number) => {
            // Writing 128 bits takes longer, and few values need them.
            match u64::try_from(number) {
                Ok(number) => serde_json::to_writer(json, &number)?,
                Err(_) => serde_json::to_writer(json, &number)?,
            }
            Ok(())
        }
        Scalar::Text(text) => {
            append_text(text, json);
            Ok(())
        }
        _ => to_json(value, json),
    }
}

/// Appends a text in quotes. Most have little to escape: what lies between is copied in one piece.
fn append_text(text: &str, json: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    json.reserve(rest.len() + 2);
    json.push(b'"');
    while let Some(byte) = rest.first() {
        if *byte >= 0x80 {
            // A part of a character that is not escaped.
            let len = rest.iter().take_while(|byte| **byte >= 0x80).count();
            let (character, more) = rest.split_at(len);
            json.extend_from_slice(character);
            rest = more;
            continue;
        }
        let (plain, more) = rest.split_at(plain_len(rest));
        json.extend_from_slice(plain);
        rest = more;
        if let Some((byte, more)) = more.split_first().filter(|(byte, _)| **byte < 0x80) {
            append_escaped(*byte, json);
            rest = more;
        }
    }
    json.push(b'"');
}

/// As serde_json writes it.
fn append_escaped(byte: u8, json: &mut Vec<u8>) {
    let hex = |digit| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            json.extend_from_slice(b"\\u00");
            json.extend([byte >> 4, byte & 0xf].map(hex));
            return;
        }
    };
    json.extend_from_slice(&[b'\\', short]);
}

/// How many bytes from the first on are characters that stand for themselves in JSON. A processor
/// looks at a whole step at once.
#[inline]
fn plain_len(bytes: &[u8]) -> usize {
    const STEP: usize = 32;
    let (steps, tail) = bytes.as_chunks::<STEP>();
    let whole = |step: &&[u8; STEP]| step.iter().fold(true, |plain, byte| plain & is_plain(*byte));
    let before = steps.iter().take_while(whole).count();
    let rest = steps.get(before).map_or(tail, |step| step.as_slice());
    before * STEP + rest.iter().take_while(|byte| is_plain(**byte)).count()
}

/// Whether a byte is a character that stands for itself in JSON. As a number with a sign, what is
/// no character of ASCII is below zero.
#[inline]
fn is_plain(byte: u8) -> bool {
    (byte.cast_signed() >= 0x20) & (byte != b'"') & (byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::value::from_json;

    fn pack(json: &str) -> Vec<u8> {
        let mut value = Vec::new();
        from_json(json.as_bytes(), &mut value).unwrap();
        value
    }

    #[test]
    fn every_integer_width_is_read() {
        for number in [
            0i128,
            1,
            127,
            128,
            255,
            256,
            65_535,
            65_536,
            4_294_967_295,
            4_294_967_296,
            -1,
            -32,
            -33,
            -128,
            -129,
            -32_768,
            -32_769,
            -2_147_483_648,
            -2_147_483_649,
        ] {
            let value = pack(&number.to_string());
            assert_eq!(scalar(&value), Scalar::Int(number), "{value:x?}");
        }
        assert_eq!(scalar(&[0xcf; 9]), Scalar::Int(0xcfcf_cfcf_cfcf_cfcf));
        assert_eq!(scalar(&[0xd3, 0, 0, 0, 0, 0, 0, 0, 7]), Scalar::Int(7));
    }

    #[test]
    fn a_shortened_value_is_other_and_never_a_panic() {
        for text in ["70000", "-70000", "1.5", "\"hello\"", "5000000000"] {
            let value = pack(text);
            for len in 0..value.len() {
                assert_eq!(scalar(&value[..len]), Scalar::Other, "{text} {len}");
            }
        }
        let map = pack(r#"{"a":[1,2],"b":"x"}"#);
        for len in 0..map.len() {
            assert!(entries(&map[..len]).into_iter().flatten().count() < 2);
        }
    }

    #[test]
    fn a_field_is_found_among_others() {
        let map = pack(r#"{"a":[1,{"b":3}],"b":"x","c":2.5}"#);
        assert_eq!(scalar(field(&map, "b").unwrap()), Scalar::Text("x"));
        assert_eq!(scalar(field(&map, "c").unwrap()), Scalar::Float(2.5));
        assert_eq!(field(&map, "d"), None);
        assert_eq!(field(&pack("[1]"), "a"), None);
    }

    #[test]
    fn the_short_way_to_json_gives_what_the_long_one_gives() {
        for text in [
            "0",
            "-1",
            "18446744073709551615",
            "-9223372036854775808",
            "\"a\\\"\\n\\u0001é\"",
            "\"é ü\"",
            "\"\\\\\"",
            "null",
            "true",
            "1.5",
            "[1,\"x\"]",
            r#"{"k":{}}"#,
        ] {
            let (mut short, mut long) = (Vec::new(), Vec::new());
            append_json(&pack(text), &mut short).unwrap();
            to_json(&pack(text), &mut long).unwrap();
            assert_eq!(short, long);
        }
    }

    #[test]
    fn every_byte_that_has_to_be_escaped_is_wherever_it_stands() {
        for byte in (0..0x80).map(char::from) {
            for place in [0, 1, 30, 31, 32, 33, 63, 64, 65, 95] {
                let mut text = "x".repeat(96);
                text.replace_range(place..place + 1, &byte.to_string());
                let mut json = Vec::new();
                append_text(&text, &mut json);
                let mut expected = serde_json::to_string(&text).unwrap();
                assert_eq!(String::from_utf8(json).unwrap(), expected);
                text.push_str("\"é\\");
                expected = serde_json::to_string(&text).unwrap();
                let mut json = Vec::new();
                append_text(&text, &mut json);
                assert_eq!(String::from_utf8(json).unwrap(), expected);
            }
        }
    }

    #[test]
    #[ignore = "measures; run with --release --ignored --nocapture"]
    fn how_long_json_takes() {
        type Append = fn(&[u8], &mut Vec<u8>) -> Result<(), TranslateError>;
        let line = format!("\"{}\"", "0".repeat(100));
        let quoted = format!("\"{}\"", "0123456789 and \\\" ".repeat(5));
        for text in [
            "7",
            "123456789012",
            "\"a string of some length\"",
            r#"{"n":12,"sum":55}"#,
            &line,
            &quoted,
        ] {
            let value = pack(text);
            let mut json = Vec::with_capacity(64);
            for (name, append) in [("long ", to_json as Append), ("short", append_json as Append)] {
                let start = std::time::Instant::now();
                for _ in 0..2_000_000 {
                    json.clear();
                    append(std::hint::black_box(&value), &mut json).unwrap();
                }
                let ns = start.elapsed().as_nanos() / 2_000_000;
                eprintln!("{name} {ns:>4} ns {text}");
            }
        }
    }
}
