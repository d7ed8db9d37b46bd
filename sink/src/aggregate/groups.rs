//! Cells by key, in bounded memory.
//!
//! Owns the bound. Up to [`GROUPS_MAX`] groups, or [`GROUP_BYTES_MAX`] bytes of them, are kept apart
//! and are exact; groups first met after that are counted together as the others, for good, so that
//! a group is either exact or not listed. When it is the percentiles' buckets that outgrow the
//! bound, all groups' are made coarser, and in the end percentiles are given up.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Wants};
use super::sketch::{BUCKET_BYTES, Sketch};
use crate::walk::append_json;

/// No more groups than this are told apart.
pub const GROUPS_MAX: usize = 1_000_000;

/// No more memory than about this is given to groups.
pub(super) const GROUP_BYTES_MAX: usize = 64 << 20;

/// What a key takes besides its text: its `String`, and its share of the hash map's free room.
const KEY_BYTES: usize = 48;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Groups {
    wants: Wants,
    /// By the key's JSON text, so that one number in two encodings is one key.
    cells: HashMap<String, Cell>,
    others: Cell,
    /// No group is added any more.
    closed: bool,
    bytes: usize,
    limits: Limits,
    #[serde(skip)]
    key: Vec<u8>,
}

/// What [`Groups`] keeps at most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Limits {
    pub(super) groups_max: usize,
    pub(super) bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { groups_max: GROUPS_MAX, bytes_max: GROUP_BYTES_MAX }
    }
}

impl Groups {
    pub(super) fn new(wants: Wants, limits: Limits) -> Self {
        Groups {
            wants,
            cells: HashMap::new(),
            others: Cell::new(wants),
            closed: false,
            bytes: 0,
            limits,
            key: Vec::new(),
        }
    }

