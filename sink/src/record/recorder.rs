//! The thread that records outcomes, and what has to be known of the run beside them.
//!
//! Owns what the sink asks for, in the order in which it does. It takes all batches that wait at once
//! and answers for them together, so that it is not a sync a unit. How outcomes are made safe is
//! `durable`'s; a run that keeps nothing answers for what is written. Refuses to
//! judge what is new.

use std::{io, time::Instant};

use proto::{
    causes::with_causes,
    net::driver::{Handle, JobQueue, Performed, Runner},
    role::LinkId,
    service::IdRange,
};

use super::{
    carried::CarriedCounts,
    durable::{Durable, recorded},
    error::RecordError,
    in_place, logged,
    resume::{Resumed, WINDOW, resume},
    retry,
    run_dir::RunDir,
    syncer::{self, SyncJob, SyncRequest, Syncer},
    terms::{Room, Terms},
    versions,
};
use crate::{
    accept::entry::Entry,
    config::SinkConfig,
    core::{
        requests::{Conclusion, Reply, Request},
        resume_point::ResumePoint,
    },
    ledger::Ledger,
    outcomes::{Outcomes, answers::Answers},
    report::{joblog::JobLog, manifest, summarise::summarise, summary::Summary},
    waiting::place::beside,
};

/// A checkpoint is made when the log has grown by this much, and by several times what it costs.
const CHECKPOINT_BYTES: u64 = 64 << 20;
const CHECKPOINT_RATIO: u64 = 8;
/// The same for a service.
const SERVICE_CHECKPOINT_BYTES: u64 = 16 << 20;

/// Where outcomes are recorded.
pub struct Recorder {
    ledger: Ledger,
    durable: Option<Durable>,
    carried: CarriedCounts,
    // Duplicates in all.
    duplicates: u64,
    terms: Terms,
    failed: bool,
    // The widest window that a sink of this run has had, as it is recorded.
    window_units: u64,
    joblog: Option<JobLog>,
    // Of a service: what is kept for its clients, and since when this sink is there.
    outcomes: Option<Outcomes>,
    since: Instant,
    syncing: Syncing,
}

/// Who makes safe what was written.
enum Syncing {
    /// Nobody: the run keeps nothing.
    Nobody,
    /// A thread of its own, while the next outcomes are written.
    Apart(JobQueue<Syncer>),
    /// The recorder itself, since nothing is synced.
    Here(Box<Syncer>),
}

/// The way to where outcomes are recorded.
pub struct RecorderThread {
    queue: JobQueue<Recorder>,
    // Nobody knows how long a disk takes.
    may_wait: bool,
}

impl RecorderThread {
    /// Does what the sink asks, sooner or later.
    pub fn perform(&self, request: Request) -> Performed<Reply> {
        let size = match &request {
            Request::Record { entries, .. } if !self.may_wait => {
                Some(entries.iter().map(|entry| entry.count).sum())
            }
            Request::Await { units, .. } | Request::Fetched(units) if !self.may_wait => {
                Some(units.len() as u64)
            }
            _ => None,
        };
        self.queue.perform(request, size)
    }
}

impl Runner for Recorder {
    type Job = Request;
    type Reply = Reply;

    fn run(&mut self, requests: Vec<Request>) -> Vec<Reply> {
        let mut replies = Vec::new();
        if !self.failed
            && let Err(error) = self.serve(requests, &mut replies)
        {
            self.failed = true;
            replies.push(Reply::Failed(with_causes(&error)));
        }
        replies
    }
}

impl Recorder {
    /// Opens the outputs of a run that keeps nothing for another try.
    ///
    /// # Errors
    /// [`RecordError`] when one can't be opened.
    pub fn ephemeral(
        config: SinkConfig,
        carries_input: bool,
        terms: Terms,
    ) -> Result<Self, RecordError> {
        terms.check()?;
        let folder = beside(config.output.as_ref());
        let mut ledger = Ledger::open(config, carries_input, None, &terms.claim)?;
        let Room { memory_bytes_max, waiting_bytes_max } = terms.room;
        ledger.overflow_to(memory_bytes_max, folder, waiting_bytes_max);
        let joblog = open_joblog(&terms)?;
        Ok(Self {
            ledger,
            durable: None,
            carried: CarriedCounts::default(),
            duplicates: 0,
            terms,
            failed: false,
            window_units: 0,
            joblog,
            outcomes: None,
            since: Instant::now(),
            syncing: Syncing::Nobody,
        })
    }

