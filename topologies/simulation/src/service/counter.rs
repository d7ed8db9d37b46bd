//! Where the sink's recorder hands outcomes out: who waits for which, and what is not kept any more.
//!
//! Owns a model of the outcomes that are kept, which is the disk's, with the real rules for who waits and
//! what is told; refuses to know when an outcome is safe.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use proto::{role::LinkId, service::IdRange};
use sink::{
    core::Reply,
    entry::Entry,
    outcomes::{answers::Answers, waiting::Waiting},
};

use super::Premises;
use crate::{clock::Moment, model::Disk, mutation::Mutation};

/// Of so many turns of the recorder one writes down what is gone.
const WRITES: u8 = 8;

/// See the module.
pub(crate) struct Counter {
    premises: Rc<Premises>,
    disk: Rc<RefCell<Disk>>,
    waiting: Waiting,
    answers: Answers,
    replies: VecDeque<Reply>,
    // So many of them somebody has been told to fetch.
    announced: usize,
}

impl Counter {
    /// What the next start of a sink finds.
    pub fn new(premises: Rc<Premises>, disk: Rc<RefCell<Disk>>, now: Moment) -> Self {
        premises.shelf.borrow_mut().reopen();
        // Some of them were made safe by a sink that died at once.
        for range in disk.borrow().committed().iter() {
            range.for_each(|unit| premises.shelf.borrow_mut().came(now, unit));
        }
        let (waiting, answers) = (Waiting::default(), Answers::default());
        Self { premises, disk, waiting, answers, replies: VecDeque::new(), announced: 0 }
    }

    fn has_bug(&self, mutation: Mutation) -> bool {
        self.premises.mutation == Some(mutation)
    }

    /// These outcomes are safe.
    pub fn recorded(&mut self, now: Moment, entries: &[Entry]) {
        for entry in entries {
            let units = entry.first..entry.first + entry.count;
            units.clone().for_each(|unit| self.premises.shelf.borrow_mut().came(now, unit));
            if self.has_bug(Mutation::OutcomeLate) {
                continue;
            }
            for (range, by) in self.waiting.take(units) {
                by.into_iter().for_each(|link| self.answers.tell(link, entry, range.clone()));
            }
        }
    }

    /// Bug: who waits is told of outcomes that are not safe.
    pub fn told_early(&mut self, entries: &[Entry]) {
        for entry in entries {
            for (range, by) in self.waiting.take(entry.first..entry.first + entry.count) {
                by.into_iter().for_each(|link| self.answers.tell(link, entry, range.clone()));
            }
        }
    }

    /// A client waits for these.
    pub fn asked(&mut self, link: LinkId, units: &[IdRange]) {
        for unit in units.iter().flat_map(|(start, end)| *start..*end) {
            let (disk, shelf) = (self.disk.borrow(), self.premises.shelf.borrow());
            match disk.outcome_of(unit) {
                None => self.waiting.add(link, unit..unit + 1),
                Some(_) if !shelf.keeps(unit) => self.answers.expired(link, unit..unit + 1),
                Some(entry) if self.has_bug(Mutation::OutcomeOfAnother) => {
                    let other = disk.outcome_of(unit + 1).unwrap_or(entry);
                    let mut moved = other.clone();
                    moved.first = unit;
                    self.answers.tell(link, &moved, unit..unit + 1);
                }
                Some(entry) => self.answers.tell(link, entry, unit..unit + 1),
            }
        }
    }

    /// Somebody has these outcomes.
    pub fn fetched(&mut self, units: &[IdRange]) {
        let committed = self.disk.borrow().committed().clone();
        let further = u64::from(self.has_bug(Mutation::FetchedTooMany));
        for unit in units.iter().flat_map(|(start, end)| *start..*end + further) {
            if committed.contains(unit) && !self.has_bug(Mutation::KeptForEver) {
                self.premises.shelf.borrow_mut().take(unit);
            }
        }
    }

    /// A client is gone.
    pub fn left(&mut self, link: LinkId) {
        self.waiting.leave(link);
    }

    /// What was kept long enough goes.
    pub fn expire(&mut self, now: Moment) {
        let mut shelf = self.premises.shelf.borrow_mut();
        if !self.has_bug(Mutation::KeptForEver) {
            let old = shelf.older(now, self.premises.service.retain);
            old.into_iter().for_each(|unit| shelf.take(unit));
        }
        self.replies.push_back(Reply::Kept(shelf.kept(), shelf.kept()));
    }

    /// A turn of the recorder is over; how many answers have come.
    pub fn turn(&mut self, chance: u8) -> usize {
        if chance.is_multiple_of(WRITES) {
            self.premises.shelf.borrow_mut().write();
        }
        let told = self.answers.take().into_iter();
        self.replies.extend(told.map(|(link, told)| Reply::Outcomes(link, Box::new(told))));
        let new = self.replies.len() - self.announced;
        self.announced = self.replies.len();
        new
    }

    /// The next answer.
    pub fn answer(&mut self) -> Option<Reply> {
        self.announced = self.announced.saturating_sub(1);
        self.replies.pop_front()
    }
}
