//! Workers that are not heard, and may be stopped, cut off or only late.
//!
//! Owns what becomes of their units: others are given them too, long before the silence ends the
//! session, as at the end of a run. Refuses to judge: nobody is declared dead here, and a worker
//! that is heard again keeps what no other one has been sent. Units have one holder that counts, as
//! ever: what a quiet worker has is a copy from then on, and the stock has the units themselves.

use super::{
    Death, Dispatch, History, Instruction, Sent,
    stocks::{Loan, Stock},
};
use crate::{
    frame::ParcelId,
    ranges::RangeSet,
    role::{LinkId, Turn},
    time::Time,
    units::Units,
};

impl Dispatch {
    /// A worker that was heard last at `since` has missed heartbeats: it is sent nothing more, and
    /// what it has, executed or not, is for others as well.
    pub fn quiet(&mut self, link: LinkId, since: Time, committed: &RangeSet) {
        let Some(true) = self.workers.update(link, |peer| peer.presence.fall_quiet()) else {
            return;
        };
        let pending = self.workers.get(link).into_iter().flat_map(|peer| &peer.pending);
        let own =
            pending.filter(|(_, sent)| !sent.holding.is_copy() && !sent.units.all_in(committed));
        let parcels: Vec<ParcelId> = own.map(|(parcel, _)| *parcel).collect();
        for parcel in parcels {
            self.lend(link, parcel);
        }
        for sent in self.kept.take_own_of(link) {
            let units = sent.units.without(committed);
            if !units.is_empty() {
                let loan = Loan { link, at: sent.at, parcel: None };
                self.stocks.put_back(Stock::lent(units, sent.history, loan));
                self.counts.lent += 1;
            }
        }
        self.recovery.begin(since, &self.stocks);
    }

    /// A worker that was quiet is heard: what has not been sent to others stays with it, and what
    /// has been needs not be begun.
    pub fn back(&mut self, link: LinkId, committed: &RangeSet, orders: &mut Vec<Instruction>) {
        let Some(true) = self.workers.update(link, |peer| peer.presence.come_back()) else {
            return;
        };
        self.reclaim(link, committed);
        self.recovery.cancel(&self.stocks);
        let others = self.workers.update(link, |peer| {
            let pending = peer.pending.iter_mut();
            let others =
                pending.filter(|(_, sent)| sent.holding.is_copy() && !sent.holding.is_retracting());
            others.fold(Vec::new(), |mut parcels, (parcel, sent)| {
                sent.holding.retract();
                parcels.push(*parcel);
                parcels
            })
        });
        orders
            .extend(others.into_iter().flatten().map(|parcel| Instruction::Retract(link, parcel)));
    }

    /// What waits for others stays with the worker that has it, if it still has all of it.
    fn reclaim(&mut self, link: LinkId, committed: &RangeSet) {
        let Self { stocks, workers, kept, .. } = self;
        stocks.reclaim(link, |loan, units, history| {
            let Some(parcel) = loan.parcel else {
                kept.push(link, Sent::then(loan.at, units, history), committed);
                return true;
            };
            let whole = workers.change(link, parcel, |sent| {
                let whole = sent.holding.is_copy() && sent.units.spans() == units.spans();
                if whole {
                    sent.holding.take_over();
                }
                whole
            });
            whole == Some(true)
        });
    }

    /// A parcel is for others as well, unless one of them has it already.
    fn lend(&mut self, link: LinkId, parcel: ParcelId) {
        let lent = self.workers.change(link, parcel, |sent| {
            sent.holding.give_up();
            (sent.units.clone(), sent.history, sent.at)
        });
        let Some((units, history, at)) = lent else { return };
        self.counts.lent += 1;
        if self.promote(link, &units) {
            return;
        }
        if history.is_suspect() && units.len() > 1 {
            // It may be the cause: what is left of it is cut as after a death.
            return self.cut(&units, units.len(), history);
        }
        let loan = Loan { link, at, parcel: Some(parcel) };
        self.stocks.put_back(Stock::lent(units, history, loan));
    }

    /// Whether another worker that is heard was given a copy of these units: then that one counts.
    fn promote(&mut self, lender: LinkId, units: &Units) -> bool {
        let same = |sent: &Sent| sent.holding.is_copy() && sent.units.spans() == units.spans();
        let found = self.workers.iter().find_map(|(link, peer)| {
            if link == lender || peer.presence.is_quiet() {
                return None;
            }
            let parcel = peer.pending.iter().find(|(_, sent)| same(sent))?.0;
            Some((link, *parcel))
        });
        let Some((link, parcel)) = found else { return false };
        self.workers.change(link, parcel, |sent| sent.holding.take_over()).is_some()
    }

    /// A worker has died after it was quiet. What it executed may be the cause, and is with others,
    /// or waits for one: it is charged there.
    pub(super) fn accuse(
        &mut self,
        turn: &mut Turn<'_, Instruction>,
        executed: &Sent,
        link: LinkId,
        name: &str,
        committed: &RangeSet,
    ) {
        if let Some((units, history)) = self.stocks.take_lent(link, executed.units.spans()) {
            let sent = Sent::then(executed.at, units, history);
            return self.charge(turn, sent, Death { worker: name, among: None }, committed);
        }
        for holder in self.workers.links() {
            for (units, history) in self.accuse_holder(turn.now, holder, executed) {
                self.give_up_killer(&units, history, name, turn.out);
            }
        }
    }

    /// What a worker has of the units that may have killed another one is suspect; and given up, if
    /// it has killed enough.
    fn accuse_holder(
        &mut self,
        now: Time,
        holder: LinkId,
        executed: &Sent,
    ) -> Vec<(Units, History)> {
        let limit = self.terms.crash_limit;
        let given_up = self.workers.update(holder, |peer| {
            let own = peer.pending.values_mut().filter(|sent| !sent.holding.is_copy());
            let touched = own.filter(|sent| overlap(&sent.units, &executed.units));
            let mut given_up = Vec::new();
            for sent in touched {
                // Only what was suspect before was all that its worker had.
                let charged = executed.history.is_suspect()
                    && executed.units.len() == 1
                    && sent.units.len() == 1;
                sent.history = sent.history.suspected(charged, now);
                if charged && sent.history.deaths() >= limit {
                    sent.holding.give_up();
                    given_up.push((sent.units.clone(), sent.history));
                }
            }
            given_up
        });
        given_up.unwrap_or_default()
    }
}

/// Whether any unit is in both; two outputs of one unit are two units.
fn overlap(units: &Units, others: &Units) -> bool {
    units.spans().iter().any(|a| others.spans().iter().any(|b| a.overlaps(b)))
}
