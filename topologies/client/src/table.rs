//! Which ticket waits for what, between the program's threads and the one that hears the service.
//!
//! Owns the cells in which outcomes are put and taken; refuses to send anything.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Instant,
};

use bytes::Bytes;
use proto::{
    frame::{Refusal, RunId},
    ranges::RangeSet,
    service::{CancelState, IdRange, Part, Ticketed},
    unit::UnitId,
};

use crate::{
    core::News,
    outcome::{Outcome, Undone},
    tray::Tray,
};

/// What one ticket waits for.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    state: Mutex<CellState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct CellState {
    /// Its ticket, once it is accepted.
    pub ticket: Option<UnitId>,
    /// Outputs that were shown before there was an outcome, from the first on.
    pub shown: Vec<Bytes>,
    /// What became of it.
    pub outcome: Option<Outcome>,
    /// What became of the wish to cancel it.
    pub cancelled: Option<CancelState>,
    /// The sink was told that it is taken, or need not be.
    pub is_fetched: bool,
    /// Threads that wait for a change.
    pub waiting: usize,
    wakers: Vec<Waker>,
    // Where it is put once there is an outcome, and by which number.
    trays: Vec<(Arc<Tray>, u64)>,
}

impl Cell {
    /// One whose ticket is known.
    pub fn of(ticket: UnitId) -> Arc<Self> {
        let cell = Self::default();
        cell.lock().ticket = Some(ticket);
        Arc::new(cell)
    }

    pub fn lock(&self) -> MutexGuard<'_, CellState> {
        // Nothing under the lock can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn changed(&self) -> &Condvar {
        &self.changed
    }

    fn change(&self, change: impl FnOnce(&mut CellState)) {
        let mut state = self.lock();
        change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        let (is_done, is_awaited) = (state.outcome.is_some(), state.waiting > 0);
        let trays = if is_done { std::mem::take(&mut state.trays) } else { Vec::new() };
        drop(state);
        // Most are never waited for, and a call of the system costs more than all the rest.
        if is_awaited {
            self.changed.notify_all();
        }
        trays.into_iter().for_each(|(tray, number)| tray.put(number));
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Outputs were shown; each place counts once, and none behind a gap.
    fn show(&self, part: &Part) {
        self.change(|state| {
            let known = state.shown.len().checked_sub(part.index as usize);
            let new = known.into_iter().flat_map(|known| part.outputs().skip(known));
            state.shown.extend(new);
        });
    }

    fn end(&self, outcome: Outcome) {
        self.change(|state| {
            state.outcome.get_or_insert(outcome);
        });
    }
}

impl CellState {
    /// Has it put there once there is an outcome.
    pub fn deliver(&mut self, tray: Arc<Tray>, number: u64) {
        match self.outcome {
            Some(_) => tray.put(number),
            None => self.trays.push((tray, number)),
        }
    }

    /// Has this task woken when something changes.
    pub fn wake(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|known| known.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }
}

/// What is known of the service.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Its run, once it has answered.
    pub run: Option<RunId>,
    /// It does not take this client.
    pub refused: Option<Refusal>,
    /// A stage has no worker.
    pub vacant: bool,
    /// It takes units now.
    pub has_credit: bool,
    /// Since when ventilator or sink is missing, if one is.
    pub absent_since: Option<Instant>,
    /// This client is closed.
    pub closed: bool,
    /// Units that were submitted and not answered, and their bytes.
    pub unanswered: (usize, usize),
    by_number: HashMap<u64, (Arc<Cell>, usize, bool)>,
    by_ticket: HashMap<UnitId, Vec<Arc<Cell>>>,
    fetched: RangeSet,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Table {
    known: Mutex<Known>,
    changed: Condvar,
}

impl Table {
    pub fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing under the lock can panic halfway.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn changed(&self) -> &Condvar {
        &self.changed
    }

