//! The thread that makes outcomes safe and writes them out.
//!
//! Owns the moment at which an outcome may be acknowledged: when it is in the log and the log is
//! synced or, in a run that keeps nothing, when it is written. It takes all batches that wait at
//! once and answers for them together, so that it is not a sync a unit. Refuses to judge what is
//! new.

use std::{
    io,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use proto::{
    causes::with_causes,
    diary::{Diary, SINK_FILE},
    net::driver::Handle,
};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{
    OutputError, SinkConfig, Summary,
    core::{Conclusion, Reply, Request, Standing},
    entry::Entry,
    ledger::Ledger,
    lives::Lives,
    log::{Log, LogError},
    manifest::{self, ManifestError},
    run_dir::{Checkpoint, RunDir, RunDirError},
    summarise::summarise,
};

/// A checkpoint is made when the log has grown by this much, and by several times what it costs.
const CHECKPOINT_BYTES: u64 = 64 << 20;
const CHECKPOINT_RATIO: u64 = 8;
/// Entries in one record of the log.
const RECORD_ENTRIES: usize = 4 << 10;

/// Why outcomes can't be recorded.
#[derive(Debug, Error)]
pub enum RecordError {
    /// An output can't be opened or written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The log can't be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The run directory can't be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// The manifest can't be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The run directory belongs to a sink that writes something else.
    #[error(
        "the run directory holds a run whose sink has another output, order, fields or aggregates"
    )]
    OtherConfig,
    /// No thread could be made.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    /// The summary could not be told.
    #[error("{0}")]
    Told(String),
}

/// Called with the summary when the run is over, and whether it stopped early.
pub type Told = Box<dyn FnMut(&Summary, bool) -> Result<(), String> + Send>;

/// What makes a run outlive its sink.
struct Durable {
    run_dir: RunDir,
    diary: Diary,
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
    told: Told,
}

/// The way to the recording thread.
pub struct RecorderThread {
    requests: Sender<Request>,
}

impl RecorderThread {
    /// Passes a request on.
    pub fn ask(&self, request: Request) {
        // If the thread is gone it has reported why.
        let _ = self.requests.send(request);
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
        told: Told,
    ) -> Result<Self, RecordError> {
        Ok(Self {
            ledger: Ledger::open(config, carries_input, None)?,
            durable: None,
            lives: Lives::default(),
            duplicates: 0,
            logged: 0,
            told,
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
        told: Told,
    ) -> Result<(Self, Standing), RecordError> {
        let digest = config_digest(&config);
        let (run, epoch) = run_dir.start(draw)?;
        let checkpoint: Option<Checkpoint> = run_dir.fact("checkpoint")?;
        if checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.config != digest) {
            return Err(RecordError::OtherConfig);
        }
        let mut ledger = Ledger::open(config, carries_input, checkpoint.as_ref())?;
        let dead_path = std::path::absolute(ledger.dead_path())?;
        run_dir.record("dead_path", &dead_path)?;
        let stages: Option<Vec<String>> = run_dir.fact("stages")?;
        ledger.set_stages(stages.unwrap_or_default());
        let segment = checkpoint.map_or(1, |checkpoint| checkpoint.segment);
        let diary = Diary::open(&run_dir.path().join(SINK_FILE))?;
        let mut lives: Lives = run_dir.fact("lives")?.unwrap_or_default();
        let mut replayed = Ok(());
        let log = Log::open(run_dir.path(), segment, |record| {
            if replayed.is_ok()
                && let Ok(entries) = rmp_serde::from_slice::<Vec<Entry>>(record)
            {
                replayed = ledger.take(entries);
            } else if let Ok(duplicates) = rmp_serde::from_slice(record) {
                lives.inherit_duplicates(duplicates);
            }
        })?;
        replayed?;
        // The diary may have them already.
        ledger.take_unwritable();
        ledger.flush()?;
        let standing = Standing {
            run,
            epoch,
            committed: ledger.taken().clone(),
            plan: run_dir.fact("plan")?,
            dead: ledger.counts().dead,
            durable: true,
            units: run_dir.fact("units")?,
        };
        let duplicates = lives.duplicates(0);
        let durable = Some(Durable { run_dir, diary, log, config: digest });
        let mut recorder = Self { ledger, durable, lives, duplicates, logged: duplicates, told };
        // From here on the outputs hold what the log does; a kill in the next moment finds both.
        recorder.checkpoint()?;
        Ok((recorder, standing))
    }

    /// Starts the thread that serves requests.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(mut self, handle: Handle<Reply>) -> io::Result<RecorderThread> {
        let (requests, received) = channel();
        thread::Builder::new().name("recorder".into()).spawn(move || {
            if let Err(error) = self.serve(&received, &handle) {
                handle.reply(Reply::Failed(with_causes(&error)));
            }
        })?;
        Ok(RecorderThread { requests })
    }

