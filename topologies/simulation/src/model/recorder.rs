//! The sink's recorder: takes all batches that wait, syncs, then answers for them together.
//!
//! What was not synced when its sink dies is lost from some place on, and what is before that is on
//! the disk with nobody told: both happen to real disks. Large outcomes that wait for an earlier one
//! are in memory only, as in the real recorder; which of them may be answered for is decided by the
//! real rules.

use std::{cell::RefCell, collections::VecDeque, mem, rc::Rc, time::Duration};

use proto::{role::LinkId, service::IdRange};
use sink::{
    core::{Reply, Request},
    entry::Entry,
    record::deferred::Deferred,
};

use super::Disk;
use crate::{
    actor::{Context, Deed, Helper},
    doom::{Extent, Fate, Job},
    faults::FaultPlan,
    mutation::Mutation,
    service::Counter,
};

/// A sync is done; an answer to a client is on its way.
const SYNCED: u64 = 0;
const ANSWER: u64 = 1;

/// One thing to do, in order.
#[derive(Clone)]
enum Task {
    Record(u64, Vec<Entry>),
    LogWaiting,
    Begin { plan: String, window_units: u64 },
    Close(Option<u64>),
    Conclude(u64),
    Serve(Served),
}

/// What is done for clients, in turn with what is recorded.
#[derive(Clone)]
enum Served {
    Await { link: LinkId, units: Vec<IdRange> },
    Fetched(Vec<IdRange>),
    Left(LinkId),
    Expire,
}

/// Records on this disk.
pub(crate) struct Recorder {
    disk: Rc<RefCell<Disk>>,
    sync_max: Duration,
    // The part of the batches that is too large to be written twice.
    large: f64,
    mutation: Option<Mutation>,
    tasks: VecDeque<(Task, Option<Fate>)>,
    // How many of them the sync that is under way is for.
    syncing: usize,
    // Which part of that is on the disk if this process dies meanwhile.
    survives: f64,
    // Outcomes that wait for an earlier one and are on no disk.
    memory: Vec<Entry>,
    deferred: Deferred,
    // Of a service.
    counter: Option<Counter>,
}

impl Recorder {
    pub fn new(disk: Rc<RefCell<Disk>>, plan: &FaultPlan, mutation: Option<Mutation>) -> Self {
        Self {
            disk,
            sync_max: plan.sync_max,
            large: plan.large,
            mutation,
            tasks: VecDeque::new(),
            syncing: 0,
            survives: 0.0,
            memory: Vec::new(),
            deferred: Deferred::default(),
            counter: None,
        }
    }

    /// Clients of a service fetch outcomes here.
    pub fn serve_clients(&mut self, counter: Counter) {
        self.counter = Some(counter);
        // Then all is logged, however large.
        self.large = 0.0;
    }

    /// Begins on what waits: all batches up to something else, or up to the one that is the last, or
    /// that alone.
    fn begin(&mut self, context: &mut Context<'_>) {
        if self.syncing > 0 || self.tasks.is_empty() {
            return;
        }
        let plain = |(task, fate): &&(Task, Option<Fate>)| {
            matches!(task, Task::Record(..)) && fate.is_none()
        };
        let batches = self.tasks.iter().take_while(plain).count();
        let last = self.tasks.get(batches);
        let doomed = last.is_some_and(|(task, _)| matches!(task, Task::Record(..)));
        self.syncing = (batches + usize::from(doomed)).max(1);
        let fate = self.tasks.iter().take(self.syncing).find_map(|(_, fate)| *fate);
        let sync = match fate {
            Some(fate) => fate.lingers,
            None if matches!(self.tasks.front(), Some((Task::Serve(_), _))) => Duration::ZERO,
            None => self.sync_max.mul_f64(context.rng.f64()),
        };
        self.survives = match context.rng.u8(0..4) {
            0 => 0.0,
            1 => 1.0,
            _ => context.rng.f64(),
        };
        context.later(sync, SYNCED);
    }

