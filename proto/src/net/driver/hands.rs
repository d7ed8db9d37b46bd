//! A queue of orders, and one pair of hands to do them in their order.
//!
//! A thread waits for orders. What is expected to be brief goes to whoever sits at the sockets
//! instead. Both take from the same queue with the hands in their hold, so the order of orders is
//! kept whoever is faster.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Handle, Performed};

/// What is expected to last no longer is brief.
const BRIEF: Duration = Duration::from_micros(50);
/// After a slow order the expectation falls by this part with each faster one.
const FORGETTING: u64 = 8;
const UNKNOWN: u64 = u64::MAX;

/// Who does what is ordered.
pub trait Hands: Send + 'static {
    /// What is ordered.
    type Order: Send + 'static;
    /// What comes of it.
    type Reply: Send + 'static;

    /// Does all that waits; the replies.
    fn work(&mut self, orders: Vec<Self::Order>) -> Vec<Self::Reply>;

    /// Nothing more will be ordered.
    fn put_down(&mut self) {}
}

struct Queue<O> {
    orders: Vec<O>,
    // What they measure together; none if one can't be measured.
    size: Option<u64>,
    // Somebody is at some of them.
    busy: bool,
    closed: bool,
}

struct Shared<H: Hands> {
    queue: Mutex<Queue<H::Order>>,
    news: Condvar,
    hands: Mutex<H>,
    // Nanoseconds that an order of size 1 takes.
    pace: AtomicU64,
}

/// The way to the hands. When this is dropped the thread ends: at once if it is idle, and waited
/// for; else by itself after what it is at, which nobody waits for.
pub struct Workshop<H: Hands> {
    shared: Arc<Shared<H>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<H: Hands> Workshop<H> {
    /// Starts the thread, of that name.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(name: &str, hands: H, handle: Handle<H::Reply>) -> io::Result<Self> {
        let queue = Queue { orders: Vec::new(), size: Some(0), busy: false, closed: false };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            news: Condvar::new(),
            hands: Mutex::new(hands),
            pace: AtomicU64::new(UNKNOWN),
        });
        let theirs = shared.clone();
        let thread =
            thread::Builder::new().name(name.into()).spawn(move || theirs.serve(&handle))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has it done, here or there. Its `size` is in whatever takes about the same time each, units
    /// for example; none if nothing can be said of its time.
    pub fn perform(&self, order: H::Order, size: Option<u64>) -> Performed<H::Reply> {
        let mut queue = self.shared.queue();
        let brief = !queue.busy
            && queue.orders.is_empty()
            && size.is_some_and(|size| self.shared.expected(size) <= BRIEF);
        queue.orders.push(order);
        queue.size = queue.size.zip(size).map(|(known, more)| known.saturating_add(more));
        drop(queue);
        if brief {
            let shared = self.shared.clone();
            return Performed::Brief(Box::new(move || shared.work()));
        }
        self.shared.news.notify_one();
        Performed::Underway
    }
}

impl<H: Hands> Drop for Workshop<H> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.closed = true;
        let idle = !queue.busy && queue.orders.is_empty();
        drop(queue);
        self.shared.news.notify_one();
        if let Some(thread) = self.thread.take().filter(|_| idle) {
            let _ = thread.join();
        }
    }
}

impl<H: Hands> Shared<H> {
    fn queue(&self) -> MutexGuard<'_, Queue<H::Order>> {
        // Nothing under the lock can panic halfway.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hands(&self) -> MutexGuard<'_, H> {
        // Hands that have panicked fail as they see fit.
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expected(&self, size: u64) -> Duration {
        Duration::from_nanos(self.pace.load(Relaxed).saturating_mul(size.max(1)))
    }

    /// The thread's body.
    fn serve(&self, handle: &Handle<H::Reply>) {
        loop {
            let queue = self.queue();
            let waiting = |queue: &mut Queue<_>| queue.orders.is_empty() && !queue.closed;
            let woken = self.news.wait_while(queue, waiting);
            let queue = woken.unwrap_or_else(PoisonError::into_inner);
            if queue.orders.is_empty() {
                break;
            }
            drop(queue);
            self.work().into_iter().for_each(|reply| handle.carry_in(reply));
        }
        self.hands().put_down();
    }

    /// Does what waits, if it still does.
    fn work(&self) -> Vec<H::Reply> {
        let mut hands = self.hands();
        let mut queue = self.queue();
        let orders = std::mem::take(&mut queue.orders);
        let size = queue.size.replace(0);
        queue.busy = true;
        drop(queue);
        let start = Instant::now();
        let replies = if orders.is_empty() { Vec::new() } else { hands.work(orders) };
        if let Some(size) = size.filter(|size| *size > 0) {
            self.learn(start.elapsed(), size);
        }
        // Whoever hears a reply must find the hands free.
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
