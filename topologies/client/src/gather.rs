//! Units with several values, which may come in several frames.
//!
//! Owns the parts that have come; what comes twice counts once. Refuses to know who waits.

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::{service::Outcomes, unit::UnitId};

use crate::outcome::{Outcome, Undone};

/// What has come of one unit.
#[derive(Debug)]
struct Parts {
    values: Vec<Option<Bytes>>,
    missing: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Gather {
    parts: BTreeMap<UnitId, Parts>,
}

impl Gather {
    /// What a frame tells, as outcomes that are whole.
    pub fn take(&mut self, told: Outcomes) -> Vec<(UnitId, Outcome)> {
        let mut whole = Vec::with_capacity(told.units.len());
        for (unit, path, value) in told.units.iter() {
            let value = Bytes::copy_from_slice(value);
            match path.last() {
                None => whole.push((unit, Outcome::Value(value))),
                Some(step) => {
                    let outcome = self.part(unit, step.index as usize, step.of as usize, value);
                    whole.extend(outcome.map(|outcome| (unit, outcome)));
                }
            }
        }
        for span in &told.filtered {
            whole.extend(span.roots().map(|unit| (unit, Outcome::Filtered)));
        }
        whole.extend(told.dead.into_iter().map(|dead| (dead.root, dead.into())));
        whole
    }

    /// Ranges of units that have no outcome, and why.
    pub fn undone(told: &Outcomes) -> impl Iterator<Item = (u64, u64, Undone)> + '_ {
        let expired = told.expired.iter().map(|(start, end)| (*start, *end, Undone::Expired));
        expired.chain(told.unknown.iter().map(|(start, end)| (*start, *end, Undone::Unknown)))
    }

    fn part(&mut self, unit: UnitId, index: usize, of: usize, value: Bytes) -> Option<Outcome> {
        // A list is made for as many as the frame says; a frame was bounded when it was read.
        let parts =
            self.parts.entry(unit).or_insert_with(|| Parts { values: vec![None; of], missing: of });
        let place = parts.values.get_mut(index)?;
        if place.replace(value).is_none() {
            parts.missing -= 1;
        }
        if parts.missing > 0 {
            return None;
        }
        let values = self.parts.remove(&unit)?.values;
        Some(Outcome::Values(values.into_iter().flatten().collect()))
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        unit::Step,
        units::{Span, Units},
    };

    use super::*;

    fn frame(parts: &[(u32, u8)]) -> Outcomes {
        let mut units = Units::new();
        for (index, value) in parts {
            let step = Step { execution: 0, index: *index, of: 3 };
            units.push(Span::one(7, vec![step]), &[*value]);
        }
        Outcomes { units, ..Outcomes::default() }
    }

    #[test]
    fn a_unit_with_several_values_is_whole_once_all_have_come_however_often_some_do() {
        let mut gather = Gather::default();
        assert_eq!(gather.take(frame(&[(0, 5), (1, 6)])), []);
        assert_eq!(gather.take(frame(&[(0, 5)])), []);
        let values = [5, 6, 7].map(|value| Bytes::copy_from_slice(&[value])).to_vec();
        assert_eq!(gather.take(frame(&[(2, 7)])), [(7, Outcome::Values(values))]);
        assert!(gather.parts.is_empty());
    }
}
