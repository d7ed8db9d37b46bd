//! The way from the sink to the iterator: outcomes in order, and the acknowledgement of those
//! that were taken.
//!
//! Owns the queue between two threads. A batch of outcomes is acknowledged when everything that
//! it made due has been taken, so a consumer that does not take stops the source, and what is
//! queued never exceeds the ventilator's window. Refuses to judge what is new: the sink did.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use proto::net::driver::Handle;
use sink::{
    Arrange, Order,
    core::{Reply, Request},
    entry::{Entry, Outcome},
};

use super::error::ResultError;

/// What the consumer is given.
pub(super) enum Taken {
    /// An outcome that is not "filtered".
    Entry(Entry),
    /// The pipeline broke off; nothing follows.
    Broken(ResultError),
    /// The run is over; nothing follows.
    Over,
}

/// The queue.
pub(super) struct Handover {
    state: Mutex<State>,
    news: Condvar,
    sink: Handle<Reply>,
}

#[derive(Default)]
struct State {
    // Each with the batch that made it due; the numbers never fall.
    due: VecDeque<(u64, Entry)>,
    due_bytes: u64,
    waiting_bytes: u64,
    last_batch: u64,
    dead: u64,
    idle: bool,
    broken: Option<ResultError>,
    over: bool,
}

impl State {
    /// The acknowledgement of all batches before the first that is not taken.
    fn acknowledgement(&self) -> Option<Reply> {
        let number = match self.due.front() {
            Some((number, _)) => number.checked_sub(1)?,
            None => self.last_batch,
        };
        Some(Reply::Recorded {
            number,
            waiting: Vec::new(),
            waiting_bytes: self.waiting_bytes + self.due_bytes,
            dead: self.dead,
        })
    }
}

impl Handover {
    pub(super) fn new(sink: Handle<Reply>) -> Self {
        Self { state: Mutex::default(), news: Condvar::new(), sink }
    }

    /// Waits for the next outcome. A batch of which it is the last is acknowledged with it.
    pub(super) fn take(&self) -> Taken {
        let mut state = self.lock();
        loop {
            if let Some((number, entry)) = state.due.pop_front() {
                state.due_bytes -= entry.bytes();
                if state.due.front().is_none_or(|(next, _)| *next != number)
                    && let Some(reply) = state.acknowledgement()
                {
                    self.sink.reply(reply);
                }
                return Taken::Entry(entry);
            }
            if let Some(error) = state.broken.take() {
                return Taken::Broken(error);
            }
            if state.over {
                return Taken::Over;
            }
            state.idle = true;
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle = false;
        }
    }

    /// The pipeline cannot go on; the first reason counts.
    pub(super) fn break_off(&self, error: ResultError) {
        let mut state = self.lock();
        if !state.over {
            state.broken.get_or_insert(error);
            state.over = true;
        }
        drop(state);
        self.news.notify_one();
    }

