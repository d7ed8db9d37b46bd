//! The rules of supervision: who is started again, when, and what ends the run.
//!
//! Owns what is known of every process of an `up`; refuses to start, signal or wait for any of
//! them: it takes events and the time, and returns what to do.

mod ending;
mod rolling;
mod steer;
mod wish;

use std::{collections::BTreeMap, time::Duration};

use proto::time::Time;

pub use self::{
    ending::Ending,
    wish::{Granted, Hold, Unwilling, Wish},
};
use self::{
    ending::{ASKED, PANICKED},
    rolling::Rolling,
};
use super::{
    exit,
    posts::{Post, Posts},
};
use crate::halt::When;

/// The rest before a process is started again: at first, and after many failures in a row.
const REST: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The rest after a process that ended without fault. At the end of a run its workers leave
/// before the others do, and none should be started in between.
const REST_AFTER_LEAVING: Duration = Duration::from_secs(1);
/// A process that lived as long has not failed in a row with the one before.
const SETTLED: Duration = Duration::from_secs(10);
/// How often the workers of a stage may say that they cannot work here, without any progress.
const UNFIT_MAX: u32 = 5;
/// How often the workers of a stage may end otherwise, without any progress: more often, since
/// a unit that kills its worker has to be found by halving its parcel, and dies several times.
const ENDS_MAX: u32 = 25;
/// How often in a row a sink or a ventilator is started again, without any progress.
const RETURNS_MAX: u32 = 8;
/// How many processes are started before anything else is looked at. To start a thousand takes
/// seconds, and the run may be over by then.
const STARTS_MAX: usize = 8;
/// How long the others may take to end after everything is recorded, and after the sink has: they
/// were told before it was, and one that is stopped hears nothing.
const CLOSING: Duration = Duration::from_secs(1);
const CLOSING_MIN: Duration = Duration::from_millis(100);

/// What the rules learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A process has ended, or could not be started.
    Ended(Post, Ending),
    /// How far the run has got.
    Progress {
        /// Units with an outcome.
        committed: u64,
        /// All units, once known.
        total: Option<u64>,
    },
    /// The ventilator says how many workers there are.
    Workers(u32),
    /// Someone wants the run to end.
    Interrupt,
    /// The run is hopeless.
    Hopeless(When),
    /// Time has passed.
    Tick,
}

/// What shall be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start a process.
    Start(Post),
    /// Ask a process to finish what it has begun.
    Drain(Post),
    /// End a process at once.
    Kill(Post),
    /// Have the ventilator send no further units, or send them again.
    Hold(Hold),
    /// Tell people.
    Say(Notice),
    /// Nothing is left running; leave with this exit code.
    Finish(i32),
}

/// What people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A process has ended and is started again.
    Returns(Post, Ending, Duration),
    /// The run cannot go on without this process.
    Fatal(Post, Ending),
    /// A process fails again and again.
    Hopeless(Post, Ending),
    /// A worker is asked to leave, and started again; so many follow.
    Anew(Post, usize),
    /// The last of them has joined again.
    AllAnew,
    /// A stage fails with every unit; the run stops.
    Halted,
    /// What is being worked on is finished.
    Draining,
    /// Everything is ended at once.
    Stopping,
}

/// Whether the run outlives its sink and its ventilator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// What they knew is gone with them.
    None,
    /// They are started again and go on where they were.
    Durable,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Running { since: Time },
    Resting { until: Time },
    Gone,
}

/// What becomes of a process that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// It is started again.
    Stays,
    /// It was asked to leave, and is not started again.
    Leaves,
    /// It was asked to leave, and is started again at once.
    Returns,
}

#[derive(Debug)]
struct Slot {
    state: State,
    failures: u32,
    wanted: Wanted,
}

