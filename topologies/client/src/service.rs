//! A connection to a service.
//!
//! Owns the thread that hears it, the numbers of what is submitted, and how long a submission waits; refuses to
//! know how a service is found by its name.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use proto::{
    causes::with_causes,
    frame::{HelloRole, Refusal, RunId},
    limits::{FRAME_BYTES_CEILING, Limits},
    net::{
        driver::{Driver, Handle, Performed},
        endpoint::Endpoint,
        hello::hello,
        key::Key,
        zeromq::{NetError, SharedContext},
    },
    service::{self, IdRange, PRIORITY_MAX, UNIQUE_BYTES_MAX, VALUE_BYTES_MAX},
    unit::UnitId,
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::{
    core::{Client, News, Order},
    nest::Nest,
    outcome::NoValue,
    stream::Stream,
    submissions::Submission,
    table::{Cell, Known, Table},
    ticket::{Ticket, WaitError},
};

/// Units that may be without an answer; whoever submits more waits.
const UNANSWERED_UNITS_MAX: usize = 64 << 10;
/// The same in bytes of values.
const UNANSWERED_BYTES_MAX: usize = 16 << 20;
/// A service that has answered, and takes no unit for so long, has no room.
const CREDIT_WAIT: Duration = Duration::from_millis(250);

/// Where a service is.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where its ventilator listens.
    pub ventilator: Endpoint,
    /// What encrypts and authenticates tcp; none for `ipc`, and with `--insecure`.
    pub key: Option<Key>,
}

/// Looks where a service is now.
pub type Find = Box<dyn Fn() -> Option<Endpoint> + Send>;

/// How a connection is made.
pub struct Setup {
    /// Where the service is.
    pub place: Place,
    /// Looks for it again when it is lost; without it, it comes back where it was.
    pub find: Option<Find>,
    /// By what this client's units are told from those of others, also after the program was started
    /// again; empty: it has no name, and does not come back.
    pub client: String,
    /// The first number that is given to a unit: units that are submitted again under a number that was
    /// used before are the same units. Only with a name.
    pub first_number: u64,
    /// What is queued of this client is cancelled when it is gone.
    pub cancels: bool,
    /// How long the service is waited for.
    pub timeout: Duration,
}

impl Setup {
    /// A client without a name of the service at that place.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            find: None,
            client: String::new(),
            first_number: 0,
            cancels: false,
            timeout: Duration::from_secs(5),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Nobody answers.
    #[error("no service answers at {at} within {seconds} s")]
    Silent {
        /// Where.
        at: String,
        /// For how long it was waited for.
        seconds: u64,
    },
    /// The service takes no clients.
    #[error("{at} refuses: {refusal}")]
    Refused {
        /// Where.
        at: String,
        /// Why.
        refusal: Refusal,
    },
    /// The sockets can't be set up.
    #[error(transparent)]
    Net(#[from] NetError),
    /// No thread or random number could be had.
    #[error("cannot connect: {0}")]
    Io(#[from] io::Error),
}

/// How units are treated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Units of a higher priority are sent first: 0 to 9.
    pub priority: u8,
    /// They are not sent before so much time has passed.
    pub delay: Duration,
    /// They are dead if they were not sent within that time.
    pub ttl: Option<Duration>,
    /// As long as a unit with this key is not done, this is the same unit.
    pub unique: Option<String>,
    /// As long as the service remembers its clients, a unit with this key is the same unit, also when it is
    /// done.
    pub once: Option<String>,
}

/// What a submission waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wait {
    /// For room in the queue; without workers it fails.
    #[default]
    ForRoom,
    /// For room, be there workers or not.
    ForWorkers,
    /// For nothing.
    Never,
    /// For workers, and not for room.
    ForWorkersOnly,
    /// For nothing, and nothing is refused: room was waited for, by [`Service::wait_for_room`].
    Waited,
}

/// Why a unit was not submitted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// A stage has no worker.
    #[error("the service has no workers")]
    NoWorkers,
    /// The queue is full.
    #[error("the service's queue is full")]
    Full,
    /// The connection is closed.
    #[error("the connection to the service was closed")]
    Closed,
    /// The value is too large.
    #[error(
        "the value has {bytes} bytes; a unit may have {VALUE_BYTES_MAX}: pass a path, or cut it"
    )]
    Large {
        /// Its length.
        bytes: usize,
    },
    /// The value has no MessagePack form.
    #[error("the value can't be encoded: {0}")]
    Value(String),
    /// The terms are none.
    #[error("{0}")]
    Terms(&'static str),
}

