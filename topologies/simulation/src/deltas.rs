//! The two bugs of one who is told what is committed part by part: a part that gets lost, and one
//! that counts twice.
//!
//! Owns the forgery of both. In the rules neither can be: a frame that is lost ends its session,
//! and what is committed is a set.

use proto::{
    frame::{Envelope, Frame},
    unit::UnitId,
};

use super::forger::Forger;

/// Of so many parts that say anything above the watermark, one is lost. The next one heals that, if
/// it says of the same range that it has grown.
const LOST: u32 = 2;

/// Hears nothing of a part of the ranges.
#[derive(Debug, Default)]
pub(super) struct LosesDeltas {
    heard: u32,
}

impl Forger for LosesDeltas {
    fn hears(&mut self, envelope: &mut Envelope) {
        let Frame::Commit(commit) = &mut envelope.frame else { return };
        if !commit.above.is_empty() {
            self.heard += 1;
            if self.heard.is_multiple_of(LOST) {
                commit.above.clear();
            }
        }
    }
}

/// Adds what the watermark has grown by to what it knows, and so once more when that is told again.
#[derive(Debug, Default)]
pub(super) struct DoublesDeltas {
    told: UnitId,
    added: UnitId,
}

impl Forger for DoublesDeltas {
    fn hears(&mut self, envelope: &mut Envelope) {
        let Frame::Commit(commit) = &mut envelope.frame else { return };
        let again = commit.watermark == self.told;
        self.added = self.added.max(commit.watermark);
        if again {
            self.added = commit.horizon.min(self.added.saturating_add(1));
        }
        self.told = commit.watermark;
        commit.watermark = self.added;
    }
}
