//! Whoever uses a client: submits units, waits for their outcomes, fetches them, and leaves.
//!
//! Owns what is asked when; refuses to judge what it is told, which is the desk's. What it has noted is
//! there when it comes back: with a name it submits under the same numbers, without one under new ones.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use client::{
    core::{News, Order, Submission},
    outcome::{Outcome, Undone},
};
use proto::{
    frame::PeerId,
    ranges::RangeSet,
    service::{CancelState, Cancelled, Declined, IdRange, Reason, Ticketed},
    unit::UnitId,
};

use super::{
    Premises,
    audit::{self, Told},
};
use crate::{
    actor::{Context, Deed, Helper},
    doom::{Extent, Fate, Job},
    model::Disk,
    shape::{Shape, source_value},
};

/// The next order is due; all other tokens name a wish, and what becomes due of it.
const NEXT: u64 = 0;
/// What was declined is submitted again after such a time.
const RETRY: Duration = Duration::from_millis(500);

/// What becomes due of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Due {
    Submit = 1,
    Again,
    Cancel,
}

/// See the module.
pub(crate) struct Program {
    premises: Rc<Premises>,
    disk: Rc<RefCell<Disk>>,
    shapes: Vec<(Shape, u32)>,
    index: usize,
    // By what its numbers are told from those of others.
    name: String,
    ventilator: String,
    orders: VecDeque<Order>,
    // Which wish was submitted by this start under which number.
    numbers: BTreeMap<u64, usize>,
    // Tickets that this start has been told, or has noted.
    tickets: RangeSet,
    // Tickets that it has guessed and was told nothing of, and whether they had been given to somebody then.
    guesses: BTreeMap<UnitId, bool>,
    begun: bool,
    closed: bool,
    taken: Vec<IdRange>,
    // Outputs that it was shown of units without an outcome, by their places.
    shown: BTreeMap<UnitId, BTreeMap<u32, Bytes>>,
}

impl Program {
    /// The next start of a client.
    pub fn new(
        premises: Rc<Premises>,
        (disk, shapes): (Rc<RefCell<Disk>>, Vec<(Shape, u32)>),
        (index, me): (usize, PeerId),
        ventilator: String,
    ) -> Self {
        let mut name = premises.desk.borrow().person(index).name.clone();
        if name.is_empty() {
            name = format!("#{me:016x}");
            let mut desk = premises.desk.borrow_mut();
            let person = desk.person_mut(index);
            person.next_number = 0;
            person.notes.iter_mut().for_each(|note| note.number = None);
        }
        Self {
            premises,
            disk,
            shapes,
            index,
            name,
            ventilator,
            orders: VecDeque::new(),
            numbers: BTreeMap::new(),
            tickets: RangeSet::new(),
            guesses: BTreeMap::new(),
            begun: false,
            closed: false,
            taken: Vec::new(),
            shown: BTreeMap::new(),
        }
    }

    /// The service answers: what was left undone is taken up, by its numbers, and the rest follows at its
    /// time.
    fn begin(&mut self, context: &mut Context<'_>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let (mut known, mut fresh) = (Vec::new(), Vec::new());
        {
            let desk = self.premises.desk.borrow();
            let person = desk.person(self.index);
            for (wish, note) in person.notes.iter().enumerate().filter(|(_, note)| !note.is_done) {
                match (note.number, note.ticket) {
                    (None, None) => fresh.push((wish, person.comes_at + person.wishes[wish].at)),
                    (number, ticket) => known.push((number, wish, ticket)),
                }
            }
        }
        known.sort_unstable();
        for (number, wish, ticket) in known {
            match ticket {
                Some(ticket) if number.is_none() || context.rng.bool() => {
                    self.tickets.insert(ticket..ticket + 1);
                    self.orders.push_back(Order::Await((ticket, ticket + 1)));
                }
                _ => self.submit(wish),
            }
        }
        for (wish, at) in fresh {
            self.later(at.since(context.now), wish, Due::Submit, context);
        }
        if context.rng.bool() {
            self.guess(context);
        }
    }

    /// Asks for a ticket that it was not given; mostly nobody was.
    fn guess(&mut self, context: &mut Context<'_>) {
        let desk = self.premises.desk.borrow();
        let given = desk.tickets.last_key_value().map_or(0, |(last, _)| last + 1);
        let unit = given.saturating_sub(2) + context.rng.u64(0..30);
        if !self.tickets.contains(unit) {
            self.guesses.insert(unit, desk.tickets.contains_key(&unit));
            self.orders.push_back(Order::Await((unit, unit + 1)));
        }
    }

    /// Whether this is told of a ticket that was guessed, and not given to this client meanwhile.
    fn is_guess(&mut self, unit: UnitId) -> Option<bool> {
        let was_given = self.guesses.remove(&unit)?;
        (!self.tickets.contains(unit)).then_some(was_given)
    }

