//! Units that shall not be worked on any more, if no worker has begun them.
//!
//! Owns what is done to find out: what waits is held, and workers are asked for what they have, be it a copy.
//! Refuses to know why, and what becomes of a unit that nobody has begun: whoever wants to know is told.
//!
//! ```text
//!   waits here ────────────────────► held ──── nobody who was asked has it ──► idle
//!                                     ▲ │
//!   it comes back, its worker is lost │ │ another worker has begun it
//!                                     │ ▼
//!   with workers ──► asked ───────────┘ as before ─────────────────────────┐
//!                    ▲  │ some came back, it did not                       │
//!                    └──┤                                                  ▼
//!                       └ nothing came back, or it is done ─────────────► begun
//! ```
//!
//! What is committed meanwhile is not told. A worker gives back only a part of a parcel that it has begun, so
//! it is asked until nothing comes back. One that is not heard is waited for as long as its session lasts.

use std::{collections::BTreeSet, mem, ops::Range};

use super::{Dispatch, Instruction, Sent, roots_of, stocks::Stock};
use crate::{frame::ParcelId, ranges::RangeSet, role::LinkId, unit::UnitId, units::Units};

/// What became of units that shall not be worked on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recalled {
    /// No worker has begun them, and none is given them any more.
    pub idle: Units,
    /// The same of those that were tried before: they failed, or their worker was lost.
    pub tried: Units,
    /// A worker has begun these, and they go on as all others.
    pub begun: RangeSet,
}

impl Recalled {
    /// Whether nothing is told.
    pub fn is_empty(&self) -> bool {
        self.idle.is_empty() && self.tried.is_empty() && self.begun.is_empty()
    }
}

/// What is not known yet, beside what the stocks withhold.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    pub asked: BTreeSet<(LinkId, ParcelId)>,
    begun: RangeSet,
    // Something has happened since it was looked what is known.
    stirred: bool,
}

impl Recalls {
    /// Whether this parcel is asked for.
    pub fn asks(&self, link: LinkId, parcel: ParcelId) -> bool {
        self.asked.contains(&(link, parcel))
    }

    /// A worker is gone.
    pub fn lost(&mut self, link: LinkId) {
        self.asked.retain(|(asked, _)| *asked != link);
        self.stirred = true;
    }
}

impl Dispatch {
    /// These units shall not be worked on, as far as no worker has begun them. What comes of it is told by
    /// [`settle`](Self::settle).
    pub fn recall(&mut self, units: &RangeSet, committed: &RangeSet) {
        let mut wanted = RangeSet::new();
        for range in units.iter().flat_map(|range| committed.gaps(range)) {
            wanted.insert(range);
        }
        let executed = self.stocks.withhold(&wanted);
        self.recalls.stirred = true;
        self.has_begun(&executed);
        self.has_begun(&self.kept.among(&wanted));
    }

    /// What has become known of units that shall not be worked on, if anything has; who has any of them is
    /// asked.
    pub fn settle(&mut self, orders: &mut Vec<Instruction>) -> Recalled {
        let mut told = Recalled::default();
        if !mem::take(&mut self.recalls.stirred) {
            return told;
        }
        let begun = self.pending_among(|sent| sent.begun);
        begun.into_iter().for_each(|(_, _, roots)| self.has_begun(&roots));
        let mut known = self.stocks.withheld().clone();
        for (link, parcel, roots) in self.pending_among(|_| true) {
            roots.iter().for_each(|range| known.remove(range));
            self.ask_for(link, parcel, orders);
        }
        told.begun = mem::take(&mut self.recalls.begun);
        let mut missing = known.clone();
        for (units, history) in self.stocks.let_go(&known) {
            roots_of(&units).iter().for_each(|range| missing.remove(range));
            let found = if history.tries > 0 { &mut told.tried } else { &mut told.idle };
            found.append(&units);
        }
        // What nobody has was executed, or given up.
        told.begun.insert_all(&missing);
        if self.stocks.withheld().is_empty() {
            self.recalls.asked.clear();
        }
        told
    }

    /// The parcels that hold what is withheld, and the roots of that.
    fn pending_among(&self, which: impl Fn(&Sent) -> bool) -> Vec<(LinkId, ParcelId, RangeSet)> {
        let withheld = self.stocks.withheld();
        if withheld.is_empty() {
            return Vec::new();
        }
        let pending = self.workers.iter().flat_map(|(link, peer)| {
            peer.pending.iter().map(move |(parcel, sent)| (link, *parcel, sent))
        });
        let holding = pending
            .filter(|(_, _, sent)| which(sent))
            .map(|(link, parcel, sent)| (link, parcel, withheld.common(&roots_of(&sent.units))));
        holding.filter(|(_, _, roots)| !roots.is_empty()).collect()
    }

    fn ask_for(&mut self, link: LinkId, parcel: ParcelId, orders: &mut Vec<Instruction>) {
        if !self.recalls.asked.insert((link, parcel)) {
            return;
        }
        let is_new = self.workers.change(link, parcel, |sent| {
            let is_new = !sent.holding.is_retracting();
            sent.holding.retract();
            is_new
        });
        if is_new == Some(true) {
            orders.push(Instruction::Retract(link, parcel));
        }
    }

    /// A worker has answered for a parcel, and given these units back; before they are anywhere else.
    pub(super) fn answered(&mut self, link: LinkId, parcel: ParcelId, back: &Units) {
        if !self.recalls.asked.remove(&(link, parcel)) {
            return;
        }
        self.recalls.stirred = true;
        if back.is_empty() {
            let sent = self.workers.get(link).and_then(|peer| peer.pending.get(&parcel));
            let kept = sent.map(|sent| roots_of(&sent.units)).unwrap_or_default();
            return self.has_begun(&kept);
        }
        let withheld = self.stocks.withheld();
        let came = back.iter().filter(|(root, ..)| withheld.contains(*root)).count();
        self.counts.recalled += came as u64;
    }

    /// A worker has executed these. Mostly nothing is withheld, and then nothing is looked at.
    pub(super) fn has_executed(&mut self, units: &Units) {
        if !self.stocks.withheld().is_empty() {
            self.has_begun(&roots_of(units));
        }
    }

    /// A worker has begun these: what else is here of those that are withheld is as before.
    pub(super) fn has_begun(&mut self, roots: &RangeSet) {
        let begun = self.stocks.withheld().common(roots);
        if begun.is_empty() {
            return;
        }
        self.recalls.stirred = true;
        self.recalls.begun.insert_all(&begun);
        for (units, history) in self.stocks.let_go(&begun) {
            self.stocks.put_back(Stock::new(units, history));
        }
    }

    /// These are committed: nobody needs to be told of them.
    pub(super) fn recalled_too_late(&mut self, news: &[Range<UnitId>]) {
        let withheld = self.stocks.withheld();
        let late: Vec<_> =
            news.iter().filter(|range| withheld.intersects((*range).clone())).collect();
        if late.is_empty() {
            return;
        }
        let mut committed = RangeSet::new();
        late.into_iter().for_each(|range| _ = committed.insert(range.clone()));
        drop(self.stocks.let_go(&committed));
        self.recalls.stirred = true;
    }
}
