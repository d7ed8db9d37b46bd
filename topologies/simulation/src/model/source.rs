//! A source: the same values whenever it is read, some of them only after a while.

use std::time::Duration;

use proto::{unit::UnitId, units::Units};
use ventilator::core::{Reply, Request};

use crate::{
    actor::{Context, Deed, Helper},
    clock::Moment,
    doom::{Fate, Job},
    shape::source_value,
};

/// Values that one read brings at most, and their bytes.
const READ_UNITS_MAX: u64 = 40;
const READ_BYTES_MAX: usize = 512;
/// A read is done; the process is.
const READ: u64 = 0;
const DEATH: u64 = 1;
/// Values that are kept back until the storm is over, if any.
const KEPT_BACK: u64 = 3;

/// A source of so many values.
pub(crate) struct Source {
    units: u64,
    next: UnitId,
    asked: u64,
    read_max: Duration,
    // Until then the last values are not there.
    complete_at: Moment,
    fate: Option<Fate>,
}

impl Source {
    pub fn new(units: u64, read_max: Duration, complete_at: Moment) -> Self {
        Self { units, next: 0, asked: 0, read_max, complete_at, fate: None }
    }
}

impl Helper for Source {
    type Request = Request;
    type Reply = Reply;

    fn job(request: &Request) -> Job {
        match request {
            Request::Seek { .. } => Job::Seek,
            Request::Read(_) => Job::Read,
            // Its ventilator serves no clients.
            Request::Note(_) | Request::Queue(_) => Job::Note,
        }
    }

    fn ask(
        &mut self,
        request: Request,
        fate: Option<Fate>,
        context: &mut Context<'_>,
    ) -> Option<Reply> {
        // Nothing that it does outlives it, so it does not matter how far it has come.
        if let Some(fate) = fate {
            self.fate = Some(fate);
            context.later(fate.lingers, DEATH);
            return None;
        }
        match request {
            Request::Note(_) | Request::Queue(_) => {}
            Request::Seek { unit, .. } => self.next = unit,
            Request::Read(units) => {
                self.asked = units;
                let soon = self.read_max.mul_f64(context.rng.f64());
                let waits = self.next + KEPT_BACK >= self.units;
                let wait = self.complete_at.since(context.now);
                context.later(if waits { soon.max(wait) } else { soon }, READ);
            }
        }
        None
    }

    fn go_on(&mut self, token: u64, context: &mut Context<'_>) -> Option<Reply> {
        if let Some(fate) = self.fate {
            // Whoever does not come back from one thing does no other.
            context.deeds.extend((token == DEATH).then_some(Deed::Crash(fate)));
            return None;
        }
        let kept_back = if context.now < self.complete_at { KEPT_BACK } else { 0 };
        let there = self.units.saturating_sub(kept_back);
        let count = self.asked.min(context.rng.u64(1..=READ_UNITS_MAX));
        let (mut payload, mut ends) = (Vec::new(), Vec::new());
        let first = self.next;
        while self.next < there.min(first + count) && payload.len() < READ_BYTES_MAX {
            payload.extend(source_value(self.next));
            ends.push(payload.len() as u32);
            self.next += 1;
        }
        // The end is seen with the last value, or only by the next read.
        let ended = self.next == self.units && (ends.is_empty() || context.rng.bool());
        Some(Reply::Read { units: Units::from_source(first, payload, ends), ended })
    }
}
