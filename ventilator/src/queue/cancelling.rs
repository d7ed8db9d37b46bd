//! Units that shall not be worked on since somebody says so.
//!
//! Owns who wants that and what each is told. What is queued is dead at once. What was given out is called
//! back ([`News::recall`]), and dead if it comes back before a worker has begun it; until that is known nobody
//! is told. Refuses to know who has it.
//!
//! | a unit is | wanted dead | came back | was begun | is committed |
//! | --- | --- | --- | --- | --- |
//! | queued | dead, `Cancelled` | | | |
//! | given out | called back | | | |
//! | called back | asked for by one more | dead, `Cancelled` to all who asked | given out, `Begun` to all | over, `Over` to all |
//! | dead since somebody wanted that | `Cancelled` | | | over |
//! | over, or dead otherwise | `Over` | | | |
//!
//! That a unit is cancelled is in the store before anybody is told. A kill before that leaves it queued: who
//! was not told asks again, in the next session.

use std::ops::Range;

use proto::{
    ranges::RangeSet,
    role::LinkId,
    rules::dispatch::Recalled,
    service::{CancelState, Cancelled, IdRange, RANGES_MAX},
    unit::UnitId,
};

use super::{
    CANCELLED, CANCELLED_AGAIN, Input, News, Queue,
    record::Head,
    store::{Store, StoreError},
};

impl<S: Store> Queue<S> {
    /// A client wants units not to be worked on.
    pub(super) fn wish(
        &mut self,
        link: LinkId,
        tickets: Vec<IdRange>,
        news: &mut News,
    ) -> Result<(), StoreError> {
        let mut out = RangeSet::new();
        for (start, end) in &tickets {
            for ticket in (*start..*end).take(RANGES_MAX) {
                match self.state(ticket) {
                    Some(state) => news.cancelled.push((link, Cancelled { ticket, state })),
                    None => {
                        let askers = self.askers.entry(ticket).or_default();
                        askers.retain(|known| *known != link);
                        askers.push(link);
                        out.insert(ticket..ticket + 1);
                    }
                }
            }
        }
        self.call_back(&out, news);
        self.cancel(tickets)
    }

    /// What a wish to cancel comes to; nothing yet if the unit was given out.
    fn state(&self, ticket: UnitId) -> Option<CancelState> {
        let is_queued = !self.contents.order.within(ticket..ticket + 1).is_empty();
        match () {
            () if is_queued || self.cancelled.contains(ticket) => Some(CancelState::Cancelled),
            () if ticket >= self.contents.next
                || self.committed.contains(ticket)
                || self.dead.contains(ticket) =>
            {
                Some(CancelState::Over)
            }
            () => None,
        }
    }

    /// A client will not come back, and what it has submitted shall not be worked on, but for units that
    /// others may have joined.
    pub(super) fn gone(&mut self, client: &str, news: &mut News) -> Result<(), StoreError> {
        let mut own = RangeSet::new();
        for tickets in self.contents.numbers.tickets(client) {
            self.committed.gaps(tickets).into_iter().for_each(|range| _ = own.insert(range));
        }
        self.contents.joinable(&own).iter().for_each(|range| own.remove(range));
        let mut out = own.clone();
        self.dead.iter().for_each(|range| out.remove(range));
        let mut queued = Vec::new();
        for range in own.iter() {
            for (part, _) in self.contents.order.parts(range) {
                out.remove(part.0..part.1);
                queued.push(part);
            }
        }
        self.call_back(&out, news);
        self.cancel(queued)
    }

    /// These were given out, and shall come back.
    fn call_back(&mut self, units: &RangeSet, news: &mut News) {
        for range in units.iter().flat_map(|range| self.recalled.gaps(range)) {
            news.recall.push((range.start, range.end));
        }
        self.recalled.insert_all(units);
    }

    /// What of these units is queued is told dead.
    fn cancel(&mut self, tickets: Vec<IdRange>) -> Result<(), StoreError> {
        let mut found = Vec::new();
        for (start, end) in tickets {
            found.extend(self.contents.order.parts(start..end).map(|(part, _)| part));
        }
        self.note(&found);
        found.into_iter().try_for_each(|(start, end)| self.doom(start..end, CANCELLED))
    }

    /// It is written down that these are cancelled: until they are committed, nobody else knows that.
    pub(super) fn note(&mut self, units: &[IdRange]) {
        if units.is_empty() {
            return;
        }
        let segment = self.store.append(&Head::Cancelled(units.to_vec()), &[]).segment;
        self.appended = true;
        let live = self.contents.live.entry(segment).or_default();
        for (start, end) in units {
            live.insert(*start..*end);
            self.cancelled.insert(*start..*end);
        }
    }

    /// It is known what became of units that were called back.
    pub(super) fn came_back(&mut self, recalled: Recalled, news: &mut News) {
        let Recalled { idle, tried, begun } = recalled;
        for (units, reason) in [(idle, CANCELLED), (tried, CANCELLED_AGAIN)] {
            let units = units.without(&self.committed);
            let (mut ranges, mut at) = (Vec::new(), 0);
            for roots in units.spans().iter().map(|span| span.roots()) {
                let count = (roots.end - roots.start) as usize;
                let values = units.slice(at..at + count);
                at += count;
                ranges.push((roots.start, roots.end));
                self.bewail(roots.clone(), Input::Back(values), reason);
                self.answer(roots, CancelState::Cancelled, news);
            }
            self.note(&ranges);
        }
        begun.iter().for_each(|range| self.answer(range, CancelState::Begun, news));
    }

    /// These are committed.
    pub(super) fn over(&mut self, units: Range<UnitId>, news: &mut News) {
        self.answer(units, CancelState::Over, news);
    }

    /// Whoever wants to know what became of these is told.
    fn answer(&mut self, units: Range<UnitId>, state: CancelState, news: &mut News) {
        self.recalled.remove(units.clone());
        let known: Vec<UnitId> = self.askers.range(units).map(|(unit, _)| *unit).collect();
        for ticket in known {
            let askers = self.askers.remove(&ticket).unwrap_or_default();
            let told = askers.into_iter().map(|link| (link, Cancelled { ticket, state }));
            news.cancelled.extend(told);
        }
    }

    /// Nobody is there any more who could be told.
    pub(super) fn asks_no_more(&mut self, link: LinkId) {
        self.early.retain(|(known, _)| *known != link);
        self.askers.retain(|_, askers| {
            askers.retain(|known| *known != link);
            !askers.is_empty()
        });
    }
}