    fn later(&self, after: Duration, wish: usize, due: Due, context: &mut Context<'_>) {
        context.later(after, wish as u64 * 4 + due as u64);
    }

    fn due(&mut self, token: u64, context: &mut Context<'_>) {
        let wish = (token / 4) as usize;
        if self.closed {
            return;
        }
        let (again, cancel, note) = {
            let desk = self.premises.desk.borrow();
            let person = desk.person(self.index);
            let known = &person.wishes[wish];
            (known.again, known.cancel, person.notes[wish])
        };
        if token % 4 == Due::Cancel as u64 {
            let ticket = note.ticket.filter(|_| !note.is_done);
            self.orders.extend(ticket.map(|ticket| Order::Cancel((ticket, ticket + 1))));
            return;
        }
        self.submit(wish);
        if token % 4 == Due::Submit as u64 {
            let again = again.map(|after| (after, Due::Again));
            for (after, due) in again.into_iter().chain(cancel.map(|after| (after, Due::Cancel))) {
                self.later(after, wish, due, context);
            }
        }
    }

    fn submit(&mut self, wish: usize) {
        let mut desk = self.premises.desk.borrow_mut();
        let person = desk.person_mut(self.index);
        let number = *person.notes[wish].number.get_or_insert(person.next_number);
        person.next_number = person.next_number.max(number + 1);
        let known = &person.wishes[wish];
        let payload = source_value(known.value);
        let (terms, ends) = (known.terms.clone(), vec![payload.len() as u32]);
        self.numbers.insert(number, wish);
        let submission = Submission { number, terms, payload, ends, awaits: true };
        self.orders.push_back(Order::Submit(submission));
    }

    fn accepted(&mut self, told: Ticketed, context: &mut Context<'_>) -> Result<(), String> {
        self.tickets.insert(told.ticket..told.ticket + told.count);
        for offset in 0..told.count {
            let (number, ticket) = (told.number + offset, told.ticket + offset);
            let wish = self.numbers.get(&number).ok_or("a ticket for a number of nobody")?;
            let number = (self.name.clone(), number);
            let who = (self.index, *wish);
            self.premises.desk.borrow_mut().give(context.now, who, number, ticket)?;
            if self.index.is_multiple_of(2) {
                self.orders.push_back(Order::Follow(ticket));
            }
        }
        Ok(())
    }

    fn declined(&mut self, told: &Declined, context: &mut Context<'_>) -> Result<(), String> {
        self.premises.desk.borrow_mut().declined += told.count;
        for number in told.number..told.number + told.count {
            let wish = *self.numbers.get(&number).ok_or("a number of nobody is declined")?;
            let note = self.premises.desk.borrow().person(self.index).notes[wish];
            // It may have been submitted again before it was declined, and under another number since.
            if note.number != Some(number) {
                continue;
            }
            match (told.reason, note.ticket) {
                (Reason::Draining, None) => {
                    let mut desk = self.premises.desk.borrow_mut();
                    desk.person_mut(self.index).notes[wish].number = None;
                    self.later(RETRY, wish, Due::Submit, context);
                }
                (Reason::Used, Some(ticket)) if !note.is_done => {
                    self.tickets.insert(ticket..ticket + 1);
                    self.orders.push_back(Order::Await((ticket, ticket + 1)));
                }
                (Reason::Used | Reason::Draining, Some(_)) => {}
                (reason, _) => return Err(format!("number {number} is declined: {reason}")),
            }
        }
        Ok(())
    }

    fn outcomes(&mut self, told: Vec<(UnitId, Outcome)>) -> Result<(), String> {
        for (unit, outcome) in told {
            if self.is_guess(unit).is_none() {
                self.note(unit)?;
            }
            let disk = self.disk.borrow();
            let told = Told { unit, outcome: &outcome };
            audit::told(&mut self.premises.desk.borrow_mut(), &told, &disk, &self.shapes)?;
            let shown = self.shown.remove(&unit).unwrap_or_default();
            audit::shown(unit, &shown, &outcome)?;
            if self.tickets.contains(unit) {
                self.taken.push((unit, unit + 1));
            }
        }
        Ok(())
    }

    fn undone(&mut self, unit: UnitId, why: Undone, context: &Context<'_>) -> Result<(), String> {
        match (self.is_guess(unit), why) {
            (Some(false), Undone::Unknown) => {
                self.premises.desk.borrow_mut().unknown += 1;
                return Ok(());
            }
            (Some(_), Undone::Expired) => return Ok(()),
            (Some(true), _) => return Err(format!("was told that there is no unit {unit}")),
            _ => {}
        }
        self.note(unit)?;
        audit::undone(&self.premises, unit, why, context.now)
    }

