//! Handing units to the workers of a stage, and keeping them until they are committed.
//!
//! Owns which worker gets what (least loaded first), what each one holds, retries, the search
//! for a unit that kills workers, retraction and speculation. Refuses sockets and values: it is
//! the same for the ventilator and for a worker of an inner stage, over any network.
//!
//! A unit is in one of three places until it is committed: in the stocks, with a worker, or
//! executed and kept. Each place counts the bytes that are in it, so that what is kept is their sum
//! and needs no other account. What a worker's parcel means for its units is `sent::Holding`.

mod failing;
mod idle;
mod kept;
mod quiet;
mod recall;
mod sent;
mod stocks;
mod workers;

use std::{collections::BTreeMap, ops::Range, time::Duration};

use self::{
    failing::Death,
    kept::KeptParcels,
    recall::Recalls,
    sent::{History, Sent},
    stocks::{Stock, Stocks},
    workers::{Peer, Workers},
};
pub use self::{recall::Recalled, workers::PARCELS_PER_PEER};

use crate::{
    frame::{Credit, Dead, Done, ParcelId, Work},
    limits::{CONCURRENCY_CEILING, Limits},
    plan::Stage,
    ranges::RangeSet,
    role::{LinkId, Turn},
    rules::{mesh::Loss, sizing::Sizing},
    time::Time,
    unit::UnitId,
    units::Units,
};

/// What shall be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Instruction {
    /// A parcel for a worker.
    Send(LinkId, Work),
    /// A parcel whose units not begun shall come back.
    Retract(LinkId, ParcelId),
    /// A unit has failed for good; the sink has to know.
    Dead(Dead),
}

/// What is the same for all units of a run.
#[derive(Debug)]
struct Terms {
    stage_index: u32,
    retries: u32,
    backoff: Duration,
    crash_limit: u32,
    parcel_units_max: usize,
    parcel_bytes_max: usize,
    target: Duration,
}

/// What is counted for people.
#[derive(Debug, Default)]
struct Counts {
    attempts: u64,
    copies: u64,
    lent: u64,
    pressed: u64,
    recalled: u64,
}

/// How long it takes until the units of workers that are gone, or not heard, are with others.
#[derive(Debug, Default)]
struct Recovery {
    since: Option<Time>,
    longest: Option<Duration>,
}

/// The units that one process has for the workers of one stage.
#[derive(Debug)]
pub struct Dispatch {
    terms: Terms,
    stocks: Stocks,
    workers: Workers,
    kept: KeptParcels,
    recalls: Recalls,
    next_parcel: ParcelId,
    // No further units will be added.
    ending: bool,
    // When it last looked for something to call back or to copy.
    looked: Time,
    recovery: Recovery,
    latencies: Vec<(Duration, usize)>,
    counts: Counts,
}

