//! Workers that have nothing to do while others have much.
//!
//! Owns what is called back for them and what is copied; refuses to do either while units wait.

use std::time::Duration;

use super::{Dispatch, Instruction, Sent, sent::Holding};
use crate::{
    ranges::RangeSet,
    role::{LinkId, Turn},
    time::Time,
};

/// Minimum age of a worker's oldest parcel before its newest is retracted for an idle worker.
const RETRACT_AFTER: Duration = Duration::from_millis(12);
/// Minimum age of a parcel before an idle worker is given a copy.
const COPY_AFTER: Duration = Duration::from_millis(48);

impl Dispatch {
    /// When it is worth to look again for something that an idle worker can do.
    pub(super) fn next_look(&self) -> Option<Time> {
        let useless = self.ready() == 0 && self.workers.any_idle() && self.workers.any_busy();
        useless.then(|| self.looked + RETRACT_AFTER)
    }

    /// Nothing waits: a worker without work is given what another one has not begun or, at the
    /// end, a copy of what another one has had for longest.
    pub(super) fn use_idle_workers(
        &mut self,
        turn: &mut Turn<'_, Instruction>,
        committed: &RangeSet,
    ) {
        if self.ready() > 0 || turn.now.since(self.looked) < RETRACT_AFTER {
            return;
        }
        self.looked = turn.now;
        if !self.workers.any_idle() || self.workers.len() < 2 {
            return;
        }
        // A copy only once it is known that there is nothing to call back: the answers tell.
        let asked = self.retract(turn);
        if self.ending && !asked {
            self.speculate(turn, committed);
        }
    }

    /// Calls back the newest parcel of each worker that has been busy for long; whether any answer
    /// is awaited.
    fn retract(&mut self, turn: &mut Turn<'_, Instruction>) -> bool {
        let mut asked = false;
        let mut retract = Vec::new();
        for (link, peer) in self.workers.iter().filter(|(_, peer)| !peer.presence.is_quiet()) {
            if peer.pending.values().any(|sent| sent.holding.is_retracting()) {
                asked = true;
                continue;
            }
            let oldest = peer.pending.values().next();
            let overdue = oldest.is_some_and(|sent| turn.now.since(sent.at) >= RETRACT_AFTER);
            if let Some((parcel, sent)) = peer.pending.last_key_value()
                && overdue
                && (peer.pending.len() > 1 || sent.units.len() > 1)
                && !sent.holding.is_copy()
                && !sent.begun
                && !peer.presence.is_leaving()
            {
                retract.push((link, *parcel));
            }
        }
        asked |= !retract.is_empty();
        for (link, parcel) in retract {
            self.workers.change(link, parcel, |sent| sent.holding.retract());
            turn.out.push(Instruction::Retract(link, parcel));
        }
        asked
    }

    /// Gives each idle worker a copy of what another one has had for longest, as far as it is not
    /// committed.
    fn speculate(&mut self, turn: &mut Turn<'_, Instruction>, committed: &RangeSet) {
        let idle: Vec<LinkId> =
            self.workers.iter().filter(|(_, peer)| peer.is_idle()).map(|(link, _)| link).collect();
        let mut late = Vec::new();
        for (link, peer) in self.workers.iter() {
            for (parcel, sent) in &peer.pending {
                let patience = peer.patience(sent.units.len()).max(COPY_AFTER);
                if turn.now.since(sent.at) >= patience
                    && sent.holding.may_double()
                    && !sent.history.is_suspect()
                    && !self.recalls.asks(link, *parcel)
                {
                    late.push((sent.at, link, *parcel));
                }
            }
        }
        late.sort();
        for (idle, (_, link, parcel)) in idle.into_iter().zip(late) {
            let copy = self.workers.change(link, parcel, |sent| {
                sent.holding.double();
                let units = sent.units.clone().without(committed);
                let copy = Sent::then(turn.now, units, sent.history);
                // Should it come to a third try, the copy was the second.
                sent.history = sent.history.tried();
                Sent { holding: Holding::Copy, ..copy }
            });
            if let Some(copy) = copy.filter(|copy| !copy.units.is_empty()) {
                self.counts.copies += 1;
                self.send(turn, idle, copy);
            }
        }
    }
}
