//! The queue on a thread of its own: a disk may take as long as it likes.
//!
//! Owns the clock of the queue; refuses to decide anything.

use std::{
    io,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proto::{
    causes::with_causes,
    net::driver::{Handle, JobQueue, Performed, Runner},
};

use super::{
    Ask, Queue, QueueLimits,
    disk::Disk,
    store::{Safety, StoreError},
};
use crate::{
    core::Reply,
    source::{Accept, ServiceSpec},
};

/// What a queue is bounded by.
pub fn limits(spec: &ServiceSpec) -> QueueLimits {
    QueueLimits {
        units_max: spec.queue_units_max.max(1),
        bytes_max: spec.queue_bytes_max.max(1),
        safety: match spec.accept {
            Accept::Durable => Safety::Power,
            Accept::Memory => Safety::Kill,
        },
        retain: Duration::from_millis(spec.retain_ms),
    }
}

/// The way to a queue.
pub struct QueueThread {
    jobs: JobQueue<QueueRunner>,
    // Nobody knows how long a disk takes.
    syncs: bool,
}

impl QueueThread {
    /// Opens the queue in a run directory, and starts its thread.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read or written.
    pub fn open(
        run_dir: &Path,
        spec: &ServiceSpec,
        handle: Handle<Reply>,
    ) -> Result<io::Result<Self>, StoreError> {
        let limits = limits(spec);
        let queue = Queue::open(Disk::open(run_dir)?, limits, now())?;
        let syncs = limits.safety == Safety::Power;
        let runner = QueueRunner { queue, failed: false };
        Ok(JobQueue::start("queue", runner, handle).map(|jobs| Self { jobs, syncs }))
    }

    /// Has it do this, now or soon.
    pub fn ask(&self, ask: Ask) -> Performed<Reply> {
        let size = match &ask {
            Ask::Submit { .. } if self.syncs => None,
            Ask::Submit { submit, .. } => Some(submit.units.len() as u64),
            Ask::Read(_) | Ask::Committed(_) => Some(1),
            _ => None,
        };
        self.jobs.perform(ask, size)
    }
}

/// See [`QueueThread`].
struct QueueRunner {
    queue: Queue<Disk>,
    failed: bool,
}

impl Runner for QueueRunner {
    type Job = Ask;
    type Reply = Reply;

    fn run(&mut self, asked: Vec<Ask>) -> Vec<Reply> {
        if self.failed {
            return Vec::new();
        }
        match self.queue.serve(now(), asked) {
            Ok(news) => vec![Reply::Queue(Box::new(news))],
            Err(error) => {
                self.failed = true;
                vec![Reply::Failed(with_causes(&error))]
            }
        }
    }
}

/// Milliseconds since 1970: what is to wait for a time of day waits for it also when nobody runs.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
