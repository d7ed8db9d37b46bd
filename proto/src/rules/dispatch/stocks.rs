//! Units that wait to be sent.
//!
//! Owns their order (what was sent before goes first, what has failed after a pause), and counts
//! them; refuses to choose who gets them.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, VecDeque},
};

use super::sent::{FRESH, History};
use crate::{
    frame::ParcelId,
    ranges::RangeSet,
    role::LinkId,
    time::Time,
    unit::UnitId,
    units::{Span, Units},
};

/// Units that wait, with their history.
#[derive(Debug, Clone)]
pub(super) struct Stock {
    units: Units,
    // Those before this one have been sent.
    next: usize,
    pub history: History,
    pub loan: Option<Loan>,
}

/// Who still has units that are for others now, since it is not heard: since when, and in which
/// parcel, unless it has executed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loan {
    pub link: LinkId,
    pub at: Time,
    pub parcel: Option<ParcelId>,
}

impl Stock {
    pub fn new(units: Units, history: History) -> Self {
        Self { units, next: 0, history, loan: None }
    }

    /// Units that a worker has as well.
    pub fn lent(units: Units, history: History, loan: Loan) -> Self {
        Self { loan: Some(loan), ..Self::new(units, history) }
    }

    /// Whether a worker has executed it that is not heard.
    fn is_executed(&self) -> bool {
        self.loan.is_some_and(|loan| loan.parcel.is_none())
    }

    /// What of it waits.
    pub fn rest(&self) -> Units {
        self.units.slice(self.next..self.units.len())
    }
}

/// What is tried again after a pause.
#[derive(Debug)]
struct Delayed {
    due: Time,
    // Of two that are due at once the one that was delayed first.
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
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

/// All units that wait.
#[derive(Debug, Default)]
pub(super) struct Stocks {
    // Units that were sent before go first.
    again: VecDeque<Stock>,
    fresh: VecDeque<Stock>,
    delayed: BinaryHeap<Reverse<Delayed>>,
    delayed_bytes: usize,
    ready_units: usize,
    ready_bytes: usize,
    // Counts what came; and the root and count when nothing here was part of that root.
    came: u64,
    searched: Option<(UnitId, u64)>,
    // Of these roots nothing is sent, and what is here of them.
    withheld: RangeSet,
    held: Vec<Stock>,
}

impl Stocks {
    /// Bytes of values that wait.
    pub fn bytes(&self) -> usize {
        let held: usize = self.held.iter().map(|stock| stock.units.bytes()).sum();
        self.ready_bytes + self.delayed_bytes + held
    }

    pub fn ready_units(&self) -> usize {
        self.ready_units
    }

    pub fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Units that wait, those that are not due included.
    pub fn units(&self) -> usize {
        let delayed = self.delayed.iter().map(|Reverse(delayed)| delayed.stock.units.len());
        let held = self.held.iter().map(|stock| stock.units.len());
        self.ready_units + delayed.chain(held).sum::<usize>()
    }

    /// How many places they take that are not due.
    #[cfg(test)]
    pub fn delayed_stocks(&self) -> usize {
        self.delayed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ready_units == 0 && self.delayed.is_empty() && self.held.is_empty()
    }

    /// Whether units wait that were sent before.
    pub fn any_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// When the next units are due that were delayed.
    pub fn due(&self) -> Option<Time> {
        self.delayed.peek().map(|Reverse(delayed)| delayed.due)
    }

    /// Takes units in that were never sent.
    pub fn add(&mut self, units: Units) {
        self.came(&units);
        self.fresh.push_back(Stock::new(units, FRESH));
    }

    /// Puts units in front of those that were never sent.
    pub fn put_back(&mut self, stock: Stock) {
        let Some(stock) = self.hold(stock) else { return };
        self.came(&stock.units);
        self.again.push_back(stock);
    }

    /// Takes units in that may not be sent before `due`.
    pub fn delay(&mut self, due: Time, order: u64, stock: Stock) {
        let Some(stock) = self.hold(stock) else { return };
        self.delayed_bytes += stock.units.bytes();
        self.delayed.push(Reverse(Delayed { due, order, stock }));
    }

    /// What is due by now may be sent.
    pub fn ripen(&mut self, now: Time) {
        while self.due().is_some_and(|due| due <= now) {
            if let Some(Reverse(Delayed { stock, .. })) = self.delayed.pop() {
                self.delayed_bytes -= stock.units.bytes();
                self.put_back(stock);
            }
        }
    }

    fn came(&mut self, units: &Units) {
        self.ready_units += units.len();
        self.ready_bytes += units.bytes();
        self.came += 1;
    }

    fn went(&mut self, units: &Units) {
        self.ready_units -= units.len();
        self.ready_bytes -= units.bytes();
    }

    /// Whether what is next has to travel alone.
    pub fn next_is_suspect(&self) -> bool {
        self.again.front().is_some_and(|stock| stock.history.is_suspect())
    }

    /// Takes a parcel of at most so many units, and of as many bytes unless it is one unit: of one
    /// history, and alone if that is suspect.
    pub fn pick(
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
            } else if stock.history != history || history.is_suspect() {
                break;
            }
            let room = bytes - parcel.bytes();
            let count = match history.is_suspect() {
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
            self.went(&part);
            // What was never sent cannot be committed.
            let part = if is_new { part } else { part.without(committed) };
            if parcel.is_empty() { parcel = part } else { parcel.append(&part) }
        }
        (!parcel.is_empty()).then_some((parcel, history))
    }

