//! Workers that are not heard, and may be stopped, cut off or only late.
//!
//! Owns what becomes of their units: others are given them too, long before the silence ends the
//! session, as at the end of a run. Refuses to judge: nobody is declared dead here, and a worker
//! that is heard again keeps what no other one has been sent. Units have one holder that counts, as
//! ever: what a quiet worker has is a copy from then on, and the stock has the units themselves.

use super::{Dispatch, History, Loan, Order, PIECES, Sent, Stock};
use crate::{
    frame::ParcelId,
    ranges::RangeSet,
    role::LinkId,
    time::Time,
    units::{Span, Units},
};

impl Dispatch {
    /// A worker that was heard last at `since` has missed heartbeats: it is sent nothing more, and
    /// what it has, executed or not, is for others as well.
    pub fn quiet(&mut self, link: LinkId, since: Time, committed: &RangeSet) {
        let Some(false) = self.crew.update(link, |peer| std::mem::replace(&mut peer.quiet, true))
        else {
            return;
        };
        let pending = self.crew.get(link).into_iter().flat_map(|peer| &peer.pending);
        let own = pending.filter(|(_, sent)| !sent.copy && !sent.units.all_in(committed));
        let parcels: Vec<ParcelId> = own.map(|(parcel, _)| *parcel).collect();
        for parcel in parcels {
            self.lend(link, parcel);
        }
        for sent in self.kept.take_own_of(link) {
            let before = sent.units.bytes();
            let units = sent.units.without(committed);
            self.kept_bytes -= before - units.bytes();
            if !units.is_empty() {
                let loan = Some(Loan { link, at: sent.at, parcel: None });
                self.stock_again(Stock { loan, ..Stock::new(units, sent.history) });
                self.lent += 1;
            }
        }
        if !self.again.is_empty() {
            self.lost_at.get_or_insert(since);
        }
    }

    /// A worker that was quiet is heard: what has not been sent to others stays with it, and what
    /// has been needs not be begun.
    pub fn back(&mut self, link: LinkId, orders: &mut Vec<Order>) {
        let Some(true) = self.crew.update(link, |peer| std::mem::take(&mut peer.quiet)) else {
            return;
        };
        for stock in std::mem::take(&mut self.again) {
            let left = match stock.loan {
                Some(loan) if loan.link == link => self.restore(loan, stock),
                _ => Some(stock),
            };
            self.again.extend(left);
        }
        if self.again.is_empty() {
            self.lost_at = None;
        }
        let others = self.crew.update(link, |peer| {
            let others = peer.pending.iter_mut().filter(|(_, sent)| sent.copy && !sent.retracted);
            others.fold(Vec::new(), |mut parcels, (parcel, sent)| {
                sent.retracted = true;
                parcels.push(*parcel);
                parcels
            })
        });
        orders.extend(others.into_iter().flatten().map(|parcel| Order::Retract(link, parcel)));
    }

    /// A worker is gone, and no longer has what waits for others.
    pub(super) fn forget_loans(&mut self, link: LinkId) {
        for stock in &mut self.again {
            stock.loan = stock.loan.filter(|loan| loan.link != link);
        }
    }

    /// A parcel is for others as well, unless one of them has it already.
    fn lend(&mut self, link: LinkId, parcel: ParcelId) {
        let lent = self.change(link, parcel, |sent| {
            sent.copy = true;
            (sent.units.clone(), sent.history, sent.at)
        });
        let Some((units, history, at)) = lent else { return };
        self.kept_bytes += units.bytes();
        self.lent += 1;
        if self.promote(link, &units) {
            self.kept_bytes -= units.bytes();
            return;
        }
        if history.suspect && units.len() > 1 {
            // It may be the cause: what is left of it is cut as after a death.
            return self.cut(&units, history);
        }
        let loan = Some(Loan { link, at, parcel: Some(parcel) });
        self.stock_again(Stock { loan, ..Stock::new(units, history) });
    }

