//! Which thread runs the event loop: leader and followers.
//!
//! One thread leads: it waits for frames and does what follows. A thread that brings a reply while
//! nobody holds the event loop, since the leader waits, enters it for that moment. And a job that is
//! expected to be short, a few small units, is done by the leader itself, which saves waking another
//! thread and being woken by it. Should that last after all, another thread is promoted to leader, so
//! that peers go on hearing from this process; the one that is late leaves when it is done. (Leader/
//! Followers: Schmidt et al., Pattern-Oriented Software Architecture 2.)
//!
//! ```text
//!             promoted                frames, a reply, a deadline
//!   started ───────────▶ holds the loop ◀──────────────────────┐
//!                         │   ▲      │ nothing to do            │
//!              short job  │   │      └──────────────▶ waits ────┘
//!                         ▼   │ in time                 ▲ │ a visitor has left it work
//!                    runs the job                       └─┘
//!                         │
//!                         │ 20 to 40 ms: somebody else was promoted
//!                         ▼
//!                 carries its replies in, and ends
//! ```

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use tracing::warn;

use super::{
    end::DriverError,
    event_loop::{EventLoop, Yielded},
    handle::{Enter, Handle},
    performed::Performed,
};
use crate::role::Role;

/// A short job may last once or twice as long before another thread is promoted.
const PATIENCE: Duration = Duration::from_millis(20);
/// So many times no short job is seen before the watch ends.
const QUIET_ROUNDS: u32 = 50;

/// What the leader tells whoever waits for the end.
enum Call<P: Role, F> {
    /// A short job is being done: watch from now on.
    Watch,
    Ended(Result<i32, DriverError>, Option<Box<EventLoop<P, F>>>),
    Panicked(Box<dyn Any + Send>),
}

/// The event loop, and who holds it.
pub(super) struct LeaderFollowers<P: Role, F> {
    event_loop: Mutex<Option<Box<EventLoop<P, F>>>>,
    handle: Handle<P::Reply>,
    // Which short job the leader is at, counted from 1; 0 if none.
    job: AtomicU64,
    // How many there were.
    jobs: AtomicU64,
    watched: AtomicBool,
}

