//! Where parcels are laid down for the thread that starts units, and can be called back from.
//!
//! Owns how much of each parcel is begun, under a lock that is held for moments; refuses values and
//! outcomes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use proto::{frame::Code, units::Units};

use crate::core::{Reply, Share, Ticket};

/// A parcel to work on.
#[derive(Debug)]
pub(crate) struct Task {
    pub ticket: Ticket,
    pub attempt: u32,
    pub execution: u64,
    pub units: Units,
}

/// How the work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// What is open is waited for.
    Finish,
    /// What is open is of no interest.
    Abandon,
}

#[derive(Debug, Default)]
struct Inside {
    arrived: Vec<Task>,
    // Before the parcels that name it.
    codes: Vec<Code>,
    waiting: BTreeMap<Ticket, Waiting>,
    // How many units are kept of those that are begun and not done.
    begun: BTreeMap<Ticket, u32>,
    closing: Option<Closing>,
    // Units are open.
    busy: bool,
}

/// A parcel of which not all is begun.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    // Units below it are begun, units from `limit` on are not this worker's any more.
    begun: u32,
    limit: u32,
}

/// What the thread finds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Code that units may name, or none does any more.
    pub codes: Vec<Code>,
    /// Parcels that have come.
    pub arrived: Vec<Task>,
    /// Units that are begun now: of which parcel, from which index, how many.
    pub begun: Vec<(Ticket, u32, u32)>,
    /// Parcels of which all is begun that is kept, and how many units that is.
    pub whole: Vec<(Ticket, u32)>,
    pub closing: Option<Closing>,
    /// Nothing is left to begin.
    pub is_bare: bool,
}

/// The desk.
#[derive(Debug, Default)]
pub(crate) struct Desk(Mutex<Inside>);

impl Desk {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Nothing under the lock can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays a parcel down.
    pub fn put(&self, task: Task) {
        let mut inside = self.inside();
        let limit = task.units.len() as u32;
        inside.waiting.insert(task.ticket, Waiting { begun: 0, limit });
        inside.arrived.push(task);
    }

    /// Lays down code that units of later parcels may name.
    pub fn define(&self, code: Code) {
        self.inside().codes.push(code);
    }

    /// Gives up units of a parcel that are not begun; none if it is done.
    pub fn truncate(&self, ticket: Ticket, share: Share) -> Option<Reply> {
        let mut inside = self.inside();
        let Some(waiting) = inside.waiting.get_mut(&ticket) else {
            let keep = *inside.begun.get(&ticket)?;
            return Some(Reply::Truncated { ticket, keep });
        };
        waiting.limit -= share.of(waiting.limit - waiting.begun);
        Some(Reply::Truncated { ticket, keep: waiting.limit })
    }

    /// No more comes; whether nothing is under way.
    pub fn close(&self, closing: Closing) -> bool {
        let mut inside = self.inside();
        inside.closing = Some(closing);
        !inside.busy && inside.arrived.is_empty()
    }

    /// Nothing is under way but what is open, if anything is.
    pub(super) fn rest(&self, open: usize) {
        self.inside().busy = open > 0;
    }

    /// These parcels are done.
    pub(super) fn forget(&self, tickets: &[Ticket]) {
        let mut inside = self.inside();
        tickets.iter().for_each(|ticket| _ = inside.begun.remove(ticket));
    }

    /// Begins as many units as there is room for, in their order.
    pub(super) fn find(&self, room: usize) -> Found {
        let mut inside = self.inside();
        let mut found = Found {
            codes: std::mem::take(&mut inside.codes),
            arrived: std::mem::take(&mut inside.arrived),
            closing: inside.closing,
            ..Found::default()
        };
        let mut room = if found.closing.is_some() { 0 } else { room };
        while let Some(mut first) = inside.waiting.first_entry() {
            let ticket = *first.key();
            let waiting = first.get_mut();
            let count = (waiting.limit - waiting.begun).min(room as u32);
            if count > 0 {
                found.begun.push((ticket, waiting.begun, count));
                waiting.begun += count;
                room -= count as usize;
            }
            if waiting.begun < waiting.limit {
                break;
            }
            let kept = first.remove().limit;
            found.whole.push((ticket, kept));
            inside.begun.insert(ticket, kept);
        }
        inside.busy |= !found.begun.is_empty();
        found.is_bare = inside.waiting.is_empty();
        found
    }
}
