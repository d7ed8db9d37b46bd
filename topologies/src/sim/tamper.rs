//! Frames changed on their way, for the mutations that are about what a role believes.
//!
//! A role that drops what it keeps too early behaves as one that is told too early that it is
//! committed. So its `Commit` frames are made to say so, and those that it passes on are put
//! right again.

use std::collections::BTreeMap;

use proto::{
    frame::{Commit, Envelope, Frame, PeerId},
    ranges::RangeSet,
};

use super::mutation::Mutation;

/// What is needed to lie in the right places.
#[derive(Debug)]
pub(super) struct Tamper {
    mutation: Option<Mutation>,
    // What workers have sent to the sink, by worker.
    sent: BTreeMap<PeerId, RangeSet>,
    // Everything that any worker has sent to the sink.
    done: RangeSet,
    // What the sink last said.
    truth: Commit,
}

impl Tamper {
    pub fn new(mutation: Option<Mutation>) -> Self {
        let (sent, done) = (BTreeMap::new(), RangeSet::new());
        Self { mutation, sent, done, truth: Commit::default() }
    }

    /// A frame passes.
    pub fn pass(&mut self, by_sink: bool, by_ventilator: bool, envelope: &mut Envelope) {
        let Some(mutation) = self.mutation else { return };
        match &mut envelope.frame {
            Frame::Results(results) if !by_ventilator => {
                let _ = (mutation, by_sink, results);
            }
            _ => {}
        }
    }
}
