//! Makes written files durable and answers for what they hold, while the next outcomes are written.
//!
//! Owns the order of the syncs of one [`SyncJob`]: the output, then the records of the log that count on
//! it, then the answer; why, and what a crash in between leaves, is told in
//! `durable`. It takes all that waits at once, so that disks set the number of syncs.
//! A sync that has failed is never tried again, and nothing is answered for any more.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Sender, channel},
};

use proto::{
    causes::with_causes,
    diary::{Diary, Event},
    net::driver::{JobQueue, Runner},
};

use super::{error::RecordError, log::Appended};
use crate::{core::requests::Reply, output::unsynced::Unsynced};

/// Outcomes that are written and not yet safe.
#[derive(Debug, Default)]
pub struct SyncJob {
    /// The output, where the records count on it.
    pub output: Option<Unsynced>,
    /// Records for the log.
    pub records: Option<Appended>,
    /// For the diary, once it is true.
    pub events: Vec<Event>,
    /// What may be said then.
    pub replies: Vec<Reply>,
}

impl SyncJob {
    /// Whether there is nothing to do and nothing to say.
    pub fn is_empty(&self) -> bool {
        let Self { output, records, events, replies } = self;
        output.is_none()
            && records.as_ref().is_none_or(Appended::is_empty)
            && events.is_empty()
            && replies.is_empty()
    }
}

/// What is asked for.
#[derive(Debug)]
pub enum SyncRequest {
    /// Make this safe.
    Sync(Box<SyncJob>),
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
pub struct Syncer {
    diary: SharedDiary,
    // Against a kill everything is safe that the system has.
    writes_only: bool,
    failed: bool,
}

impl Syncer {
    /// Notes in that diary what is safe.
    pub fn new(diary: SharedDiary) -> Self {
        Self { diary, writes_only: false, failed: false }
    }

    /// Hands everything to the system, and syncs nothing.
    pub fn writing_only(self) -> Self {
        Self { writes_only: true, ..self }
    }

    /// Does this at once; what may be said then.
    pub fn run_here(&mut self, job: SyncJob) -> Vec<Reply> {
        self.run(vec![SyncRequest::Sync(Box::new(job))])
    }

    fn sync(&mut self, jobs: Vec<SyncJob>) -> Result<Vec<Reply>, RecordError> {
        // One sync is enough for all that was written before it.
        let outputs = jobs.iter().rev().filter(|_| !self.writes_only);
        if let Some(output) = outputs.filter_map(|job| job.output.as_ref()).next() {
            output.sync()?;
        }
        let mut last = None;
        for appended in jobs.iter().filter_map(|job| job.records.as_ref()) {
            if !appended.is_empty() {
                appended.write()?;
                last = Some(appended);
            }
        }
        last.filter(|_| !self.writes_only).map_or(Ok(()), Appended::sync)?;
        let mut replies = Vec::new();
        for job in jobs {
            note(&self.diary, job.events);
            replies.extend(job.replies);
        }
        Ok(replies)
    }
}

impl Runner for Syncer {
    type Job = SyncRequest;
    type Reply = Reply;

    fn run(&mut self, requests: Vec<SyncRequest>) -> Vec<Reply> {
        let (mut jobs, mut waiting) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                SyncRequest::Sync(job) => jobs.push(*job),
                SyncRequest::Await(told) => waiting.push(told),
            }
        }
        if self.failed {
            return Vec::new();
        }
        let replies = match self.sync(jobs) {
            Ok(replies) => replies,
            Err(error) => {
                self.failed = true;
                return vec![Reply::Failed(with_causes(&error))];
            }
        };
        // Whoever has gone does not want to know.
        for told in waiting {
            let _ = told.send(());
        }
        replies
    }
}

/// Waits until everything that was ordered is safe; whether it is.
pub fn settle(syncer: &JobQueue<Syncer>) -> bool {
    let (told, hears) = channel();
    syncer.perform(SyncRequest::Await(told), None);
    hears.recv().is_ok()
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        path::{Path, PathBuf},
    };

    use super::*;
    use crate::record::log::{COMMIT_LOG, Log};

    fn job(log: &mut Log, number: u64, output: Option<Unsynced>) -> SyncRequest {
        log.append(&[number as u8]);
        let waiting = Vec::new();
        let reply = Reply::Recorded { number, waiting, waiting_bytes: 0, dead: 0 };
        let replies = vec![reply];
        let records = Some(log.take());
        SyncRequest::Sync(Box::new(SyncJob { output, records, events: Vec::new(), replies }))
    }

    fn syncer(folder: &Path) -> Syncer {
        Syncer::new(Arc::new(Mutex::new(Diary::open(&folder.join("diary")).unwrap())))
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
        let mut log = Log::open(COMMIT_LOG, folder.path(), 1, |_| {}).unwrap();
        let orders = (1..4).map(|number| job(&mut log, number, None)).collect();
        assert_eq!(answered(&syncer(folder.path()).run(orders)), [1, 2, 3]);
        let mut records = Vec::new();
        Log::open(COMMIT_LOG, folder.path(), 1, |record| records.extend_from_slice(record))
            .unwrap();
        assert_eq!(records, [1, 2, 3]);
    }

    #[test]
    fn after_a_sync_that_failed_nothing_is_written_or_answered() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(COMMIT_LOG, folder.path(), 1, |_| {}).unwrap();
        let mut syncer = syncer(folder.path());
        // Nobody can sync this.
        let path = PathBuf::from("/dev/null");
        let output = Unsynced { file: Arc::new(File::open(&path).unwrap()), path };
        let replies = syncer.run(vec![job(&mut log, 1, Some(output))]);
        let [Reply::Failed(problem)] = &replies[..] else { panic!("{replies:?}") };
        assert!(problem.starts_with("cannot make /dev/null durable"), "{problem}");
        let (told, hears) = channel();
        let orders = vec![job(&mut log, 2, None), SyncRequest::Await(told)];
        assert!(syncer.run(orders).is_empty());
        assert!(hears.recv().is_err());
        Log::open(COMMIT_LOG, folder.path(), 1, |record| panic!("{record:?}")).unwrap();
    }
}
