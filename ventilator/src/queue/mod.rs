//! The units that clients of a service have submitted, until they are committed.
//!
//! Owns what is accepted, whose it is, and what of it is given out next. A ticket is the unit's id: its
//! place among all that was ever accepted, so that everything behind the queue works as with any source,
//! although units are given out in another order. What is accepted is in the [`store`] before its
//! client is told, and before it is given out; what is committed is forgotten there. Refuses clocks and
//! sockets: the ventilator asks, and all that follows is told in [`News`].
//!
//! - `contents`: what is held, as it grows and as it is read again
//! - `cancelling`: what shall not be worked on, and is queued or was given out
//! - [`order`]: whose turn it is
//! - [`numbers`]: which client was given which tickets
//! - `together`: what enters as one
//! - [`record`], [`store`], `disk`, `values`: what is written down, and where
//! - `runner`: all of it on a thread

mod cancelling;
mod contents;
#[cfg(feature = "cli")]
pub mod disk;
pub mod memory;
pub mod numbers;
pub mod order;
pub mod record;
#[cfg(feature = "cli")]
pub mod runner;
pub mod store;
mod together;
mod values;

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::Duration,
};

use proto::{
    frame::{Commit, Dead},
    ranges::RangeSet,
    role::LinkId,
    rules::dispatch::Recalled,
    service::{Cancelled, Declined, IdRange, Reason, Submit, Terms, Ticketed, VALUE_BYTES_MAX},
    unit::UnitId,
    units::{Span, Units},
    value::value_len,
};

use self::{
    contents::{Contents, Replay},
    numbers::{KEYED, Part},
    order::{Place, Run, Treatment},
    record::Head,
    store::{Safety, Store, StoreError},
    together::Together,
    values::{holds_one, length, pieces, skip},
};

/// Bytes of values that are given out at once.
const READ_BYTES_MAX: u64 = 256 << 10;
/// Bytes that are read for one value, before it is known how long it is.
const VALUE_BYTES_READ: usize = 4 << 10;
/// Units that are told dead at once.
const DEAD_MAX: usize = 1 << 10;
/// The store may hold this much that is committed before what is left of its oldest segment is moved.
const SLACK_BYTES: u64 = 64 << 20;

/// What bounds a queue, and how safe it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Units that wait; what is submitted beyond is accepted once there is room.
    pub units_max: u64,
    /// The same in bytes of values.
    pub bytes_max: u64,
    /// When a client is told that a unit is accepted.
    pub safety: Safety,
    /// Who was not heard for so long is forgotten, with its numbers.
    pub retain: Duration,
}

/// What the ventilator asks of its queue.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// A client submits units.
    Submit {
        /// Its session.
        link: LinkId,
        /// Its name.
        client: String,
        /// The units.
        submit: Box<Submit>,
    },
    /// The session of a client is over: what it has submitted and is not accepted, it submits again.
    Left(LinkId),
    /// A client will not come back; with `cancels`, what is queued of it is cancelled.
    Gone {
        /// Its name.
        client: String,
        /// Whether nobody waits for its units.
        cancels: bool,
    },
    /// A client wants units not to be worked on.
    Cancel {
        /// Its session.
        link: LinkId,
        /// Which units.
        tickets: Vec<IdRange>,
    },
    /// A client waits for outcomes: does it know of units that there are?
    Known {
        /// Its session.
        link: LinkId,
        /// Which units.
        tickets: Vec<IdRange>,
    },
    /// What became of units that were given out and shall not be worked on: the answer to [`News::recall`].
    Recalled(Box<Recalled>),
    /// What was committed before has been told: it is known which ids are free, so units are taken in.
    Begin,
    /// Give up to so many units out, as soon as there are any.
    Read(u64),
    /// These units are committed.
    Committed(Commit),
    /// Nothing more is accepted.
    Close,
    /// Something may have become due.
    Look,
}