impl Dispatch {
    /// Nothing to hand out yet; `stage` is the stage of the workers that will get it.
    pub fn new(stage_index: u32, stage: &Stage, limits: &Limits) -> Self {
        let terms = Terms {
            stage_index,
            retries: stage.retries,
            backoff: Duration::from_millis(stage.backoff_ms),
            crash_limit: stage.crash_limit.max(1),
            parcel_units_max: limits.parcel_units_max.max(1) as usize,
            parcel_bytes_max: limits.parcel_bytes_max.max(1) as usize,
            target: Duration::from_millis(limits.parcel_target_ms.max(1)),
        };
        Self {
            terms,
            stocks: Stocks::default(),
            workers: Workers::default(),
            kept: KeptParcels::default(),
            recalls: Recalls::default(),
            next_parcel: 0,
            ending: false,
            looked: Time::default(),
            recovery: Recovery::default(),
            latencies: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Bytes of values that wait or are kept.
    pub fn bytes(&self) -> usize {
        self.stocks.bytes() + self.workers.bytes() + self.kept.bytes()
    }

    /// Units that wait to be sent, retries that are not due included.
    pub fn waiting(&self) -> usize {
        self.stocks.units()
    }

    /// Units that could be sent at once.
    pub fn ready(&self) -> usize {
        self.stocks.ready_units()
    }

    /// Units in the next parcel of each worker, all together.
    pub fn appetite(&self) -> usize {
        self.workers.iter().map(|(_, peer)| peer.sizing.units()).sum()
    }

    /// Bytes of their values.
    pub fn ready_bytes(&self) -> usize {
        self.stocks.ready_bytes()
    }

    /// Whether nothing waits and everything that was sent is committed.
    pub fn is_empty(&self) -> bool {
        self.stocks.is_empty() && !self.workers.any_busy() && self.kept.is_empty()
    }

    /// How many units were sent, each try counted.
    pub fn attempts(&self) -> u64 {
        self.counts.attempts
    }

    /// How many parcels were given to a second worker at the end.
    pub fn copies(&self) -> u64 {
        self.counts.copies
    }

    /// How many parcels of workers that were not heard were for others as well.
    pub fn lent(&self) -> u64 {
        self.counts.lent
    }

    /// How many parcels went without credit, since everything may have waited for them.
    pub fn pressed(&self) -> u64 {
        self.counts.pressed
    }

    /// How many units came back from workers that shall not be worked on.
    pub fn recalled(&self) -> u64 {
        self.counts.recalled
    }

    /// The longest time from the loss of a worker, or from the last that was heard of one that is
    /// quiet, to the moment when all of its units were with others.
    pub fn recovery(&self) -> Option<Duration> {
        self.recovery.longest
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
            self.stocks.add(units);
        }
    }

    /// A worker's session begins.
    pub fn join(&mut self, link: LinkId, name: &str) {
        let sizing = Sizing::new(self.terms.target, self.terms.parcel_units_max);
        self.workers.join(link, name, sizing);
    }

    /// The human-readable name of a worker, if it is one of this stage.
    pub fn name_of(&self, link: LinkId) -> Option<&str> {
        self.workers.get(link).map(|peer| peer.name.as_str())
    }

    /// How many workers there are.
    pub fn peers(&self) -> usize {
        self.workers.len()
    }

    /// How long units that have been committed since the last call were under way, and how many
    /// of them.
    pub fn take_latencies(&mut self) -> Vec<(Duration, usize)> {
        std::mem::take(&mut self.latencies)
    }

    /// A worker grants credit.
    pub fn granted(&mut self, link: LinkId, credit: Credit) {
        self.workers.update(link, |peer| peer.allowance.granted(credit));
    }

    /// A worker has so many units open at once.
    pub fn opens(&mut self, link: LinkId, units: u32) {
        let units = units.clamp(1, CONCURRENCY_CEILING) as usize;
        self.workers.update(link, |peer| {
            peer.open = units;
            peer.sizing.opens(units);
        });
    }

    /// A worker takes no more.
    pub fn leaving(&mut self, link: LinkId) {
        self.workers.update(link, |peer| peer.presence.leave());
    }

    /// A worker's session has ended: exactly what it was sent and is not committed goes to
    /// others. A death is charged to the units that it was executing, at most; of one that has many
    /// open at once it is not known which, so all that it had may be the cause.
    pub fn lost(
        &mut self,
        turn: &mut Turn<'_, Instruction>,
        link: LinkId,
        loss: Loss,
        committed: &RangeSet,
    ) {
        let Some(peer) = self.workers.remove(link) else { return };
        let died = matches!(loss, Loss::Disconnected);
        let among = peer.is_concurrent().then(|| uncommitted(&peer, committed));
        let (mut before, open) = (0, peer.open);
        for mut sent in peer.pending.into_values() {
            let is_first = before == 0;
            if before >= open {
                // Units are begun in their order, so none of these was.
                self.untry(&mut sent);
            }
            before += sent.units.len();
            let suspected = died && (is_first || among.is_some());
            if suspected && !sent.holding.is_copy() {
                self.charge(turn, sent, Death { worker: &peer.name, among }, committed);
                continue;
            }
            if suspected && peer.presence.is_quiet() {
                self.accuse(turn, &sent, link, &peer.name, committed);
            }
            self.take_back(sent, committed);
        }
        for sent in self.kept.take_of(link) {
            self.take_back(sent, committed);
        }
        self.stocks.forget_loans(link);
        self.recalls.lost(link);
        self.recovery.begin(turn.now, &self.stocks);
    }

    /// A worker has given units back that it had not begun.
    pub fn returned(&mut self, link: LinkId, parcel: ParcelId, keep: u32, committed: &RangeSet) {
        let back = self.workers.update(link, |peer| {
            let is_concurrent = peer.is_concurrent();
            let sent = peer.pending.get_mut(&parcel)?;
            sent.holding.answered();
            let keep = (keep as usize).min(sent.units.len());
            // One that begins units in groups may not have begun all of its group.
            sent.begun = is_concurrent && keep == sent.units.len();
            let units = sent.units.slice(keep..sent.units.len());
            let back = Sent { units, ..*sent };
            if keep == 0 {
                peer.pending.remove(&parcel);
            } else {
                sent.units = sent.units.slice(0..keep);
            }
            Some(back)
        });
        if let Some(mut back) = back.flatten() {
            self.answered(link, parcel, &back.units);
            self.untry(&mut back);
            self.take_back(back, committed);
        }
    }

    /// What was not begun was not tried.
    fn untry(&mut self, sent: &mut Sent) {
        sent.history = sent.history.untried();
        self.counts.attempts = self.counts.attempts.saturating_sub(sent.units.len() as u64);
    }

    /// Of what each worker holds the first unit: since when, which, and the worker.
    pub fn first_of_each(&self) -> impl Iterator<Item = (Time, UnitId, &str)> {
        self.workers.iter().filter_map(|(_, peer)| {
            let sent = peer.pending.values().next()?;
            Some((sent.at, sent.units.spans().first()?.first, peer.name.as_str()))
        })
    }

    /// The units that workers may have begun, as far as that is known here: as many of the first that each
    /// holds as it has open at once. And how many others were taken in and not begun, each as often as it
    /// was sent.
    pub fn begun(&self) -> (RangeSet, u64) {
        let (mut begun, mut others) = (RangeSet::new(), self.stocks.units());
        for (_, peer) in self.workers.iter() {
            let mut open = peer.open.max(1);
            for sent in peer.pending.values() {
                let first = open.min(sent.units.len());
                for span in sent.units.slice(0..first).spans() {
                    begun.insert(span.roots());
                }
                open -= first;
                others += sent.units.len() - first;
            }
        }
        (begun, others as u64)
    }

    /// Which unit has this index in a parcel that a worker holds.
    pub fn unit_of(&self, link: LinkId, parcel: ParcelId, index: u32) -> Option<UnitId> {
        let sent = self.workers.get(link)?.pending.get(&parcel)?;
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
        turn: &mut Turn<'_, Instruction>,
        link: LinkId,
        done: &Done,
        committed: &RangeSet,
    ) {
        let busy = Duration::from_nanos(done.busy_ns);
        let executed = self.workers.update(link, |peer| {
            let sent = peer.pending.remove(&done.parcel)?;
            peer.sizing.finished(sent.units.len(), busy);
            peer.ended(turn.now.since(sent.at));
            Some((sent, peer.name.clone()))
        });
        let Some((mut sent, worker)) = executed.flatten() else { return };
        self.has_executed(&sent.units);
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
        let (history, holding) = (sent.history, sent.holding);
        if sent.units.all_in(committed) {
            self.settled(turn.now, &sent);
        } else {
            self.kept.push(link, sent, committed);
        }
        if holding.is_copy() {
            return; // the worker that holds the original decides
        }
        let errors = failures.into_values();
        self.failed(turn, failed.into_iter().zip(errors), history, &worker, committed);
    }

    /// Forgets what is committed; `news` are the ranges of `committed` that have grown since the
    /// last call.
    pub fn committed(&mut self, now: Time, committed: &RangeSet, news: &[Range<UnitId>]) {
        for sent in self.kept.settle(committed, news) {
            self.settled(now, &sent);
        }
        self.recalled_too_late(news);
    }

    fn settled(&mut self, now: Time, sent: &Sent) {
        self.latencies.push((now.since(sent.at), sent.units.len()));
    }

    /// Everything that may be sent now; `urgent` is the unit that gets on where there is no room.
    pub fn dispatch(
        &mut self,
        turn: &mut Turn<'_, Instruction>,
        committed: &RangeSet,
        urgent: UnitId,
    ) {
        self.stocks.ripen(turn.now);
        while self.ready() > 0 {
            let Some((link, units, bytes)) = self.least_loaded() else { break };
            let before = self.ready();
            let Some((units, history)) = self.stocks.pick(units, bytes, committed) else {
                // What was next has been committed meanwhile; the rest has not been looked at.
                if self.ready() < before {
                    continue;
                }
                break;
            };
            self.send(turn, link, Sent::then(turn.now, units, history));
        }
        self.press(turn, urgent);
        self.recovery.end(turn.now, &self.stocks);
        self.use_idle_workers(turn, committed);
    }

    /// What belongs to the urgent unit goes to a worker that has given no credit too: all that workers
    /// keep, and grant no credit for, may wait for that very unit.
    fn press(&mut self, turn: &mut Turn<'_, Instruction>, urgent: UnitId) {
        let Terms { parcel_units_max, parcel_bytes_max, .. } = self.terms;
        while let Some((link, is_idle)) = self.workers.closed() {
            let picked = self.stocks.pick_root(urgent, parcel_units_max, parcel_bytes_max);
            let Some(stock) = picked else { return };
            if stock.history.is_suspect() && !is_idle {
                return self.stocks.put_first(stock);
            }
            self.counts.pressed += 1;
            self.send(turn, link, Sent::then(turn.now, stock.rest(), stock.history));
        }
    }

    /// When something becomes possible by the passing of time alone.
    pub fn deadline(&self) -> Option<Time> {
        [self.stocks.due(), self.next_look()].into_iter().flatten().min()
    }

    /// The worker that is expected to be the first to finish what it holds, if one may be sent
    /// anything, and how much. What is suspect is all that its worker has.
    fn least_loaded(&self) -> Option<(LinkId, usize, usize)> {
        let (link, peer) = self.workers.next(self.stocks.next_is_suspect())?;
        let (units, bytes) = peer.allowance.room()?;
        let (left, workers) = (self.ready(), self.workers.len());
        let wanted = match self.ending {
            true => peer.sizing.units_near_end(left, workers),
            false => peer.sizing.units().min(left.div_ceil(workers.max(1))),
        };
        Some((link, wanted.max(1).min(units), bytes.min(self.terms.parcel_bytes_max)))
    }

    fn send(&mut self, turn: &mut Turn<'_, Instruction>, link: LinkId, mut sent: Sent) {
        sent.units.share();
        let parcel = self.next_number();
        self.counts.attempts += sent.units.len() as u64;
        sent.history = sent.history.tried();
        let (attempt, units) = (sent.history.tries, sent.units.clone());
        turn.out.push(Instruction::Send(link, Work { parcel, attempt, units }));
        self.workers.update(link, |peer| {
            peer.allowance.sent(sent.units.len(), sent.units.bytes());
            peer.pending.insert(parcel, sent);
        });
    }

    fn next_number(&mut self) -> u64 {
        let number = self.next_parcel;
        self.next_parcel += 1;
        number
    }

    /// Puts units back in front of those that were never sent.
    fn take_back(&mut self, sent: Sent, committed: &RangeSet) {
        if sent.holding.is_copy() {
            return;
        }
        let units = sent.units.without(committed);
        if !units.is_empty() {
            self.stocks.put_back(Stock::new(units, sent.history));
        }
    }
}

/// The roots of units.
fn roots_of(units: &Units) -> RangeSet {
    let mut roots = RangeSet::new();
    units.spans().iter().for_each(|span| _ = roots.insert(span.roots()));
    roots
}

/// How many units a worker has that are not committed, but for copies.
fn uncommitted(peer: &Peer, committed: &RangeSet) -> usize {
    let own = peer.pending.values().filter(|sent| !sent.holding.is_copy());
    own.map(|sent| sent.units.clone().without(committed).len()).sum()
}

impl Recovery {
    /// A worker is gone or not heard since then; if units wait that it had, it is a recovery.
    fn begin(&mut self, since: Time, stocks: &Stocks) {
        if stocks.any_again() {
            self.since.get_or_insert(since);
        }
    }

    /// Once no unit waits that was sent before, it is over.
    fn end(&mut self, now: Time, stocks: &Stocks) {
        if !stocks.any_again()
            && let Some(since) = self.since.take()
        {
            self.longest = self.longest.max(Some(now.since(since)));
        }
    }

    /// Units came back by themselves; if none waits, there was nothing to recover from.
    fn cancel(&mut self, stocks: &Stocks) {
        if !stocks.any_again() {
            self.since = None;
        }
    }
}

#[cfg(test)]
mod tests;