    fn serve(
        &mut self,
        requests: &Receiver<Request>,
        handle: &Handle<Reply>,
    ) -> Result<(), RecordError> {
        while let Ok(first) = requests.recv() {
            let mut batches = Batches::default();
            let mut next = Some(first);
            while let Some(request) = next {
                match request {
                    Request::Record { number, entries, duplicates } => {
                        self.duplicates = self.lives.duplicates(duplicates);
                        batches.add(number, entries);
                    }
                    other => {
                        self.record(std::mem::take(&mut batches), handle)?;
                        self.serve_other(other, handle)?;
                    }
                }
                next = requests.try_recv().ok();
            }
            self.record(batches, handle)?;
        }
        Ok(())
    }

    /// Makes batches safe, and answers for them.
    fn record(&mut self, batches: Batches, handle: &Handle<Reply>) -> Result<(), RecordError> {
        let Some(number) = batches.last else { return Ok(()) };
        if let Some(durable) = &mut self.durable {
            durable.append(batches.entries.iter());
            if self.logged != self.duplicates {
                self.logged = self.duplicates;
                durable.append_duplicates(self.logged);
            }
            durable.log.sync()?;
            batches.entries.iter().for_each(|entry| durable.diary.note(entry.event()));
            durable.diary.flush();
        }
        let had_reader = !self.ledger.reader_gone();
        self.ledger.take(batches.entries)?;
        self.ledger.flush()?;
        let unwritable = self.ledger.take_unwritable();
        if let Some(durable) = &mut self.durable {
            unwritable.into_iter().for_each(|event| durable.diary.note(event));
        }
        let (held_bytes, dead) = (self.ledger.held_bytes(), self.ledger.counts().dead);
        handle.reply(Reply::Recorded { number, held_bytes, dead });
        if had_reader && self.ledger.reader_gone() {
            handle.reply(Reply::ReaderGone);
        }
        let cost = self.ledger.aggregates().size_hint() as u64 * CHECKPOINT_RATIO;
        if self
            .durable
            .as_ref()
            .is_some_and(|durable| durable.log.bytes() > CHECKPOINT_BYTES.max(cost))
        {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Moves what is safe in the log to where it belongs, and starts the log anew with what still
    /// waits for an earlier outcome.
    fn checkpoint(&mut self) -> Result<(), RecordError> {
        let Some(durable) = &mut self.durable else { return Ok(()) };
        durable.log.rotate()?;
        durable.append(self.ledger.held());
        durable.append_duplicates(self.logged);
        durable.log.sync()?;
        let checkpoint = self.ledger.checkpoint(durable.log.segment(), durable.config.clone())?;
        durable.run_dir.record("checkpoint", &checkpoint)?;
        durable.log.remove_before();
        Ok(())
    }

    fn serve_other(&mut self, request: Request, handle: &Handle<Reply>) -> Result<(), RecordError> {
        match request {
            Request::Record { .. } => {}
            Request::Begin { ventilator, committed, plan, stages } => {
                let new = self.lives.joined(ventilator, committed);
                if let (Some(durable), true) = (&self.durable, new) {
                    durable.run_dir.record("plan", &plan)?;
                    durable.run_dir.record("stages", &stages)?;
                    durable.run_dir.record("lives", &self.lives)?;
                }
                self.ledger.set_stages(stages);
            }
            Request::Close { units } => {
                self.checkpoint()?;
                self.ledger.finish()?;
                if let (Some(durable), Some(units)) = (&self.durable, units) {
                    durable.run_dir.record("units", &units)?;
                }
                handle.reply(Reply::Closed);
            }
            Request::Conclude(conclusion) => self.conclude(&conclusion, handle)?,
        }
        Ok(())
    }

    fn conclude(
        &mut self,
        conclusion: &Conclusion,
        handle: &Handle<Reply>,
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
            let plan: Option<String> = durable.run_dir.fact("plan")?;
            manifest::write(
                durable.run_dir.path(),
                &summary,
                &plan.unwrap_or_default(),
                &self.ledger.written(),
            )?;
            durable.run_dir.record("finished", &true)?;
        }
        (self.told)(&summary, conclusion.drained).map_err(RecordError::Told)?;
        handle.reply(Reply::Concluded(serde_json::to_string(&summary).unwrap_or_default()));
        Ok(())
    }
}

impl Durable {
    /// A record that is a number and no list: how many duplicates were discarded in all.
    fn append_duplicates(&mut self, duplicates: u64) {
        let bytes = rmp_serde::to_vec(&duplicates).expect("a number has a MessagePack form");
        self.log.append(&bytes);
    }

    fn append<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) {
        let entries: Vec<&Entry> = entries.collect();
        for record in entries.chunks(RECORD_ENTRIES) {
            self.log.append_with(|buffer| {
                rmp_serde::encode::write(buffer, record)
                    .expect("every entry has a MessagePack form");
            });
        }
    }
}

/// Batches that are recorded together.
#[derive(Default)]
struct Batches {
    entries: Vec<Entry>,
    last: Option<u64>,
}

impl Batches {
    fn add(&mut self, number: u64, entries: Vec<Entry>) {
        self.last = Some(number);
        self.entries.extend(entries);
    }
}

/// What of the configuration decides what the outputs hold.
fn config_digest(config: &SinkConfig) -> String {
    let text = serde_json::to_vec(config).unwrap_or_default();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
