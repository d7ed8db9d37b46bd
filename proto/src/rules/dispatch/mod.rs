//! Handing units to the workers of a stage, and keeping them until they are committed.
//!
//! Owns which worker gets what (least loaded first), what each one holds, retries, the search
//! for a unit that kills workers, retraction and speculation. Refuses sockets and values: it is
//! the same for the ventilator and for a worker of an inner stage, over any network.

mod crew;
mod kept;
mod quiet;

use std::{
    collections::{BTreeMap, BinaryHeap, VecDeque},
    ops::Range,
    time::Duration,
};

pub use self::crew::PARCELS_PER_PEER;
use self::{crew::Crew, kept::Kept};

use crate::{
    frame::{Credit, Dead, Done, ParcelId, Work},
    limits::{BACKOFF_MS_MAX, Limits},
    plan::Stage,
    ranges::RangeSet,
    role::{LinkId, Turn},
    rules::{mesh::Loss, sizing::Sizing},
    time::Time,
    unit::UnitId,
    units::Units,
};

/// Into how many pieces a parcel is cut when its worker died.
const PIECES: usize = 16;
/// A parcel is called back from a worker that has had it for so long, if another one is idle.
const RETRACT_AFTER: Duration = Duration::from_millis(12);
/// It is given to a second one after so long, at the least.
const COPY_AFTER: Duration = Duration::from_millis(48);

/// What shall be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// A parcel for a worker.
    Send(LinkId, Work),
    /// A parcel whose units not begun shall come back.
    Retract(LinkId, ParcelId),
    /// A unit has failed for good; the sink has to know.
    Dead(Dead),
}

/// Units that wait, with their history.
#[derive(Debug, Clone)]
struct Stock {
    units: Units,
    next: usize,
    history: History,
    loan: Option<Loan>,
}

impl Stock {
    fn new(units: Units, history: History) -> Self {
        Self { units, next: 0, history, loan: None }
    }
}

/// Who still has units that are for others now, since it is not heard: since when, and in which
/// parcel, unless it has executed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loan {
    link: LinkId,
    at: Time,
    parcel: Option<ParcelId>,
}

/// What happened to units before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct History {
    attempt: u32,
    deaths: u32,
    // Its worker died: it travels without others until it is cleared.
    suspect: bool,
}

/// Why units failed in one attempt.
struct Failure<'a> {
    history: History,
    error: &'a str,
    worker: &'a str,
}

const FRESH: History = History { attempt: 1, deaths: 0, suspect: false };

#[derive(Debug)]
struct Sent {
    units: Units,
    history: History,
    at: Time,
    retracted: bool,
    // This is a second copy of units that another worker holds, or that wait for one.
    copy: bool,
    // There is a second copy of it.
    copied: bool,
}

impl Sent {
    /// What a worker was sent then, and counts.
    fn then(at: Time, units: Units, history: History) -> Self {
        Self { units, history, at, retracted: false, copy: false, copied: false }
    }
}

#[derive(Debug)]
struct Delayed {
    due: Time,
    order: u64,
    stock: Stock,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.order) == (other.due, other.order)
    }
}
impl Eq for Delayed {}
impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

/// The units that one process has for the workers of one stage.
#[derive(Debug)]
pub struct Dispatch {
    stage_index: u32,
    retries: u32,
    backoff: Duration,
    crash_limit: u32,
    parcel_units_max: usize,
    parcel_bytes_max: usize,
    target: Duration,
    // Units that were sent before go first.
    again: VecDeque<Stock>,
    fresh: VecDeque<Stock>,
    delayed: BinaryHeap<Delayed>,
    crew: Crew,
    kept: Kept,
    next_parcel: ParcelId,
    kept_bytes: usize,
    ready_units: usize,
    ready_bytes: usize,
    ending: bool,
    attempts: u64,
    lost_at: Option<Time>,
    recovery: Option<Duration>,
    latencies: Vec<(Duration, usize)>,
    // When it last looked for something to call back or to copy.
    looked: Time,
    // Counts what came to the stocks; and the watermark and count when nothing in the stocks was
    // part of the oldest unit.
    stocked: u64,
    searched: Option<(UnitId, u64)>,
    copies: u64,
    lent: u64,
    pressed: u64,
}

