//! Makes written files durable and answers for what they hold, while the next outcomes are written.
//!
//! Owns the order of the syncs: the output, then the records of the log that count on it, then the
//! answer. It takes all that waits at once, so that disks set the number of syncs. A sync that has
//! failed is never tried again, and nothing is answered for any more.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Sender, channel},
};

use proto::{
    causes::with_causes,
    diary::{Diary, Event},
    net::driver::{JobQueue, Runner},
};

use super::{error::RecordError, log::Written};
use crate::{core::requests::Reply, output::unsynced::Unsynced};

/// Outcomes that are written and not yet safe.
#[derive(Debug)]
pub struct Batch {
    /// The output, where the records count on it.
    pub output: Option<Unsynced>,
    /// Records for the log.
    pub records: Written,
    /// For the diary, once it is true.
    pub events: Vec<Event>,
    /// What may be said then.
    pub replies: Vec<Reply>,
}

impl Batch {
    /// Whether there is nothing to do and nothing to say.
    pub fn is_empty(&self) -> bool {
        let Self { output, records, events, replies } = self;
        output.is_none() && records.is_empty() && events.is_empty() && replies.is_empty()
    }
}

/// What is asked for.
#[derive(Debug)]
pub enum Order {
    /// Make this safe.
    Secure(Box<Batch>),
    /// Say when everything before is safe; drop this if it is not.
    Await(Sender<()>),
}

/// The diary of a sink, noted in by two threads.
pub type SharedDiary = Arc<Mutex<Diary>>;

/// Notes events, and hands them to the system.
pub fn note(diary: &SharedDiary, events: Vec<Event>) {
    // A note that was torn by a panic is one that is not there.
    let mut diary = diary.lock().unwrap_or_else(PoisonError::into_inner);
    events.into_iter().for_each(|event| diary.note(event));
    diary.flush();
}

/// Who does it.
pub struct Securer {
    diary: SharedDiary,
    failed: bool,
}

impl Securer {
    /// Notes in that diary what is safe.
    pub fn new(diary: SharedDiary) -> Self {
        Self { diary, failed: false }
    }

    fn secure(
        &mut self,
        batches: &mut Vec<Batch>,
        out: &mut Vec<Reply>,
    ) -> Result<(), RecordError> {
        // One sync is enough for all that was written before it.
        if let Some(output) = batches.iter().rev().find_map(|batch| batch.output.as_ref()) {
            output.sync()?;
        }
        let records = batches.iter().map(|batch| &batch.records).filter(|all| !all.is_empty());
        let mut last = None;
        for written in records {
            written.write()?;
            last = Some(written);
        }
        last.map_or(Ok(()), Written::sync)?;
        for batch in batches.drain(..) {
            note(&self.diary, batch.events);
            out.extend(batch.replies);
        }
        Ok(())
    }
}

impl Runner for Securer {
    type Job = Order;
    type Reply = Reply;

    fn run(&mut self, orders: Vec<Order>) -> Vec<Reply> {
        let (mut batches, mut waiting, mut replies) = (Vec::new(), Vec::new(), Vec::new());
        for order in orders {
            match order {
                Order::Secure(batch) => batches.push(*batch),
                Order::Await(told) => waiting.push(told),
            }
        }
        if self.failed {
            return Vec::new();
        }
        if let Err(error) = self.secure(&mut batches, &mut replies) {
            self.failed = true;
            return vec![Reply::Failed(with_causes(&error))];
        }
        // Whoever has gone does not want to know.
        for told in waiting {
            let _ = told.send(());
        }
        replies
    }
}

/// Waits until everything that was ordered is safe; whether it is.
pub fn settle(securer: &JobQueue<Securer>) -> bool {
    let (told, hears) = channel();
    securer.perform(Order::Await(told), None);
    hears.recv().is_ok()
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        path::{Path, PathBuf},
    };

    use super::*;
    use crate::record::log::Log;

    fn batch(log: &mut Log, number: u64, output: Option<Unsynced>) -> Order {
        log.append(&[number as u8]);
        let replies = vec![Reply::Recorded { number, waiting: Vec::new(), held_bytes: 0, dead: 0 }];
        let records = log.take();
        Order::Secure(Box::new(Batch { output, records, events: Vec::new(), replies }))
    }

    fn securer(folder: &Path) -> Securer {
        Securer::new(Arc::new(Mutex::new(Diary::open(&folder.join("diary")).unwrap())))
    }

    fn answered(replies: &[Reply]) -> Vec<u64> {
        let number = |reply: &Reply| match reply {
            Reply::Recorded { number, .. } => Some(*number),
            _ => None,
        };
        replies.iter().filter_map(number).collect()
    }

    #[test]
    fn what_waits_is_made_safe_together_in_its_order_and_then_answered() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), 1, |_| {}).unwrap();
        let orders = (1..4).map(|number| batch(&mut log, number, None)).collect();
        assert_eq!(answered(&securer(folder.path()).run(orders)), [1, 2, 3]);
        let mut records = Vec::new();
        Log::open(folder.path(), 1, |record| records.extend_from_slice(record)).unwrap();
        assert_eq!(records, [1, 2, 3]);
    }

    #[test]
    fn after_a_sync_that_failed_nothing_is_written_or_answered() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), 1, |_| {}).unwrap();
        let mut securer = securer(folder.path());
        // Nobody can sync this.
        let path = PathBuf::from("/dev/null");
        let output = Unsynced { file: Arc::new(File::open(&path).unwrap()), path };
        let replies = securer.run(vec![batch(&mut log, 1, Some(output))]);
        let [Reply::Failed(problem)] = &replies[..] else { panic!("{replies:?}") };
        assert!(problem.starts_with("cannot make /dev/null durable"), "{problem}");
        let (told, hears) = channel();
        let orders = vec![batch(&mut log, 2, None), Order::Await(told)];
        assert!(securer.run(orders).is_empty());
        assert!(hears.recv().is_err());
        Log::open(folder.path(), 1, |record| panic!("{record:?}")).unwrap();
    }
}