/// What follows.
#[derive(Debug, Default, PartialEq)]
pub struct News {
    /// Units are accepted, or were before.
    pub accepted: Vec<(LinkId, Ticketed)>,
    /// Units are not.
    pub declined: Vec<(LinkId, Declined)>,
    /// So many units and bytes of a client have been dealt with.
    pub processed: Vec<(LinkId, usize, usize)>,
    /// What became of the wish to cancel.
    pub cancelled: Vec<(LinkId, Cancelled)>,
    /// Clients wait for units that were never accepted.
    pub unknown: Vec<(LinkId, IdRange)>,
    /// Units to be worked on: the answer to [`Ask::Read`].
    pub units: Option<Units>,
    /// How long the oldest of them has waited.
    pub waited: Duration,
    /// Units that nobody shall work on, whose outcome this is.
    pub dead: Vec<Dead>,
    /// The same of units that were given out and came back.
    pub back: Vec<Dead>,
    /// Units that were given out and shall not be worked on, as far as nobody has begun them.
    pub recall: Vec<IdRange>,
    /// Ids below this one were given.
    pub next: UnitId,
    /// Units that wait, and their bytes.
    pub waiting: (u64, u64),
    /// How long the oldest waits of those that may be given out.
    pub oldest: Option<Duration>,
    /// When [`Ask::Look`] is due at the latest.
    pub due: Option<Duration>,
}

/// Units that came while there was no room.
#[derive(Debug)]
struct Submitted {
    link: LinkId,
    client: String,
    submit: Box<Submit>,
}

impl Submitted {
    /// The first so many units, and what is left.
    fn cut(self, count: u64) -> (Self, Option<Self>) {
        let units = &self.submit.units;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count >= units.len() {
            return (self, None);
        }
        let part = |indices| Self {
            link: self.link,
            client: self.client.clone(),
            submit: Box::new(Submit {
                known: self.submit.known,
                terms: self.submit.terms.clone(),
                units: units.slice(indices),
            }),
        };
        let (first, rest) = (part(0..count), part(count..units.len()));
        (first, Some(rest))
    }
}

/// Units that nobody shall work on.
#[derive(Debug)]
struct Doomed {
    units: Range<UnitId>,
    input: Input,
    reason: &'static str,
}

/// The values of units that nobody shall work on.
#[derive(Debug)]
enum Input {
    /// They lie there.
    Stored(Place),
    /// They were given out, and came back.
    Back(Units),
    Lost,
}

/// See the module.
pub struct Queue<S> {
    store: S,
    limits: QueueLimits,
    contents: Contents,
    // What has its tickets, and is neither in the store nor in the contents yet.
    together: Option<Together>,
    committed: RangeSet,
    // Before it has begun: the ids that the store knows; of others below `next` nothing is left.
    known: Option<RangeSet>,
    crowd: VecDeque<Submitted>,
    // What shall be told dead, and what of it was told and is not committed as well.
    doomed: VecDeque<Doomed>,
    dead: RangeSet,
    // What of that is dead since somebody wanted it to be.
    cancelled: RangeSet,
    // What was given out and shall come back, and who wants to know of which unit.
    recalled: RangeSet,
    askers: BTreeMap<UnitId, Vec<LinkId>>,
    // What clients want to know before it has begun.
    early: Vec<(LinkId, Ask)>,
    asked: Option<u64>,
    closed: bool,
    // Something was appended and is not kept.
    appended: bool,
}

