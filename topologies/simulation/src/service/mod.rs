//! A run whose source is its clients: who they are, what they want, and what stands in for the queue of
//! the ventilator and the outcomes that the sink keeps for them.
//!
//! Owns what only services have. The queue and the clients are the real ones; refuses to know when
//! anything goes wrong.
//!
//! - `setting`: how many clients there are, and for how long
//! - `wish`: what clients want, drawn from the seed
//! - `desk`: what clients have noted, and the judgement over all that they are told
//! - `program`: whoever uses a client
//! - `spool`, `vault`, `mortal`: the thread of the queue, what outlives it, and its disk
//! - `shelf`, `counter`: the outcomes that are kept, and who is told of them
//! - `audit`: what must hold once everybody has what was wanted

pub(super) mod audit;
mod counter;
mod desk;
mod mortal;
mod program;
mod setting;
mod shelf;
mod spool;
mod vault;
mod wish;

use std::cell::RefCell;

use fastrand::Rng;

pub use self::setting::Service;
pub(super) use self::{counter::Counter, desk::Desk, program::Program, shelf::Shelf, spool::Spool};
use self::{desk::Person, vault::Vault};
use super::{clock::Moment, mutation::Mutation};

/// What of a service outlives its processes.
#[derive(Debug)]
pub(super) struct Premises {
    pub service: Service,
    pub desk: RefCell<Desk>,
    pub vault: RefCell<Vault>,
    pub shelf: RefCell<Shelf>,
    pub mutation: Option<Mutation>,
}

impl Premises {
    /// Those of a service that nobody has used.
    pub fn new(service: &Service, rng: &mut Rng, mutation: Option<Mutation>) -> Self {
        let people = (0..service.clients).map(|index| Person::draw(rng, index, service));
        Self {
            service: service.clone(),
            desk: RefCell::new(Desk::new(people.collect(), service.retain)),
            vault: RefCell::default(),
            shelf: RefCell::default(),
            mutation,
        }
    }

    /// The name of a client, and whether what is queued of it is cancelled when it is gone.
    pub fn introduces_itself(&self, index: usize) -> (String, bool) {
        let desk = self.desk.borrow();
        let person = desk.person(index);
        (person.name.clone(), person.cancels)
    }

    /// When a client comes.
    pub fn comes_at(&self, index: usize) -> Moment {
        self.desk.borrow().person(index).comes_at
    }
}