    /// Opens the outputs of the run in `run_dir` as the last checkpoint left them, and brings
    /// them up to date from the log; where the run stands. `draw` names the run if it is new.
    ///
    /// # Errors
    /// [`RecordError`] when the directory or an output can't be used, or belong to another run.
    pub fn durable(
        config: SinkConfig,
        carries_input: bool,
        run_dir: RunDir,
        draw: u64,
        mut terms: Terms,
    ) -> Result<(Self, ResumePoint), RecordError> {
        let mut resumed = resume(config.clone(), carries_input, run_dir, draw, &mut terms)?;
        if retry::is_revival_ordered(&resumed.durable.run_dir)? {
            // All there is has to stand in one checkpoint, from which the failures are then taken out.
            resumed.ledger.give_up_dead();
            resumed.durable.checkpoint(&mut resumed.ledger)?;
            let Resumed { ledger, durable, .. } = resumed;
            drop(ledger);
            retry::revive(&durable.run_dir)?;
            resumed = resume(config, carries_input, durable.run_dir, draw, &mut terms)?;
        }
        resumed.settle_version()?;
        let Resumed { ledger, mut durable, carried, outcomes, point } = resumed;
        if outcomes.is_some() {
            durable.log_all();
        }
        let joblog = open_joblog(&terms)?;
        let mut recorder = Self {
            duplicates: carried.duplicates(0),
            ledger,
            durable: Some(durable),
            carried,
            terms,
            failed: false,
            window_units: point.window_units.unwrap_or_default(),
            joblog,
            outcomes,
            since: Instant::now(),
            syncing: Syncing::Nobody,
        };
        // From here on the outputs hold what the log does; a kill in the next moment finds both.
        recorder.checkpoint()?;
        Ok((recorder, point))
    }

