//! The event loop of a role at its sockets: events in, effects out.
//!
//! Owns everything that one thread at a time may touch, and what it does there; refuses to know
//! which thread that is (see `leader_followers`).

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{
    end::{DriverError, STOPPED},
    handle::{Handle, Note},
    lanes::{Lanes, News},
    performed::{InlineJob, Performed},
};
use crate::{
    frame::{Envelope, FrameError},
    net::{
        waker::Wakeups,
        zeromq::{NetError, Waiting},
    },
    role::{Effect, Event, LinkId, Role},
    time::Time,
    turned_away::Unwanted,
};

/// Frames taken from the inbox before the role's effects are carried out.
const FRAMES_PER_TURN: usize = 64;
/// While other threads visit, the leader looks again after so long, so that a visitor need not
/// wake it for what may wait as long.
const VISITED: Duration = Duration::from_millis(1);
/// A turn that lasts longer means that the process was stopped.
const ASLEEP_AFTER: Duration = Duration::from_millis(1_500);

/// What a driver is before it has a role.
pub(super) struct Sockets<R> {
    pub(super) lanes: Lanes,
    pub(super) refused: Arc<AtomicU64>,
    pub(super) handle: Handle<R>,
    pub(super) notes: mpsc::Receiver<Note<R>>,
    pub(super) wakeups: Wakeups,
    pub(super) start: Instant,
    // Peers want to hear something as often.
    pub(super) heartbeat: Duration,
}

/// Why a thread lets go of the event loop for a while.
pub(super) enum Yielded<R> {
    /// The role has left with this exit code.
    Exited(i32),
    /// To do a short job.
    Inline(InlineJob<R>),
    /// To wait for frames.
    Waiting(Waiting),
}

/// A role with its sockets, and with who performs its requests.
pub(super) struct EventLoop<P: Role, F> {
    sockets: Sockets<P::Reply>,
    role: P,
    perform: F,
    effects: Vec<Effect<P::Request>>,
    inline_jobs: VecDeque<InlineJob<P::Reply>>,
    malformed: u64,
    // Since when no thread holds it, and how long that was meant to be at most; none if until
    // something happens.
    yielded: (Instant, Option<Duration>),
    turn: Instant,
    // The longest that a turn has kept this process from saying that it lives.
    longest: Duration,
    // Until when the leader means to wait for frames.
    waits_until: Option<Time>,
    visited: bool,
    ended: Option<Result<i32, DriverError>>,
}