    /// Takes units of this root, as many as lie together and fit a parcel. Nothing is searched twice
    /// for one root.
    pub fn pick_root(&mut self, root: UnitId, units_max: usize, bytes_max: usize) -> Option<Stock> {
        if self.ready_units == 0 || self.searched == Some((root, self.came)) {
            return None;
        }
        for queue in [&mut self.again, &mut self.fresh] {
            let found = queue.iter().enumerate().find_map(|(place, stock)| {
                stock.units.find_root(root, stock.next).map(|indices| (place, indices))
            });
            let Some((place, indices)) = found else { continue };
            let stock = queue.remove(place)?;
            let fitting = stock.units.fitting(indices.start, units_max, bytes_max);
            let end = indices.end.min(indices.start + fitting);
            for rest in [end..stock.units.len(), stock.next..indices.start] {
                if !rest.is_empty() {
                    let units = stock.units.slice(rest);
                    queue.insert(place, Stock { units, next: 0, ..stock });
                }
            }
            let units = stock.units.slice(indices.start..end);
            self.ready_units -= units.len();
            self.ready_bytes -= units.bytes();
            return Some(Stock { units, next: 0, ..stock });
        }
        self.searched = Some((root, self.came));
        None
    }

    /// Puts what was picked back, to be next. It has not come anew: who looks for a root has seen
    /// it.
    pub fn put_first(&mut self, stock: Stock) {
        self.ready_units += stock.units.len();
        self.ready_bytes += stock.units.bytes();
        self.again.push_front(stock);
    }

    /// A worker that has lent units is heard again: it keeps those that `keeps` says it can.
    pub fn reclaim(&mut self, link: LinkId, mut keeps: impl FnMut(Loan, Units, History) -> bool) {
        for stock in std::mem::take(&mut self.again) {
            let kept = stock.loan.filter(|loan| loan.link == link).and_then(|loan| {
                let rest = stock.rest();
                keeps(loan, rest.clone(), stock.history).then_some(rest)
            });
            match kept {
                Some(rest) => self.went(&rest),
                None => self.again.push_back(stock),
            }
        }
    }

    /// Takes what waits of exactly these units, if this worker has lent them and not executed them.
    pub fn take_lent(&mut self, link: LinkId, spans: &[Span]) -> Option<(Units, History)> {
        let waits = |stock: &Stock| {
            let of = stock.loan.is_some_and(|loan| loan.link == link && loan.parcel.is_some());
            of && stock.units.spans() == spans
        };
        let stock = self.again.iter().position(waits).and_then(|at| self.again.remove(at))?;
        let rest = stock.rest();
        self.went(&rest);
        Some((rest, stock.history))
    }

    /// Of which roots nothing is sent.
    pub fn withheld(&self) -> &RangeSet {
        &self.withheld
    }

    /// Of these roots nothing is sent from now on, neither what is here nor what comes back; but for what a
    /// worker has executed that is not heard: the roots of that.
    pub fn withhold(&mut self, roots: &RangeSet) -> RangeSet {
        self.withheld.insert_all(roots);
        let mut executed = RangeSet::new();
        let (again, fresh) = (std::mem::take(&mut self.again), std::mem::take(&mut self.fresh));
        self.again = self.held_back(again, &mut executed);
        self.fresh = self.held_back(fresh, &mut executed);
        for Reverse(Delayed { due, order, stock }) in std::mem::take(&mut self.delayed) {
            self.delayed_bytes -= stock.units.bytes();
            self.delay(due, order, stock);
        }
        executed
    }

    fn held_back(&mut self, queue: VecDeque<Stock>, executed: &mut RangeSet) -> VecDeque<Stock> {
        let mut left = VecDeque::new();
        for stock in queue {
            if !stock.units.spans().iter().any(|span| self.withheld.intersects(span.roots())) {
                left.push_back(stock);
            } else if stock.is_executed() {
                let roots = stock.units.spans().iter().map(Span::roots);
                roots.for_each(|roots| _ = executed.insert(roots));
                left.push_back(stock);
            } else {
                let units = stock.rest();
                self.went(&units);
                let rest = self.hold(Stock { units, next: 0, ..stock });
                if let Some(rest) = rest {
                    self.ready_units += rest.units.len();
                    self.ready_bytes += rest.units.bytes();
                    left.push_back(rest);
                }
            }
        }
        left
    }

    /// Holds what is withheld of this; the rest, if there is any.
    fn hold(&mut self, stock: Stock) -> Option<Stock> {
        if self.withheld.is_empty() || stock.is_executed() {
            return Some(stock);
        }
        let Stock { units, history, loan, .. } = stock;
        let (held, units) = units.divided(&self.withheld);
        if !held.is_empty() {
            self.held.push(Stock::new(held, history));
        }
        (!units.is_empty()).then_some(Stock { units, next: 0, history, loan })
    }

    /// These roots are as all others again; what was held of them.
    pub fn let_go(&mut self, roots: &RangeSet) -> Vec<(Units, History)> {
        roots.iter().for_each(|range| self.withheld.remove(range));
        let mut taken = Vec::new();
        for stock in std::mem::take(&mut self.held) {
            let Stock { units, history, .. } = stock;
            let (among, rest) = units.divided(roots);
            if !among.is_empty() {
                taken.push((among, history));
            }
            if !rest.is_empty() {
                self.held.push(Stock::new(rest, history));
            }
        }
        taken
    }

    /// A worker is gone, and no longer has what waits for others.
    pub fn forget_loans(&mut self, link: LinkId) {
        for stock in &mut self.again {
            stock.loan = stock.loan.filter(|loan| loan.link != link);
        }
    }
}