    /// Batches are made safe together, but for what may wait in memory.
    fn record(&mut self, batches: Vec<(u64, Vec<Entry>)>, context: &mut Context<'_>) {
        for (number, entries) in batches {
            self.deferred.add(number, &entries);
            self.memory.extend(entries);
        }
        let large = context.rng.f64() < self.large;
        let problem = if large && !self.deferred.must_be_logged() {
            let problem = self.write_in_order(context);
            self.settle();
            problem
                .or_else(|| self.deferred.must_be_logged().then(|| self.log_all(context)).flatten())
        } else {
            self.log_all(context)
        };
        let watermark = self.disk.borrow().watermark();
        self.deferred.resume(|first| first >= watermark);
        context.deeds.extend(problem.map(Deed::Violation));
    }

    /// What is next in order is written to the output, and so made safe.
    fn write_in_order(&mut self, context: &Context<'_>) -> Option<String> {
        loop {
            let watermark = self.disk.borrow().watermark();
            let next = self.memory.iter().position(|entry| entry.first <= watermark)?;
            let entry = self.memory.swap_remove(next);
            if let Some(problem) = self.append(vec![entry], context) {
                return Some(problem);
            }
        }
    }

    fn log_all(&mut self, context: &Context<'_>) -> Option<String> {
        let entries = mem::take(&mut self.memory);
        let problem = self.append(entries, context);
        self.settle();
        problem
    }

    fn settle(&mut self) {
        let memory = &self.memory;
        self.deferred.settle(|first| memory.iter().any(|entry| entry.first == first));
    }

    fn append(&mut self, entries: Vec<Entry>, context: &Context<'_>) -> Option<String> {
        if let Some(counter) = &mut self.counter {
            counter.recorded(context.now, &entries);
        }
        self.disk.borrow_mut().append(entries).err()
    }

    /// What can be said of the batches, if there is anything new.
    fn answer(&mut self) -> Option<Reply> {
        let (number, mut waiting) = self.deferred.answer()?;
        if self.mutation == Some(Mutation::WaitingAsRecorded) {
            waiting.clear();
        }
        Some(self.recorded(number, waiting))
    }

    fn recorded(&self, number: u64, waiting: Vec<u64>) -> Reply {
        let disk = self.disk.borrow();
        let held: u64 = self.memory.iter().map(Entry::bytes).sum();
        let waiting_bytes = disk.held_bytes() + held;
        let dead = disk.dead();
        Reply::Recorded { number, waiting, waiting_bytes, dead }
    }

    /// Does what waits no longer; what is answered.
    fn perform(&mut self, tasks: Vec<Task>, context: &mut Context<'_>) -> Option<Reply> {
        let mut batches = Vec::new();
        for task in tasks {
            match task {
                Task::Record(number, entries) => batches.push((number, entries)),
                other => return self.perform_other(other, context),
            }
        }
        self.record(batches, context);
        self.answer()
    }

    fn perform_other(&mut self, task: Task, context: &mut Context<'_>) -> Option<Reply> {
        match task {
            Task::Record(..) => None,
            Task::LogWaiting => {
                self.deferred.stop_deferring();
                let problem = self.log_all(context);
                context.deeds.extend(problem.map(Deed::Violation));
                self.answer()
            }
            Task::Begin { plan, window_units } => {
                self.disk.borrow_mut().begin(plan, window_units);
                (!self.says_begun_early()).then_some(Reply::Begun)
            }
            Task::Close(units) => {
                let problem = self.log_all(context);
                context.deeds.extend(problem.map(Deed::Violation));
                self.disk.borrow_mut().close(units);
                Some(Reply::Closed)
            }
            Task::Conclude(duplicates) => {
                self.disk.borrow_mut().conclude(duplicates);
                Some(Reply::Concluded(String::new()))
            }
            Task::Serve(served) => {
                self.serve(served, context);
                None
            }
        }
    }

    fn serve(&mut self, served: Served, context: &Context<'_>) {
        let Some(counter) = &mut self.counter else { return };
        match served {
            Served::Await { link, units } => counter.asked(link, &units),
            Served::Fetched(units) => counter.fetched(&units),
            Served::Left(link) => counter.left(link),
            Served::Expire => counter.expire(context.now),
        }
    }

    /// What clients are to be told is on its way.
    fn hand_out(&mut self, context: &mut Context<'_>) {
        if let Some(counter) = &mut self.counter {
            let answers = counter.turn(context.rng.u8(..));
            (0..answers).for_each(|_| context.later(Duration::ZERO, ANSWER));
        }
    }

