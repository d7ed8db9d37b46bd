//! The shelves of a pool: one for its items, and one for the results of each of its workers here.
//!
//! Owns what lies where: an item until the outcome of its unit has come, the shelf of a worker that has ended until no
//! result of it can come any more. Refuses to know what is on them.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::fd::RawFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proto::units::Units;
use worker::Outputs;

use crate::{
    shelf::{ITEMS_ID, Place, Shelf},
    values::Shelved,
};

#[derive(Debug, Default)]
struct State {
    // Items on the shelf, by their units.
    laid: BTreeMap<u64, Place>,
    results: HashMap<u64, Shelf>,
    last_id: u64,
    // Shelves whose workers have ended, and the first unit that none of them was sent.
    retired: Vec<(u64, u64)>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Shelves {
    // None where workers may be on other machines.
    items: Option<Arc<Shelf>>,
    state: Mutex<State>,
}

impl Shelves {
    /// That of the items, if there is to be one. Where none can be had, nothing is laid.
    pub fn new(for_items: bool) -> Self {
        let items = for_items.then(|| Shelf::make(ITEMS_ID).ok()).flatten();
        Self { items: items.map(Arc::new), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where items go.
    pub fn items(&self) -> Option<&Arc<Shelf>> {
        self.items.as_ref()
    }

    /// Whether items that can wait should.
    pub fn is_full(&self) -> bool {
        self.items.as_ref().is_some_and(|shelf| shelf.is_full())
    }

    /// These are the items of units from `first` on.
    pub fn put(&self, first: u64, values: &Outputs) {
        if !self.items.as_ref().is_some_and(|shelf| shelf.is_used()) {
            return;
        }
        let mut state = self.state();
        for (unit, value) in (first..).zip(values.iter()) {
            // The code's id comes first.
            let item =
                value.get(1..).and_then(|rest| rest.get(proto::value::value_len(rest).ok()?..));
            if let Some(shelved) = item.and_then(Shelved::of) {
                state.laid.insert(unit, shelved.place);
            }
        }
    }

    /// The outcomes of these units have come. Units from `open` on are under way, if any are.
    pub fn came(&self, first: u64, count: u64, open: Option<u64>) {
        let mut state = self.state();
        while let Some((unit, place)) = state.laid.range(first..first + count).next() {
            let (unit, place) = (*unit, *place);
            state.laid.remove(&unit);
            if let Some(shelf) = &self.items {
                shelf.free(place);
            }
        }
        let State { retired, results, .. } = &mut *state;
        retired.retain(|(id, unit)| {
            let is_needed = open.is_some_and(|open| open < *unit);
            if !is_needed {
                results.remove(id);
            }
            is_needed
        });
    }

    /// For one more worker: the descriptors of the items' shelf and of one for its results, as far as there are any,
    /// and the id of the latter.
    pub fn for_worker(&self) -> (Option<RawFd>, Option<RawFd>, u64) {
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let results = Shelf::make(id).ok().map(|shelf| {
            let descriptor = shelf.descriptor();
            state.results.insert(id, shelf);
            descriptor
        });
        (self.items.as_ref().map(|items| items.descriptor()), results, id)
    }

    /// Nothing comes any more.
    pub fn clear(&self) {
        self.state().results.clear();
        if let Some(items) = &self.items {
            items.clear();
        }
    }

    /// The worker with this shelf has ended, before any unit from `unit` on was there.
    pub fn retire(&self, id: u64, unit: u64) {
        self.state().retired.push((id, unit));
    }

    /// Results with what lies on shelves in them, if any does.
    ///
    /// # Errors
    /// When something is not there any more.
    pub fn whole(&self, units: &Units) -> io::Result<Option<Units>> {
        let state = self.state();
        let values = || units.values_iter(0..units.len());
        if state.results.is_empty() || !values().any(|value| Shelved::of(value).is_some()) {
            return Ok(None);
        }
        let (mut payload, mut ends) = (Vec::new(), Vec::new());
        for value in values() {
            match Shelved::of(value) {
                None => payload.extend_from_slice(value),
                Some(shelved) => {
                    let shelf = state.results.get(&shelved.place.shelf);
                    let shelf = shelf.ok_or_else(|| io::Error::other("there is no such shelf"))?;
                    shelved.append_whole(shelf, &mut payload)?;
                    shelf.give_back(shelved.place);
                }
            }
            let end = u32::try_from(payload.len());
            ends.push(end.map_err(|_| io::Error::other("it is more than 4 GiB"))?);
        }
        Ok(Some(Units::from_source(0, payload, ends)))
    }
}