impl Slot {
    fn due(at: Time) -> Self {
        Self { state: State::Resting { until: at }, failures: 0, wanted: Wanted::Stays }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Draining,
    /// The sink has said how the run went.
    Closing {
        until: Time,
    },
    /// Everything is being ended; with this exit code.
    Aborting(i32),
    Finished,
}

/// What happened in a stage since the run last got further.
#[derive(Debug, Clone, Copy, Default)]
struct Standstill {
    unfit: u32,
    ends: u32,
}

/// The rules of one run.
#[derive(Debug)]
pub struct Supervisor {
    survival: Survival,
    phase: Phase,
    slots: BTreeMap<Post, Slot>,
    standstill: Vec<Standstill>,
    committed: u64,
    total: Option<u64>,
    // Since when everything is known to be recorded.
    complete: Option<Time>,
    sink: Option<i32>,
    ventilator: Option<i32>,
    // Why the run fails. What comes later follows from it, or came too late to matter.
    cause: Option<i32>,
    hold: Hold,
    rolling: Rolling,
}

impl Supervisor {
    /// Everyone is to be started, the first of them at once.
    pub fn new(now: Time, posts: &Posts, survival: Survival) -> (Self, Vec<Effect>) {
        let rested = |post| (post, Slot::due(now));
        let mut supervisor = Self {
            survival,
            phase: Phase::Running,
            slots: posts.posts().into_iter().map(rested).collect(),
            standstill: vec![Standstill::default(); posts.stages()],
            committed: 0,
            total: None,
            complete: None,
            sink: None,
            ventilator: None,
            cause: None,
            hold: Hold::Off,
            rolling: Rolling::default(),
        };
        let mut first = Vec::new();
        supervisor.start_rested(now, &mut first);
        (supervisor, first)
    }