    /// A unit of so many bytes is submitted; with `awaits` this client waits for its outcome.
    pub fn submitted(known: &mut Known, number: u64, cell: Arc<Cell>, bytes: usize, awaits: bool) {
        known.unanswered.0 += 1;
        known.unanswered.1 += bytes;
        known.by_number.insert(number, (cell, bytes, awaits));
    }

    /// A cell waits for a ticket.
    pub fn awaits(&self, ticket: UnitId, cell: Arc<Cell>) {
        self.lock().by_ticket.entry(ticket).or_default().push(cell);
    }

    /// The program has the outcome of a unit.
    pub fn taken(&self, ticket: UnitId) {
        self.lock().fetched.insert(ticket..ticket + 1);
    }

    /// The program waits for a cell no more; unless another part of it does, nobody needs to find it.
    pub fn release(&self, cell: &Arc<Cell>) {
        // The table has it, and whoever lets it go.
        if Arc::strong_count(cell) > 2 {
            return;
        }
        let ticket = cell.lock().ticket;
        let mut known = self.lock();
        if let Some(ticket) = ticket
            && let Some(cells) = known.by_ticket.get_mut(&ticket)
        {
            cells.retain(|other| !Arc::ptr_eq(other, cell));
            if cells.is_empty() {
                known.by_ticket.remove(&ticket);
            }
        }
    }

    /// What the program has taken since this was asked last.
    pub fn collect(&self) -> Vec<IdRange> {
        let fetched = std::mem::take(&mut self.lock().fetched);
        fetched.iter().map(|range| (range.start, range.end)).collect()
    }

    /// Takes in what the client learns.
    pub fn hear(&self, news: News) {
        match news {
            News::Opened(run) => self.opened(run),
            News::Present(present) => {
                self.change(|known| known.absent_since = (!present).then(Instant::now));
            }
            News::Refused(refusal) => self.change(|known| known.refused = Some(refusal)),
            News::Vacant(vacant) => self.change(|known| known.vacant = vacant),
            News::HeldUp(held_up) => self.change(|known| known.has_credit = !held_up),
            News::Accepted(told) => self.accepted(told),
            News::Declined(declined) => {
                let numbers = declined.number..declined.number + declined.count;
                let cells: Vec<_> = {
                    let mut known = self.lock();
                    numbers.filter_map(|number| known.answer(number)).collect()
                };
                self.changed.notify_all();
                let outcome = Outcome::Undone(Undone::Declined(declined.reason));
                cells.into_iter().for_each(|(cell, _)| cell.end(outcome.clone()));
            }
            News::Outcomes(outcomes) => self.ended(outcomes),
            News::Part(part) => {
                let cells = self.lock().by_ticket.get(&part.unit).cloned();
                cells.into_iter().flatten().for_each(|cell| cell.show(&part));
            }
            News::Undone(start, end, why) => {
                let cells = self.cells_of(start..end);
                cells.into_iter().for_each(|cell| cell.end(Outcome::Undone(why)));
            }
            News::Cancelled(told) => {
                for each in told {
                    let cells = self.lock().by_ticket.get(&each.ticket).cloned();
                    for cell in cells.into_iter().flatten() {
                        cell.change(|state| state.cancelled = Some(each.state));
                    }
                }
            }
            News::StartedOver => self.end_all(Undone::OtherRun),
            News::Collect | News::Look => {}
        }
    }

    /// The first time the sink is still to be found.
    fn opened(&self, run: RunId) {
        self.change(|known| {
            if known.run.replace(run).is_none() {
                known.absent_since.get_or_insert_with(Instant::now);
            }
        });
    }

