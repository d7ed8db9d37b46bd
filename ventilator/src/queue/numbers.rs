//! Which ticket each client was given for which of its own numbers.
//!
//! Owns the answer to the question that a lost connection leaves open: was it accepted? A client that
//! submits a number again, also after it was started again under its name, is given the same ticket.
//! What is remembered of a client is ranges, so a client that counts takes the memory of a few; what it
//! says to know is forgotten. Refuses clocks.

use std::{collections::BTreeMap, ops::Range};

use proto::{service::Ticketed, unit::UnitId};
use serde::{Deserialize, Serialize};

/// With this begin the names under which units are remembered that were submitted with a key; no client's
/// name does.
pub const KEYED: &str = "!";

/// What is known of one client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// It needs no tickets told for numbers below.
    below: u64,
    /// By the first number: how many, and the first one's ticket.
    given: BTreeMap<u64, (u64, UnitId)>,
    /// When it was heard last, in milliseconds; of this start, so not kept.
    #[serde(skip)]
    heard: u64,
}

/// A part of what a client has submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It was accepted before.
    Given(Ticketed),
    /// It is new.
    New(Range<u64>),
    /// It was accepted before, and the client has said that it knows the tickets.
    Used(Range<u64>),
}

/// What is known of all clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    clients: BTreeMap<String, Known>,
}

impl Numbers {
    /// What is there already of these numbers of a client, in their order.
    pub fn look_up(&self, client: &str, numbers: Range<u64>) -> Vec<Part> {
        let Some(known) = self.clients.get(client) else { return vec![Part::New(numbers)] };
        let (mut at, mut parts) = (numbers.start, Vec::new());
        if at < known.below {
            let end = known.below.min(numbers.end);
            parts.push(Part::Used(at..end));
            at = end;
        }
        while at < numbers.end {
            let before = known.given.range(..=at).next_back();
            if let Some((first, (count, ticket))) =
                before.filter(|(first, (count, _))| *first + *count > at)
            {
                let end = (first + count).min(numbers.end);
                let ticket = ticket + (at - first);
                parts.push(Part::Given(Ticketed { number: at, count: end - at, ticket }));
                at = end;
            } else {
                let next = known.given.range(at..).next().map_or(u64::MAX, |(first, _)| *first);
                let end = next.min(numbers.end);
                parts.push(Part::New(at..end));
                at = end;
            }
        }
        parts
    }

    /// A client was given tickets.
    pub fn give(&mut self, client: &str, given: Ticketed) {
        let known = self.clients.entry(client.to_owned()).or_default();
        let Ticketed { number, count, ticket } = given;
        if let Some((first, before)) = known.given.range_mut(..number).next_back()
            && first + before.0 == number
            && before.1 + before.0 == ticket
        {
            before.0 += count;
            return;
        }
        known.given.insert(number, (count, ticket));
    }

    /// A client is heard, and knows the tickets of its numbers below `below`.
    pub fn heard(&mut self, client: &str, below: u64, now: u64) {
        let known = self.clients.entry(client.to_owned()).or_default();
        known.heard = now;
        known.below = known.below.max(below);
        while let Some((first, (count, ticket))) = known.given.first_key_value() {
            let (first, count, ticket) = (*first, *count, *ticket);
            if first >= known.below {
                break;
            }
            known.given.remove(&first);
            let end = first + count;
            if end > known.below {
                let left = (end - known.below, ticket + (known.below - first));
                known.given.insert(known.below, left);
            }
        }
    }

    /// The tickets that are remembered of a client.
    pub fn tickets(&self, client: &str) -> Vec<Range<UnitId>> {
        let known = self.clients.get(client).into_iter().flat_map(|known| known.given.values());
        known.map(|(count, ticket)| *ticket..ticket + count).collect()
    }

    /// The tickets that were given by a key, to whoever had it.
    pub fn tickets_by_key(&self) -> impl Iterator<Item = Range<UnitId>> {
        let known =
            self.clients.range(KEYED.to_owned()..).take_while(|(name, _)| name.starts_with(KEYED));
        let given = known.flat_map(|(_, known)| known.given.values());
        given.map(|(count, ticket)| *ticket..ticket + count)
    }

    /// A client will not come back.
    pub fn forget(&mut self, client: &str) {
        self.clients.remove(client);
    }

    /// Forgets who was not heard since that time.
    pub fn forget_before(&mut self, time: u64) {
        self.clients.retain(|_, known| known.heard >= time);
    }

    /// All clients are heard now: this is a start.
    pub fn begin(&mut self, now: u64) {
        self.clients.values_mut().for_each(|known| known.heard = now);
    }

    /// How many clients are remembered.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(number: u64, count: u64, ticket: u64) -> Ticketed {
        Ticketed { number, count, ticket }
    }

    #[test]
    fn what_is_submitted_again_has_the_same_ticket_and_the_rest_is_new() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.look_up("a", 0..5), [Part::New(0..5)]);
        numbers.give("a", given(0, 5, 100));
        numbers.give("a", given(7, 2, 300));
        numbers.give("b", given(0, 9, 900));
        let found = numbers.look_up("a", 3..10);
        let parts = [
            Part::Given(given(3, 2, 103)),
            Part::New(5..7),
            Part::Given(given(7, 2, 300)),
            Part::New(9..10),
        ];
        assert_eq!(found, parts);
    }

    #[test]
    fn a_client_that_counts_takes_the_memory_of_one_range() {
        let mut numbers = Numbers::default();
        (0..1_000).for_each(|number| numbers.give("a", given(number, 1, 5 + number)));
        let tickets = numbers.tickets("a");
        assert_eq!((tickets.len(), &tickets[0]), (1, &(5..1_005)));
        numbers.give("a", given(1_000, 1, 9_000));
        assert_eq!(numbers.tickets("a"), [5..1_005, 9_000..9_001]);
    }

    #[test]
    fn what_a_client_knows_is_forgotten_and_not_given_again() {
        let mut numbers = Numbers::default();
        numbers.give("a", given(0, 10, 100));
        numbers.heard("a", 4, 7);
        let tickets = numbers.tickets("a");
        assert_eq!((tickets.len(), &tickets[0]), (1, &(104..110)));
        let parts = [Part::Used(2..4), Part::Given(given(4, 6, 104)), Part::New(10..11)];
        assert_eq!(numbers.look_up("a", 2..11), parts);
        numbers.heard("a", 3, 8);
        assert_eq!(numbers.look_up("a", 3..4), [Part::Used(3..4)], "it never knows less");
        numbers.forget_before(8);
        assert_eq!(numbers.clients(), 1);
        numbers.forget_before(9);
        assert_eq!(numbers.look_up("a", 2..11), [Part::New(2..11)]);
    }
}