impl<S: Store> Queue<S> {
    /// The queue that is in the store. It is `now`, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn open(mut store: S, limits: QueueLimits, now: u64) -> Result<Self, StoreError> {
        let mut replay = Replay::default();
        store.replay(&mut |head, place, values| replay.take(head, place, values))?;
        let Replay { mut contents, known, cancelled } = replay;
        contents.numbers.begin(now);
        let mut queue = Self {
            store,
            limits,
            contents,
            together: None,
            committed: RangeSet::new(),
            known: Some(known),
            crowd: VecDeque::new(),
            doomed: VecDeque::new(),
            dead: RangeSet::new(),
            cancelled: RangeSet::new(),
            recalled: RangeSet::new(),
            askers: BTreeMap::new(),
            early: Vec::new(),
            asked: None,
            closed: false,
            appended: false,
        };
        for (start, end) in cancelled {
            queue.doom(start..end, CANCELLED)?;
            queue.cancelled.insert(start..end);
        }
        Ok(queue)
    }

    /// Does what is asked, in that order; what follows. What is accepted is kept before that is told.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; the process has to end.
    pub fn serve(&mut self, now: u64, asked: Vec<Ask>) -> Result<News, StoreError> {
        let mut news = News::default();
        for ask in asked {
            self.take(now, ask, &mut news)?;
        }
        self.let_in(now, &mut news);
        self.enter();
        self.keep()?;
        self.contents.order.ripen(now);
        self.expire(now)?;
        self.bury(&mut news)?;
        self.give_out(now, &mut news)?;
        self.clean(now)?;
        news.next = self.contents.next;
        news.waiting = (self.contents.order.units(), self.contents.order.bytes());
        let oldest = self.contents.order.oldest();
        news.oldest = oldest.map(|since| Duration::from_millis(now.saturating_sub(since)));
        let due =
            self.contents.order.due().map(|due| Duration::from_millis(due.saturating_sub(now)));
        news.due = if self.doomed.is_empty() { due } else { Some(Duration::ZERO) };
        Ok(news)
    }

    fn take(&mut self, now: u64, ask: Ask, news: &mut News) -> Result<(), StoreError> {
        match ask {
            Ask::Submit { link, client, submit } => {
                self.contents.numbers.heard(&client, submit.known, now);
                self.crowd.push_back(Submitted { link, client, submit });
            }
            Ask::Left(link) => {
                self.crowd.retain(|submitted| submitted.link != link);
                self.asks_no_more(link);
            }
            Ask::Gone { client, cancels } => {
                if cancels {
                    self.gone(&client, news)?;
                }
                self.contents.numbers.forget(&client);
            }
            // Before it has begun, nobody knows what is over, and which ids were given.
            Ask::Cancel { link, .. } | Ask::Known { link, .. } if self.known.is_some() => {
                self.early.push((link, ask));
            }
            Ask::Known { link, tickets } => {
                let next = self.contents.next;
                let beyond = tickets.into_iter().map(|(start, end)| (start.max(next), end));
                news.unknown
                    .extend(beyond.filter(|(start, end)| start < end).map(|range| (link, range)));
            }
            Ask::Cancel { link, tickets } => self.wish(link, tickets, news)?,
            Ask::Recalled(recalled) => self.came_back(*recalled, news),
            Ask::Begin => {
                self.find_lost();
                for (_, ask) in std::mem::take(&mut self.early) {
                    self.take(now, ask, news)?;
                }
            }
            Ask::Read(units) => self.asked = Some(units),
            Ask::Committed(commit) => self.forget(&commit, news)?,
            Ask::Close => self.closed = true,
            Ask::Look => {}
        }
        Ok(())
    }

    /// Accepts what was submitted, as long as there is room.
    fn let_in(&mut self, now: u64, news: &mut News) {
        while self.known.is_none()
            && let Some(submitted) = self.crowd.pop_front()
        {
            let room = if self.closed { u64::MAX } else { self.room() };
            if room == 0 {
                self.crowd.push_front(submitted);
                return;
            }
            let (submitted, rest) = submitted.cut(room);
            if let Some(rest) = rest {
                self.crowd.push_front(rest);
            }
            let units = &submitted.submit.units;
            news.processed.push((submitted.link, units.len(), units.bytes()));
            self.accept(now, submitted, news);
        }
    }

    /// So many units may be accepted: the sink lets be sent, and knows, no ids that are further ahead of
    /// what is committed and with workers.
    fn room(&self) -> u64 {
        let entering = self.together.as_ref();
        let (units, bytes) = entering.map_or((0, 0), |them| (them.count, them.values.len() as u64));
        if self.contents.order.bytes() + bytes >= self.limits.bytes_max {
            return 0;
        }
        let waiting = self.contents.order.units() + units + self.dead.len();
        self.limits.units_max.saturating_sub(waiting)
    }

    fn accept(&mut self, now: u64, submitted: Submitted, news: &mut News) {
        let Submitted { link, client, submit } = submitted;
        let units = &submit.units;
        let Some(span) = units.spans().first() else { return };
        let first = span.first;
        let decline = |numbers: Range<u64>, reason| {
            let count = numbers.end - numbers.start;
            (link, Declined { number: numbers.start, count, reason })
        };
        if let Some(ticketed) = self.known_by_key(now, &submit.terms, first) {
            self.join(&client, ticketed);
            news.accepted.push((link, ticketed));
            return;
        }
        for part in self.contents.numbers.look_up(&client, span.roots()) {
            match part {
                Part::Given(ticketed) => news.accepted.push((link, ticketed)),
                Part::Used(numbers) => news.declined.push(decline(numbers, Reason::Used)),
                Part::New(numbers) if self.closed => {
                    news.declined.push(decline(numbers, Reason::Draining));
                }
                Part::New(numbers) => {
                    let indices = (numbers.start - first) as usize..(numbers.end - first) as usize;
                    let part = units.slice(indices);
                    if part.values_iter(0..part.len()).any(|value| value.len() > VALUE_BYTES_MAX) {
                        news.declined.push(decline(numbers, Reason::Large));
                        continue;
                    }
                    let ticketed = self.add(now, &client, numbers.start, &submit.terms, &part);
                    news.accepted.push((link, ticketed));
                }
            }
        }
    }

    /// The unit that was submitted with the same key before, under this number.
    fn known_by_key(&mut self, now: u64, terms: &Terms, number: u64) -> Option<Ticketed> {
        let scope = scope_of(terms.once.as_ref()?);
        let known = self.contents.numbers.look_up(&scope, 0..1);
        let [Part::Given(Ticketed { ticket, .. })] = known.as_slice() else { return None };
        self.contents.numbers.heard(&scope, 0, now);
        Some(Ticketed { number, count: 1, ticket: *ticket })
    }

    /// Units of a client get tickets, and a place in the order.
    fn add(
        &mut self,
        now: u64,
        client: &str,
        number: u64,
        terms: &Terms,
        units: &Units,
    ) -> Ticketed {
        let count = units.len() as u64;
        if terms.unique.is_some() {
            self.enter();
        }
        let joined = terms.unique.as_ref().and_then(|key| self.contents.unique.get(key)).copied();
        if let Some(ticket) = joined {
            let ticketed = Ticketed { number, count: 1, ticket };
            self.join(client, ticketed);
            return ticketed;
        }
        let treatment = treatment(now, terms);
        if self.together.as_ref().is_some_and(|together| !together.admits(&treatment)) {
            self.enter();
        }
        let first = self.contents.next;
        let together = self.together.get_or_insert_with(|| Together::new(first, treatment));
        let ticket = together.add(client, number, count, units.values(0..units.len()));
        let ticketed = Ticketed { number, count, ticket };
        self.contents.numbers.give(client, ticketed);
        if let Some(key) = &terms.once {
            let scope = scope_of(key);
            self.contents.numbers.heard(&scope, 0, now);
            self.join(&scope, Ticketed { number: 0, count: 1, ticket });
        }
        ticketed
    }

    /// What has tickets gets its place in the store and in the order.
    fn enter(&mut self) {
        let Some(Together { first, count, of, treatment, values }) = self.together.take() else {
            return;
        };
        let head = Head::Accepted { of, first, treatment: treatment.clone() };
        let place = self.store.append(&head, &values);
        self.appended = true;
        self.contents.enter(first, count, (place, values.len() as u64), treatment);
    }

    /// A client's number is a unit that has its ticket already.
    fn join(&mut self, client: &str, ticketed: Ticketed) {
        self.enter();
        let Ticketed { number, ticket, .. } = ticketed;
        self.store.append(&Head::Joined { client: client.to_owned(), number, ticket }, &[]);
        self.appended = true;
        self.contents.numbers.give(client, ticketed);
    }

    fn keep(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.appended) {
            self.store.keep(self.limits.safety)?;
        }
        Ok(())
    }

    /// What of these units is queued is queued no more, and will be told dead.
    fn doom(&mut self, units: Range<UnitId>, reason: &'static str) -> Result<(), StoreError> {
        for (first, run) in self.cut(units)? {
            self.bewail(first..first + run.count, Input::Stored(run.place), reason);
        }
        Ok(())
    }

    /// These units will be told dead; nobody joins them any more.
    fn bewail(&mut self, units: Range<UnitId>, input: Input, reason: &'static str) {
        self.dead.insert(units.clone());
        self.contents.free_keys(units.clone());
        self.doomed.push_back(Doomed { units, input, reason });
    }

    /// What has waited too long is told dead. A queue that is opened again finds it overdue as well.
    fn expire(&mut self, now: u64) -> Result<(), StoreError> {
        while let Some(first) = self.contents.order.overdue(now)
            && let Some(run) = self.contents.order.run(first)
        {
            self.doom(first..first + run.count, EXPIRED)?;
        }
        Ok(())
    }

    /// Tells what is to be told dead, some of it at a time; at a start, once it is known what is
    /// committed.
    fn bury(&mut self, news: &mut News) -> Result<(), StoreError> {
        while self.known.is_none()
            && let room = DEAD_MAX.saturating_sub(news.dead.len() + news.back.len()) as u64
            && room > 0
            && let Some(Doomed { units, mut input, reason }) = self.doomed.pop_front()
        {
            let end = units.end.min(units.start.saturating_add(room));
            for unit in units.start..end {
                let (value, told) = match &mut input {
                    Input::Stored(place) => (self.value_at(place)?, &mut news.dead),
                    Input::Back(values) => (first_of(values), &mut news.back),
                    Input::Lost => (Vec::new(), &mut news.dead),
                };
                if !self.committed.contains(unit) {
                    told.push(dead(unit, value, reason));
                }
            }
            if end < units.end {
                self.doomed.push_front(Doomed { units: end..units.end, input, reason });
            }
        }
        Ok(())
    }

    /// The value that begins there, which is gone to behind it.
    fn value_at(&mut self, place: &mut Place) -> Result<Vec<u8>, StoreError> {
        let mut bytes = VALUE_BYTES_READ;
        loop {
            let mut value = self.store.read(*place, bytes)?;
            if let Ok(length) = value_len(&value)
                && length <= value.len()
            {
                value.truncate(length);
                *place = place.behind(length as u64);
                return Ok(value);
            }
            if value.len() < bytes {
                return Ok(value);
            }
            bytes *= 4;
        }
    }

    /// Takes what of these units is queued out of the order.
    fn cut(&mut self, range: Range<UnitId>) -> Result<Vec<(UnitId, Run)>, StoreError> {
        let mut taken = Vec::new();
        for first in self.contents.order.within(range.clone()) {
            let Some(run) = self.contents.order.take(first) else { continue };
            let end = first + run.count;
            let (from, to) = (first.max(range.start), end.min(range.end));
            if (from, to) == (first, end) {
                taken.push((first, run));
                continue;
            }
            let values = self.store.read(run.place, run.bytes as usize)?;
            let at = |unit: UnitId| skip(&values, unit - first) as u64;
            for (start, stop, is_cut) in [(first, from, false), (from, to, true), (to, end, false)]
            {
                let (low, high) = (at(start), at(stop));
                let part = Run {
                    count: stop - start,
                    place: run.place.behind(low),
                    bytes: high - low,
                    ..run.clone()
                };
                match is_cut {
                    _ if part.count == 0 => {}
                    true => taken.push((start, part)),
                    false => self.contents.order.add(start, part),
                }
            }
        }
        Ok(taken)
    }

    /// Answers a [`Ask::Read`], if there is anything to give out.
    fn give_out(&mut self, now: u64, news: &mut News) -> Result<(), StoreError> {
        let may_be = self.known.is_none() && self.contents.order.next().is_some();
        let Some(units_max) = self.asked.filter(|_| may_be) else {
            return Ok(());
        };
        let (mut spans, mut payload, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        let mut since = now;
        while (ends.len() as u64) < units_max
            && (payload.len() as u64) < READ_BYTES_MAX
            && let Some(first) = self.contents.order.next()
            && let Some(run) = self.contents.order.take(first)
        {
            let wanted = run.count.min(units_max - ends.len() as u64);
            since = since.min(run.treatment.since);
            // One value may be larger than all that is wanted at once.
            let window = if run.count == 1 { run.bytes } else { run.bytes.min(READ_BYTES_MAX) };
            let mut values = self.store.read(run.place, window as usize)?;
            if run.count > 1 && !holds_one(&values) {
                values = self.store.read(run.place, run.bytes as usize)?;
            }
            let (mut at, mut count) = (0, 0);
            while count < wanted && at < values.len() && holds_one(&values[at..]) {
                at += length(&values[at..]);
                ends.push((payload.len() + at) as u32);
                count += 1;
            }
            if count == 0 {
                return Err(StoreError::Short);
            }
            payload.extend_from_slice(&values[..at]);
            let span = Span { first, count: count as u32, path: Vec::new() };
            proto::units::push_span(&mut spans, span);
            if count < run.count {
                let rest = Run {
                    count: run.count - count,
                    place: run.place.behind(at as u64),
                    bytes: run.bytes - at as u64,
                    ..run
                };
                self.contents.order.add(first + count, rest);
            }
        }
        self.asked = None;
        news.units = Some(Units::from_outputs(spans, payload, ends));
        news.waited = Duration::from_millis(now - since);
        Ok(())
    }

    /// The store has lost units, with the machine's memory: they were accepted and not made safe. Nobody
    /// waits for them in vain.
    fn find_lost(&mut self) {
        let Some(mut known) = self.known.take() else { return };
        known.insert_all(&self.committed);
        self.contents.next =
            self.contents.next.max(known.iter().last().map_or(0, |range| range.end));
        for units in known.gaps(0..self.contents.next) {
            self.bewail(units, Input::Lost, LOST);
        }
    }

    /// What is committed needs not be kept.
    fn forget(&mut self, commit: &Commit, news: &mut News) -> Result<(), StoreError> {
        let ranges = [(0, commit.watermark)].into_iter().chain(commit.above.iter().copied());
        for (start, end) in ranges {
            if self.committed.contains_range(start..end) {
                continue;
            }
            // At a start, all that the store has is in the order.
            drop(self.cut(start..end)?);
            self.committed.insert(start..end);
            self.dead.remove(start..end);
            self.cancelled.remove(start..end);
            self.over(start..end, news);
            self.contents.live.values_mut().for_each(|units| units.remove(start..end));
            self.contents.free_keys(start..end);
        }
        Ok(())
    }

    /// Begins a segment when it is time, and removes those of which nothing is needed.
    fn clean(&mut self, now: u64) -> Result<(), StoreError> {
        if self.store.is_full() {
            let retain = u64::try_from(self.limits.retain.as_millis()).unwrap_or(u64::MAX);
            self.contents.numbers.forget_before(now.saturating_sub(retain));
            self.store.rotate()?;
            self.store.append(&Head::Numbers(self.contents.numbers.clone()), &[]);
            self.store.append(&Head::Next(self.contents.next), &[]);
            self.store.keep(Safety::Power)?;
            self.store.begun();
        }
        let (mut oldest, mut kept) = (None, 0);
        for (segment, bytes) in self.store.older() {
            if self.contents.live.get(&segment).is_none_or(RangeSet::is_empty) {
                self.contents.live.remove(&segment);
                self.store.remove(segment);
            } else {
                oldest.get_or_insert(segment);
                kept += bytes;
            }
        }
        match oldest {
            // What is to be told dead lies where it lay.
            Some(segment)
                if self.doomed.is_empty()
                    && kept > SLACK_BYTES + 4 * self.contents.order.bytes() =>
            {
                self.move_rest(segment)
            }
            _ => Ok(()),
        }
    }

    /// Writes what is left of a segment once more, and removes it.
    fn move_rest(&mut self, segment: u64) -> Result<(), StoreError> {
        let Some(live) = self.contents.live.remove(&segment) else { return Ok(()) };
        let (mut left, mut cancelled) = (Vec::new(), RangeSet::new());
        self.store.again(segment, &mut |head, values| match head {
            Head::Accepted { first, treatment, of } => {
                let count = of.iter().map(|(_, _, count)| count).sum();
                pieces(first, count, values, &live, |piece| left.push((piece, treatment.clone())));
            }
            Head::Moved { first, count, treatment } => {
                pieces(first, count, values, &live, |piece| left.push((piece, treatment.clone())));
            }
            Head::Cancelled(units) => {
                units.into_iter().for_each(|(start, end)| _ = cancelled.insert(start..end));
            }
            Head::Numbers(_) | Head::Joined { .. } | Head::Next(_) => {}
        })?;
        // Their clients may have been told, and nobody else knows it yet.
        let cancelled: Vec<IdRange> = cancelled
            .iter()
            .flat_map(|units| self.committed.gaps(units))
            .map(|units| (units.start, units.end))
            .collect();
        self.note(&cancelled);
        for ((first, count, values), treatment) in left {
            let head = Head::Moved { first, count, treatment };
            let place = self.store.append(&head, &values);
            self.contents.live.entry(place.segment).or_default().insert(first..first + count);
            for (start, run) in self.cut(first..first + count)? {
                let offset = skip(&values, start - first) as u64;
                self.contents.order.add(start, Run { place: place.behind(offset), ..run });
            }
        }
        self.store.keep(Safety::Power)?;
        self.store.remove(segment);
        Ok(())
    }
}