    /// Adds `value` (`None`: it lacks the aggregated field) to the group of this MessagePack `key`.
    /// A key that has no JSON form belongs to the others.
    pub(super) fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.key.clear();
        let translated = append_json(key, &mut self.key);
        let grown = match (translated, std::str::from_utf8(&self.key)) {
            (Ok(()), Ok(key)) => match self.cells.get_mut(key) {
                Some(cell) => cell.add(value),
                None => self.add_new(value),
            },
            _ => self.others.add(value),
        };
        self.bytes += grown;
        while grown > 0 && self.bytes > self.limits.bytes_max && self.wants.sketch() {
            self.make_room();
        }
    }

    /// Adds to a group, named by `self.key`, that was not met before.
    fn add_new(&mut self, value: Option<&[u8]>) -> usize {
        // Half of the memory is left to the buckets, which come later.
        let for_groups = self.limits.bytes_max / if self.wants.sketch() { 2 } else { 1 };
        let cost = KEY_BYTES + self.key.len() + self.wants.bytes();
        let fits = self.cells.len() < self.limits.groups_max && self.bytes + cost <= for_groups;
        let name = String::from_utf8(self.key.clone());
        match name {
            Ok(name) if fits && !self.closed => {
                let mut cell = Cell::new(self.wants);
                let grown = cell.add(value);
                self.cells.insert(name, cell);
                cost + grown
            }
            _ => {
                self.closed = true;
                self.others.add(value)
            }
        }
    }

    /// Makes all percentiles coarser, or gives them up where they are as coarse as can be.
    fn make_room(&mut self) {
        let before = self.buckets();
        // All have the same resolution, so either all can be coarsened or none.
        let mut coarsened = true;
        for cell in self.cells.values_mut().chain([&mut self.others]) {
            coarsened &= cell.sketch_mut().is_some_and(Sketch::coarsen);
        }
        if !coarsened {
            let all = self.cells.values_mut().chain([&mut self.others]);
            all.for_each(Cell::drop_sketch);
        }
        self.wants.set_sketch_bits(self.others.sketch().map(Sketch::bits));
        self.bytes -= (before - self.buckets()) * BUCKET_BYTES;
    }

    fn buckets(&self) -> usize {
        let all = self.cells.values().chain([&self.others]);
        all.filter_map(Cell::sketch).map(Sketch::buckets).sum()
    }

    /// The groups with their keys' JSON texts, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Cell)> {
        self.cells.iter().map(|(key, cell)| (key.as_str(), cell))
    }

    /// How many groups are told apart.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Those that came after the bound was reached; `None` when there are none.
    pub(super) fn others(&self) -> Option<&Cell> {
        (self.others.count() > 0).then_some(&self.others)
    }

    /// By how much a percentile can be off, relative to itself; `None` when there are none.
    pub(super) fn percentile_error(&self) -> Option<f64> {
        Some(self.others.sketch()?.error())
    }

    /// About how much memory is taken.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Aggregate;
    use crate::output::test_rows::pack;

    fn count(groups: &Groups, key: &str) -> u64 {
        groups.cells.get(key).map_or(0, Cell::count)
    }

    fn groups(asked: &[Aggregate], groups_max: usize, bytes_max: usize) -> Groups {
        let limits = Limits { groups_max, bytes_max };
        Groups::new(Wants::of(asked), limits)
    }

    #[test]
    fn a_number_is_one_key_in_every_encoding() {
        let mut groups = groups(&[], 10, 10_000);
        for key in [&[5][..], &[0xcc, 5], &[0xd3, 0, 0, 0, 0, 0, 0, 0, 5]] {
            groups.add(key, None);
        }
        groups.add(&pack("\"5\""), None);
        assert_eq!((count(&groups, "5"), count(&groups, "\"5\"")), (3, 1));
    }

    #[test]
    fn groups_beyond_the_bound_are_counted_together_and_stay_so() {
        let mut groups = groups(&[], 2, 10_000);
        for key in [1, 2, 3, 4, 1, 3, 2] {
            groups.add(&[key], None);
        }
        assert_eq!((count(&groups, "1"), count(&groups, "2")), (2, 2));
        assert_eq!(groups.len(), 2);
        assert_eq!(groups.others().unwrap().count(), 3);
    }

    #[test]
    fn a_key_without_a_json_form_is_one_of_the_others() {
        let mut groups = groups(&[], 2, 10_000);
        groups.add(&[0x81, 0x91, 1, 2], None);
        groups.add(&[1], None);
        assert_eq!(groups.others().unwrap().count(), 1);
        assert_eq!(count(&groups, "1"), 1);
    }

    #[test]
    fn long_keys_count_by_their_bytes() {
        let mut groups = groups(&[], 1_000, 10_000);
        for letter in ["a", "b", "c", "d"] {
            groups.add(&pack(&format!("\"{}\"", letter.repeat(4_000))), None);
        }
        assert_eq!(groups.len(), 2);
        assert!(groups.bytes() < 10_000);
    }

    #[test]
    fn percentiles_grow_coarse_and_are_given_up_before_memory_is() {
        let mut groups = groups(&[Aggregate::P50], 1_000, 400_000);
        let exact = groups.percentile_error().unwrap();
        let mut coarse = Vec::new();
        for number in 0..200_000u32 {
            let value = pack(&(u64::from(number) * u64::from(number)).to_string());
            groups.add(&[(number % 50) as u8], Some(&value));
            assert!(groups.bytes() <= 400_000);
            coarse.push(groups.percentile_error());
        }
        coarse.dedup();
        assert_eq!(coarse.first(), Some(&Some(exact)));
        assert!(coarse.len() > 2, "{coarse:?}");
        assert_eq!(groups.len(), 50);

        let mut many = Groups::new(
            Wants::of(&[Aggregate::P50]),
            Limits { groups_max: 1_000, bytes_max: 50_000 },
        );
        for power in 0..64u32 {
            for key in 0..100u8 {
                let value = pack(&(1u64 << power).to_string());
                many.add(&[key], Some(&value));
                assert!(many.bytes() <= 50_000);
            }
        }
        assert_eq!(many.percentile_error(), None);
        assert!(many.others().is_some());
    }
}