    fn says_begun_early(&self) -> bool {
        matches!(self.mutation, Some(Mutation::BegunBeforeSync | Mutation::DroppedAsTaken))
    }

    /// The process dies within these tasks, of which the last is the one that it dies of.
    fn die(&mut self, mut tasks: Vec<Task>, fate: Fate, context: &mut Context<'_>) {
        if fate.extent == Extent::Nothing {
            tasks.pop();
        } else if fate.extent == Extent::Half {
            let part = context.rng.f64();
            match tasks.last_mut() {
                Some(Task::Record(_, entries)) => cut(entries, part),
                // All of it is there once it is done, and nothing before.
                _ => drop(tasks.pop()),
            }
        }
        if !tasks.is_empty() {
            self.disk.borrow_mut().wrote_untold();
            let _ = self.perform(tasks, context);
        }
        context.deeds.push(Deed::Crash(fate));
    }
}

/// Only the first of them have reached the disk.
fn cut(entries: &mut Vec<Entry>, part: f64) {
    entries.truncate((entries.len() as f64 * part) as usize);
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let mut disk = self.disk.borrow_mut();
        disk.lost_in_memory(self.memory.len());
        let records = self.tasks.drain(..self.syncing).filter_map(|(task, _)| match task {
            Task::Record(_, entries) => Some(entries),
            _ => None,
        });
        let mut entries: Vec<Entry> = records.flatten().collect();
        cut(&mut entries, self.survives);
        if !entries.is_empty() {
            disk.wrote_untold();
            // Seen again, and named, when the next sink records them once more.
            let _ = disk.append(entries);
        }
    }
}

impl Helper for Recorder {
    type Request = Request;
    type Reply = Reply;

    fn job(request: &Request) -> Job {
        match request {
            Request::Begin { .. } => Job::Begin,
            Request::Record { .. } => Job::Record,
            Request::LogWaiting => Job::LogWaiting,
            Request::Await { .. } => Job::Await,
            Request::Fetched(_) | Request::ClientLeft(_) | Request::Expire => Job::Fetched,
            Request::Close { .. } => Job::Close,
            Request::Conclude(_) => Job::Conclude,
        }
    }

    fn ask(
        &mut self,
        request: Request,
        fate: Option<Fate>,
        context: &mut Context<'_>,
    ) -> Option<Reply> {
        let (task, at_once) = match request {
            Request::Record { number, entries, .. } => {
                if self.mutation == Some(Mutation::OutcomeBeforeSync)
                    && let Some(counter) = &mut self.counter
                {
                    counter.told_early(&entries);
                    self.hand_out(context);
                }
                let early = self.mutation == Some(Mutation::CommitBeforeSync);
                let reply = early.then(|| self.recorded(number, Vec::new()));
                (Task::Record(number, entries), reply)
            }
            Request::LogWaiting => (Task::LogWaiting, None),
            Request::Await { link, units } => (Task::Serve(Served::Await { link, units }), None),
            Request::Fetched(units) => (Task::Serve(Served::Fetched(units)), None),
            Request::ClientLeft(link) => (Task::Serve(Served::Left(link)), None),
            Request::Expire => (Task::Serve(Served::Expire), None),
            Request::Begin { plan, window_units, .. } => (
                Task::Begin { plan, window_units },
                self.says_begun_early().then_some(Reply::Begun),
            ),
            Request::Close { units } => (Task::Close(units), None),
            Request::Conclude(conclusion) => (Task::Conclude(conclusion.duplicates), None),
        };
        self.tasks.push_back((task, fate));
        self.begin(context);
        at_once
    }

    fn go_on(&mut self, token: u64, context: &mut Context<'_>) -> Option<Reply> {
        if token == ANSWER {
            return self.counter.as_mut()?.answer();
        }
        let syncing = mem::take(&mut self.syncing);
        let (tasks, fates): (Vec<_>, Vec<_>) = self.tasks.drain(..syncing).unzip();
        if let Some(fate) = fates.into_iter().flatten().last() {
            self.die(tasks, fate, context);
            return None;
        }
        let reply = self.perform(tasks, context);
        self.hand_out(context);
        self.begin(context);
        reply
    }
}
