//! A function for each unit, instead of a program.
//!
//! Owns what a line is to a function, and what a result is as a line. A line that is a number in JSON is
//! that number, anything else is text; a unit of several values is a list.

use std::{ffi::OsString, fmt, io::Write, os::unix::ffi::OsStrExt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::SeqAccessDeserializer},
    ser::SerializeSeq,
};

use super::arguments::Row;

/// A unit's values as a function is given them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    row: Row,
    as_text: bool,
}

impl Given {
    /// With `as_text` also what looks like a number is text.
    pub fn new(row: Row, as_text: bool) -> Self {
        Self { row, as_text }
    }
}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let each = |value| Value { value, as_text: self.as_text };
        match self.row.as_slice() {
            [value] => each(value).serialize(to),
            values => {
                let mut list = to.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(&each(value))?;
                }
                list.end()
            }
        }
    }
}

struct Value<'a> {
    value: &'a OsString,
    as_text: bool,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Some(text) = self.value.to_str() else {
            return to.serialize_bytes(self.value.as_bytes());
        };
        if !self.as_text && text.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            // As it would be written back, so that nothing is lost of a text such as 007 or 1.10.
            if let Ok(number) = text.parse::<i64>()
                && number.to_string() == text
            {
                return to.serialize_i64(number);
            }
            if let Ok(number) = text.parse::<f64>()
                && number.is_finite()
                && serde_json::to_string(&number).is_ok_and(|written| written == text)
            {
                return to.serialize_f64(number);
            }
        }
        to.serialize_str(text)
    }
}

/// A result as a line: text and bytes as they are, anything else as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written(pub Vec<u8>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Line)
    }
}

struct Line;

impl Line {
    fn json<E: de::Error>(value: &impl Serialize) -> Result<Written, E> {
        serde_json::to_vec(value).map(Written).map_err(E::custom)
    }
}

impl<'de> Visitor<'de> for Line {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Written, E> {
        Self::json(&value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Written, E> {
        let mut line = Vec::with_capacity(20);
        write!(line, "{value}").map_err(E::custom)?;
        Ok(Written(line))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Written, E> {
        let mut line = Vec::with_capacity(20);
        write!(line, "{value}").map_err(E::custom)?;
        Ok(Written(line))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Written, E> {
        Self::json(&value)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Written, E> {
        Ok(Written(value.into()))
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Written, E> {
        Ok(Written(value.into()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Written, E> {
        Ok(Written(b"null".into()))
    }

    fn visit_none<E: de::Error>(self) -> Result<Written, E> {
        self.visit_unit()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Written, A::Error> {
        let value = serde_json::Value::deserialize(SeqAccessDeserializer::new(list))?;
        Self::json(&value)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written, A::Error> {
        let value = serde_json::Value::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Self::json(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(values: &[&str], as_text: bool) -> String {
        let row = values.iter().map(OsString::from).collect();
        let bytes = rmp_serde::to_vec(&Given::new(row, as_text)).unwrap();
        let written: Written = rmp_serde::from_slice(&bytes).unwrap();
        String::from_utf8(written.0).unwrap()
    }

    #[test]
    fn a_line_that_is_a_number_is_one_if_nothing_is_lost() {
        for text in ["7", "-3", "1.5", "1.10", "007", "1e3", "-", "", "x", "12345678901234567890"] {
            assert_eq!(there_and_back(&[text], false), text);
        }
        let packed = |text: &str| rmp_serde::to_vec(&Given::new(vec![text.into()], false)).unwrap();
        assert_eq!(packed("7"), [7]);
        assert_eq!(packed("007"), rmp_serde::to_vec("007").unwrap());
        assert_eq!(there_and_back(&["1", "b"], false), r#"[1,"b"]"#);
        assert_eq!(there_and_back(&["1", "b"], true), r#"["1","b"]"#);
    }
}