impl<P, F, A> LeaderFollowers<P, F>
where
    P: Role + Send + 'static,
    P::Request: Send,
    P::Reply: Send + 'static,
    F: FnMut(P::Request) -> A + Send + 'static,
    A: Into<Performed<P::Reply>>,
{
    /// Runs the role to its end: its exit code.
    ///
    /// # Errors
    /// [`DriverError`] when the sockets fail or no thread can be made.
    pub(super) fn run(
        event_loop: EventLoop<P, F>,
        handle: Handle<P::Reply>,
    ) -> Result<i32, DriverError> {
        let shared = Arc::new(Self {
            event_loop: Mutex::new(Some(Box::new(event_loop))),
            handle,
            job: AtomicU64::new(0),
            jobs: AtomicU64::new(0),
            watched: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&shared);
        shared.handle.settle(weak);
        let (calls, called) = channel();
        shared.clone().start_leader(0, &calls)?;
        shared.wait(&calls, &called)
    }

    /// Waits for the end, and promotes another leader where one is late.
    fn wait(
        self: Arc<Self>,
        calls: &Sender<Call<P, F>>,
        called: &Receiver<Call<P, F>>,
    ) -> Result<i32, DriverError> {
        let (mut seen, mut quiet) = (0, 0);
        loop {
            let call = match self.watched.load(SeqCst) {
                true => called.recv_timeout(PATIENCE),
                false => called.recv().map_err(RecvTimeoutError::from),
            };
            match call {
                Ok(Call::Watch) => (seen, quiet) = (0, 0),
                // The sockets are dropped here, where nobody is waited for who waits for this.
                Ok(Call::Ended(outcome, event_loop)) => {
                    drop(event_loop);
                    return outcome;
                }
                Ok(Call::Panicked(panic)) => resume_unwind(panic),
                Err(_) => {
                    let job = self.job.load(SeqCst);
                    if job == 0 || job != seen {
                        quiet = if job == seen { quiet + 1 } else { 0 };
                        seen = job;
                        if quiet > QUIET_ROUNDS {
                            self.stop_watching();
                        }
                    } else {
                        self.promote(job, calls);
                    }
                }
            }
        }
    }

    fn stop_watching(&self) {
        self.watched.store(false, SeqCst);
        // Whoever began in this moment has seen that it is watched.
        if self.job.load(SeqCst) != 0 {
            self.watched.store(true, SeqCst);
        }
    }

    /// Has another leader sit down, unless this brief thing is over by then.
    fn promote(self: &Arc<Self>, job: u64, calls: &Sender<Call<P, F>>) {
        if let Err(error) = self.clone().start_leader(job, calls) {
            warn!(%error, "no thread can be had to go on while a unit lasts long");
        }
    }

    /// Starts an leader, in the place of one who is at this brief thing.
    fn start_leader(self: Arc<Self>, job: u64, calls: &Sender<Call<P, F>>) -> std::io::Result<()> {
        let calls = calls.clone();
        thread::Builder::new().name("driver".into()).spawn(move || {
            if job != 0 && !self.finish_job(job) {
                return;
            }
            let call = match catch_unwind(AssertUnwindSafe(|| self.lead(&calls))) {
                Ok(Ok(None)) => return,
                Ok(Ok(Some(code))) => Call::Ended(Ok(code), self.vacate()),
                Ok(Err(error)) => Call::Ended(Err(error), self.vacate()),
                Err(panic) => Call::Panicked(panic),
            };
            // Whoever waits does so until it hears this.
            let _ = calls.send(call);
        })?;
        Ok(())
    }

    /// Sits at the sockets until the role leaves: its exit code; none if somebody else has taken
    /// the event_loop.
    fn lead(&self, calls: &Sender<Call<P, F>>) -> Result<Option<i32>, DriverError> {
        self.with_loop(|event_loop| {
            event_loop.resume();
            event_loop.carry_out()
        })?;
        loop {
            match self.with_loop(EventLoop::yield_now)? {
                Yielded::Exited(code) => return Ok(Some(code)),
                Yielded::Inline(job) => {
                    let number = self.begin_job(calls);
                    let replies = job();
                    if !self.finish_job(number) {
                        replies.into_iter().for_each(|reply| self.handle.carry_in(reply));
                        return Ok(None);
                    }
                    self.with_loop(|event_loop| {
                        event_loop.resume();
                        event_loop.take_replies(replies)
                    })?;
                }
                Yielded::Waiting(waiting) => {
                    waiting.wait()?;
                    self.with_loop(|event_loop| {
                        event_loop.resume();
                        event_loop.poll()
                    })?;
                }
            }
        }
    }

    fn begin_job(&self, calls: &Sender<Call<P, F>>) -> u64 {
        let number = self.jobs.fetch_add(1, SeqCst) + 1;
        self.job.store(number, SeqCst);
        if !self.watched.swap(true, SeqCst) {
            let _ = calls.send(Call::Watch);
        }
        number
    }

    /// Whether nobody has done so before.
    fn finish_job(&self, number: u64) -> bool {
        self.job.compare_exchange(number, 0, SeqCst, SeqCst).is_ok()
    }

    fn with_loop<T>(
        &self,
        act: impl FnOnce(&mut EventLoop<P, F>) -> Result<T, DriverError>,
    ) -> Result<T, DriverError> {
        let mut event_loop = self.event_loop.lock().map_err(|_| DriverError::Panicked)?;
        // It is vacated once, by the leader that has seen the end.
        act(event_loop.as_mut().ok_or(DriverError::Panicked)?)
    }

    fn vacate(&self) -> Option<Box<EventLoop<P, F>>> {
        self.event_loop.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<P, F, A> Enter<P::Reply> for LeaderFollowers<P, F>
where
    P: Role + Send + 'static,
    P::Request: Send,
    P::Reply: Send + 'static,
    F: FnMut(P::Request) -> A + Send + 'static,
    A: Into<Performed<P::Reply>>,
{
    fn enter(&self, reply: P::Reply) -> Result<(), P::Reply> {
        let mut guard = match self.event_loop.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return Err(reply),
        };
        let _alarm = Alarm(&self.handle);
        let mut replies = vec![reply];
        loop {
            let Some(event_loop) = guard.as_mut() else { return Ok(()) };
            event_loop.visit(replies);
            let Some(job) = event_loop.next_inline_job() else {
                let awaited = event_loop.leader_has_work();
                drop(guard);
                if awaited {
                    self.handle.wake();
                }
                return Ok(());
            };
            drop(guard);
            replies = job();
            let Ok(again) = self.event_loop.lock() else { return Ok(()) };
            guard = again;
        }
    }
}

/// Wakes the leader when the thread that holds this panics: the event_loop is no good any more.
struct Alarm<'a, R>(&'a Handle<R>);

impl<R> Drop for Alarm<'_, R> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.wake();
        }
    }
}
