//! What clients have noted for the time after their deaths, and the judgement over all that they are told.
//!
//! Owns which tickets were given for which numbers and what was told of each; finds out when that does
//! not fit what was told before. Refuses to know what a client does next.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use proto::{ranges::RangeSet, unit::UnitId};

use super::{
    Service,
    wish::{self, Wish},
};
use crate::clock::Moment;

/// What a client has noted of a wish.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Note {
    pub number: Option<u64>,
    pub ticket: Option<UnitId>,
    /// It knows what became of it.
    pub is_done: bool,
}

/// Whoever uses a client, over all its starts.
#[derive(Debug)]
pub(crate) struct Person {
    pub(super) comes_at: Moment,
    /// Empty: it does not come back, and another one takes its place.
    pub(super) name: String,
    pub(super) cancels: bool,
    /// Says which outcomes it has.
    pub(super) fetches: bool,
    pub(super) wishes: Vec<Wish>,
    pub(super) notes: Vec<Note>,
    pub(super) next_number: u64,
}

impl Person {
    /// One of those who use a service.
    pub fn draw(rng: &mut Rng, index: u32, service: &Service) -> Self {
        let wishes = wish::draw(rng, index, service);
        let is_named = rng.u8(0..3) > 0;
        Self {
            comes_at: Moment::default() + service.span.mul_f64(rng.f64()),
            name: if is_named { format!("client-{index}") } else { String::new() },
            cancels: rng.u8(0..4) == 0,
            fetches: rng.u8(0..5) > 0,
            notes: vec![Note::default(); wishes.len()],
            wishes,
            next_number: 0,
        }
    }
}

/// What a ticket stands for.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub value: UnitId,
    key: Option<String>,
    /// Somebody may have had it cancelled.
    pub may_be_cancelled: bool,
    /// It may have waited too long.
    pub may_be_late: bool,
}

/// Which number a ticket was given for: by the name of a client, which one without a name has for one start
/// only.
pub(super) type Number = (String, u64);

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    people: Vec<Person>,
    retain: Duration,
    given: BTreeMap<Number, (UnitId, Moment)>,
    pub(super) tickets: BTreeMap<UnitId, Ticket>,
    /// What was told of each ticket, in words.
    pub(super) told: BTreeMap<UnitId, String>,
    /// What clients have said to have.
    pub(super) fetched: RangeSet,
    /// Told to be cancelled before anybody had begun it.
    pub(super) cancelled: RangeSet,
    /// A worker has begun it, wherever that was.
    pub(crate) begun: RangeSet,
    /// How often it was told that a unit can't be cancelled since that is so.
    pub(super) told_begun: u64,
    /// How often it was told that a ticket was never given.
    pub(super) unknown: u64,
    /// A worker was lost, or a session was.
    pub(crate) is_disturbed: bool,
    /// A ventilator went on with the queue of another one.
    pub(super) is_resumed: bool,
    /// Tickets that were told again, and those that several numbers have.
    pub(super) again: u64,
    pub(super) joined: u64,
    /// Outcomes of which the answer was that they are not kept any more.
    pub(super) expired: u64,
    /// What was declined since the service was asked to end, or since the number was used.
    pub(super) declined: u64,
}

impl Desk {
    /// Nobody has asked for anything.
    pub fn new(people: Vec<Person>, retain: Duration) -> Self {
        Self {
            people,
            retain,
            given: BTreeMap::new(),
            tickets: BTreeMap::new(),
            told: BTreeMap::new(),
            fetched: RangeSet::new(),
            cancelled: RangeSet::new(),
            begun: RangeSet::new(),
            told_begun: 0,
            unknown: 0,
            is_disturbed: false,
            is_resumed: false,
            again: 0,
            joined: 0,
            expired: 0,
            declined: 0,
        }
    }

    pub(super) fn people(&self) -> &[Person] {
        &self.people
    }

    pub(super) fn person(&self, index: usize) -> &Person {
        &self.people[index]
    }

    pub(super) fn person_mut(&mut self, index: usize) -> &mut Person {
        &mut self.people[index]
    }

    /// A client was given a ticket for a number, by which it has submitted this wish of its.
    ///
    /// # Errors
    /// Says what was promised otherwise.
    pub(super) fn give(
        &mut self,
        now: Moment,
        (index, wish): (usize, usize),
        number: Number,
        ticket: UnitId,
    ) -> Result<(), String> {
        let person = &mut self.people[index];
        let Wish { value, terms, cancel, .. } = &person.wishes[wish];
        if person.notes[wish].number == Some(number.1) {
            person.notes[wish].ticket = Some(ticket);
        }
        let known = self.given.insert(number.clone(), (ticket, now));
        self.again += u64::from(known.is_some());
        // Whoever cancels may be given up, and is forgotten then; so is who was not heard for long.
        let forgotten =
            |(_, since): &(_, Moment)| person.cancels || now.since(*since) >= self.retain;
        if let Some((other, _)) = known.filter(|known| known.0 != ticket && !forgotten(known)) {
            return Err(format!("{number:?} has the tickets {other} and {ticket}"));
        }
        let key = terms.unique.clone();
        let fresh = Ticket { value: *value, key, may_be_cancelled: false, may_be_late: false };
        let is_new = !self.tickets.contains_key(&ticket);
        let entry = self.tickets.entry(ticket).or_insert(fresh);
        entry.may_be_cancelled |= cancel.is_some() || person.cancels;
        entry.may_be_late |= terms.ttl_ms.is_some();
        self.joined += u64::from(!is_new && known.is_none());
        if entry.value != *value || entry.key != terms.unique {
            return Err(format!("ticket {ticket} was given for another unit before"));
        }
        Ok(())
    }
}
