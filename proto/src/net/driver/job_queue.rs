//! A queue of jobs, and one runner that does them in their order.
//!
//! A thread waits for jobs, one of its own or whichever offers itself ([`JobQueue::apart`]). One that is expected to be short goes to the thread that runs the event
//! loop instead. Both take from the same queue while they hold the runner, so the order is kept
//! whoever is faster.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use super::{handle::Handle, performed::Performed};

/// A job that is expected to last no longer is done inline.
const INLINE_MAX: Duration = Duration::from_micros(50);
/// After a slow job the expectation falls by this part with each faster one.
const FORGETTING: u64 = 8;
const UNKNOWN: u64 = u64::MAX;

/// Does jobs.
pub trait Runner: Send + 'static {
    /// What is to be done.
    type Job: Send + 'static;
    /// What comes of it.
    type Reply: Send + 'static;

    /// Does all that waits; the replies.
    fn run(&mut self, jobs: Vec<Self::Job>) -> Vec<Self::Reply>;

    /// There will be no more jobs.
    fn close(&mut self) {}
}

struct Queue<J> {
    jobs: Vec<J>,
    // What they measure together; none if one can't be measured.
    size: Option<u64>,
    // Somebody is at some of them.
    busy: bool,
    closed: bool,
}

struct Shared<R: Runner> {
    queue: Mutex<Queue<R::Job>>,
    news: Condvar,
    runner: Mutex<R>,
    // Nanoseconds that an job of size 1 takes.
    pace: AtomicU64,
    // The runner stays on its own thread.
    fixed: bool,
    handle: Handle<R::Reply>,
}

/// The way to the runner. When this is dropped the thread ends: at once if it is idle, and waited
/// for; else by itself after what it is at, which nobody waits for.
pub struct JobQueue<R: Runner> {
    shared: Arc<Shared<R>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<R: Runner> JobQueue<R> {
    /// Starts the thread, of that name.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(name: &str, runner: R, handle: Handle<R::Reply>) -> io::Result<Self> {
        let shared = Shared::new(runner, handle, Residence::Anywhere);
        let theirs = shared.clone();
        let thread = thread::Builder::new().name(name.into());
        let thread = thread.spawn(move || while theirs.turn() {})?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Leaves the thread to the caller: the jobs are done where [`Service::turn`] is called, and
    /// nowhere else.
    pub fn apart(runner: R, handle: Handle<R::Reply>) -> (Self, Service<R>) {
        let shared = Shared::new(runner, handle, Residence::Fixed);
        (Self { shared: shared.clone(), thread: None }, Service(shared))
    }

    /// Has it done, here or there. Its `size` is in whatever takes about the same time each, units
    /// for example; none if nothing can be said of its time.
    pub fn perform(&self, job: R::Job, size: Option<u64>) -> Performed<R::Reply> {
        let mut queue = self.shared.queue();
        let inline = !self.shared.fixed
            && !queue.busy
            && queue.jobs.is_empty()
            && size.is_some_and(|size| self.shared.expected(size) <= INLINE_MAX);
        queue.jobs.push(job);
        queue.size = queue.size.zip(size).map(|(known, more)| known.saturating_add(more));
        drop(queue);
        if inline {
            let shared = self.shared.clone();
            return Performed::Inline(Box::new(move || shared.work_if_idle()));
        }
        self.shared.news.notify_one();
        Performed::Underway
    }
}

/// The thread's part of a queue whose thread is the caller's.
pub struct Service<R: Runner>(Arc<Shared<R>>);

impl<R: Runner> Service<R> {
    /// Waits for jobs and does them; whether there may be more. When there will be none the runner
    /// is closed.
    pub fn turn(&self) -> bool {
        self.0.turn()
    }

    /// Whether a call of [`turn`](Self::turn) would not wait.
    pub fn is_wanted(&self) -> bool {
        let queue = self.0.queue();
        queue.closed || !queue.jobs.is_empty()
    }
}

impl<R: Runner> Drop for JobQueue<R> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.closed = true;
        let idle = !queue.busy && queue.jobs.is_empty();
        drop(queue);
        self.shared.news.notify_one();
        if let Some(thread) = self.thread.take().filter(|_| idle) {
            let _ = thread.join();
        }
    }
}

