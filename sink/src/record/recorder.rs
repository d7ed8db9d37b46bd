//! The thread that makes outcomes safe and writes them out.
//!
//! Owns the moment at which an outcome may be acknowledged: when it is in the log and the log is
//! synced or, in a run that keeps nothing, when it is written. It takes all batches that wait at
//! once and answers for them together, so that it is not a sync a unit. Refuses to judge what is
//! new.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use proto::{
    causes::with_causes,
    diary::{Diary, SINK_FILE},
    net::driver::{Handle, JobQueue, Performed, Runner},
};
use sha2::{Digest, Sha256};

use super::{
    error::RecordError,
    lives::Lives,
    log::{Log, LogError, read_segment},
    logged::{self, Record},
    run_dir::RunDir,
    secure::{self, Batch, Order, Securer, SharedDiary},
    unlogged::Unlogged,
};
use crate::{
    accept::entry::Entry,
    config::SinkConfig,
    core::{
        requests::{Conclusion, Reply, Request},
        standing::Standing,
    },
    ledger::{Ledger, checkpoint::Checkpoint},
    output::{
        claim::{Claim, Existing},
        error::OutputError,
        tail::require_folder,
    },
    report::{manifest, summarise::summarise, summary::Summary},
};

/// A checkpoint is made when the log has grown by this much, and by several times what it costs.
const CHECKPOINT_BYTES: u64 = 64 << 20;
const CHECKPOINT_RATIO: u64 = 8;

/// Under this name the run directory knows the widest window.
const WINDOW: &str = "window_units";

/// Called with the summary when the run is over, and whether it stopped early.
pub type Told = Box<dyn FnMut(&Summary, bool) -> Result<(), String> + Send>;

/// What a recorder may write to, and whom it tells.
pub struct Terms {
    /// Which files it may write to. What a run directory knows is added to it.
    pub claim: Claim,
    /// Where the summary goes as JSON, if anywhere.
    pub summary: Option<PathBuf>,
    /// Who is told at the end.
    pub told: Told,
}

impl Terms {
    /// A summary that could not be written is found out before the run.
    fn check(&self) -> Result<(), OutputError> {
        let Some(path) = &self.summary else { return Ok(()) };
        require_folder(path)?;
        self.claim.look(path, b"").map(drop)
    }
}

/// What makes a run outlive its sink.
struct Durable {
    run_dir: RunDir,
    diary: SharedDiary,
    log: Log,
    config: String,
}

/// Where outcomes are recorded.
pub struct Recorder {
    ledger: Ledger,
    durable: Option<Durable>,
    lives: Lives,
    // Duplicates in all, and how many of them the log knows of.
    duplicates: u64,
    logged: u64,
    terms: Terms,
    failed: bool,
    // The widest window that a sink of this run has had, as it is recorded.
    window_units: u64,
    unlogged: Unlogged,
    // Makes safe what was written; in a run that keeps nothing it has nothing to do.
    securer: Option<JobQueue<Securer>>,
}

/// The way to where outcomes are recorded.
pub struct RecorderThread {
    queue: JobQueue<Recorder>,
    durable: bool,
}

