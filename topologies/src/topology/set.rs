//! `--set KEY=VALUE`: changes to a topology that are made before it is checked.
//!
//! Owns the form of the flag and how a key finds its place; refuses to check what is set, since
//! the changed topology is checked as a whole.

use std::ops::Range;

use super::{
    check::found,
    diagnose::{Fault, Problem},
    location::{Location, Origin},
    raw::{self, KeyValue, Raw, Table, Value},
};

/// Applies all flags in order; a later one sees what an earlier one changed.
pub(super) fn apply(root: &mut Table, sets: &[String]) -> Vec<Problem> {
    sets.iter()
        .enumerate()
        .filter_map(|(index, text)| {
            let set = Set { origin: Origin::Set(index), text };
            set.apply(root).err().map(|problem| *problem)
        })
        .collect()
}

/// One flag.
struct Set<'a> {
    origin: Origin,
    text: &'a str,
}

/// A part of a key, and where it stands in the flag.
struct Segment<'a> {
    name: &'a str,
    range: Range<usize>,
}

impl Set<'_> {
    fn apply(&self, root: &mut Table) -> Result<(), Box<Problem>> {
        let (key, _) = self.text.split_once('=').ok_or_else(|| self.malformed())?;
        let value = self.value(key.len() + 1)?;
        let segments = segments(key);
        if segments.iter().any(|segment| segment.name.is_empty()) {
            return Err(self.malformed());
        }
        match segments.as_slice() {
            [first, stage, rest @ ..] if first.name == "stage" => {
                if rest.is_empty() {
                    return Err(self.malformed());
                }
                let table = self.stage(root, stage)?;
                self.put(table, rest, value)
            }
            all => self.put(root, all, value),
        }
    }

    fn malformed(&self) -> Box<Problem> {
        self.refused(0..self.text.len(), Fault::SetForm)
    }

    fn refused(&self, range: Range<usize>, fault: Fault) -> Box<Problem> {
        Box::new(Problem::at(self.place(range), fault))
    }

    fn place(&self, range: Range<usize>) -> Location {
        Location::new(self.origin, range)
    }

    /// A TOML value; what is none is taken as a string without its quotes, unless it begins
    /// like something that needs an end.
    fn value(&self, start: usize) -> Result<Raw, Box<Problem>> {
        let text = self.text[start..].trim_start();
        let start = self.text.len() - text.len();
        let text = text.trim_end();
        match raw::value(text, self.origin, start) {
            Ok(value) => Ok(value),
            Err(problem) if text.starts_with(['"', '\'', '[', '{']) => Err(problem),
            Err(_) => Ok(Raw {
                value: Value::Text(text.to_owned()),
                // An empty value still needs something to point at.
                place: self.place(start.min(self.text.len() - 1)..self.text.len()),
            }),
        }
    }

    /// A stage by its name, or else by its place in the file, from 0.
    fn stage<'t>(
        &self,
        root: &'t mut Table,
        segment: &Segment<'_>,
    ) -> Result<&'t mut Table, Box<Problem>> {
        let stages = match root.get_mut("stage").map(|entry| &mut entry.item.value) {
            Some(Value::Array(stages)) => stages.as_mut_slice(),
            _ => &mut [],
        };
        let names: Vec<_> = stages.iter().map(stage_name).collect();
        let place = names
            .iter()
            .position(|name| name.as_deref() == Some(segment.name))
            .or_else(|| segment.name.parse().ok());
        match place.and_then(|place| stages.get_mut(place)) {
            Some(Raw { value: Value::Table(table), .. }) => Ok(table),
            _ => {
                let fault = Fault::SetStage {
                    name: segment.name.to_owned(),
                    known: names.into_iter().flatten().collect(),
                };
                Err(self.refused(segment.range.clone(), fault))
            }
        }
    }

    /// Walks to the last segment's table, making those that are missing, and puts the value there.
    fn put(&self, table: &mut Table, path: &[Segment<'_>], value: Raw) -> Result<(), Box<Problem>> {
        let Some((first, rest)) = path.split_first() else {
            return Ok(());
        };
        let key_place = self.place(first.range.clone());
        if rest.is_empty() {
            table.put(KeyValue { key: first.name.to_owned(), key_place, item: value });
            return Ok(());
        }
        if table.get(first.name).is_none() {
            table.put(KeyValue {
                key: first.name.to_owned(),
                key_place: key_place.clone(),
                item: Raw { value: Value::Table(Table::default()), place: key_place.clone() },
            });
        }
        match table.get_mut(first.name).map(|entry| &mut entry.item.value) {
            Some(Value::Table(inner)) => self.put(inner, rest, value),
            Some(other) => {
                let fault = Fault::SetBelow {
                    key: self.text[..first.range.end].to_owned(),
                    found: found(other),
                };
                Err(self.refused(first.range.clone(), fault))
            }
            None => Ok(()),
        }
    }
}

fn segments(key: &str) -> Vec<Segment<'_>> {
    let mut start = 0;
    key.split('.')
        .map(|part| {
            let lead = part.len() - part.trim_start().len();
            let name = part.trim();
            let range = start + lead..start + lead + name.len();
            start += part.len() + 1;
            Segment { name, range }
        })
        .collect()
}

fn stage_name(stage: &Raw) -> Option<String> {
    match &stage.value {
        Value::Table(table) => table.get("name")?.item.as_text().map(str::to_owned),
        _ => None,
    }
}