impl Dispatch {
    /// Nothing to hand out yet; `stage` is the stage of the workers that will get it.
    pub fn new(stage_index: u32, stage: &Stage, limits: &Limits) -> Self {
        Self {
            stage_index,
            retries: stage.retries,
            backoff: Duration::from_millis(stage.backoff_ms),
            crash_limit: stage.crash_limit.max(1),
            parcel_units_max: limits.parcel_units_max.max(1) as usize,
            parcel_bytes_max: limits.parcel_bytes_max.max(1) as usize,
            target: Duration::from_millis(limits.parcel_target_ms.max(1)),
            again: VecDeque::new(),
            fresh: VecDeque::new(),
            delayed: BinaryHeap::new(),
            crew: Crew::default(),
            kept: Kept::default(),
            next_parcel: 0,
            kept_bytes: 0,
            ready_units: 0,
            ready_bytes: 0,
            ending: false,
            attempts: 0,
            lost_at: None,
            recovery: None,
            latencies: Vec::new(),
            looked: Time::default(),
            stocked: 0,
            searched: None,
            copies: 0,
            lent: 0,
            pressed: 0,
        }
    }

    /// Bytes of values that wait or are kept.
    pub fn bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Units that wait to be sent, retries that are not due included.
    pub fn waiting(&self) -> usize {
        self.ready_units + self.delayed.iter().map(|d| d.stock.units.len()).sum::<usize>()
    }

    /// Units that could be sent at once.
    pub fn ready(&self) -> usize {
        self.ready_units
    }

    /// Bytes of their values.
    pub fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Whether nothing waits and everything that was sent is committed.
    pub fn is_empty(&self) -> bool {
        self.ready_units == 0
            && self.delayed.is_empty()
            && !self.crew.any_busy()
            && self.kept.is_empty()
    }

    /// How many units were sent, each try counted.
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    /// How many parcels were given to a second worker at the end.
    pub fn copies(&self) -> u64 {
        self.copies
    }

    /// How many parcels of workers that were not heard were for others as well.
    pub fn lent(&self) -> u64 {
        self.lent
    }

    /// How many parcels went without credit, since everything may have waited for them.
    pub fn pressed(&self) -> u64 {
        self.pressed
    }

    /// The longest time from the loss of a worker, or from the last that was heard of one that is
    /// quiet, to the moment when all of its units were with others.
    pub fn recovery(&self) -> Option<Duration> {
        self.recovery
    }

    /// No further units will be added but those that come back: idle workers may now be given
    /// second copies.
    pub fn ending(&mut self) {
        self.ending = true;
    }

    /// Takes units in.
    pub fn add(&mut self, mut units: Units) {
        if !units.is_empty() {
            units.share();
            self.kept_bytes += units.bytes();
            self.ready_units += units.len();
            self.ready_bytes += units.bytes();
            self.stocked += 1;
            self.fresh.push_back(Stock::new(units, FRESH));
        }
    }

    /// A worker's session begins.
    pub fn join(&mut self, link: LinkId, name: &str) {
        let sizing = Sizing::new(self.target, self.parcel_units_max);
        self.crew.join(link, name, sizing);
    }

    /// The human-readable name of a worker, if it is one of this stage.
    pub fn name_of(&self, link: LinkId) -> Option<&str> {
        self.crew.get(link).map(|peer| peer.name.as_str())
    }

    /// How many workers there are.
    pub fn peers(&self) -> usize {
        self.crew.len()
    }

    /// How long units that have been committed since the last call were under way, and how many
    /// of them.
    pub fn take_latencies(&mut self) -> Vec<(Duration, usize)> {
        std::mem::take(&mut self.latencies)
    }

    /// A worker grants credit.
    pub fn granted(&mut self, link: LinkId, credit: Credit) {
        self.crew.update(link, |peer| peer.allowance.granted(credit));
    }

    /// A worker takes no more.
    pub fn leaving(&mut self, link: LinkId) {
        self.crew.update(link, |peer| peer.leaving = true);
    }