/// Why a call gave no value.
#[derive(Debug, Error)]
pub enum CallError {
    /// It was not submitted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// There was no outcome in time.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The outcome is not that value.
    #[error(transparent)]
    Value(#[from] NoValue),
}

/// What a ticket shares with its service.
pub(crate) struct Inner {
    table: Arc<Table>,
    handle: Handle<Order>,
    // The next number; who submits holds this, so that numbers are sent in their order.
    next: Mutex<u64>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    // Goes once nobody listens there any more.
    nest: Mutex<Option<Nest>>,
}

impl Inner {
    pub fn run(&self) -> Option<RunId> {
        self.table.lock().run
    }

    pub fn cancel(&self, id: UnitId) {
        self.handle.carry_in(Order::Cancel((id, id + 1)));
    }

    pub fn follow(&self, id: UnitId) {
        self.handle.carry_in(Order::Follow(id));
    }

    pub fn text_of(&self, id: UnitId) -> String {
        format!("{:016x}/{id}", self.run().unwrap_or_default())
    }

    pub fn taken(&self, id: UnitId) {
        self.table.taken(id);
    }

    pub fn release(&self, cell: &Arc<Cell>) {
        self.table.release(cell);
    }

    fn hang_up(&self) {
        let collected = self.table.collect();
        if !collected.is_empty() {
            self.handle.reply(Order::Fetched(collected));
        }
        self.handle.drain();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread itself may be the last who knows this one.
        if let Some(thread) = thread.filter(|own| own.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
        drop(self.nest.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// A connection to a service; cheap to clone. It is closed when nothing holds it any more, its tickets
/// included.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({:016x})", self.0.run().unwrap_or_default())
    }
}

impl Service {
    /// Connects to a service.
    ///
    /// # Errors
    /// [`ConnectError`] when nobody answers, or no clients are taken there.
    pub fn connect(setup: Setup) -> Result<Self, ConnectError> {
        let at = setup.place.ventilator.to_string();
        let listening = Limits { frame_bytes_max: FRAME_BYTES_CEILING, ..Limits::default() };
        let context = SharedContext::new();
        let mut driver = Driver::new(&context, setup.place.key.clone(), &listening)?;
        let me = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let (inbox, nest) = inbox(&setup.place.ventilator, me)?;
        driver.bind(&inbox)?;
        let handle = driver.handle();
        let role = HelloRole::Client { client: setup.client.clone(), cancels: setup.cancels };
        let (client, first) = Client::new(me, hello(role, "client"), vec![at.clone()]);
        let table = Arc::new(Table::default());
        let (theirs, find) = (table.clone(), setup.find);
        let perform = move |news| match news {
            News::Collect => match theirs.collect() {
                none if none.is_empty() => Performed::Underway,
                taken => Performed::Replied(Order::Fetched(taken)),
            },
            News::Look => match find.as_ref().and_then(|find| find()) {
                None => Performed::Underway,
                Some(found) => Performed::Replied(Order::Found(vec![found.to_string()])),
            },
            news => {
                theirs.hear(news);
                Performed::Underway
            }
        };
        let ears = table.clone();
        let thread = thread::Builder::new().name("service".into()).spawn(move || {
            if let Err(error) = driver.run(client, first, perform) {
                tracing::warn!(error = %with_causes(&error), "the connection to the service is lost");
            }
            ears.close();
        })?;
        let (next, thread) = (Mutex::new(setup.first_number), Mutex::new(Some(thread)));
        let service = Self(Arc::new(Inner { table, handle, next, thread, nest: Mutex::new(nest) }));
        service.wait_until_open(at, setup.timeout)?;
        Ok(service)
    }

    fn wait_until_open(&self, at: String, timeout: Duration) -> Result<(), ConnectError> {
        let until = Instant::now() + timeout;
        let mut known = self.0.table.lock();
        loop {
            if known.run.is_some() {
                break;
            }
            if let Some(refusal) = known.refused.clone() {
                return Err(ConnectError::Refused { at, refusal });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ConnectError::Silent { at, seconds: timeout.as_secs() });
            }
            let woken = self.0.table.changed().wait_timeout(known, left);
            known = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        // Whoever does not wait for room has to know whether there is any.
        let has_none = |known: &mut Known| !known.has_credit && !known.closed;
        drop(self.0.table.changed().wait_timeout_while(known, CREDIT_WAIT, has_none));
        Ok(())
    }

    /// Submits a unit, and waits for room if there is none.
    ///
    /// # Errors
    /// [`SubmitError`] when there is no worker, or the value can't be sent.
    pub fn submit(&self, value: &impl Serialize) -> Result<Ticket, SubmitError> {
        self.submit_with(value, &Terms::default(), Wait::default())
    }

    /// Submits a unit, and gives its outputs in their order, as they come if the stage streams.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn stream(&self, value: &impl Serialize) -> Result<Stream, SubmitError> {
        Ok(self.submit(value)?.stream())
    }

    /// Submits a unit under these terms.
    ///
    /// # Errors
    /// [`SubmitError`] when it can't be, or would have to wait for what is not to be waited for.
    pub fn submit_with(
        &self,
        value: &impl Serialize,
        terms: &Terms,
        wait: Wait,
    ) -> Result<Ticket, SubmitError> {
        let encoded = rmp_serde::to_vec_named(value);
        let encoded = encoded.map_err(|error| SubmitError::Value(error.to_string()))?;
        let mut tickets = self.submit_encoded(vec![encoded], terms, wait)?;
        tickets.pop().ok_or(SubmitError::Closed)
    }

    /// Submits units whose values are MessagePack already; a ticket each, in their order.
    ///
    /// # Errors
    /// As [`submit_with`](Self::submit_with); none of them is submitted then.
    pub fn submit_encoded(
        &self,
        values: Vec<Vec<u8>>,
        terms: &Terms,
        wait: Wait,
    ) -> Result<Vec<Ticket>, SubmitError> {
        self.send(values, terms, wait, true)
    }

    /// The same without waiting for the outcomes: their tickets are for others.
    ///
    /// # Errors
    /// As [`submit_encoded`](Self::submit_encoded).
    pub fn hand_in(
        &self,
        values: Vec<Vec<u8>>,
        terms: &Terms,
        wait: Wait,
    ) -> Result<Vec<Ticket>, SubmitError> {
        self.send(values, terms, wait, false)
    }

    fn send(
        &self,
        values: Vec<Vec<u8>>,
        terms: &Terms,
        wait: Wait,
        awaits: bool,
    ) -> Result<Vec<Ticket>, SubmitError> {
        if let Some(large) = values.iter().find(|value| value.len() > VALUE_BYTES_MAX) {
            return Err(SubmitError::Large { bytes: large.len() });
        }
        let spoken = spoken(terms, values.len())?;
        let keeps = terms.unique.is_some() || terms.once.is_some() || !awaits;
        let mut tickets = Vec::with_capacity(values.len());
        let mut values = values.into_iter().peekable();
        while values.peek().is_some() {
            self.wait_for_room(wait, None)?;
            let (mut payload, mut ends, mut cells) = (Vec::new(), Vec::new(), Vec::new());
            // Only as much at once as a frame takes.
            while ends.len() < 4_096
                && payload.len() < 256 << 10
                && let Some(value) = values.next()
            {
                payload.extend_from_slice(&value);
                ends.push(payload.len() as u32);
                cells.push((Arc::new(Cell::default()), value.len()));
            }
            let mut next = self.0.next.lock().unwrap_or_else(PoisonError::into_inner);
            let number = *next;
            *next += cells.len() as u64;
            let mut known = self.0.table.lock();
            if known.closed {
                return Err(SubmitError::Closed);
            }
            for ((cell, bytes), number) in cells.iter().zip(number..) {
                Table::submitted(&mut known, number, cell.clone(), *bytes, awaits);
            }
            drop(known);
            let terms = spoken.clone();
            let submission = Submission { number, terms, payload, ends, awaits };
            self.0.handle.carry_in(Order::Submit(submission));
            drop(next);
            let new = |(cell, _)| Ticket::new(cell, self.0.clone(), keeps);
            tickets.extend(cells.into_iter().map(new));
        }
        Ok(tickets)
    }

    /// Waits until a unit can be submitted, at most so long; whether one can. Others may be quicker, so a
    /// submission under [`Wait::Waited`] may go beyond the bounds, by what it holds.
    ///
    /// # Errors
    /// [`SubmitError`] when that is not to be waited for.
    pub fn wait_for_room(
        &self,
        wait: Wait,
        patience: Option<Duration>,
    ) -> Result<bool, SubmitError> {
        let until = patience.map(|patience| Instant::now() + patience);
        let mut known = self.0.table.lock();
        loop {
            let (units, bytes) = known.unanswered;
            let is_full = units >= UNANSWERED_UNITS_MAX || bytes >= UNANSWERED_BYTES_MAX;
            match wait {
                _ if known.closed => return Err(SubmitError::Closed),
                Wait::ForRoom | Wait::Never if known.vacant => return Err(SubmitError::NoWorkers),
                Wait::Never | Wait::ForWorkersOnly
                    if is_full || !known.has_credit && known.absent_since.is_none() =>
                {
                    return Err(SubmitError::Full);
                }
                Wait::Waited => return Ok(true),
                _ if !is_full => return Ok(true),
                _ => {}
            }
            let changed = self.0.table.changed();
            known = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return Ok(false),
                Some(left) => {
                    changed.wait_timeout(known, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => changed.wait(known).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Submits a unit and waits for its one value, at most so long.
    ///
    /// # Errors
    /// [`CallError`] when it is not submitted, has no outcome in time, or fails.
    pub fn call<T: DeserializeOwned>(
        &self,
        value: &impl Serialize,
        timeout: Option<Duration>,
    ) -> Result<T, CallError> {
        Ok(self.submit(value)?.get(timeout)?.value()?)
    }

    /// The ticket of a unit that was accepted, be it by another client.
    pub fn ticket(&self, id: UnitId) -> Ticket {
        self.ticket_that(id, false)
    }

    fn ticket_that(&self, id: UnitId, keeps: bool) -> Ticket {
        let cell = Cell::of(id);
        self.0.table.awaits(id, cell.clone());
        self.0.handle.carry_in(Order::Await((id, id.saturating_add(1))));
        Ticket::new(cell, self.0.clone(), keeps)
    }

    /// The same, for somebody who looks at the outcome and leaves it where it is.
    pub fn look_at(&self, id: UnitId) -> Ticket {
        self.ticket_that(id, true)
    }

    /// The ticket of this text, `run/id`, if it is of the run that this service is.
    pub fn ticket_of(&self, text: &str) -> Option<Ticket> {
        let (run, id) = parse_ticket(text)?;
        (self.run() == Some(run)).then(|| self.ticket(id))
    }

    /// The run that the service is.
    pub fn run(&self) -> Option<RunId> {
        self.0.run()
    }

    /// Whether a stage has no worker.
    pub fn is_vacant(&self) -> bool {
        self.0.table.lock().vacant
    }

    /// For how long the service has been missing, if it is: its ventilator, or its sink. Both are waited for, and
    /// what was accepted is not lost with them.
    pub fn absent_for(&self) -> Option<Duration> {
        self.0.table.lock().absent_since.map(|since| since.elapsed())
    }

    /// A unit shall not be worked on, if no worker has begun it.
    pub fn cancel(&self, id: UnitId) {
        self.0.cancel(id);
    }

    /// The service need not keep the outcomes of these units.
    pub fn forget(&self, units: Vec<IdRange>) {
        self.0.handle.reply(Order::Fetched(units));
    }

    /// Says goodbye and hangs up, once everything is accepted or after a moment. Outcomes that are here stay;
    /// whoever waits for others is told [`Undone::Closed`](crate::Undone::Closed).
    pub fn close(&self) {
        self.0.hang_up();
    }

    /// Waits until everything that was submitted is answered, at most so long; whether it is.
    pub fn flush(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        let mut known = self.0.table.lock();
        while known.unanswered.0 > 0 && !known.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.0.table.changed().wait_timeout(known, left);
            known = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        known.unanswered.0 == 0
    }
}

/// Run and unit of a ticket's text.
pub fn parse_ticket(text: &str) -> Option<(RunId, UnitId)> {
    let (run, id) = text.trim().split_once('/')?;
    let run = (run.len() == 16).then(|| RunId::from_str_radix(run, 16).ok()).flatten()?;
    Some((run, id.parse().ok()?))
}

/// The terms as they are said.
fn spoken(terms: &Terms, values: usize) -> Result<service::Terms, SubmitError> {
    if terms.priority > PRIORITY_MAX {
        return Err(SubmitError::Terms("a priority is 0 to 9"));
    }
    let keys = || terms.unique.iter().chain(&terms.once);
    if keys().any(|key| key.len() > UNIQUE_BYTES_MAX) {
        return Err(SubmitError::Terms("a key has at most 1024 bytes"));
    }
    if keys().next().is_some() && values > 1 {
        return Err(SubmitError::Terms("one key is for one unit"));
    }
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok(service::Terms {
        priority: terms.priority,
        delay_ms: ms(terms.delay),
        ttl_ms: terms.ttl.map(ms),
        unique: terms.unique.clone(),
        once: terms.once.clone(),
    })
}

/// Where this client listens, for a service at that endpoint; and the folder that is in, if it is in one.
fn inbox(ventilator: &Endpoint, me: u64) -> io::Result<(Endpoint, Option<Nest>)> {
    match ventilator {
        Endpoint::Ipc(_) => {
            let nest = Nest::new(me)?;
            Ok((Endpoint::Ipc(nest.inbox()), Some(nest)))
        }
        _ => Ok((Endpoint::Tcp { host: "*".into(), port: 0 }, None)),
    }
}