    /// Nothing more will be heard.
    pub fn close(&self) {
        self.change(|known| known.closed = true);
        let cells: Vec<_> = {
            let mut known = self.lock();
            let unanswered: Vec<_> = known.by_number.drain().map(|(_, (cell, ..))| cell).collect();
            unanswered.into_iter().collect()
        };
        cells.into_iter().for_each(|cell| cell.end(Outcome::Undone(Undone::Closed)));
        self.end_all(Undone::Closed);
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn accepted(&self, told: Ticketed) {
        let mut cells = Vec::new();
        let mut known = self.lock();
        for (number, ticket) in crate::submissions::tickets(&told) {
            let Some((cell, awaits)) = known.answer(number) else { continue };
            if awaits {
                known.by_ticket.entry(ticket).or_default().push(cell.clone());
            }
            cells.push((cell, ticket));
        }
        drop(known);
        self.changed.notify_all();
        for (cell, ticket) in cells {
            cell.change(|state| state.ticket = Some(ticket));
        }
    }

    fn ended(&self, outcomes: Vec<(UnitId, Outcome)>) {
        let mut ended = Vec::with_capacity(outcomes.len());
        let mut known = self.lock();
        for (unit, outcome) in outcomes {
            if let Some(cells) = known.by_ticket.remove(&unit) {
                ended.push((cells, outcome));
            }
        }
        drop(known);
        // The last first: whoever waits for them in their order finds all of them, and is woken once.
        for (cells, outcome) in ended.into_iter().rev() {
            cells.into_iter().for_each(|cell| cell.end(outcome.clone()));
        }
    }

    fn cells_of(&self, tickets: std::ops::Range<UnitId>) -> Vec<Arc<Cell>> {
        let mut known = self.lock();
        let within: Vec<UnitId> =
            known.by_ticket.keys().copied().filter(|ticket| tickets.contains(ticket)).collect();
        within.iter().filter_map(|ticket| known.by_ticket.remove(ticket)).flatten().collect()
    }

    fn end_all(&self, why: Undone) {
        let cells = self.cells_of(0..UnitId::MAX);
        cells.into_iter().for_each(|cell| cell.end(Outcome::Undone(why)));
    }
}

impl Known {
    /// A unit is answered: its cell, and whether an outcome is waited for.
    fn answer(&mut self, number: u64) -> Option<(Arc<Cell>, bool)> {
        let (cell, bytes, awaits) = self.by_number.remove(&number)?;
        self.unanswered.0 -= 1;
        self.unanswered.1 -= bytes;
        Some((cell, awaits))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A table with tickets 0 to 9 that are waited for, and their cells.
    fn awaited() -> (Table, Vec<Arc<Cell>>) {
        let table = Table::default();
        let cells: Vec<_> = (0..10).map(Cell::of).collect();
        (0..10).zip(&cells).for_each(|(ticket, cell)| table.awaits(ticket, cell.clone()));
        (table, cells)
    }

    fn outcomes() -> News {
        let value = Outcome::Value(Bytes::from_static(&[5]));
        News::Outcomes((0..10).map(|ticket| (ticket, value.clone())).collect())
    }

    #[test]
    fn whoever_waits_for_the_first_of_many_finds_all_of_them() {
        let (table, cells) = awaited();
        let tray = Arc::new(Tray::default());
        for (cell, number) in cells.iter().zip(0..) {
            cell.lock().deliver(tray.clone(), number);
        }
        table.hear(outcomes());
        let told = tray.take(Duration::ZERO).unwrap();
        assert_eq!(told, (0..10).rev().collect::<Vec<_>>());
    }

    #[test]
    fn a_ticket_is_put_on_each_tray_once_be_it_done_before_or_after() {
        let (table, cells) = awaited();
        let trays = [(); 3].map(|()| Arc::new(Tray::default()));
        cells[0].lock().deliver(trays[0].clone(), 1);
        cells[0].lock().deliver(trays[1].clone(), 2);
        assert_eq!(trays[0].take(Duration::ZERO), Some(vec![]));
        table.hear(outcomes());
        cells[0].lock().deliver(trays[2].clone(), 3);
        table.close();
        let told = trays.map(|tray| tray.take(Duration::ZERO).unwrap());
        assert_eq!(told, [vec![1], vec![2], vec![3]]);
    }
}
