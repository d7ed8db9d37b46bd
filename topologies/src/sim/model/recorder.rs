//! The sink's recorder: takes all batches that wait, syncs, then answers for them together.
//!
//! What was not synced when its sink dies is lost, or is on the disk all the same with nobody
//! told: both happen to real disks.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

use sink::{
    core::{Reply, Request},
    entry::Entry,
};

use super::Disk;
use crate::sim::{
    actor::{Context, Deed, Helper},
    mutation::Mutation,
};

/// One thing to do, in order.
enum Job {
    Record(u64, Vec<Entry>),
    Close(Option<u64>),
    Conclude,
}

/// Records on this disk.
pub(in crate::sim) struct Recorder {
    disk: Rc<RefCell<Disk>>,
    sync_max: Duration,
    mutation: Option<Mutation>,
    jobs: VecDeque<Job>,
    // How many jobs the sync that is under way is for.
    syncing: usize,
    // What a power of its own makes of the batches under way when this process dies.
    written_when_killed: bool,
}

impl Recorder {
    pub fn new(disk: Rc<RefCell<Disk>>, sync_max: Duration, mutation: Option<Mutation>) -> Self {
        let jobs = VecDeque::new();
        Self { disk, sync_max, mutation, jobs, syncing: 0, written_when_killed: false }
    }

    /// Begins on what waits: all batches up to something else, or that alone.
    fn begin(&mut self, context: &mut Context<'_>) {
        let batches = self.jobs.iter().take_while(|job| matches!(job, Job::Record(..))).count();
        if self.syncing == 0 && !self.jobs.is_empty() {
            self.syncing = batches.max(1);
            self.written_when_killed = context.rng.bool();
            let sync = self.sync_max.mul_f64(context.rng.f64());
            context.later(sync, 0);
        }
    }

    fn append(&mut self, entries: Vec<Entry>) -> Option<String> {
        self.disk.borrow_mut().append(entries).err()
    }

    fn recorded(&self, number: u64) -> Reply {
        let disk = self.disk.borrow();
        Reply::Recorded {
            number,
            waiting: Vec::new(),
            held_bytes: disk.held_bytes(),
            dead: disk.dead(),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.written_when_killed {
            for job in self.jobs.drain(..self.syncing).collect::<Vec<_>>() {
                if let Job::Record(_, entries) = job {
                    self.disk.borrow_mut().append_untold(entries);
                }
            }
        }
    }
}

impl Helper for Recorder {
    type Request = Request;
    type Reply = Reply;

    fn ask(&mut self, request: Request, context: &mut Context<'_>) -> Option<Reply> {
        let mut at_once = None;
        match request {
            Request::Record { number, entries, .. } => {
                if self.mutation == Some(Mutation::CommitBeforeSync) {
                    at_once = Some(self.recorded(number));
                }
                self.jobs.push_back(Job::Record(number, entries));
            }
            // All that it takes is logged at once.
            Request::LogWaiting => {}
            Request::Begin { plan, .. } => self.disk.borrow_mut().begin(plan),
            Request::Close { units } => self.jobs.push_back(Job::Close(units)),
            Request::Conclude(conclusion) => {
                self.disk.borrow_mut().conclude(conclusion.duplicates);
                self.jobs.push_back(Job::Conclude);
            }
        }
        self.begin(context);
        at_once
    }

    fn go_on(&mut self, _token: u64, context: &mut Context<'_>) -> Option<Reply> {
        let mut reply = None;
        for job in self.jobs.drain(..self.syncing).collect::<Vec<_>>() {
            reply = Some(match job {
                Job::Record(number, entries) => {
                    if let Some(problem) = self.append(entries) {
                        context.deeds.push(Deed::Violation(problem));
                    }
                    self.recorded(number)
                }
                Job::Close(units) => {
                    self.disk.borrow_mut().close(units);
                    Reply::Closed
                }
                Job::Conclude => Reply::Concluded(String::new()),
            });
        }
        self.syncing = 0;
        self.begin(context);
        reply
    }
}
