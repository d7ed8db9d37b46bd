//! Reads the keys of one table into typed values, and notes what does not fit.
//!
//! Owns types, ranges and unknown keys; refuses to know what a key means. A getter returns
//! none both for a key that is absent and for one that it has complained about.

use std::ops::RangeInclusive;

use crate::topology::{
    diagnose::{Expected, Fault, Problem},
    keys::UNSIGNED,
    location::{Located, Location},
    quantity,
    raw::{KeyValue, Raw, Table, Value},
    section::Section,
};

/// One table while it is read.
pub(super) struct Reader<'a> {
    pub section: Section,
    pub header: Location,
    table: &'a Table,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Begins with a table, and refuses its unknown keys.
    pub fn open(
        section: Section,
        table: &'a Table,
        header: Location,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        let known = section.keys();
        for entry in &table.entries {
            if !known.contains(&entry.key) {
                let fault = Fault::UnknownKey { key: entry.key.clone(), section };
                problems.push(Problem::at(entry.key_place.clone(), fault));
            }
        }
        Self { section, header, table, problems }
    }

    pub fn entry(&self, key: &str) -> Option<&'a KeyValue> {
        self.table.get(key)
    }

    pub fn entries(&self) -> &'a [KeyValue] {
        &self.table.entries
    }

    pub fn refuse(&mut self, place: &Location, fault: Fault) {
        self.problems.push(Problem::at(place.clone(), fault));
    }

    pub fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Complains when `key` is absent; `example` is how it could be written.
    pub fn require(&mut self, key: &'static str, example: &'static str) {
        if self.entry(key).is_none() {
            let fault = Fault::MissingKey { section: self.section, key, example };
            self.problems.push(Problem::at(self.header.clone(), fault));
        }
    }

    /// Refuses `key`, where it stands, when what it needs is absent.
    pub fn idle(&mut self, key: &'static str, without: &'static str, remedy: &'static str) {
        if let Some(entry) = self.entry(key) {
            let fault = Fault::Idle { key, without, remedy };
            self.refuse(&entry.key_place, fault);
        }
    }

    /// A string with something in it.
    pub fn text(&mut self, key: &str) -> Option<Located<String>> {
        let entry = self.entry(key)?;
        let Value::Text(text) = &entry.item.value else {
            return self.wrong(key, &entry.item, Expected::Text);
        };
        if text.trim().is_empty() {
            let fault = Fault::Empty { key: key.into() };
            self.refuse(&entry.item.place, fault);
            return None;
        }
        Some(placed(text.clone(), &entry.item))
    }

    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        let entry = self.entry(key)?;
        match entry.item.value {
            Value::Boolean(value) => Some(value),
            _ => self.wrong(key, &entry.item, Expected::Boolean),
        }
    }

    pub fn integer(&mut self, key: &str) -> Option<Located<i128>> {
        let range = self.range(key);
        self.integer_in(key, range)
    }

    /// A whole number of a narrower range than the key has in general.
    pub fn integer_in(&mut self, key: &str, range: RangeInclusive<i128>) -> Option<Located<i128>> {
        let entry = self.entry(key)?;
        match entry.item.value {
            Value::Integer(value) => self.within(key, placed(value, &entry.item), range),
            _ => self.wrong(key, &entry.item, Expected::Integer),
        }
    }

    /// Milliseconds, from a duration or a bare number of them.
    pub fn milliseconds(&mut self, key: &str) -> Option<Located<u64>> {
        self.quantity(key, Expected::Duration, quantity::milliseconds)
    }

    /// Bytes, from a size or a bare number of them.
    pub fn bytes(&mut self, key: &str) -> Option<Located<u64>> {
        self.quantity(key, Expected::Bytes, quantity::bytes)
    }

    fn quantity(
        &mut self,
        key: &str,
        expected: Expected,
        parse: fn(&str) -> Option<u64>,
    ) -> Option<Located<u64>> {
        let item = &self.entry(key)?.item;
        let value = match &item.value {
            Value::Integer(value) => *value,
            Value::Text(text) => match parse(text) {
                Some(value) => i128::from(value),
                None => {
                    let text = text.clone();
                    self.refuse(&item.place, Fault::BadQuantity { text, expected });
                    return None;
                }
            },
            _ => return self.wrong(key, item, expected),
        };
        let range = self.range(key);
        let within = self.within(key, placed(value, item), range)?;
        Some(placed(u64::try_from(within.value).ok()?, item))
    }

    /// What numbers the key takes.
    fn range(&self, key: &str) -> RangeInclusive<i128> {
        self.section.key(key).map_or(UNSIGNED, |key| key.form.range())
    }

    fn within(
        &mut self,
        key: &str,
        number: Located<i128>,
        range: RangeInclusive<i128>,
    ) -> Option<Located<i128>> {
        if range.contains(&number.value) {
            return Some(number);
        }
        let fault = Fault::OutOfRange {
            key: key.into(),
            value: number.value,
            min: *range.start(),
            max: *range.end(),
        };
        self.refuse(&number.place, fault);
        None
    }

    /// A list of strings; what is no string in it is left out after the complaint.
    pub fn texts(
        &mut self,
        key: &str,
        expected: Expected,
    ) -> Option<Located<Vec<Located<String>>>> {
        let entry = self.entry(key)?;
        let Value::Array(items) = &entry.item.value else {
            return self.wrong(key, &entry.item, expected);
        };
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match &item.value {
                Value::Text(text) => texts.push(placed(text.clone(), item)),
                other => {
                    let fault = Fault::WrongType {
                        key: format!("{key}[{index}]"),
                        found: found(other),
                        expected: Expected::Text,
                        rewritten: quoted(other),
                    };
                    self.refuse(&item.place, fault);
                }
            }
        }
        Some(placed(texts, &entry.item))
    }

    /// A table of strings below this one.
    pub fn map(&mut self, key: &str) -> Option<Vec<(String, String)>> {
        let entry = self.entry(key)?;
        let Value::Table(table) = &entry.item.value else {
            return self.wrong(key, &entry.item, Expected::Table);
        };
        let mut pairs = Vec::with_capacity(table.entries.len());
        for inner in &table.entries {
            match &inner.item.value {
                Value::Text(text) => pairs.push((inner.key.clone(), text.clone())),
                _ => self.wrong(&inner.key, &inner.item, Expected::Text).unwrap_or(()),
            }
        }
        Some(pairs)
    }

    /// Complains about the type of a value, and shows how it could be written.
    pub fn wrong<T>(&mut self, key: &str, item: &Raw, expected: Expected) -> Option<T> {
        let fault = Fault::WrongType {
            key: key.into(),
            found: found(&item.value),
            expected,
            rewritten: rewritten(&item.value, expected).map(|value| format!("{key} = {value}")),
        };
        self.refuse(&item.place, fault);
        None
    }
}

