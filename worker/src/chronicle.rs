//! What becomes of the units that a worker sends on, for people: in its diary, if it keeps one.
//!
//! Owns what is noted; refuses to decide anything, and to cost anything where nothing is noted.

use std::time::Duration;

use proto::{
    diary,
    frame::{Dead, Work},
    rules::{
        downstream::{Failure, Witness},
        mesh::Loss,
    },
};

use crate::request::{Request, Turn};

/// Whether a diary is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Chronicle {
    /// Nobody would read it.
    #[default]
    Unwritten,
    /// It is.
    Written,
}

impl Chronicle {
    /// A worker that it sends to is lost.
    pub fn lost(self, turn: &mut Turn<'_>, worker: &str, loss: Loss) {
        if self == Self::Written {
            turn.request(Request::Note(diary::Event::lost(worker, loss)));
        }
    }
}

impl Witness<Request> for Chronicle {
    fn sent(&mut self, turn: &mut Turn<'_>, worker: &str, work: &Work) {
        if *self == Self::Written {
            turn.request(Request::Note(diary::Event::sent(worker, work)));
        }
    }

    fn failed(&mut self, turn: &mut Turn<'_>, worker: &str, failure: Failure<'_>) {
        if *self == Self::Written {
            turn.request(Request::Note(diary::Event::failed(worker, failure)));
        }
    }

    fn dead(&mut self, _: &Dead) {}

    fn committed(&mut self, _: Vec<(Duration, usize)>) {}
}
