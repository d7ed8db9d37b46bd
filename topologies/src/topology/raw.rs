//! A topology as it was written: a tree of values, each with its place.
//!
//! Owns the step from TOML text to that tree, and is the only file that calls the TOML parser.
//! Refuses meaning: any key with any value is welcome here.

use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{
    diagnose::{Fault, Problem},
    location::{Location, Origin},
};

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub value: Value,
    pub place: Location,
}

/// What TOML can say.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    /// Wider than any number that a key accepts, so that the range can be told to the user.
    Integer(i128),
    Float(String),
    Boolean(bool),
    Date(String),
    Array(Vec<Raw>),
    Table(Table),
}

/// Keys in the order in which they were written.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub entries: Vec<KeyValue>,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct KeyValue {
    pub key: String,
    pub key_place: Location,
    pub item: Raw,
}

impl Raw {
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of elements of an array.
    pub fn length(&self) -> Option<usize> {
        match &self.value {
            Value::Array(items) => Some(items.len()),
            _ => None,
        }
    }
}

impl Table {
    pub fn get(&self, key: &str) -> Option<&KeyValue> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut KeyValue> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }

    /// Replaces the entry of the same key, or adds one at the end.
    pub fn put(&mut self, entry: KeyValue) {
        match self.get_mut(&entry.key) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }
}

/// Reads a whole document.
///
/// # Errors
///
/// Every place at which the text is no TOML.
pub(super) fn document(text: &str) -> Result<Table, Vec<Problem>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let at = Anchor { origin: Origin::File, offset: 0 };
        return Ok(at.table(root.get_ref()));
    }
    Err(errors.iter().map(|error| syntax(error, Origin::File, 0)).collect())
}

/// Reads a single value, as it may stand right of an equals sign, at `offset` of its text.
///
/// # Errors
///
/// The first place at which it is no TOML.
pub(super) fn value(text: &str, origin: Origin, offset: usize) -> Result<Raw, Box<Problem>> {
    match DeValue::parse(text) {
        Ok(value) => Ok(Anchor { origin, offset }.raw(&value)),
        Err(error) => Err(Box::new(syntax(&error, origin, offset))),
    }
}

fn syntax(error: &toml::de::Error, origin: Origin, offset: usize) -> Problem {
    let fault = Fault::Syntax { reason: error.message().to_owned() };
    match error.span() {
        Some(span) => {
            Problem::at(Location::new(origin, span.start + offset..span.end + offset), fault)
        }
        None => Problem::whole(fault),
    }
}

/// Turns the parser's positions into places.
struct Anchor {
    origin: Origin,
    offset: usize,
}

impl Anchor {
    fn place<T>(&self, spanned: &Spanned<T>) -> Location {
        let span = spanned.span();
        Location::new(self.origin, span.start + self.offset..span.end + self.offset)
    }

    fn raw(&self, spanned: &Spanned<DeValue<'_>>) -> Raw {
        let value = match spanned.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => Value::Integer(integer(number)),
            DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(items) => {
                Value::Array(items.iter().map(|item| self.raw(item)).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Raw { value, place: self.place(spanned) }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, item)| KeyValue {
                key: key.get_ref().to_string(),
                key_place: self.place(key),
                item: self.raw(item),
            })
            .collect();
        // The parser sorts by name; people read from top to bottom.
        entries.sort_by_key(|entry| entry.key_place.range.start);
        Table { entries }
    }
}

/// A number too large for every key stays too large, whatever it was.
fn integer(number: &DeInteger<'_>) -> i128 {
    let beyond = if number.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
    i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(beyond)
}
