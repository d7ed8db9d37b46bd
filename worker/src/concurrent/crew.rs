//! The thread that starts units and gathers what has come of them, in any order.
//!
//! Owns the concurrent function, which units are open, and the way from finished units to products.
//! Refuses to know where parcels come from. Units begin in their order, so that a sender can call
//! back what is not begun; they finish in whatever order they do.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use proto::{frame::Code, net::driver::Handle};

use super::{
    Concurrent, Finished, Waker,
    desk::{Closing, Desk, Found, Task},
    gathered::{Gathered, Parcel, product_of},
    places::{Place, Places},
};
use crate::{
    Function, OutputLimits, Unit,
    core::{Reply, Share, Ticket},
    function::split_pair,
    product::{Cursor, Product},
};

/// What has finished is told after so long, at the latest, as long as every place is taken: many
/// small products cost more than few large ones.
const GATHER: Duration = Duration::from_millis(2);

/// What is the same for all units.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub stage: String,
    pub limits: OutputLimits,
    /// Values are pairs, of which the function sees the second.
    pub pairs: bool,
    /// Units that may be open at once.
    pub open_max: u32,
}

/// The way to the thread. When this is dropped what is open is abandoned: the thread ends at once,
/// and is waited for, if nothing is open.
#[derive(Debug)]
pub(crate) struct Crew {
    desk: Arc<Desk>,
    waker: Waker,
    thread: Option<thread::JoinHandle<Box<dyn Function>>>,
}

impl Crew {
    /// Starts the thread. `function` is concurrent, and has begun with this waker.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(
        function: Box<dyn Function>,
        waker: Waker,
        terms: Terms,
        handle: Handle<Reply>,
    ) -> std::io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let foreman = Foreman {
            desk: desk.clone(),
            waker: waker.clone(),
            places: Places::new(Instant::now(), terms.open_max),
            parcels: BTreeMap::new(),
            finished: Finished::new(terms.limits),
            gathered: Vec::new(),
            whole: Vec::new(),
            told: Instant::now(),
            terms,
            handle,
        };
        let thread = thread::Builder::new().name("crew".into());
        let thread = thread.spawn(move || foreman.work(function))?;
        Ok(Self { desk, waker, thread: Some(thread) })
    }

    /// Has a parcel worked on.
    pub fn put(&self, task: Task) {
        self.desk.put(task);
        self.waker.wake();
    }

    /// Has the function learn code.
    pub fn define(&self, code: Code) {
        self.desk.define(code);
        self.waker.wake();
    }

    /// Gives up units that are not begun; none of a parcel that is done.
    pub fn truncate(&self, ticket: Ticket, share: Share) -> Option<Reply> {
        let reply = self.desk.truncate(ticket, share);
        // What is kept may be done already.
        self.waker.wake();
        reply
    }

    /// Ends after what is open; the function.
    pub fn finish(mut self) -> Option<Box<dyn Function>> {
        self.desk.close(Closing::Finish);
        self.waker.wake();
        self.thread.take().and_then(|thread| thread.join().ok())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        let is_idle = self.desk.close(Closing::Abandon);
        self.waker.wake();
        let other = |thread: &thread::JoinHandle<_>| thread.thread().id() != thread::current().id();
        if let Some(thread) = self.thread.take().filter(|thread| is_idle && other(thread)) {
            let _ = thread.join();
        }
    }
}

struct Foreman {
    desk: Arc<Desk>,
    waker: Waker,
    terms: Terms,
    handle: Handle<Reply>,
    places: Places,
    parcels: BTreeMap<Ticket, Parcel>,
    finished: Finished,
    gathered: Vec<Gathered>,
    /// Parcels of which all was begun since it was told last.
    whole: Vec<Ticket>,
    told: Instant,
}