    /// A worker's session has ended: exactly what it was sent and is not committed goes to
    /// others. A death is charged to the units that it was executing, at most.
    pub fn lost(
        &mut self,
        turn: &mut Turn<'_, Order>,
        link: LinkId,
        loss: Loss,
        committed: &RangeSet,
    ) {
        let Some(peer) = self.crew.remove(link) else { return };
        let mut executing = matches!(loss, Loss::Disconnected);
        for (index, sent) in peer.pending.into_values().enumerate() {
            if index > 0 {
                // It executed the first one, and had not begun the others.
                self.attempts = self.attempts.saturating_sub(sent.units.len() as u64);
            }
            let suspected = std::mem::take(&mut executing);
            if suspected && !sent.copy {
                self.charge(sent, &peer.name, committed, turn.out);
            } else if suspected && peer.quiet {
                self.accuse(&sent, (link, &peer.name), committed, turn.out);
                self.take_back(sent, committed);
            } else {
                self.take_back(sent, committed);
            }
        }
        for sent in self.kept.take_of(link) {
            self.take_back(sent, committed);
        }
        self.forget_loans(link);
        if !self.again.is_empty() {
            self.lost_at.get_or_insert(turn.now);
        }
    }

    /// A worker has given units back that it had not begun.
    pub fn returned(&mut self, link: LinkId, parcel: ParcelId, keep: u32, committed: &RangeSet) {
        let back = self.crew.update(link, |peer| {
            let sent = peer.pending.get_mut(&parcel)?;
            let keep = (keep as usize).min(sent.units.len());
            let units = sent.units.slice(keep..sent.units.len());
            let back = Sent { units, retracted: false, ..*sent };
            sent.retracted = false;
            if keep == 0 {
                peer.pending.remove(&parcel);
            } else {
                sent.units = sent.units.slice(0..keep);
            }
            Some(back)
        });
        if let Some(back) = back.flatten() {
            // What was not begun was not tried.
            self.attempts = self.attempts.saturating_sub(back.units.len() as u64);
            self.take_back(back, committed);
        }
    }

    /// Which unit has this index in a parcel that a worker holds.
    pub fn unit_of(&self, link: LinkId, parcel: ParcelId, index: u32) -> Option<UnitId> {
        let sent = self.crew.get(link)?.pending.get(&parcel)?;
        let mut left = index;
        for span in sent.units.spans() {
            if left < span.count {
                return Some(span.unit(left).0);
            }
            left -= span.count;
        }
        None
    }

    /// A worker has executed a parcel. Units that failed are tried again later or are dead.
    pub fn done(
        &mut self,
        turn: &mut Turn<'_, Order>,
        link: LinkId,
        done: &Done,
        committed: &RangeSet,
    ) {
        let busy = Duration::from_nanos(done.busy_ns);
        let executed = self.crew.update(link, |peer| {
            let sent = peer.pending.remove(&done.parcel)?;
            peer.sizing.finished(sent.units.len(), busy);
            Some((sent, peer.name.clone()))
        });
        let Some((mut sent, worker)) = executed.flatten() else { return };
        // A peer may say anything: each unit fails once, and none that is not in the parcel.
        let count = sent.units.len() as u32;
        let failures: BTreeMap<u32, &str> = done
            .failed
            .iter()
            .filter(|failed| failed.index < count)
            .map(|failed| (failed.index, failed.error.as_str()))
            .collect();
        let indices: Vec<u32> = failures.keys().copied().collect();
        let failed = sent.units.extract(&indices);
        let freed: usize = failed.iter().map(Units::bytes).sum();
        let (history, copy) = (sent.history, sent.copy);
        if sent.units.all_in(committed) {
            self.kept_bytes -= sent.units.bytes();
            self.latencies.push((turn.now.since(sent.at), sent.units.len()));
        } else {
            self.kept.push(link, sent);
        }
        self.kept_bytes -= freed;
        if copy {
            return; // the worker that holds the original decides
        }
        // What failed together is tried again together, unless it has to travel alone: a million
        // that fail must not take a place each.
        let mut again = Units::new();
        for (units, error) in failed.into_iter().zip(failures.into_values()) {
            let failure = Failure { history, error, worker: &worker };
            let Some(units) = self.failed(units, failure, committed, turn.out) else { continue };
            match history.suspect {
                true => self.later(turn.now, units, history),
                false => again.append(&units),
            }
        }
        if !again.is_empty() {
            self.later(turn.now, again, history);
        }
    }

