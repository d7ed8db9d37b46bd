//! What follows from what people want of a run while it goes on.
//!
//! Owns whether it can be had now: a run that is about to end is not steered any more. Refuses to
//! know who wants it.

use proto::time::Time;

use super::{
    Effect, Notice, Phase, Post, Slot, State, Supervisor, Wanted, exit,
    wish::{Granted, Hold, Unwilling, Wish},
};
use crate::runs::wire;

impl Supervisor {
    /// What the run is about.
    pub fn state(&self) -> wire::State {
        match self.phase {
            Phase::Running if self.is_ending() => wire::State::Ending,
            Phase::Running if self.hold == Hold::On => wire::State::Paused,
            Phase::Running => wire::State::Running,
            Phase::Draining => wire::State::Draining,
            Phase::Closing { .. } | Phase::Aborting(_) | Phase::Finished => wire::State::Ending,
        }
    }

    /// Takes one wish, appends what follows from it.
    ///
    /// # Errors
    /// [`Unwilling`] when nothing is done.
    pub fn wish(
        &mut self,
        now: Time,
        wish: Wish,
        out: &mut Vec<Effect>,
    ) -> Result<Granted, Unwilling> {
        let granted = match wish {
            Wish::Drain => Ok(self.wind_up(out)),
            Wish::Stop => Ok(self.stop(out)),
            _ if self.phase != Phase::Running || self.is_ending() => Err(Unwilling::Ending),
            Wish::Pause => Ok(self.hold(Hold::On, out)),
            Wish::Resume => Ok(self.hold(Hold::Off, out)),
            Wish::Scale { stage, workers } => Ok(self.scale(now, stage, workers, out)),
            Wish::Restart { stage } => self.restart(stage, out),
        };
        self.elapse(now, out);
        granted
    }

    /// Asked for again it is no second Ctrl-C.
    fn wind_up(&mut self, out: &mut Vec<Effect>) -> Granted {
        if self.phase == Phase::Running {
            self.interrupt(out);
        }
        Granted::Ends
    }

    fn stop(&mut self, out: &mut Vec<Effect>) -> Granted {
        match self.phase {
            Phase::Running | Phase::Draining => {
                out.push(Effect::Say(Notice::Stopping));
                self.abort(exit::INTERRUPTED, out);
            }
            // Everything is recorded.
            Phase::Closing { .. } => self.abort(self.verdict(), out),
            Phase::Aborting(_) | Phase::Finished => {}
        }
        Granted::Ends
    }

    fn hold(&mut self, hold: Hold, out: &mut Vec<Effect>) -> Granted {
        self.hold = hold;
        out.push(Effect::Hold(hold));
        Granted::Held(hold)
    }

    /// The youngest are those with the highest numbers.
    fn scale(&mut self, now: Time, stage: usize, workers: u32, out: &mut Vec<Effect>) -> Granted {
        let (mut more, mut fewer) = (0, 0);
        for number in 1..=workers {
            let post = Post::Worker { stage, number };
            let Some(slot) = self.slots.get_mut(&post) else {
                more += 1;
                self.slots.insert(post, Slot::due(now));
                continue;
            };
            match (slot.wanted, slot.state) {
                (Wanted::Leaves, State::Gone) => *slot = Slot::due(now),
                // It has heard already that it shall leave.
                (Wanted::Leaves, _) => slot.wanted = Wanted::Returns,
                (Wanted::Stays | Wanted::Returns, _) => continue,
            }
            more += 1;
        }
        for (post, slot) in &mut self.slots {
            let beyond = matches!(*post, Post::Worker { stage: of, number } if of == stage && number > workers);
            if !beyond || slot.wanted == Wanted::Leaves {
                continue;
            }
            fewer += 1;
            match slot.state {
                State::Running { .. } if slot.wanted == Wanted::Stays => {
                    out.push(Effect::Drain(*post));
                }
                State::Running { .. } | State::Gone => {}
                State::Resting { .. } => slot.state = State::Gone,
            }
            slot.wanted = Wanted::Leaves;
        }
        Granted::Scaled { more, fewer }
    }

    /// Whether this end of a worker was asked for; then what follows is done.
    pub(super) fn asked_ended(&mut self, now: Time, post: Post, out: &mut Vec<Effect>) -> bool {
        let Some(slot) = self.slots.get_mut(&post) else { return false };
        match slot.wanted {
            Wanted::Stays => return false,
            Wanted::Leaves => slot.failures = 0,
            Wanted::Returns => *slot = Slot::due(now),
        }
        if slot.wanted == Wanted::Leaves && self.rolling.is_at(post) {
            self.next_anew(out);
        }
        true
    }
}