    /// Takes one event, appends what follows from it.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Ended(post, ending) => self.ended(now, post, ending, out),
            Event::Progress { committed, total } => self.progress(now, committed, total),
            Event::Workers(workers) => self.count(now, workers, out),
            Event::Interrupt => self.interrupt(out),
            Event::Hopeless(when) => self.halt(when, out),
            Event::Tick => {}
        }
        self.elapse(now, out);
    }

    /// When it wants an [`Event::Tick`] if nothing happens before.
    pub fn deadline(&self) -> Option<Time> {
        let rests = self.slots.values().filter_map(|slot| match slot.state {
            State::Resting { until } => Some(until),
            _ => None,
        });
        let closing = match self.phase {
            Phase::Closing { until } => Some(until),
            _ => None,
        };
        rests.chain(closing).min()
    }

    fn progress(&mut self, now: Time, committed: u64, total: Option<u64>) {
        // A sink that was started again may not have told yet what its predecessor had committed.
        if committed > self.committed {
            self.standstill.fill(Standstill::default());
            for post in [Post::Sink, Post::Ventilator] {
                // Without both of them nothing is committed.
                if let Some(slot) = self.slots.get_mut(&post) {
                    slot.failures = 0;
                }
            }
            self.committed = committed;
        }
        self.total = total.or(self.total);
        if self.total == Some(self.committed) {
            self.complete.get_or_insert(now);
        }
    }

    fn interrupt(&mut self, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Running => {
                self.phase = Phase::Draining;
                out.push(Effect::Say(Notice::Draining));
                self.drain(Post::Ventilator, out);
            }
            Phase::Draining | Phase::Closing { .. } => {
                out.push(Effect::Say(Notice::Stopping));
                self.abort(exit::INTERRUPTED, out);
            }
            Phase::Aborting(_) | Phase::Finished => {}
        }
    }

    /// What is not begun is left for another start. One that is about to end does so by itself.
    fn halt(&mut self, when: When, out: &mut Vec<Effect>) {
        if self.phase != Phase::Running || self.is_ending() {
            return;
        }
        out.push(Effect::Say(Notice::Halted));
        self.cause.get_or_insert(exit::DEAD);
        match when {
            When::Now => self.abort(exit::DEAD, out),
            When::Soon => {
                self.phase = Phase::Draining;
                self.drain(Post::Ventilator, out);
            }
        }
    }

    fn drain(&self, post: Post, out: &mut Vec<Effect>) {
        if matches!(self.slots.get(&post), Some(Slot { state: State::Running { .. }, .. })) {
            out.push(Effect::Drain(post));
        }
    }

    fn abort(&mut self, code: i32, out: &mut Vec<Effect>) {
        self.phase = Phase::Aborting(code);
        for (post, slot) in &mut self.slots {
            match slot.state {
                State::Running { .. } => out.push(Effect::Kill(*post)),
                State::Resting { .. } => slot.state = State::Gone,
                State::Gone => {}
            }
        }
    }

    fn ended(&mut self, now: Time, post: Post, ending: Ending, out: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(&post) else { return };
        let State::Running { since } = slot.state else { return };
        slot.state = State::Gone;
        slot.failures = if now.since(since) >= SETTLED { 1 } else { slot.failures + 1 };
        if matches!(self.phase, Phase::Aborting(_) | Phase::Finished) {
            return;
        }
        match post {
            Post::Sink => self.sink_ended(now, ending, out),
            Post::Ventilator => self.ventilator_ended(now, ending, out),
            Post::Worker { stage, .. } => self.worker_ended(now, post, stage, ending, out),
        }
    }

    fn sink_ended(&mut self, now: Time, ending: Ending, out: &mut Vec<Effect>) {
        match meaning(ending) {
            Ending::Code(code @ (exit::COMPLETE | exit::DEAD | exit::DRAINED)) => {
                self.sink = Some(code);
                self.close(now, out);
            }
            ending => {
                self.lost(now, Post::Sink, ending, out);
                // A ventilator that has left already is needed to tell the new sink so.
                if !matches!(self.phase, Phase::Aborting(_)) && self.ventilator.take().is_some() {
                    self.rest(now, Post::Ventilator, REST.0);
                }
            }
        }
    }

    /// Everything is recorded: whoever is left may go.
    fn close(&mut self, now: Time, out: &mut Vec<Effect>) {
        let recorded = self.complete.unwrap_or(now);
        self.phase = Phase::Closing { until: (recorded + CLOSING).max(now + CLOSING_MIN) };
        for slot in self.slots.values_mut() {
            if let State::Resting { .. } = slot.state {
                slot.state = State::Gone;
            }
        }
        self.dismiss_workers(out);
    }

    /// A worker that came when the ventilator was gone already has nobody to tell it so.
    fn dismiss_workers(&mut self, out: &mut Vec<Effect>) {
        for (post, slot) in &self.slots {
            if let (Post::Worker { .. }, State::Running { .. }) = (post, slot.state) {
                out.push(Effect::Drain(*post));
            }
        }
    }

    fn ventilator_ended(&mut self, now: Time, ending: Ending, out: &mut Vec<Effect>) {
        match meaning(ending) {
            Ending::Code(code @ (exit::COMPLETE | exit::INPUT_OUTPUT | exit::DRAINED)) => {
                self.ventilator = Some(code);
                if code == exit::INPUT_OUTPUT {
                    self.cause.get_or_insert(code);
                }
                match code {
                    // Every unit has its outcome.
                    exit::COMPLETE => self.dismiss_workers(out),
                    // It may have left before it ever met the sink, which would wait for it.
                    _ => self.drain(Post::Sink, out),
                }
            }
            ending => self.lost(now, Post::Ventilator, ending, out),
        }
    }

    /// The sink or the ventilator is gone without having finished.
    fn lost(&mut self, now: Time, post: Post, ending: Ending, out: &mut Vec<Effect>) {
        let failures = self.slots.get(&post).map_or(0, |slot| slot.failures);
        let crashed = matches!(ending, Ending::Signal(_) | Ending::Code(PANICKED));
        if self.survival == Survival::Durable && crashed && failures <= RETURNS_MAX {
            let pause = pause(failures);
            out.push(Effect::Say(Notice::Returns(post, ending, pause)));
            return self.rest(now, post, pause);
        }
        let code = match ending {
            Ending::Code(code @ (exit::INPUT_OUTPUT | exit::SYSTEM | exit::TOPOLOGY)) => code,
            Ending::NotStarted | Ending::Refused => exit::SYSTEM,
            _ => exit::LOST,
        };
        out.push(Effect::Say(Notice::Fatal(post, ending)));
        let cause = *self.cause.get_or_insert(code);
        self.abort(cause, out);
    }

    fn worker_ended(
        &mut self,
        now: Time,
        post: Post,
        stage: usize,
        ending: Ending,
        out: &mut Vec<Effect>,
    ) {
        // What was asked to end begins nothing any more.
        if self.is_ending() || self.phase == Phase::Draining || self.asked_ended(now, post, out) {
            return;
        }
        let failures = self.slots.get(&post).map_or(0, |slot| slot.failures);
        let refused = matches!(ending, Ending::Code(exit::SYSTEM) | Ending::Refused);
        let unfit = matches!(ending, Ending::Code(exit::USAGE | exit::UNFIT) | Ending::NotStarted);
        if let Some(still) = self.standstill.get_mut(stage) {
            still.unfit += u32::from(unfit || refused);
            still.ends += 1;
            // A whole stage that fails once, all at the same moment, gets a second chance.
            let hopeless = (still.unfit >= UNFIT_MAX || still.ends >= ENDS_MAX) && failures > 1;
            if hopeless {
                out.push(Effect::Say(Notice::Hopeless(post, ending)));
                let code = match (refused, unfit) {
                    (true, _) => exit::SYSTEM,
                    (_, true) => exit::UNFIT,
                    _ => exit::LOST,
                };
                return self.abort(code, out);
            }
        }
        let pause = match ending {
            Ending::Code(exit::COMPLETE) => pause(failures).max(REST_AFTER_LEAVING),
            _ => pause(failures),
        };
        // At the end of a run workers leave without fault; that is no news.
        if ending != Ending::Code(exit::COMPLETE) {
            out.push(Effect::Say(Notice::Returns(post, ending, pause)));
        }
        self.rest(now, post, pause);
    }

    fn rest(&mut self, now: Time, post: Post, pause: Duration) {
        if let Some(slot) = self.slots.get_mut(&post) {
            slot.state = State::Resting { until: now + pause };
        }
    }

    /// Whether there is nothing left that a new worker could do.
    fn is_ending(&self) -> bool {
        self.sink.is_some() || self.ventilator.is_some() || self.total == Some(self.committed)
    }

    /// What follows from the passing of time, and whether anything is left running.
    fn elapse(&mut self, now: Time, out: &mut Vec<Effect>) {
        if let Phase::Closing { until } = self.phase
            && now >= until
        {
            // Everything is recorded, so nothing is lost with whoever is busy with a unit.
            self.abort(self.verdict(), out);
        }
        self.start_rested(now, out);
        let left = self.slots.values().any(|slot| !matches!(slot.state, State::Gone));
        let code = match self.phase {
            Phase::Closing { .. } => self.verdict(),
            Phase::Aborting(code) => code,
            _ => return,
        };
        if !left {
            self.phase = Phase::Finished;
            out.push(Effect::Finish(code));
        }
    }

    /// As many as may be at once; who is left is due at the next event.
    fn start_rested(&mut self, now: Time, out: &mut Vec<Effect>) {
        let (ending, draining) = (self.is_ending(), self.phase == Phase::Draining);
        // A sink that comes back when its ventilator has left has nobody else to tell it.
        let left = self.ventilator.is_some();
        let mut starts = 0;
        for (post, slot) in &mut self.slots {
            let State::Resting { until } = slot.state else { continue };
            if now < until {
                continue;
            }
            if (ending || draining) && matches!(post, Post::Worker { .. }) {
                slot.state = State::Gone;
                continue;
            }
            if starts == STARTS_MAX {
                continue;
            }
            starts += 1;
            slot.state = State::Running { since: now };
            self.rolling.started(*post, now);
            out.push(Effect::Start(*post));
            if draining && (*post == Post::Ventilator || *post == Post::Sink && left) {
                out.push(Effect::Drain(*post));
            }
        }
    }

    fn verdict(&self) -> i32 {
        self.cause.or(self.sink).unwrap_or(exit::LOST)
    }
}

/// How the end of a sink or a ventilator is to be understood: one that is asked to end before it
/// can hear that, by whomever, ends by the signal itself, and has begun nothing.
fn meaning(ending: Ending) -> Ending {
    match ending {
        Ending::Signal(signal) if ASKED.contains(&signal) => Ending::Code(exit::DRAINED),
        ending => ending,
    }
}

/// How long a process rests after so many failures in a row.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (REST.0 * 2_u32.pow(doublings)).min(REST.1)
}

#[cfg(test)]
#[path = "supervise_tests.rs"]
mod tests;