/// Where the runner may run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Residence {
    Anywhere,
    Fixed,
}

impl<R: Runner> Shared<R> {
    fn new(runner: R, handle: Handle<R::Reply>, residence: Residence) -> Arc<Self> {
        let queue = Queue { jobs: Vec::new(), size: Some(0), busy: false, closed: false };
        Arc::new(Self {
            queue: Mutex::new(queue),
            news: Condvar::new(),
            runner: Mutex::new(runner),
            pace: AtomicU64::new(UNKNOWN),
            fixed: residence == Residence::Fixed,
            handle,
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue<R::Job>> {
        // Nothing under the lock can panic halfway.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn runner(&self) -> MutexGuard<'_, R> {
        // One that has panicked fail as they see fit.
        self.runner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expected(&self, size: u64) -> Duration {
        Duration::from_nanos(self.pace.load(Relaxed).saturating_mul(size.max(1)))
    }

    /// Waits for jobs and does them; whether there may be more.
    fn turn(&self) -> bool {
        let queue = self.queue();
        let waiting = |queue: &mut Queue<_>| queue.jobs.is_empty() && !queue.closed;
        let woken = self.news.wait_while(queue, waiting);
        let queue = woken.unwrap_or_else(PoisonError::into_inner);
        if queue.jobs.is_empty() {
            drop(queue);
            self.runner().close();
            return false;
        }
        drop(queue);
        self.work(self.runner()).into_iter().for_each(|reply| self.handle.carry_in(reply));
        true
    }

    /// Does what waits, if it still does, and nobody is at it: whoever waited for another one here might
    /// be the one that it waits for.
    fn work_if_idle(&self) -> Vec<R::Reply> {
        match self.runner.try_lock() {
            Ok(runner) => self.work(runner),
            Err(TryLockError::Poisoned(poisoned)) => self.work(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                self.news.notify_one();
                Vec::new()
            }
        }
    }

    /// Does what waits, if it still does.
    fn work(&self, mut runner: MutexGuard<'_, R>) -> Vec<R::Reply> {
        let mut queue = self.queue();
        let jobs = std::mem::take(&mut queue.jobs);
        let size = queue.size.replace(0);
        queue.busy = true;
        drop(queue);
        let start = Instant::now();
        let replies = if jobs.is_empty() { Vec::new() } else { runner.run(jobs) };
        if let Some(size) = size.filter(|size| *size > 0) {
            self.learn(start.elapsed(), size);
        }
        // Whoever hears a reply must find the runner free.
        self.queue().busy = false;
        replies
    }

    fn learn(&self, took: Duration, size: u64) {
        let seen = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).div_ceil(size);
        let known = self.pace.load(Relaxed);
        let pace = if known == UNKNOWN { seen } else { seen.max(known - known / FORGETTING) };
        self.pace.store(pace, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::net::waker;

    /// Says that it has begun, and goes on once it may.
    struct Slow(Sender<()>, Receiver<()>);

    impl Runner for Slow {
        type Job = u32;
        type Reply = u32;

        fn run(&mut self, jobs: Vec<u32>) -> Vec<u32> {
            self.0.send(()).unwrap();
            self.1.recv().unwrap();
            jobs
        }
    }

    /// The runner may wait for the thread that finds the job: they would wait for each other.
    #[test]
    fn a_job_that_finds_the_runner_busy_is_left_to_it() {
        let (notes, _box) = channel();
        let (waker, _wakeups) = waker::pair().unwrap();
        let ((begun, begins), (goes, go)) = (channel(), channel());
        let handle = Handle::new(notes, waker);
        let shared = Shared::new(Slow(begun, go), handle, Residence::Anywhere);
        let theirs = shared.clone();
        shared.queue().jobs.push(1);
        let thread = thread::spawn(move || (theirs.turn(), theirs.turn()));
        begins.recv().unwrap();
        shared.queue().jobs.push(2);
        assert!(shared.work_if_idle().is_empty());
        assert_eq!(shared.queue().jobs, [2]);
        [(), ()].into_iter().for_each(|()| goes.send(()).unwrap());
        assert_eq!(thread.join().unwrap(), (true, true));
        assert!(shared.queue().jobs.is_empty());
    }
}
