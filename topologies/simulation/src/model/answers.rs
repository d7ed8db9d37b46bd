//! Answers of a thread on their way to the worker, in which other things may happen.
//!
//! Owns their order: none overtakes another. Refuses to know what they say.

use std::{collections::BTreeMap, time::Duration};

use worker::core::Reply;

use crate::{actor::Context, clock::Moment};

/// The longest way of an answer to the worker.
const ANSWER_MAX: Duration = Duration::from_micros(200);

/// See the module.
#[derive(Debug)]
pub(super) struct Answers {
    under_way: BTreeMap<u64, Reply>,
    next_token: u64,
    last: Moment,
}

impl Answers {
    /// None yet; their tokens are above this one.
    pub fn above(token: u64) -> Self {
        Self { under_way: BTreeMap::new(), next_token: token, last: Moment::default() }
    }

    /// A token that nothing else has.
    pub fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// Answers after a moment, and after all answers before it.
    pub fn answer(&mut self, reply: Reply, context: &mut Context<'_>) {
        let soon = context.now + ANSWER_MAX.mul_f64(context.rng.f64());
        self.last = self.last.max(soon);
        let token = self.token();
        self.under_way.insert(token, reply);
        context.later(self.last.since(context.now), token);
    }

    /// The answer that arrives now, if it is one.
    pub fn arrive(&mut self, token: u64) -> Option<Reply> {
        self.under_way.remove(&token)
    }
}