    /// Forgets what is committed; `news` are the ranges of `committed` that have grown since the
    /// last call.
    pub fn committed(&mut self, now: Time, committed: &RangeSet, news: &[Range<UnitId>]) {
        for sent in self.kept.settle(committed, news) {
            self.kept_bytes -= sent.units.bytes();
            self.latencies.push((now.since(sent.at), sent.units.len()));
        }
    }

    /// Everything that may be sent now.
    pub fn dispatch(&mut self, turn: &mut Turn<'_, Order>, committed: &RangeSet) {
        while self.delayed.peek().is_some_and(|delayed| delayed.due <= turn.now) {
            if let Some(Delayed { stock, .. }) = self.delayed.pop() {
                self.stock_again(stock);
            }
        }
        while self.ready_units > 0 {
            let Some((link, units, bytes)) = self.least_loaded() else { break };
            let before = self.ready_units;
            let Some((units, history)) = self.pick(units, bytes, committed) else {
                // What was next has been committed meanwhile; the rest has not been looked at.
                if self.ready_units < before {
                    continue;
                }
                break;
            };
            self.send(turn, link, units, history, false);
        }
        self.press(turn, committed);
        if self.again.is_empty()
            && let Some(lost_at) = self.lost_at.take()
        {
            self.recovery = self.recovery.max(Some(turn.now.since(lost_at)));
        }
        if self.ready_units == 0 && turn.now.since(self.looked) >= RETRACT_AFTER {
            self.looked = turn.now;
            self.use_idle_workers(turn);
        }
    }

    fn stock_again(&mut self, stock: Stock) {
        self.ready_units += stock.units.len();
        self.ready_bytes += stock.units.bytes();
        self.stocked += 1;
        self.again.push_back(stock);
    }

    /// What belongs to the oldest unit that is not committed goes to a worker that has given no
    /// credit too: all that workers keep, and grant no credit for, may wait for that very unit.
    fn press(&mut self, turn: &mut Turn<'_, Order>, committed: &RangeSet) {
        let oldest = committed.watermark();
        while self.ready_units > 0 && self.searched != Some((oldest, self.stocked)) {
            let Some((link, is_idle)) = self.crew.closed() else { return };
            match self.pick_oldest(oldest) {
                Some(stock) if stock.history.suspect && !is_idle => {
                    self.again.push_front(stock);
                    return;
                }
                Some(Stock { units, history, .. }) => {
                    self.ready_units -= units.len();
                    self.ready_bytes -= units.bytes();
                    self.pressed += 1;
                    self.send(turn, link, units, history, false);
                }
                None => self.searched = Some((oldest, self.stocked)),
            }
        }
    }

    /// Takes units of this root out of the stocks, as many as lie together and fit a parcel.
    fn pick_oldest(&mut self, root: UnitId) -> Option<Stock> {
        for queue in [&mut self.again, &mut self.fresh] {
            let found = queue.iter().enumerate().find_map(|(place, stock)| {
                stock.units.find_root(root, stock.next).map(|indices| (place, indices))
            });
            let Some((place, indices)) = found else { continue };
            let stock = queue.remove(place)?;
            let fitting =
                stock.units.fitting(indices.start, self.parcel_units_max, self.parcel_bytes_max);
            let end = indices.end.min(indices.start + fitting);
            for rest in [end..stock.units.len(), stock.next..indices.start] {
                if !rest.is_empty() {
                    let units = stock.units.slice(rest);
                    queue.insert(place, Stock { units, next: 0, ..stock });
                }
            }
            return Some(Stock { units: stock.units.slice(indices.start..end), next: 0, ..stock });
        }
        None
    }

    /// When something becomes possible by the passing of time alone.
    pub fn deadline(&self) -> Option<Time> {
        let retry = self.delayed.peek().map(|delayed| delayed.due);
        let useless = self.ready_units == 0 && self.crew.any_idle() && self.crew.any_busy();
        let look = useless.then(|| self.looked + RETRACT_AFTER);
        [retry, look].into_iter().flatten().min()
    }