/// Under what name it is remembered which unit was submitted with a key.
fn scope_of(key: &str) -> String {
    format!("{KEYED}{key}")
}

/// Why a unit is dead that nobody has worked on.
const CANCELLED: &str = "cancelled before a worker had begun it";
const CANCELLED_AGAIN: &str = "cancelled before it was tried again";
const EXPIRED: &str = "waited longer than its ttl";
const LOST: &str = "lost with the machine: it was accepted in memory only";

fn treatment(now: u64, terms: &Terms) -> Treatment {
    Treatment {
        since: now.saturating_add(terms.delay_ms),
        priority: terms.priority,
        not_before: if terms.delay_ms == 0 { 0 } else { now.saturating_add(terms.delay_ms) },
        deadline: terms.ttl_ms.map(|ttl| now.saturating_add(ttl)),
        unique: terms.unique.clone(),
    }
}

/// Takes the first value.
fn first_of(values: &mut Units) -> Vec<u8> {
    let first = values.value(0).to_vec();
    *values = values.slice(1..values.len());
    first
}

fn dead(root: UnitId, input: Vec<u8>, error: &str) -> Dead {
    let (error, worker) = (error.to_owned(), String::new());
    Dead { root, path: Vec::new(), stage: 0, input, error, attempts: 0, worker }
}

#[cfg(test)]
mod tests;