    /// It is known what became of a unit.
    fn note(&mut self, unit: UnitId) -> Result<(), String> {
        let mut desk = self.premises.desk.borrow_mut();
        let notes = desk.person_mut(self.index).notes.iter_mut();
        notes.filter(|note| note.ticket == Some(unit)).for_each(|note| note.is_done = true);
        let waits = self.tickets.contains(unit);
        let problem = || format!("is told of unit {unit}, for which it does not wait");
        waits.then_some(()).ok_or_else(problem)
    }

    fn cancelled(&mut self, told: &[Cancelled]) -> Result<(), String> {
        let mut desk = self.premises.desk.borrow_mut();
        for Cancelled { ticket, state } in told {
            match state {
                CancelState::Cancelled => _ = desk.cancelled.insert(*ticket..*ticket + 1),
                CancelState::Begun if !desk.begun.contains(*ticket) => {
                    return Err(format!("is told that unit {ticket} was begun, and nobody has"));
                }
                CancelState::Begun => desk.told_begun += 1,
                CancelState::Over => {}
            }
        }
        Ok(())
    }

    fn fetch(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        let mut desk = self.premises.desk.borrow_mut();
        if desk.person(self.index).fetches && !taken.is_empty() {
            taken.iter().for_each(|(start, end)| _ = desk.fetched.insert(*start..*end));
            self.orders.push_back(Order::Fetched(taken));
        }
    }

    /// Who has all that was wanted leaves.
    fn close_if_done(&mut self) {
        let is_done =
            self.premises.desk.borrow().person(self.index).notes.iter().all(|note| note.is_done);
        if self.begun && is_done && self.guesses.is_empty() && !self.closed {
            self.fetch();
            self.closed = true;
            self.orders.push_back(Order::Close);
        }
    }

    fn hear(&mut self, news: News, context: &mut Context<'_>) -> Result<(), String> {
        match news {
            News::Opened(_) => self.begin(context),
            News::Accepted(told) => return self.accepted(told, context),
            News::Declined(told) => return self.declined(&told, context),
            News::Outcomes(told) => return self.outcomes(told),
            News::Undone(start, end, why) => {
                return (start..end).try_for_each(|unit| self.undone(unit, why, context));
            }
            News::Cancelled(told) => return self.cancelled(&told),
            News::Collect => self.fetch(),
            News::Look => self.orders.push_back(Order::Found(vec![self.ventilator.clone()])),
            News::Part(part) => {
                let shown = self.shown.entry(part.unit).or_default();
                shown.extend((part.index..).zip(part.outputs()));
            }
            News::Vacant(_) | News::HeldUp(_) | News::Present(_) => {}
            News::Refused(refusal) => return Err(format!("is refused: {refusal}")),
            News::StartedOver => return Err("the service was started over".into()),
        }
        Ok(())
    }
}

/// What a client has learnt of it when it dies.
fn cut(news: News, extent: Extent) -> Option<News> {
    match (extent, news) {
        (Extent::Nothing, _) => None,
        (Extent::Half, News::Outcomes(mut told)) => {
            told.truncate(told.len() / 2);
            Some(News::Outcomes(told))
        }
        (Extent::Half, News::Accepted(told)) => {
            Some(News::Accepted(Ticketed { count: told.count / 2, ..told }))
        }
        (_, news) => Some(news),
    }
}

impl Helper for Program {
    type Request = News;
    type Reply = Order;

    fn job(news: &News) -> Job {
        match news {
            News::Accepted(_) => Job::Accepted,
            News::Outcomes(_) | News::Undone(..) => Job::Outcomes,
            News::Collect => Job::Fetch,
            _ => Job::Note,
        }
    }

    fn ask(&mut self, news: News, fate: Option<Fate>, context: &mut Context<'_>) -> Option<Order> {
        let before = self.orders.len();
        let heard = match fate {
            Some(fate) => cut(news, fate.extent),
            None => Some(news),
        };
        // What is told of a wish that was cut short is noted, and nothing follows.
        if let Some(problem) = heard.and_then(|heard| self.hear(heard, context).err()) {
            context.deeds.push(Deed::Violation(problem));
        }
        if let Some(fate) = fate {
            context.deeds.push(Deed::Crash(fate));
            return None;
        }
        self.close_if_done();
        (before..self.orders.len()).for_each(|_| context.later(Duration::ZERO, NEXT));
        None
    }

    fn go_on(&mut self, token: u64, context: &mut Context<'_>) -> Option<Order> {
        if token == NEXT {
            return self.orders.pop_front();
        }
        let before = self.orders.len();
        self.due(token, context);
        (before..self.orders.len()).for_each(|_| context.later(Duration::ZERO, NEXT));
        None
    }
}