impl RecorderThread {
    /// Does what the sink asks, sooner or later.
    pub fn perform(&self, request: Request) -> Performed<Reply> {
        let size = match &request {
            // Nobody knows how long a disk takes.
            Request::Record { entries, .. } if !self.durable => {
                Some(entries.iter().map(|entry| entry.count).sum())
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
        Ok(Self {
            ledger: Ledger::open(config, carries_input, None, &terms.claim)?,
            durable: None,
            lives: Lives::default(),
            duplicates: 0,
            logged: 0,
            terms,
            failed: false,
            window_units: 0,
            unlogged: Unlogged::default(),
            securer: None,
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
    ) -> Result<(Self, Standing), RecordError> {
        let digest = config_digest(&config);
        let (run, epoch) = run_dir.start(draw)?;
        let checkpoint: Option<Checkpoint> = run_dir.fact("checkpoint")?;
        if checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.config != digest) {
            return Err(RecordError::OtherConfig);
        }
        terms.claim.made = Some(run_dir.made().clone());
        terms.claim.run = run;
        terms.claim.resumes = checkpoint.is_some();
        terms.check()?;
        run_dir.made().note_run(run)?;
        let segment = checkpoint.as_ref().map_or(1, |checkpoint| checkpoint.segment);
        let checkpoint = last_checkpoint(run_dir.path(), segment)?.or(checkpoint);
        let mut ledger = Ledger::open(config, carries_input, checkpoint.as_ref(), &terms.claim)?;
        ledger.follow(run_dir.path());
        let dead_path = std::path::absolute(ledger.dead_path())?;
        run_dir.record("dead_path", &dead_path)?;
        let stages: Option<Vec<String>> = run_dir.fact("stages")?;
        ledger.set_stages(stages.unwrap_or_default());
        let diary = Diary::open(&run_dir.path().join(SINK_FILE))?;
        let diary = Arc::new(Mutex::new(diary));
        let mut lives: Lives = run_dir.fact("lives")?.unwrap_or_default();
        let mut replayed = Ok(());
        let log = Log::open(run_dir.path(), segment, |record| {
            match Record::read(record) {
                // What the last checkpoint covers is passed over.
                Some(Record::Entries(entries)) if replayed.is_ok() => {
                    replayed = ledger.take(entries).map(drop);
                }
                Some(Record::Duplicates(duplicates)) => lives.inherit_duplicates(duplicates),
                _ => {}
            }
        })?;
        replayed?;
        // The diary may have them already.
        ledger.take_unwritable();
        ledger.flush()?;
        let window_units = run_dir.fact(WINDOW)?;
        let standing = Standing {
            run,
            epoch,
            committed: ledger.taken().clone(),
            plan: run_dir.fact("plan")?,
            window_units,
            dead: ledger.counts().dead,
            durable: true,
            units: run_dir.fact("units")?,
        };
        let duplicates = lives.duplicates(0);
        let durable = Some(Durable { run_dir, diary, log, config: digest });
        let logged = duplicates;
        let mut recorder = Self {
            ledger,
            durable,
            lives,
            duplicates,
            logged,
            terms,
            failed: false,
            window_units: window_units.unwrap_or_default(),
            unlogged: Unlogged::default(),
            securer: None,
        };
        // From here on the outputs hold what the log does; a kill in the next moment finds both.
        recorder.checkpoint()?;
        Ok((recorder, standing))
    }

    /// Starts the thread that records.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(mut self, handle: Handle<Reply>) -> io::Result<RecorderThread> {
        let durable = self.durable.is_some();
        if let Some(Durable { diary, .. }) = &self.durable {
            let securer = Securer::new(diary.clone());
            self.securer = Some(JobQueue::start("securer", securer, handle.clone())?);
        }
        Ok(RecorderThread { queue: JobQueue::start("recorder", self, handle)?, durable })
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
                    self.duplicates = self.lives.duplicates(duplicates);
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

    /// Makes batches safe, and answers for those that are.
    fn record(
        &mut self,
        batches: Vec<(u64, Vec<Entry>)>,
        replies: &mut Vec<Reply>,
    ) -> Result<(), RecordError> {
        let Some((last, _)) = batches.last() else { return Ok(()) };
        let (number, had_reader) = (*last, !self.ledger.reader_gone());
        let batch = self.write(batches)?;
        let gone = (had_reader && self.ledger.reader_gone()).then_some(Reply::ReaderGone);
        match batch {
            Some(mut batch) => {
                batch.replies.extend(gone);
                self.secure(batch);
            }
            None => {
                replies.push(self.recorded(number, Vec::new()));
                replies.extend(gone);
            }
        }
        let cost = self.ledger.aggregates().size_hint() as u64 * CHECKPOINT_RATIO;
        if self
            .durable
            .as_ref()
            .is_some_and(|durable| durable.log.bytes() > CHECKPOINT_BYTES.max(cost))
        {
            self.checkpoint()?;
            replies.extend(self.answer());
        }
        Ok(())
    }

    /// Has what was written made safe, and answered for then.
    fn secure(&mut self, mut batch: Batch) {
        batch.events.extend(self.ledger.take_unwritable());
        if let Some(securer) = self.securer.as_ref().filter(|_| !batch.is_empty()) {
            securer.perform(Order::Secure(Box::new(batch)), None);
        }
    }

    /// What can be said of the batches that are safe, or will be when this is said.
    fn answer(&mut self) -> Option<Reply> {
        let (number, waiting) = self.unlogged.answer()?;
        Some(self.recorded(number, waiting))
    }

    fn recorded(&self, number: u64, waiting: Vec<u64>) -> Reply {
        let (held_bytes, dead) = (self.ledger.held_bytes(), self.ledger.counts().dead);
        Reply::Recorded { number, waiting, held_bytes, dead }
    }

    /// Outcomes are safe when they are in the synced log, or in the synced outputs with a synced
    /// record of how far these are to be believed. The second way writes them once instead of
    /// twice, and syncs twice instead of once: it is for many bytes. What of them waits for an
    /// earlier outcome is not safe, unless that is late. Without a batch there is nothing to be done.
    fn write(&mut self, batches: Vec<(u64, Vec<Entry>)>) -> Result<Option<Batch>, RecordError> {
        let Some(durable) = &mut self.durable else {
            self.ledger.take(batches.into_iter().flat_map(|(_, entries)| entries).collect())?;
            self.ledger.flush()?;
            return Ok(None);
        };
        for (number, entries) in &batches {
            self.unlogged.add(*number, entries);
        }
        let entries: Vec<Entry> = batches.into_iter().flat_map(|(_, entries)| entries).collect();
        if self.logged != self.duplicates {
            self.logged = self.duplicates;
            logged::append_duplicates(&mut durable.log, self.logged);
        }
        let (mut output, events);
        if self.ledger.can_be_the_log(&entries, !self.unlogged.must_be_logged()) {
            let written = self.ledger.take(entries)?;
            let mut settled = self.unlogged.settle(|first| self.ledger.waiting_at(first).is_some());
            if self.unlogged.must_be_logged() {
                logged::append_entries(
                    &mut durable.log,
                    self.ledger.waiting(self.unlogged.firsts()),
                );
                settled.extend(self.unlogged.clear());
            }
            (output, events) = (None, settled);
            if written {
                let (segment, config) = (durable.log.segment(), durable.config.clone());
                let (checkpoint, unsynced) = self.ledger.unsynced_checkpoint(segment, config)?;
                logged::append_checkpoint(&mut durable.log, &checkpoint);
                output = unsynced;
            }
        } else {
            // These may be what others waited for, which are written then.
            logged::append_entries(&mut durable.log, self.ledger.waiting(self.unlogged.firsts()));
            logged::append_entries(&mut durable.log, entries.iter());
            if !self.ledger.has_files_only() {
                // What leaves for a pipe can't be taken back.
                durable.log.sync()?;
            }
            self.ledger.take(entries)?;
            self.ledger.flush()?;
            (output, events) = (None, self.unlogged.clear());
        }
        self.unlogged.hope(|first| self.ledger.waiting_at(first).is_some());
        let records = durable.log.take();
        Ok(Some(Batch { output, records, events, replies: self.answer().into_iter().collect() }))
    }

    /// Logs what waits for an earlier outcome in memory only, if anything does.
    fn log_waiting(&mut self) -> Option<Batch> {
        self.unlogged.give_up();
        let durable = self.durable.as_mut().filter(|_| !self.unlogged.is_empty())?;
        logged::append_entries(&mut durable.log, self.ledger.waiting(self.unlogged.firsts()));
        let (records, events) = (durable.log.take(), self.unlogged.clear());
        let replies = self.answer().into_iter().collect();
        Some(Batch { output: None, records, events, replies })
    }

    /// Waits until all that was written is safe, so that log and outputs can be used here.
    fn settle(&self) -> Result<(), RecordError> {
        match &self.securer {
            Some(securer) if !secure::settle(securer) => Err(RecordError::NotSafe),
            _ => Ok(()),
        }
    }

    /// Moves what is safe in the log to where it belongs, and starts the log anew with what still
    /// waits for an earlier outcome.
    fn checkpoint(&mut self) -> Result<(), RecordError> {
        self.settle()?;
        let Some(durable) = &mut self.durable else { return Ok(()) };
        durable.log.rotate()?;
        logged::append_entries(&mut durable.log, self.ledger.held());
        logged::append_duplicates(&mut durable.log, self.logged);
        durable.log.sync()?;
        let checkpoint = self.ledger.checkpoint(durable.log.segment(), durable.config.clone())?;
        durable.run_dir.record("checkpoint", &checkpoint)?;
        durable.log.remove_before();
        secure::note(&durable.diary, self.unlogged.clear());
        Ok(())
    }

    fn serve_other(
        &mut self,
        request: Request,
        replies: &mut Vec<Reply>,
    ) -> Result<(), RecordError> {
        match request {
            Request::Record { .. } => {}
            Request::LogWaiting => {
                if let Some(batch) = self.log_waiting() {
                    self.secure(batch);
                }
            }
            Request::Begin { ventilator, committed, plan, stages, window_units } => {
                let new = self.lives.joined(ventilator, committed);
                self.begin(new, &plan, &stages, window_units)?;
                self.ledger.set_stages(stages);
                replies.push(Reply::Begun);
            }
            Request::Close { units } => {
                self.checkpoint()?;
                self.ledger.finish()?;
                if let (Some(durable), Some(units)) = (&self.durable, units) {
                    durable.run_dir.record("units", &units)?;
                }
                replies.push(Reply::Closed);
            }
            Request::Conclude(conclusion) => self.conclude(&conclusion, replies)?,
        }
        Ok(())
    }

    /// Records what a sink that is started again has to know of a run that has begun: all of it or
    /// nothing. Only what is new.
    fn begin(
        &mut self,
        new: bool,
        plan: &str,
        stages: &[String],
        window_units: u64,
    ) -> Result<(), RecordError> {
        let window = self.window_units.max(window_units);
        let (lives, wider) = (&self.lives, window > self.window_units);
        if let (Some(durable), true) = (&self.durable, new || wider) {
            let run_dir = &durable.run_dir;
            run_dir.together(|| {
                run_dir.record("plan", &plan)?;
                run_dir.record("stages", &stages)?;
                run_dir.record(WINDOW, &window)?;
                run_dir.record("lives", lives)
            })?;
        }
        self.window_units = window;
        Ok(())
    }

    fn conclude(
        &mut self,
        conclusion: &Conclusion,
        replies: &mut Vec<Reply>,
    ) -> Result<(), RecordError> {
        let counts = self.ledger.counts();
        let committed = counts.results + counts.filtered + counts.dead;
        self.duplicates = self.lives.duplicates(conclusion.duplicates);
        self.lives.told(conclusion.tally.as_ref().map(|tally| tally.attempts), committed);
        let mut summary = summarise(&self.ledger, conclusion);
        summary.attempts = self.lives.tries();
        summary.duplicates_discarded = self.duplicates;
        if let Some(durable) = &self.durable {
            // The next sink's own count begins at 0.
            let mut lives = self.lives.clone();
            lives.inherit_duplicates(self.duplicates);
            durable.run_dir.record("lives", &lives)?;
        }
        if let Some(durable) = &self.durable
            && !conclusion.drained
        {
            // Whoever comes after this moment has it from here.
            durable.run_dir.record_summary(&summary)?;
            let plan: Option<String> = durable.run_dir.fact("plan")?;
            manifest::write(
                durable.run_dir.path(),
                &summary,
                &plan.unwrap_or_default(),
                &self.ledger.written(),
                self.ledger.followed(),
            )?;
            durable.run_dir.record("finished", &true)?;
        }
        if let Some(path) = &self.terms.summary {
            let json = serde_json::to_vec_pretty(&summary).map_err(io::Error::from)?;
            self.terms.claim.put(path, &json)?;
        }
        (self.terms.told)(&summary, conclusion.drained).map_err(RecordError::Told)?;
        replies.push(Reply::Concluded(serde_json::to_string(&summary).unwrap_or_default()));
        Ok(())
    }
}

/// The last checkpoint that stands in this segment of the log itself.
fn last_checkpoint(folder: &Path, segment: u64) -> Result<Option<Checkpoint>, LogError> {
    let mut last = None;
    read_segment(folder, segment, |record| {
        if Record::is_checkpoint(record)
            && let Some(Record::Checkpoint(checkpoint)) = Record::read(record)
        {
            last = Some(*checkpoint);
        }
    })?;
    Ok(last)
}

/// What of the configuration decides what the outputs hold.
fn config_digest(config: &SinkConfig) -> String {
    // What becomes of files that were there decides nothing of what is written then.
    let config = SinkConfig { overwrite: Existing::Keep, ..config.clone() };
    let text = serde_json::to_vec(&config).unwrap_or_default();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
