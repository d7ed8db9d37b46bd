//! Which call a unit belongs to.
//!
//! Owns the units that are under way, as ranges; refuses to know what comes of them.

use std::{collections::BTreeMap, sync::Arc};

use proto::unit::UnitId;

use super::call::Call;

/// Units in a row that are items in a row of one call.
#[derive(Debug, Clone)]
struct Route {
    count: u64,
    call: Arc<Call>,
    // Which item of the call the first of them is.
    index: u64,
}

/// Items of a call, found by their units.
#[derive(Debug)]
pub(super) struct Found {
    pub call: Arc<Call>,
    /// The first item.
    pub index: u64,
    /// Where its unit is among those that were asked for.
    pub offset: u64,
    pub count: u64,
}

/// All routes.
#[derive(Debug, Default)]
pub(super) struct Routes(BTreeMap<UnitId, Route>);

impl Routes {
    /// Units from `first` on are the items of `call` from `index` on.
    pub fn add(&mut self, first: UnitId, count: u64, call: &Arc<Call>, index: u64) {
        if let Some(mut last) = self.0.last_entry() {
            let (at, route) = (*last.key(), last.get_mut());
            let goes_on = at + route.count == first && route.index + route.count == index;
            if goes_on && Arc::ptr_eq(&route.call, call) {
                route.count += count;
                return;
            }
        }
        self.0.insert(first, Route { count, call: call.clone(), index });
    }

    /// The items that these units are; their routes end here.
    pub fn take(&mut self, first: UnitId, count: u64) -> Vec<Found> {
        let end = first + count;
        let mut found = Vec::new();
        while let Some((at, route)) = self.0.range(..end).next_back() {
            let (at, route) = (*at, route.clone());
            let route_end = at + route.count;
            if route_end <= first {
                break;
            }
            self.0.remove(&at);
            let (from, to) = (at.max(first), route_end.min(end));
            if at < from {
                self.0.insert(at, Route { count: from - at, ..route.clone() });
            }
            if to < route_end {
                let (count, index) = (route_end - to, route.index + (to - at));
                self.0.insert(to, Route { count, index, call: route.call.clone() });
            }
            let index = route.index + (from - at);
            found.push(Found { call: route.call, index, offset: from - first, count: to - from });
        }
        found.reverse();
        found
    }

    /// The first unit that is under way.
    pub fn first(&self) -> Option<UnitId> {
        self.0.first_key_value().map(|(first, _)| *first)
    }

    /// All calls that units are under way for.
    pub fn calls(&self) -> impl Iterator<Item = &Arc<Call>> {
        self.0.values().map(|route| &route.call)
    }
}
