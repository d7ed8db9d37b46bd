//! Units that enter a queue together: one record in its store, one run in its order.
//!
//! Owns what has its tickets and is not in the store yet. Many clients that submit a unit each, under the same
//! terms, take the memory of one that submits them all. Refuses stores.

use proto::unit::UnitId;

use super::order::Treatment;

/// What is entered in one record, at most; a run is read as a whole where it is cut.
const BYTES_MAX: usize = 64 << 10;
const UNITS_MAX: u64 = 4 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Together {
    /// The first one's ticket.
    pub first: UnitId,
    /// How many.
    pub count: u64,
    /// Whose, with the first of its numbers, and how many.
    pub of: Vec<(String, u64, u64)>,
    /// How they are treated.
    pub treatment: Treatment,
    /// Their values, one after the other.
    pub values: Vec<u8>,
}

impl Together {
    /// None yet, of which the first will have this ticket.
    pub fn new(first: UnitId, treatment: Treatment) -> Self {
        Self { first, count: 0, of: Vec::new(), treatment, values: Vec::new() }
    }

    /// Whether more units that are treated like this may be among them.
    pub fn admits(&self, treatment: &Treatment) -> bool {
        let has_room = self.values.len() < BYTES_MAX && self.count < UNITS_MAX;
        // A key is one unit's.
        has_room && treatment.unique.is_none() && self.treatment == *treatment
    }

    /// Units of a client, from that number of its on; the first one's ticket.
    pub fn add(&mut self, client: &str, number: u64, count: u64, values: &[u8]) -> UnitId {
        match self.of.last_mut() {
            Some((last, first, known)) if last == client && *first + *known == number => {
                *known += count;
            }
            _ => self.of.push((client.to_owned(), number, count)),
        }
        let ticket = self.first + self.count;
        self.count += count;
        self.values.extend_from_slice(values);
        ticket
    }
}