fn placed<T>(value: T, item: &Raw) -> Located<T> {
    Located { value, place: item.place.clone() }
}

/// What a value is, as a user would call it.
pub(in crate::topology) fn found(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "a string",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a float",
        Value::Boolean(_) => "a boolean",
        Value::Date(_) => "a date",
        Value::Array(_) => "an array",
        Value::Table(_) => "a table",
    }
}

/// The same value in the type that was expected, where there is an obvious one.
fn rewritten(value: &Value, expected: Expected) -> Option<String> {
    match (expected, value) {
        (Expected::Command, Value::Text(text)) => {
            let words: Vec<_> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
            (!words.is_empty()).then(|| format!("[{}]", words.join(", ")))
        }
        (Expected::Texts, Value::Text(text)) => Some(format!("[{text:?}]")),
        (Expected::Text, Value::Array(items)) => match items.as_slice() {
            [only] => only.as_text().map(|text| format!("{text:?}")),
            _ => None,
        },
        (Expected::Text, other) => quoted(other),
        (Expected::Integer, Value::Float(text)) => text.strip_suffix(".0").map(str::to_owned),
        (Expected::Integer, Value::Text(text)) => {
            let digits = text.trim().replace('_', "");
            digits.parse::<i64>().ok().map(|number| number.to_string())
        }
        (Expected::Boolean, Value::Text(text)) => {
            let lower = text.to_lowercase();
            matches!(lower.as_str(), "true" | "false").then_some(lower)
        }
        _ => None,
    }
}

/// A number, truth or date as the string that it would be in quotes.
fn quoted(value: &Value) -> Option<String> {
    match value {
        Value::Integer(number) => Some(format!("\"{number}\"")),
        Value::Boolean(value) => Some(format!("\"{value}\"")),
        Value::Float(text) | Value::Date(text) => Some(format!("\"{text}\"")),
        Value::Text(_) | Value::Array(_) | Value::Table(_) => None,
    }
}
