//! The workers of a stage are started anew, one after the other.
//!
//! Owns whose turn it is, and when the one before has joined again: the ventilator counts as many
//! workers as before. Refuses to hurry: new code that can't work stops at its first worker, and the
//! others go on.

use std::collections::VecDeque;

use proto::time::Time;

use super::{
    Effect, Notice, Phase, Post, SETTLED, State, Supervisor, Wanted,
    wish::{Granted, Unwilling},
};

/// A count may have been under way when the worker began; from the second on it is news.
const COUNTS: u32 = 2;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Rolling {
    queue: VecDeque<Post>,
    turn: Option<Turn>,
    // Workers of all stages, as the ventilator said last.
    workers: u32,
}

#[derive(Debug)]
struct Turn {
    post: Post,
    // Workers before it was asked to leave.
    before: u32,
    started: Option<Time>,
    counts: u32,
}

impl Rolling {
    /// Whether it is this one's turn.
    pub fn is_at(&self, post: Post) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.post == post)
    }

    /// A process is started; it may be the one whose turn it is.
    pub fn started(&mut self, post: Post, now: Time) {
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.post == post) {
            (turn.started, turn.counts) = (Some(now), 0);
        }
    }

    /// Whether the one whose turn it is has joined; one that runs for long without that is not
    /// missed by the ventilator, as when a worker elsewhere has left meanwhile.
    fn has_joined(&mut self, now: Time, workers: u32) -> bool {
        self.workers = workers;
        let Some(turn) = &mut self.turn else { return false };
        let Some(started) = turn.started else { return false };
        turn.counts += 1;
        turn.counts >= COUNTS && workers >= turn.before || now.since(started) >= SETTLED
    }
}

impl Supervisor {
    pub(super) fn restart(
        &mut self,
        stage: usize,
        out: &mut Vec<Effect>,
    ) -> Result<Granted, Unwilling> {
        if self.rolling.turn.is_some() {
            return Err(Unwilling::Busy);
        }
        let of_stage = self.slots.iter().filter(|(post, slot)| {
            matches!(post, Post::Worker { stage: of, .. } if *of == stage)
                && slot.wanted == Wanted::Stays
        });
        self.rolling.queue = of_stage.map(|(post, _)| *post).collect();
        match self.rolling.queue.len() {
            0 => Err(Unwilling::Nobody),
            count => {
                self.next_anew(out);
                Ok(Granted::Restarts(count))
            }
        }
    }

    /// The ventilator says how many workers there are.
    pub(super) fn count(&mut self, now: Time, workers: u32, out: &mut Vec<Effect>) {
        let is_running = |post| matches!(self.slots.get(&post), Some(slot) if matches!(slot.state, State::Running { .. }));
        let rests = self.rolling.turn.as_ref().is_some_and(|turn| !is_running(turn.post));
        if self.rolling.has_joined(now, workers) && !rests {
            self.next_anew(out);
        }
    }

    /// The next one is asked to leave; those who were asked meanwhile, or rest, need not be.
    pub(super) fn next_anew(&mut self, out: &mut Vec<Effect>) {
        let had_turn = self.rolling.turn.take().is_some();
        if self.phase != Phase::Running || self.is_ending() {
            return self.rolling.queue.clear();
        }
        while let Some(post) = self.rolling.queue.pop_front() {
            let Some(slot) = self.slots.get_mut(&post) else { continue };
            if slot.wanted != Wanted::Stays || !matches!(slot.state, State::Running { .. }) {
                continue;
            }
            slot.wanted = Wanted::Returns;
            let before = self.rolling.workers;
            self.rolling.turn = Some(Turn { post, before, started: None, counts: 0 });
            out.push(Effect::Say(Notice::Anew(post, self.rolling.queue.len())));
            return out.push(Effect::Drain(post));
        }
        if had_turn {
            out.push(Effect::Say(Notice::AllAnew));
        }
    }
}
