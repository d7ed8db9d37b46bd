//! One MessagePack value at a time: where it ends, and its translation to and from JSON.
//!
//! Owns the walk over encoded values; refuses a tree in memory: everything here works on the
//! bytes, because a sink or a worker sees millions of them.

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
}

/// The length in bytes of the first value in `bytes`, without decoding it.
///
/// Runs in the number of elements, takes no memory that grows with the value's declared size.
///
/// # Errors
/// [`ValueError`] when the bytes are not one whole value.
pub fn value_len(bytes: &[u8]) -> Result<usize, ValueError> {
    // `open[level]` counts the values still expected there.
    let mut open = [0u64; VALUE_DEPTH_MAX];
    let mut level = 0;
    let mut at = 0;
    loop {
        let (size, children) = element(&bytes[at..], bytes.len())?;
        at += size;
        if at > bytes.len() {
            return Err(ValueError::Truncated { len: bytes.len() });
        }
        if children > 0 {
            level += 1;
            *open.get_mut(level).ok_or(ValueError::TooDeep)? = children;
            continue;
        }
        while level > 0 {
            open[level] -= 1;
            if open[level] > 0 {
                break;
            }
            level -= 1;
        }
        if level == 0 {
            return Ok(at);
        }
    }
}

/// The size of one element's own bytes (marker, length, scalar or string data) and how many
/// values it contains.
fn element(bytes: &[u8], total: usize) -> Result<(usize, u64), ValueError> {
    let truncated = ValueError::Truncated { len: total };
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
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (1, 0),
        0x80..=0x8f => (1, u64::from(marker & 0x0f) * 2),
        0x90..=0x9f => (1, u64::from(marker & 0x0f)),
        0xa0..=0xbf => (1 + usize::from(marker & 0x1f), 0),
        0xc1 => return Err(ValueError::Reserved),
        0xc4 | 0xd9 => data(1, 0)?,
        0xc5 | 0xda => data(2, 0)?,
        0xc6 | 0xdb => data(4, 0)?,
        0xc7 => data(1, 1)?,
        0xc8 => data(2, 1)?,
        0xc9 => data(4, 1)?,
        0xcc | 0xd0 => (2, 0),
        0xcd | 0xd1 => (3, 0),
        0xca | 0xce | 0xd2 => (5, 0),
        0xcb | 0xcf | 0xd3 => (9, 0),
        0xd4 => (3, 0),
        0xd5 => (4, 0),
        0xd6 => (6, 0),
        0xd7 => (10, 0),
        0xd8 => (18, 0),
        0xdc => (3, length(2)?),
        0xdd => (5, length(4)?),
        0xde => (3, length(2)? * 2),
        0xdf => (5, length(4)? * 2),
    })
}

/// Appends the JSON text of one MessagePack value. Binary data becomes an array of numbers,
/// NaN and the infinities become `null`.
///
/// # Errors
/// [`TranslateError`] when `value` is not MessagePack or has no JSON form (a map keyed by arrays).
pub fn to_json(value: &[u8], json: &mut Vec<u8>) -> Result<(), TranslateError> {
    let mut from = rmp_serde::Deserializer::from_read_ref(value);
    from.set_max_depth(VALUE_DEPTH_MAX);
    let mut to = serde_json::Serializer::new(json);
    serde_transcode::transcode(&mut from, &mut to)?;
    Ok(())
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
    fn text_after_the_value_is_refused() {
        assert!(from_json(b"1 2", &mut Vec::new()).is_err());
        assert!(from_json(b"", &mut Vec::new()).is_err());
        assert!(from_json(b" 1 \n", &mut Vec::new()).is_ok());
    }
}