impl<P, F, A> EventLoop<P, F>
where
    P: Role,
    F: FnMut(P::Request) -> A,
    A: Into<Performed<P::Reply>>,
{
    /// A role that starts with these effects.
    pub(super) fn new(
        sockets: Sockets<P::Reply>,
        role: P,
        first: Vec<Effect<P::Request>>,
        perform: F,
    ) -> Self {
        let now = Instant::now();
        Self {
            sockets,
            role,
            perform,
            effects: first,
            inline_jobs: VecDeque::new(),
            malformed: 0,
            yielded: (now, None),
            turn: now,
            longest: Duration::ZERO,
            waits_until: None,
            visited: false,
            ended: None,
        }
    }

    /// Lets go of the event loop: why, and for how long.
    ///
    /// # Errors
    /// [`DriverError`] when the inbox is gone, or a visitor has failed.
    pub(super) fn yield_now(&mut self) -> Result<Yielded<P::Reply>, DriverError> {
        if let Some(ended) = self.ended.take() {
            return ended.map(Yielded::Exited);
        }
        if let Some(job) = self.next_inline_job() {
            self.yielded = (Instant::now(), Some(Duration::ZERO));
            return Ok(Yielded::Inline(job));
        }
        let now = self.now();
        let visited = std::mem::take(&mut self.visited).then(|| now + VISITED);
        let deadline = [self.role.deadline(), visited].into_iter().flatten().min();
        let due = deadline.map(|at| at.since(now));
        let wanted = [self.sockets.lanes.due(), due].into_iter().flatten().min();
        let waiting = self.sockets.lanes.inbox.waiting(&self.sockets.wakeups, wanted)?;
        self.yielded = (Instant::now(), wanted);
        self.waits_until = Some(deadline.unwrap_or(Time(u64::MAX)));
        Ok(Yielded::Waiting(waiting))
    }

    /// The next short job, to be done without holding the event loop.
    pub(super) fn next_inline_job(&mut self) -> Option<InlineJob<P::Reply>> {
        self.inline_jobs.pop_front()
    }

    /// Takes the event loop up again, and looks whether the process was asleep meanwhile, or the turn before.
    pub(super) fn resume(&mut self) {
        let (since, wanted) = self.yielded;
        let worked = since.saturating_duration_since(self.turn);
        self.lasted(worked);
        let waited = wanted.map_or(Duration::ZERO, |wanted| since.elapsed().saturating_sub(wanted));
        let slept = worked.max(waited);
        self.turn = Instant::now();
        self.waits_until = None;
        if slept > ASLEEP_AFTER {
            warn!(ms = slept.as_millis() as u64, "this process was stopped for a while");
            let now = self.now();
            self.role.handle(now, Event::Asleep(slept), &mut self.effects);
        }
    }

    /// A turn, or a visit, has lasted so long: peers hear nothing meanwhile.
    fn lasted(&mut self, worked: Duration) {
        self.longest = self.longest.max(worked);
        if worked > self.sockets.heartbeat {
            debug!(ms = worked.as_millis() as u64, "a step took longer than a heartbeat");
        }
    }

    /// Takes in what has come, and does what follows.
    ///
    /// # Errors
    /// [`DriverError`] when the sockets fail.
    pub(super) fn poll(&mut self) -> Result<(), DriverError> {
        self.sockets.wakeups.clear();
        self.sockets.lanes.look_after();
        self.take_notes()?;
        let now = self.now();
        for link in self.sockets.lanes.take_ready() {
            self.lane_up(now, link);
        }
        self.take_frames()?;
        let now = self.now();
        if self.role.deadline().is_some_and(|deadline| deadline <= now) {
            self.role.handle(now, Event::Tick, &mut self.effects);
        }
        self.carry_out()
    }

    /// Gives the role replies, and does what follows.
    ///
    /// # Errors
    /// [`DriverError`] when the sockets fail.
    pub(super) fn take_replies(
        &mut self,
        replies: impl IntoIterator<Item = P::Reply>,
    ) -> Result<(), DriverError> {
        // What the same thread has put into the box came before.
        self.take_notes()?;
        for reply in replies {
            let now = self.now();
            self.role.handle(now, Event::Reply(reply), &mut self.effects);
        }
        self.carry_out()
    }

    /// The same by a thread that holds the event loop only for this, while the leader waits for frames.
    pub(super) fn visit(&mut self, replies: impl IntoIterator<Item = P::Reply>) {
        self.visited = true;
        let begun = Instant::now();
        if self.ended.is_none()
            && let Err(error) = self.take_replies(replies)
        {
            self.ended = Some(Err(error));
        }
        self.lasted(begun.elapsed());
    }

    /// Whether the leader, who waits for frames, has to look again: the role has left or wants
    /// something sooner, or the inbox was touched.
    pub(super) fn leader_has_work(&self) -> bool {
        let sooner = |until| self.role.deadline().is_some_and(|deadline| deadline < until);
        self.ended.is_some()
            || self.waits_until.is_some_and(sooner)
            || self.sockets.lanes.due() == Some(Duration::ZERO)
            || !self.sockets.lanes.inbox.is_empty()
    }

    fn now(&self) -> Time {
        let elapsed = self.sockets.start.elapsed().as_nanos();
        Time(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn take_notes(&mut self) -> Result<(), DriverError> {
        while let Ok(note) = self.sockets.notes.try_recv() {
            let now = self.now();
            let event = match note {
                Note::Reply(reply) => Event::Reply(reply),
                Note::Drain => Event::Drain,
                Note::Stop => {
                    self.ended.get_or_insert(Ok(STOPPED));
                    continue;
                }
                Note::Unguarded => return Err(DriverError::Unguarded),
                Note::Crowded => {
                    self.sockets.lanes.close_doors();
                    continue;
                }
                Note::Lane(link, number, event) => {
                    match self.sockets.lanes.happened(link, number, event) {
                        Some(News::Up) => self.lane_up(now, link),
                        Some(News::Down) => {
                            debug!(link, "lane lost its peer");
                            self.role.handle(now, Event::LaneDown { link }, &mut self.effects);
                        }
                        None => {}
                    }
                    continue;
                }
                Note::Refused => {
                    let count = self.sockets.refused.swap(0, Ordering::AcqRel);
                    Event::Unwanted { what: Unwanted::Connection, count }
                }
            };
            self.role.handle(now, event, &mut self.effects);
        }
        Ok(())
    }

    fn take_frames(&mut self) -> Result<(), NetError> {
        for _ in 0..FRAMES_PER_TURN {
            let received = self.sockets.lanes.inbox.receive()?;
            let count = self.sockets.lanes.inbox.take_several_parts();
            if count > 0 {
                self.turn_away(Unwanted::SeveralParts, count);
            }
            let Some(bytes) = received else { return Ok(()) };
            let len = bytes.len();
            match Envelope::decode(bytes) {
                Ok(envelope) => {
                    let now = self.now();
                    self.role.handle(now, Event::Frame(envelope), &mut self.effects);
                }
                Err(error) => {
                    self.count_malformed(&error, len);
                    self.turn_away(Unwanted::Malformed, 1);
                }
            }
        }
        // More may be there: look again before waiting.
        self.sockets.handle.wake();
        Ok(())
    }

    fn turn_away(&mut self, what: Unwanted, count: u64) {
        let now = self.now();
        self.role.handle(now, Event::Unwanted { what, count }, &mut self.effects);
    }

    fn count_malformed(&mut self, error: &FrameError, len: usize) {
        self.malformed += 1;
        // A flood of rubbish must not become a flood of lines.
        if self.malformed.is_power_of_two() {
            warn!(%error, bytes = len, count = self.malformed, "dropped what is no frame");
        }
    }

    fn lane_up(&mut self, now: Time, link: LinkId) {
        if let Some(inbox) = self.sockets.lanes.up(link) {
            self.role.handle(now, Event::LaneUp { link, inbox }, &mut self.effects);
        }
    }

    /// Does what the role wants, and what it wants then, until it wants nothing.
    ///
    /// # Errors
    /// [`DriverError`] when the sockets fail.
    pub(super) fn carry_out(&mut self) -> Result<(), DriverError> {
        while !self.effects.is_empty() && self.ended.is_none() {
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    Effect::Open { link, endpoints, host } => {
                        self.sockets.lanes.dial(link, &endpoints, host.as_deref())?;
                    }
                    Effect::Close { link } => self.sockets.lanes.close(link),
                    Effect::Send { link, envelope } => self.sockets.lanes.send(link, &envelope),
                    Effect::Request(request) => self.request(request),
                    Effect::Exit(code) => {
                        info!(code, "leaving");
                        debug!(ms = self.longest.as_millis() as u64, "the longest step");
                        self.ended.get_or_insert(Ok(code));
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn request(&mut self, request: P::Request) {
        match (self.perform)(request).into() {
            Performed::Replied(reply) => {
                let now = self.now();
                self.role.handle(now, Event::Reply(reply), &mut self.effects);
            }
            Performed::Underway => {}
            Performed::Inline(job) => self.inline_jobs.push_back(job),
        }
    }
}