    /// The sink has ended.
    pub(super) fn end(&self) {
        self.lock().over = true;
        self.news.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sink's end: does what the sink asks of a recorder.
pub(super) struct Collector {
    arrange: Arrange<Entry>,
    handover: Arc<Handover>,
}

impl Collector {
    pub(super) fn new(order: Order, handover: Arc<Handover>) -> Self {
        Self { arrange: Arrange::new(order, 0), handover }
    }

    pub(super) fn perform(&mut self, request: Request) -> Option<Reply> {
        match request {
            Request::Record { number, entries, .. } => self.record(number, entries),
            Request::LogWaiting
            | Request::Await { .. }
            | Request::Fetched(_)
            | Request::ClientLeft(_)
            | Request::Expire => None,
            Request::Begin { .. } => Some(Reply::Begun),
            Request::Close { .. } => Some(Reply::Closed),
            Request::Conclude(_) => Some(Reply::Concluded(String::new())),
        }
    }

    fn record(&mut self, number: u64, entries: Vec<Entry>) -> Option<Reply> {
        let dead = |entry: &&Entry| matches!(entry.outcome, Outcome::Dead { .. });
        let dead = entries.iter().filter(dead).count() as u64;
        for entry in entries {
            let (first, count, bytes) = (entry.first, entry.count, entry.bytes());
            if let Err(error) = self.arrange.push(first, count, bytes, entry) {
                // Dedupe lets each unit through once; a second time here is a broken promise.
                tracing::error!(%error, "a unit was to be handed over twice; it is not");
            }
        }
        let mut state = self.handover.lock();
        state.dead += dead;
        while let Some((_, _, entry)) = self.arrange.pop() {
            if !matches!(entry.outcome, Outcome::Filtered(_)) {
                state.due_bytes += entry.bytes();
                state.due.push_back((number, entry));
            }
        }
        state.last_batch = number;
        state.waiting_bytes = self.arrange.held_bytes();
        if state.idle && !state.due.is_empty() {
            self.handover.news.notify_one();
        }
        // With anything due, what may be acknowledged is so when it is taken.
        if state.due.is_empty() { state.acknowledgement() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use proto::{limits::Limits, net::driver::Driver, net::zeromq::SharedContext, units::Units};
    use sink::entry::Origin;

    use super::*;

    fn values(first: u64, count: u64) -> Entry {
        let origin = Origin { stage: 0, attempt: 1, worker: "w".into() };
        let ends = (1..=count as u32).collect();
        let units = Units::from_source(first, vec![0; count as usize], ends);
        Entry { first, count, outcome: Outcome::Values { origin, units, timing: vec![] } }
    }

    fn collector(order: Order) -> Collector {
        let driver = Driver::new(&SharedContext::new(), None, &Limits::default()).unwrap();
        Collector::new(order, Arc::new(Handover::new(driver.handle())))
    }

    fn record(collector: &mut Collector, number: u64, entries: Vec<Entry>) -> Option<u64> {
        match collector.perform(Request::Record { number, entries, duplicates: 0 }) {
            Some(Reply::Recorded { number, .. }) => Some(number),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    fn acknowledged(collector: &Collector) -> Option<u64> {
        match collector.handover.lock().acknowledgement() {
            Some(Reply::Recorded { number, .. }) => Some(number),
            _ => None,
        }
    }

    fn take(collector: &Collector) -> u64 {
        match collector.handover.take() {
            Taken::Entry(entry) => entry.first,
            _ => panic!("nothing is due"),
        }
    }

    #[test]
    fn what_waits_for_an_earlier_unit_is_acknowledged_and_what_is_due_only_when_taken() {
        let mut collector = collector(Order::Input);
        assert_eq!(record(&mut collector, 0, vec![values(5, 2)]), Some(0));
        assert_eq!(record(&mut collector, 1, vec![values(0, 5)]), None);
        assert_eq!(record(&mut collector, 2, vec![values(7, 1)]), None);
        assert_eq!(acknowledged(&collector), Some(0));
        assert_eq!((take(&collector), take(&collector)), (0, 5));
        assert_eq!(acknowledged(&collector), Some(1));
        assert_eq!(take(&collector), 7);
        assert_eq!(acknowledged(&collector), Some(2));
    }

    #[test]
    fn filtered_units_are_nothing_to_take_but_let_the_next_pass() {
        let mut collector = collector(Order::Input);
        assert_eq!(record(&mut collector, 0, vec![values(1, 1)]), Some(0));
        let filtered = Entry { first: 0, count: 1, outcome: Outcome::Filtered(0) };
        assert_eq!(record(&mut collector, 1, vec![filtered.clone()]), None);
        assert_eq!(take(&collector), 1);
        let only = Entry { first: 2, ..filtered };
        assert_eq!(record(&mut collector, 2, vec![only]), Some(2));
    }

    #[test]
    fn in_completion_order_the_first_come_is_the_first_taken() {
        let mut collector = collector(Order::Completion);
        assert_eq!(record(&mut collector, 0, vec![values(9, 1)]), None);
        assert_eq!(record(&mut collector, 1, vec![values(0, 9)]), None);
        assert_eq!((take(&collector), take(&collector)), (9, 0));
    }

    #[test]
    fn what_is_due_counts_as_held_until_it_is_taken() {
        let mut collector = collector(Order::Input);
        record(&mut collector, 0, vec![values(0, 1000)]);
        assert!(collector.handover.lock().due_bytes > 1000);
        take(&collector);
        assert_eq!(collector.handover.lock().due_bytes, 0);
    }

    #[test]
    fn what_is_due_is_taken_before_the_break() {
        let mut collector = collector(Order::Input);
        record(&mut collector, 0, vec![values(0, 1)]);
        let error =
            |problem: &str| ResultError::Broken { part: "sink".into(), problem: problem.into() };
        collector.handover.break_off(error("first"));
        collector.handover.break_off(error("second"));
        assert_eq!(take(&collector), 0);
        assert!(matches!(collector.handover.take(), Taken::Broken(e) if e == error("first")));
        assert!(matches!(collector.handover.take(), Taken::Over));
    }
}