impl Foreman {
    /// The thread's body; the function, when there is no more to do.
    fn work(mut self, mut function: Box<dyn Function>) -> Box<dyn Function> {
        loop {
            let room_for = function.concurrent().map_or(0, |concurrent| concurrent.ahead());
            let most = self.terms.open_max.saturating_add(room_for) as usize;
            let found = self.desk.find(most.saturating_sub(self.places.given()));
            let (closing, is_bare) = (found.closing, found.is_bare);
            for code in &found.codes {
                if let Err(failure) = function.define(code.id, code.bytes.as_deref()) {
                    self.handle.reply(Reply::Unfit(failure.into_text()));
                }
            }
            self.places.pass(Instant::now());
            let Some(concurrent) = function.concurrent() else { return function };
            self.begin(found, concurrent);
            concurrent.poll(&mut self.finished);
            let due = concurrent.due();
            self.places.pass(Instant::now());
            self.gather();
            let open = self.places.given();
            match closing {
                Some(Closing::Abandon) => break,
                Some(Closing::Finish) if open == 0 => break,
                _ => {}
            }
            let has_room = open < most;
            if (has_room && is_bare) || self.finished.is_full() || self.told.elapsed() >= GATHER {
                self.tell();
            }
            if has_room && !is_bare && closing.is_none() {
                continue;
            }
            self.desk.rest(open);
            let tells = (!self.gathered.is_empty()).then(|| self.told + GATHER);
            self.waker.wait(due.into_iter().chain(tells).min());
        }
        function.tear_down();
        function
    }

    /// Starts what is begun.
    fn begin(&mut self, found: Found, function: &mut dyn Concurrent) {
        let Self { parcels, places, terms, finished, .. } = self;
        for task in found.arrived {
            parcels.insert(task.ticket, Parcel::new(task));
        }
        for (ticket, first, count) in found.begun {
            let Some(parcel) = parcels.get(&ticket) else { continue };
            let mut cursor = Cursor::new(&parcel.task.units);
            cursor.skip_to(first as usize);
            let spans = cursor.take(count).into_iter();
            let units = spans.flat_map(|span| (0..span.count).map(move |at| span.unit(at)));
            for (index, (id, path)) in (first..).zip(units) {
                let attempt = parcel.task.attempt;
                let unit = Unit { id, path: &path, attempt, stage: &terms.stage };
                let value = parcel.task.units.value(index as usize);
                let (input, value) = match terms.pairs {
                    false => (&[][..], Ok(value)),
                    true => match split_pair(value) {
                        Ok((input, value)) => (input, Ok(value)),
                        Err(failure) => (&[][..], Err(failure)),
                    },
                };
                let slot = places.begin(ticket, index, input);
                match value {
                    Ok(value) => function.start(slot, &unit, value),
                    Err(failure) => finished.failed(slot, failure),
                }
            }
        }
        for (ticket, kept) in found.whole {
            self.whole.push(ticket);
            if let Some(parcel) = parcels.get_mut(&ticket) {
                parcel.kept = Some(kept);
            }
        }
    }

    /// Takes note of what has finished.
    fn gather(&mut self) {
        for ended in self.finished.take_ended() {
            let Some((place, took)) = self.places.end(ended.slot) else { continue };
            let Place { ticket, index, input, .. } = place;
            if let Some(parcel) = self.parcels.get_mut(&ticket) {
                parcel.ended(took);
            }
            self.gathered.push(Gathered { ticket, index, took, input, outcome: ended.outcome });
        }
    }

    /// Hands over what has finished.
    fn tell(&mut self) {
        if self.gathered.is_empty() && self.whole.is_empty() {
            return;
        }
        self.told = Instant::now();
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.sort_unstable_by_key(|unit| (unit.ticket, unit.index));
        let mut products: BTreeMap<Ticket, Product> = BTreeMap::new();
        for ticket in std::mem::take(&mut self.whole) {
            products.insert(ticket, Product::default());
        }
        for units in gathered.chunk_by(|a, b| a.ticket == b.ticket) {
            let Some(parcel) = units.first().and_then(|unit| self.parcels.get(&unit.ticket)) else {
                continue;
            };
            let product = product_of(&parcel.task, units, self.finished.outputs(), &self.terms);
            products.insert(parcel.task.ticket, product);
        }
        self.finished.clear();
        let mut done = Vec::new();
        let replies: Vec<Reply> = products
            .into_iter()
            .filter_map(|(ticket, product)| {
                let ended = self.parcels.get(&ticket)?.is_done();
                let finished = ended.then(|| self.parcels.remove(&ticket)).flatten();
                done.extend(finished.as_ref().map(|_| ticket));
                let finished = finished.map(|parcel| parcel.busy());
                let says = finished.is_some() || !product.is_empty();
                says.then_some(Reply::Product { ticket, product, finished })
            })
            .collect();
        if !done.is_empty() {
            self.desk.forget(&done);
        }
        if !replies.is_empty() {
            self.handle.carry_in(Reply::Several(replies));
        }
    }
}
