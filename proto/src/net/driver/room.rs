//! Which thread sits at the sockets.
//!
//! One thread attends: it waits for frames and does what follows. A thread that brings a reply
//! while nobody sits there, since the attendant waits, sits down for that moment. And what is
//! expected to be brief, a few small units, is done by the attendant itself, which saves waking
//! another thread and being woken by it. Should that last after all, another attendant takes the
//! seat, so that peers go on hearing from this process; the one that is late leaves when it is
//! done. (Leader and followers: Schmidt et al., Pattern-Oriented Software Architecture 2.)

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
    DriverError, Performed,
    handle::{Enter, Handle},
    seat::{Absence, Seat},
};
use crate::role::Role;

/// What was to be brief may last once or twice as long before somebody else takes the seat.
const PATIENCE: Duration = Duration::from_millis(20);
/// So many times nothing brief is seen before the watch ends.
const QUIET_ROUNDS: u32 = 50;

/// What the attendant tells whoever waits for the end.
enum Call<P: Role, F> {
    /// Something brief is being done: watch from now on.
    Watch,
    Ended(Result<i32, DriverError>, Option<Box<Seat<P, F>>>),
    Panicked(Box<dyn Any + Send>),
}

/// The seat, and who sits there.
pub(super) struct Room<P: Role, F> {
    seat: Mutex<Option<Box<Seat<P, F>>>>,
    handle: Handle<P::Reply>,
    // Which brief thing the attendant is at, counted from 1; 0 if none.
    brief: AtomicU64,
    // How many there were.
    briefs: AtomicU64,
    watched: AtomicBool,
}

impl<P, F, A> Room<P, F>
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
    pub(super) fn run(seat: Seat<P, F>, handle: Handle<P::Reply>) -> Result<i32, DriverError> {
        let room = Arc::new(Self {
            seat: Mutex::new(Some(Box::new(seat))),
            handle,
            brief: AtomicU64::new(0),
            briefs: AtomicU64::new(0),
            watched: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&room);
        room.handle.settle(weak);
        let (calls, called) = channel();
        room.clone().post(0, &calls)?;
        room.wait(&calls, &called)
    }

    /// Waits for the end, and relieves whoever is late.
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
                Ok(Call::Ended(outcome, seat)) => {
                    drop(seat);
                    return outcome;
                }
                Ok(Call::Panicked(panic)) => resume_unwind(panic),
                Err(_) => {
                    let brief = self.brief.load(SeqCst);
                    if brief == 0 || brief != seen {
                        quiet = if brief == seen { quiet + 1 } else { 0 };
                        seen = brief;
                        if quiet > QUIET_ROUNDS {
                            self.stop_watching();
                        }
                    } else {
                        self.relieve(brief, calls);
                    }
                }
            }
        }
    }

    fn stop_watching(&self) {
        self.watched.store(false, SeqCst);
        // Whoever began in this moment has seen that it is watched.
        if self.brief.load(SeqCst) != 0 {
            self.watched.store(true, SeqCst);
        }
    }

    /// Has another attendant sit down, unless this brief thing is over by then.
    fn relieve(self: &Arc<Self>, brief: u64, calls: &Sender<Call<P, F>>) {
        if let Err(error) = self.clone().post(brief, calls) {
            warn!(%error, "no thread can be had to go on while a unit lasts long");
        }
    }

    /// Starts an attendant, in the place of one who is at this brief thing.
    fn post(self: Arc<Self>, brief: u64, calls: &Sender<Call<P, F>>) -> std::io::Result<()> {
        let calls = calls.clone();
        thread::Builder::new().name("driver".into()).spawn(move || {
            if brief != 0 && !self.finish_brief(brief) {
                return;
            }
            let call = match catch_unwind(AssertUnwindSafe(|| self.attend(&calls))) {
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
    /// the seat.
    fn attend(&self, calls: &Sender<Call<P, F>>) -> Result<Option<i32>, DriverError> {
        self.with_seat(|seat| {
            seat.arrive();
            seat.carry_out()
        })?;
        loop {
            match self.with_seat(Seat::leave)? {
                Absence::Ended(code) => return Ok(Some(code)),
                Absence::Brief(brief) => {
                    let number = self.begin_brief(calls);
                    let replies = brief();
                    if !self.finish_brief(number) {
                        replies.into_iter().for_each(|reply| self.handle.carry_in(reply));
                        return Ok(None);
                    }
                    self.with_seat(|seat| {
                        seat.arrive();
                        seat.take_replies(replies)
                    })?;
                }
                Absence::Waiting(waiting) => {
                    waiting.wait()?;
                    self.with_seat(|seat| {
                        seat.arrive();
                        seat.look_around()
                    })?;
                }
            }
        }
    }

    fn begin_brief(&self, calls: &Sender<Call<P, F>>) -> u64 {
        let number = self.briefs.fetch_add(1, SeqCst) + 1;
        self.brief.store(number, SeqCst);
        if !self.watched.swap(true, SeqCst) {
            let _ = calls.send(Call::Watch);
        }
        number
    }

    /// Whether nobody has done so before.
    fn finish_brief(&self, number: u64) -> bool {
        self.brief.compare_exchange(number, 0, SeqCst, SeqCst).is_ok()
    }

    fn with_seat<T>(
        &self,
        act: impl FnOnce(&mut Seat<P, F>) -> Result<T, DriverError>,
    ) -> Result<T, DriverError> {
        let mut seat = self.seat.lock().map_err(|_| DriverError::Panicked)?;
        // It is vacated once, by the attendant that has seen the end.
        act(seat.as_mut().ok_or(DriverError::Panicked)?)
    }

    fn vacate(&self) -> Option<Box<Seat<P, F>>> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<P, F, A> Enter<P::Reply> for Room<P, F>
where
    P: Role + Send + 'static,
    P::Request: Send,
    P::Reply: Send + 'static,
    F: FnMut(P::Request) -> A + Send + 'static,
    A: Into<Performed<P::Reply>>,
{
    fn enter(&self, reply: P::Reply) -> Result<(), P::Reply> {
        let mut guard = match self.seat.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return Err(reply),
        };
        let _alarm = Alarm(&self.handle);
        let mut replies = vec![reply];
        loop {
            let Some(seat) = guard.as_mut() else { return Ok(()) };
            seat.visit(replies);
            let Some(brief) = seat.next_brief() else {
                let awaited = seat.is_awaited();
                drop(guard);
                if awaited {
                    self.handle.wake();
                }
                return Ok(());
            };
            drop(guard);
            replies = brief();
            let Ok(again) = self.seat.lock() else { return Ok(()) };
            guard = again;
        }
    }
}

/// Wakes the attendant when the thread that holds this panics: the seat is no good any more.
struct Alarm<'a, R>(&'a Handle<R>);

impl<R> Drop for Alarm<'_, R> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.wake();
        }
    }
}