    /// The worker that is expected to be the first to finish what it holds, if one may be sent
    /// anything, and how much. What is suspect is all that its worker has.
    fn least_loaded(&self) -> Option<(LinkId, usize, usize)> {
        let alone = self.again.front().is_some_and(|stock| stock.history.suspect);
        let (link, peer) = self.crew.next(alone)?;
        let shared = self.ending.then_some(self.ready_units);
        let share = self.ready_units.div_ceil(self.crew.len().max(1));
        let (units, bytes) = peer.allowance.room()?;
        let wanted = match shared {
            Some(left) => peer.sizing.units_near_end(left, self.crew.len()),
            None => peer.sizing.units().min(share),
        };
        Some((link, wanted.max(1).min(units), bytes.min(self.parcel_bytes_max)))
    }

    /// Takes a parcel from the stocks: of one history, and alone if it is suspect.
    fn pick(
        &mut self,
        units: usize,
        bytes: usize,
        committed: &RangeSet,
    ) -> Option<(Units, History)> {
        let mut parcel = Units::new();
        let mut history = FRESH;
        while parcel.len() < units && parcel.bytes() < bytes {
            let is_new = self.again.is_empty();
            let queue = if is_new { &mut self.fresh } else { &mut self.again };
            let Some(stock) = queue.front_mut() else { break };
            if parcel.is_empty() {
                history = stock.history;
            } else if stock.history != history || history.suspect {
                break;
            }
            let room = bytes - parcel.bytes();
            let count = match history.suspect {
                true => stock.units.len() - stock.next,
                false => stock.units.fitting(stock.next, units - parcel.len(), room),
            };
            let part = stock.units.slice(stock.next..stock.next + count);
            if !parcel.is_empty() && part.bytes() > room {
                break;
            }
            stock.next += count;
            if stock.next == stock.units.len() {
                queue.pop_front();
            }
            let before = part.bytes();
            self.ready_units -= count;
            self.ready_bytes -= before;
            let part = if is_new { part } else { part.without(committed) };
            self.kept_bytes -= before - part.bytes();
            if parcel.is_empty() { parcel = part } else { parcel.append(&part) }
        }
        (!parcel.is_empty()).then_some((parcel, history))
    }

    fn send(
        &mut self,
        turn: &mut Turn<'_, Order>,
        link: LinkId,
        mut units: Units,
        history: History,
        copy: bool,
    ) {
        units.share();
        let parcel = self.next_parcel;
        self.next_parcel += 1;
        self.attempts += units.len() as u64;
        let attempt = history.attempt;
        turn.out.push(Order::Send(link, Work { parcel, attempt, units: units.clone() }));
        self.crew.update(link, |peer| {
            peer.allowance.sent(units.len(), units.bytes());
            let sent = Sent { units, history, at: turn.now, retracted: false, copy, copied: false };
            peer.pending.insert(parcel, sent);
        });
    }

    /// Nothing waits: a worker without work is given what another one has not begun or, at the
    /// end, a copy of what another one has had for longest.
    fn use_idle_workers(&mut self, turn: &mut Turn<'_, Order>) {
        if !self.crew.any_idle() || self.crew.len() < 2 {
            return;
        }
        let mut asked = false;
        let mut retract = Vec::new();
        for (link, peer) in self.crew.iter().filter(|(_, peer)| !peer.quiet) {
            if peer.pending.values().any(|sent| sent.retracted) {
                asked = true;
                continue;
            }
            let overdue =
                peer.pending.values().next().is_some_and(|s| turn.now.since(s.at) >= RETRACT_AFTER);
            if let Some((parcel, sent)) = peer.pending.last_key_value()
                && overdue
                && (peer.pending.len() > 1 || sent.units.len() > 1)
                && !sent.copy
                && !peer.leaving
            {
                retract.push((link, *parcel));
            }
        }
        asked |= !retract.is_empty();
        for (link, parcel) in retract {
            self.change(link, parcel, |sent| sent.retracted = true);
            turn.out.push(Order::Retract(link, parcel));
        }
        if self.ending && !asked {
            self.speculate(turn);
        }
    }

