//! The columns of a csv file.
//!
//! Owns which columns there are and their names, once they are fixed; refuses to fill them.

use serde::{Deserialize, Serialize};

use crate::{
    config::{Field, Named},
    walk::{Scalar, append_json, entries, scalar},
};

/// The columns of a csv file, once they are fixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Columns {
    /// The asked fields.
    Fields(Vec<Field>),
    /// The keys of the first result.
    Keys(Vec<String>),
    /// The whole result, in one column named `value`.
    Value,
}

impl Columns {
    /// Those that the first result decides.
    pub(super) fn of(first: &[u8]) -> Self {
        let mut keys = Vec::new();
        for (key, _) in entries(first).into_iter().flatten() {
            let name = key_text(key);
            if !keys.contains(&name) {
                keys.push(name);
            }
        }
        if keys.is_empty() { Columns::Value } else { Columns::Keys(keys) }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Columns::Fields(fields) => fields.len(),
            Columns::Keys(keys) => keys.len(),
            Columns::Value => 1,
        }
    }

    /// What stands in the first line.
    pub(super) fn header(&self) -> Vec<&str> {
        match self {
            Columns::Fields(fields) => fields.iter().map(|field| field.name()).collect(),
            Columns::Keys(keys) => keys.iter().map(String::as_str).collect(),
            Columns::Value => vec!["value"],
        }
    }
}

/// A key as a column's name: strings as they are, other keys (numbers, …) as JSON.
pub(super) fn key_text(key: &[u8]) -> String {
    if let Scalar::Text(text) = scalar(key) {
        return text.to_owned();
    }
    let mut json = Vec::new();
    match append_json(key, &mut json) {
        Ok(()) => String::from_utf8_lossy(&json).into_owned(),
        Err(_) => format!("{key:02x?}"),
    }
}
