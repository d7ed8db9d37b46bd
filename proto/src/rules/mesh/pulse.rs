//! When heartbeats are due, and who has missed some.
//!
//! Owns the moments, and that no silence counts while this process itself did not run; refuses
//! clocks, and to do anything about it.

use std::{collections::BTreeMap, time::Duration};

use super::link::{Link, Silence, State};
use crate::{limits::Limits, role::LinkId, time::Time};

/// A peer is quiet when it has missed so many heartbeats, and a small part of one for its way.
const BEATS_MISSED: u32 = 2;
const LOOK_PART: u32 = 20;
/// A look that is late by this part of a heartbeat tells that this process did not run.
const LATE_PART: u32 = 4;

/// When heartbeats are due, and when to look who has missed some.
#[derive(Debug)]
pub(super) struct Pulse {
    heartbeat: Duration,
    pub liveness: Duration,
    next_beat: Time,
    // When to look for peers that are quiet, and until when none is taken for that, since this
    // process itself was late.
    next_look: Time,
    lenient_until: Time,
}

impl Pulse {
    pub fn new(limits: &Limits) -> Self {
        let mut pulse = Self {
            heartbeat: Duration::ZERO,
            liveness: Duration::ZERO,
            next_beat: Time::default(),
            next_look: Time::default(),
            lenient_until: Time::default(),
        };
        pulse.adopt(limits);
        pulse
    }

    /// Takes over the limits that a plan brought.
    pub fn adopt(&mut self, limits: &Limits) {
        self.heartbeat = Duration::from_millis(limits.heartbeat_interval_ms.max(1));
        self.liveness = Duration::from_millis(limits.liveness_ms);
    }

    /// When the next heartbeat is due, or the next look at who is quiet.
    pub fn deadline(&self) -> Time {
        self.next_beat.min(self.next_look)
    }

    /// Whether a heartbeat is due.
    pub fn beats(&mut self, now: Time) -> bool {
        let due = now >= self.next_beat;
        if due {
            self.next_beat = now + self.heartbeat;
        }
        due
    }

    /// Who has newly missed two heartbeats, and when it was heard last. What a peer said may not
    /// have been read yet, so it is looked for once more a moment later; and where this process was
    /// late itself, its peers may have been so too, and have time for another heartbeat.
    pub fn look(&mut self, now: Time, links: &mut BTreeMap<LinkId, Link>) -> Vec<(LinkId, Time)> {
        let mut quiet = Vec::new();
        if now < self.next_look {
            return quiet;
        }
        let moment = self.heartbeat / LOOK_PART;
        let patience = self.heartbeat * BEATS_MISSED + moment;
        if now.since(self.next_look) > self.heartbeat / LATE_PART {
            self.lenient_until = now + self.heartbeat;
        }
        let lenient = now < self.lenient_until;
        let mut next = now + self.heartbeat;
        for (link, known) in links {
            if known.state != State::Open || known.silence == Silence::Known {
                continue;
            }
            let due = known.heard + patience;
            if now < due {
                known.silence = Silence::None;
                next = next.min(due);
            } else if lenient {
                next = next.min(self.lenient_until);
            } else if known.silence == Silence::Doubtful {
                known.silence = Silence::Known;
                quiet.push((*link, known.heard));
            } else {
                known.silence = Silence::Doubtful;
                next = next.min(now + moment);
            }
        }
        self.next_look = next;
        quiet
    }
}
