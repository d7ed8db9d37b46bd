//! The bug that a worker forgets what it has sent to the next stage when it is given credit for
//! it, and not when it is committed.
//!
//! Owns the forgery: what credit says to be processed is slipped into the next commit that the
//! worker hears. Refuses to touch the rules.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use proto::{
    frame::{Commit, Envelope, Frame},
    ranges::RangeSet,
    unit::UnitId,
};

use super::forger::Forger;

/// What a worker has sent and been given credit for.
#[derive(Debug, Default)]
pub(super) struct Forgetful {
    sessions: BTreeMap<u32, Sent>,
    processed: RangeSet,
}

#[derive(Debug, Default)]
struct Sent {
    units: u64,
    // Up to how many units of the session, and whose they are.
    parcels: VecDeque<(u64, Vec<Range<UnitId>>)>,
    first_grant: Option<u64>,
}

impl Forger for Forgetful {
    fn sends(&mut self, envelope: &Envelope) {
        if let Frame::Work(work) = &envelope.frame {
            let sent = self.sessions.entry(envelope.session).or_default();
            sent.units += work.units.len() as u64;
            let roots = work.units.spans().iter().map(|span| span.roots()).collect();
            sent.parcels.push_back((sent.units, roots));
        }
    }

    fn hears(&mut self, envelope: &mut Envelope) {
        match &mut envelope.frame {
            Frame::Credit(credit) => {
                let sent = self.sessions.entry(envelope.session).or_default();
                let first = *sent.first_grant.get_or_insert(credit.units);
                let processed = credit.units.saturating_sub(first);
                while sent.parcels.front().is_some_and(|(until, _)| *until <= processed) {
                    let (_, roots) = sent.parcels.pop_front().unwrap_or_default();
                    for root in roots {
                        self.processed.insert(root);
                    }
                }
            }
            Frame::Commit(commit) => self.forge(commit),
            _ => {}
        }
    }
}

impl Forgetful {
    fn forge(&self, commit: &mut Commit) {
        let mut all = RangeSet::from_parts(commit.watermark, commit.above.iter().copied());
        all.insert_all(&self.processed);
        (commit.watermark, commit.above) = (all.watermark(), all.above().collect());
    }
}