    /// Gives each idle worker a copy of what another one has had for longest.
    fn speculate(&mut self, turn: &mut Turn<'_, Order>) {
        let idle: Vec<LinkId> =
            self.crew.iter().filter(|(_, peer)| peer.is_idle()).map(|(link, _)| link).collect();
        let mut late = Vec::new();
        for (link, peer) in self.crew.iter() {
            for (parcel, sent) in &peer.pending {
                let expected = peer.sizing.expected(sent.units.len()).unwrap_or_default();
                let patience = (expected * 2).max(COPY_AFTER);
                if turn.now.since(sent.at) >= patience
                    && !(sent.copy || sent.copied || sent.history.suspect)
                {
                    late.push((sent.at, link, *parcel));
                }
            }
        }
        late.sort();
        for (idle, (_, link, parcel)) in idle.into_iter().zip(late) {
            let original = self.change(link, parcel, |sent| {
                sent.copied = true;
                (sent.units.clone(), sent.history)
            });
            let Some((units, history)) = original else { continue };
            self.kept_bytes += units.bytes();
            self.copies += 1;
            self.send(turn, idle, units, history, true);
        }
    }

    fn change<T>(
        &mut self,
        link: LinkId,
        parcel: ParcelId,
        change: impl FnOnce(&mut Sent) -> T,
    ) -> Option<T> {
        self.crew.update(link, |peer| peer.pending.get_mut(&parcel).map(change)).flatten()
    }

    /// Puts units back in front of those that were never sent.
    fn take_back(&mut self, sent: Sent, committed: &RangeSet) {
        let before = sent.units.bytes();
        let units = if sent.copy { Units::new() } else { sent.units.without(committed) };
        self.kept_bytes -= before - units.bytes();
        if !units.is_empty() {
            self.stock_again(Stock::new(units, sent.history));
        }
    }

    /// The worker died while it executed this parcel, probably: one of its units may be the
    /// cause. It is cut into pieces; a unit that was all its worker had when workers died often
    /// enough is dead.
    fn charge(
        &mut self,
        mut sent: Sent,
        worker: &str,
        committed: &RangeSet,
        orders: &mut Vec<Order>,
    ) {
        let before = sent.units.bytes();
        sent.units = std::mem::take(&mut sent.units).without(committed);
        self.kept_bytes -= before - sent.units.bytes();
        let count = sent.units.len();
        // Only what was suspect before was all that its worker had.
        if count == 1 && sent.history.suspect {
            sent.history.deaths += 1;
            if sent.history.deaths >= self.crash_limit {
                return self.bury_killer(&sent.units, sent.history, worker, orders);
            }
        }
        self.cut(&sent.units, History { suspect: true, ..sent.history });
    }

    fn bury_killer(
        &mut self,
        units: &Units,
        history: History,
        worker: &str,
        orders: &mut Vec<Order>,
    ) {
        let error = format!("{} workers died while executing it", history.deaths);
        let attempts = history.attempt + history.deaths - 1;
        self.bury(units, attempts, (&error, worker), orders);
    }

    /// What is to be tried again.
    fn failed(
        &mut self,
        units: Units,
        failure: Failure<'_>,
        committed: &RangeSet,
        orders: &mut Vec<Order>,
    ) -> Option<Units> {
        let Failure { history, error, worker } = failure;
        self.kept_bytes += units.bytes();
        if units.all_in(committed) {
            self.kept_bytes -= units.bytes();
        } else if history.attempt > self.retries {
            self.bury(&units, history.attempt, (error, worker), orders);
        } else {
            return Some(units);
        }
        None
    }

    /// Tries units that have failed once more, after a pause.
    fn later(&mut self, now: Time, units: Units, history: History) {
        let doubled = self.backoff.saturating_mul(1 << (history.attempt - 1).min(20));
        let due = now + doubled.min(Duration::from_millis(BACKOFF_MS_MAX));
        let history = History { attempt: history.attempt + 1, ..history };
        let order = self.next_parcel;
        self.next_parcel += 1;
        let stock = Stock::new(units, history);
        self.delayed.push(Delayed { due, order, stock });
    }

    fn bury(
        &mut self,
        units: &Units,
        attempts: u32,
        (error, worker): (&str, &str),
        orders: &mut Vec<Order>,
    ) {
        self.kept_bytes -= units.bytes();
        for (root, path, value) in units.iter() {
            orders.push(Order::Dead(Dead {
                root,
                path,
                stage: self.stage_index,
                input: value.to_vec(),
                error: error.to_owned(),
                attempts,
                worker: worker.to_owned(),
            }));
        }
    }
}

#[cfg(test)]
mod tests;