    /// Cuts what may have killed a worker into pieces that travel alone.
    pub(super) fn cut(&mut self, units: &Units, history: History) {
        let size = units.len().div_ceil(PIECES).max(1);
        for from in (0..units.len()).step_by(size) {
            let piece = units.slice(from..(from + size).min(units.len()));
            self.stock_again(Stock::new(piece, history));
        }
    }

    /// Whether another worker that is heard was given a copy of these units: then that one counts.
    fn promote(&mut self, lender: LinkId, units: &Units) -> bool {
        let same = |sent: &Sent| sent.copy && sent.units.spans() == units.spans();
        let found = self.crew.iter().find_map(|(link, peer)| {
            if link == lender || peer.quiet {
                return None;
            }
            let parcel = peer.pending.iter().find(|(_, sent)| same(sent))?.0;
            Some((link, *parcel))
        });
        let Some((link, parcel)) = found else { return false };
        self.change(link, parcel, |sent| sent.copy = false).is_some()
    }

    /// Takes what waits back for the worker that has it; what is left for others, if it has not got
    /// all of it any more.
    fn restore(&mut self, loan: Loan, stock: Stock) -> Option<Stock> {
        let units = stock.units.slice(stock.next..stock.units.len());
        let (count, bytes) = (units.len(), units.bytes());
        let Some(parcel) = loan.parcel else {
            self.ready_units -= count;
            self.ready_bytes -= bytes;
            self.kept.push(loan.link, Sent::then(loan.at, units, stock.history));
            return None;
        };
        let whole = self.change(loan.link, parcel, |sent| {
            let whole = sent.copy && sent.units.spans() == units.spans();
            sent.copy &= !whole;
            whole
        });
        if whole != Some(true) {
            return Some(stock);
        }
        self.ready_units -= count;
        self.ready_bytes -= bytes;
        self.kept_bytes -= bytes;
        None
    }

    /// A worker has died after it was quiet. What it executed may be the cause, and is with others,
    /// or waits for one: it is charged there.
    pub(super) fn accuse(
        &mut self,
        executed: &Sent,
        (link, name): (LinkId, &str),
        committed: &RangeSet,
        orders: &mut Vec<Order>,
    ) {
        let waits = |stock: &Stock| {
            let of = stock.loan.is_some_and(|loan| loan.link == link && loan.parcel.is_some());
            of && stock.units.spans() == executed.units.spans()
        };
        if let Some(stock) =
            self.again.iter().position(waits).and_then(|place| self.again.remove(place))
        {
            let units = stock.units.slice(stock.next..stock.units.len());
            self.ready_units -= units.len();
            self.ready_bytes -= units.bytes();
            let sent = Sent::then(executed.at, units, stock.history);
            return self.charge(sent, name, committed, orders);
        }
        for holder in self.crew.links() {
            self.accuse_holder(holder, executed, name, orders);
        }
    }

    fn accuse_holder(
        &mut self,
        holder: LinkId,
        executed: &Sent,
        name: &str,
        orders: &mut Vec<Order>,
    ) {
        let limit = self.crash_limit;
        let given_up = self.crew.update(holder, |peer| {
            let own = peer.pending.values_mut().filter(|sent| !sent.copy);
            let touched = own.filter(|sent| overlap(&sent.units, &executed.units));
            let mut given_up = Vec::new();
            for sent in touched {
                // Only what was suspect before was all that its worker had.
                if executed.history.suspect && executed.units.len() == 1 && sent.units.len() == 1 {
                    sent.history.deaths += 1;
                    if sent.history.deaths >= limit {
                        sent.copy = true;
                        given_up.push((sent.units.clone(), sent.history));
                    }
                }
                sent.history.suspect = true;
            }
            given_up
        });
        for (units, history) in given_up.into_iter().flatten() {
            self.kept_bytes += units.bytes();
            self.bury_killer(&units, history, name, orders);
        }
    }
}

fn overlap(units: &Units, others: &Units) -> bool {
    let meets =
        |a: &Span, b: &Span| a.roots().start < b.roots().end && b.roots().start < a.roots().end;
    units.spans().iter().any(|a| others.spans().iter().any(|b| meets(a, b)))
}