    /// Starts the thread that records.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(mut self, handle: Handle<Reply>) -> io::Result<RecorderThread> {
        let in_memory = self.outcomes.as_ref().is_some_and(Outcomes::in_memory);
        if let Some(Durable { diary, .. }) = &self.durable {
            let syncer = Syncer::new(diary.clone());
            self.syncing = match in_memory {
                true => Syncing::Here(Box::new(syncer.writing_only())),
                false => Syncing::Apart(JobQueue::start("syncer", syncer, handle.clone())?),
            };
        }
        // What is written of a service waits for a disk only at a checkpoint, which is seldom.
        let may_wait = matches!(self.syncing, Syncing::Apart(_)) && self.outcomes.is_none();
        Ok(RecorderThread { queue: JobQueue::start("recorder", self, handle)?, may_wait })
    }

    /// Batches that wait together are recorded together.
    fn serve(
        &mut self,
        requests: Vec<Request>,
        replies: &mut Vec<Reply>,
    ) -> Result<(), RecordError> {
        let mut batches = Vec::new();
        for request in requests {
            match request {
                Request::Record { number, entries, duplicates } => {
                    self.duplicates = self.carried.duplicates(duplicates);
                    batches.push((number, entries));
                }
                other => {
                    self.record(std::mem::take(&mut batches), replies)?;
                    self.serve_other(other, replies)?;
                }
            }
        }
        self.record(batches, replies)
    }

    fn serve_other(
        &mut self,
        request: Request,
        replies: &mut Vec<Reply>,
    ) -> Result<(), RecordError> {
        match request {
            Request::Record { .. } => {}
            Request::LogWaiting => self.log_waiting(replies),
            Request::Await { link, units } => {
                self.answer_client(link, units, replies)?;
            }
            Request::Fetched(units) => self.fetched(units),
            Request::ClientLeft(link) => {
                if let Some(outcomes) = &mut self.outcomes {
                    outcomes.left(link);
                }
            }
            Request::Expire => self.expire(replies)?,
            Request::Begin { ventilator, committed, plan, stages, window_units } => {
                let is_new = self.carried.joined(ventilator, committed);
                let is_wider = window_units > self.window_units;
                self.window_units = self.window_units.max(window_units);
                if is_new || is_wider {
                    self.begin(&plan, &stages)?;
                }
                if let Some(joblog) = &mut self.joblog {
                    joblog.set_stages(&stages);
                }
                self.ledger.set_stages(stages);
                replies.push(Reply::Begun);
            }
            Request::Close { units } => {
                self.close(units)?;
                replies.push(Reply::Closed);
            }
            Request::Conclude(conclusion) => replies.push(self.conclude(&conclusion)?),
        }
        Ok(())
    }

    /// Writes batches, and answers for those that are safe, now or once the syncer has made them so.
    fn record(
        &mut self,
        batches: Vec<(u64, Vec<Entry>)>,
        replies: &mut Vec<Reply>,
    ) -> Result<(), RecordError> {
        let Some((last, _)) = batches.last() else { return Ok(()) };
        let number = *last;
        if let Some(joblog) = &mut self.joblog {
            joblog.put(batches.iter().flat_map(|(_, entries)| entries))?;
        }
        let Some(durable) = &mut self.durable else {
            // What is written is all that such a run promises.
            self.ledger.take(batches.into_iter().flat_map(|(_, entries)| entries).collect())?;
            self.ledger.make_room()?;
            self.ledger.flush()?;
            replies.push(recorded(number, Vec::new(), &self.ledger));
            replies.extend(told_besides(&mut self.ledger));
            return Ok(());
        };
        let kept = self.outcomes.as_ref().map(|_| {
            batches.iter().flat_map(|(_, entries)| entries.iter().cloned()).collect::<Vec<_>>()
        });
        let mut job = durable.write(batches, self.duplicates, &mut self.ledger)?;
        job.replies.extend(told_besides(&mut self.ledger));
        job.replies.extend(self.tell_clients(kept.unwrap_or_default()));
        self.sync(job, replies);
        if self.is_checkpoint_due() {
            self.checkpoint()?;
            let durable = self.durable.as_mut();
            replies.extend(durable.and_then(|durable| durable.answer(&self.ledger)));
        }
        Ok(())
    }

    /// Has what was written made safe, and answered for then.
    fn sync(&mut self, mut job: SyncJob, replies: &mut Vec<Reply>) {
        job.events.extend(self.ledger.take_unwritable());
        if job.is_empty() {
            return;
        }
        match &mut self.syncing {
            Syncing::Nobody => {}
            Syncing::Apart(syncer) => {
                syncer.perform(SyncRequest::Sync(Box::new(job)), None);
            }
            Syncing::Here(syncer) => replies.extend(syncer.run_here(job)),
        }
    }

    /// Logs what waits for an earlier outcome in memory only, if anything does.
    fn log_waiting(&mut self, replies: &mut Vec<Reply>) {
        let durable = self.durable.as_mut();
        if let Some(job) = durable.and_then(|durable| durable.log_waiting(&self.ledger)) {
            self.sync(job, replies);
        }
    }

    /// Milliseconds since this sink is there.
    fn here(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Keeps outcomes for the clients of a service; what those are told that wait for them.
    fn tell_clients(&mut self, entries: Vec<Entry>) -> Vec<Reply> {
        let here = self.here();
        let Some(outcomes) = &mut self.outcomes else { return Vec::new() };
        let mut answers = Answers::default();
        entries.into_iter().for_each(|entry| outcomes.take(here, entry, &mut answers));
        told(&mut answers)
    }

    /// What a client asks for may have been written a moment ago, so the answer leaves when that is safe.
    fn answer_client(
        &mut self,
        link: LinkId,
        units: Vec<IdRange>,
        replies: &mut Vec<Reply>,
    ) -> Result<(), RecordError> {
        let Some(outcomes) = &mut self.outcomes else { return Ok(()) };
        let mut answers = Answers::default();
        for units in units {
            outcomes.asked(link, units, self.ledger.taken(), &mut answers)?;
        }
        let job = SyncJob { replies: told(&mut answers), ..SyncJob::default() };
        self.sync(job, replies);
        Ok(())
    }

    fn fetched(&mut self, units: Vec<IdRange>) {
        if let (Some(outcomes), Some(durable)) = (&mut self.outcomes, &mut self.durable) {
            // It travels with what is written next, or is soon written alone: a sink that does not know it keeps them for longer.
            logged::append_fetched(&mut durable.log, &units);
            units.into_iter().for_each(|units| outcomes.fetched(units));
        }
    }

    /// Lets go what was kept long enough, and writes what was fetched since the last outcome: the next may
    /// not come for long. How much is kept is told once that is safe.
    fn expire(&mut self, replies: &mut Vec<Reply>) -> Result<(), RecordError> {
        let here = self.here();
        let (Some(outcomes), Some(durable)) = (&mut self.outcomes, &mut self.durable) else {
            return Ok(());
        };
        outcomes.expire(here)?;
        let (units, bytes) = outcomes.weight();
        let (records, told) = (Some(durable.log.take()), vec![Reply::Kept(units, bytes)]);
        self.sync(SyncJob { records, replies: told, ..SyncJob::default() }, replies);
        Ok(())
    }

    fn is_checkpoint_due(&self) -> bool {
        let cost = self.ledger.aggregates().size_hint() as u64 * CHECKPOINT_RATIO;
        let logged = self.durable.as_ref().map_or(0, |durable| durable.log.bytes());
        // Runs that were read to their end take room until then.
        let most = match self.outcomes {
            // What clients have not fetched is in memory until then.
            Some(_) => SERVICE_CHECKPOINT_BYTES,
            None => CHECKPOINT_BYTES,
        };
        logged.max(self.ledger.retired_bytes()) > most.max(cost)
    }

    /// Makes everything safe where it belongs, and starts the log anew.
    fn checkpoint(&mut self) -> Result<(), RecordError> {
        if let Syncing::Apart(syncer) = &self.syncing
            && !syncer::settle(syncer)
        {
            return Err(RecordError::NotSafe);
        }
        let here = self.here();
        if let Some(outcomes) = &mut self.outcomes {
            outcomes.put_away(here)?;
        }
        let Some(durable) = &mut self.durable else { return Ok(()) };
        durable.checkpoint(&mut self.ledger)
    }

    /// Records what a sink that is started again has to know of a run that has begun: all of it or
    /// nothing.
    fn begin(&self, plan: &str, stages: &[String]) -> Result<(), RecordError> {
        let Some(Durable { run_dir, .. }) = &self.durable else { return Ok(()) };
        run_dir.in_one_transaction(|| {
            run_dir.record("plan", &plan)?;
            run_dir.record("stages", &stages)?;
            run_dir.record(WINDOW, &self.window_units)?;
            run_dir.record("lives", &self.carried)
        })?;
        Ok(())
    }

    /// Everything is committed: the outputs get the form in which they are kept.
    fn close(&mut self, units: Option<u64>) -> Result<(), RecordError> {
        if self.durable.is_none() {
            // Nobody goes on with this run, so nothing that is done waits for what is not.
            self.ledger.take_held()?;
        }
        self.checkpoint()?;
        self.ledger.finish()?;
        if let Some(durable) = &self.durable {
            in_place::settle(&durable.run_dir, &mut self.ledger, &self.terms.claim)?;
        }
        if let (Some(durable), Some(units)) = (&self.durable, units) {
            durable.run_dir.record("units", &units)?;
        }
        Ok(())
    }

    /// Tells people what the run amounted to, and proves it.
    fn conclude(&mut self, conclusion: &Conclusion) -> Result<Reply, RecordError> {
        let counts = self.ledger.counts();
        let committed = counts.results + counts.filtered + counts.dead;
        self.duplicates = self.carried.duplicates(conclusion.duplicates);
        self.carried.told(conclusion.tally.as_ref().map(|tally| tally.attempts), committed);
        let mut summary = summarise(&self.ledger, conclusion);
        summary.attempts = self.carried.tries();
        summary.duplicates_discarded = self.duplicates;
        self.keep_counts()?;
        if !conclusion.drained {
            self.prove(&summary)?;
        }
        if let Some(path) = &self.terms.summary {
            let json = serde_json::to_vec_pretty(&summary).map_err(io::Error::from)?;
            self.terms.claim.put(path, &json)?;
        }
        (self.terms.told)(&summary, conclusion.drained).map_err(RecordError::Told)?;
        Ok(Reply::Concluded(serde_json::to_string(&summary).unwrap_or_default()))
    }

    /// Keeps the counts for the next sink, whose own begin at 0.
    fn keep_counts(&self) -> Result<(), RecordError> {
        let Some(durable) = &self.durable else { return Ok(()) };
        let mut carried = self.carried.clone();
        carried.inherit_duplicates(self.duplicates);
        Ok(durable.run_dir.record("lives", &carried)?)
    }

    /// Keeps what a finished run is known by. That it is finished is recorded last: whoever finds that
    /// finds the rest.
    fn prove(&mut self, summary: &Summary) -> Result<(), RecordError> {
        let Some(durable) = &self.durable else { return Ok(()) };
        durable.run_dir.record_summary(summary)?;
        let plan: Option<String> = durable.run_dir.fact("plan")?;
        let versions = versions::read(&durable.run_dir)?;
        manifest::write(
            durable.run_dir.path(),
            summary,
            manifest::Begun { plan: plan.unwrap_or_default(), versions },
            &self.ledger.written(),
            self.ledger.followed(),
        )?;
        Ok(durable.run_dir.record("finished", &true)?)
    }
}

/// What clients are told.
fn told(answers: &mut Answers) -> Vec<Reply> {
    let told = answers.take().into_iter();
    told.map(|(link, outcomes)| Reply::Outcomes(link, Box::new(outcomes))).collect()
}

/// What is said, once, when the reader of the output has left, and when a stage fails with every unit.
fn told_besides(ledger: &mut Ledger) -> impl Iterator<Item = Reply> {
    let gone = ledger.take_reader_gone().then_some(Reply::ReaderGone);
    gone.into_iter().chain(ledger.take_failing().map(Reply::Failing))
}

fn open_joblog(terms: &Terms) -> Result<Option<JobLog>, RecordError> {
    let opened = terms.joblog.as_ref().map(|spec| JobLog::open(spec, &terms.claim));
    Ok(opened.transpose()?)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
