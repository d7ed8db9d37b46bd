//! Opens the outputs of a run, anew or as the sink before this one left them.
//!
//! Owns the order of a start: what may be touched is known before anything is, the outputs are cut back
//! before they are written to, and what a kill in the next moment leaves is a run that can be opened
//! in the same way. Refuses another configuration, and files of others.

use std::path::{Path, absolute};

use sha2::{Digest, Sha256};

use super::{
    carried::CarriedCounts,
    durable::Durable,
    error::RecordError,
    log::{COMMIT_LOG, Log, LogError, read_segment},
    logged::Record,
    run_dir::{RunDir, RunDirError},
    terms::{Room, Terms},
    versions,
};
use crate::{
    config::SinkConfig,
    core::resume_point::ResumePoint,
    ledger::{Ledger, checkpoint::Checkpoint},
    outcomes::{Outcomes, Retention, answers::Answers},
    output::claim::Existing,
};

/// Under this name the run directory knows the widest window.
pub(super) const WINDOW: &str = "window_units";

/// A run that can go on.
pub(super) struct Resumed {
    pub(super) ledger: Ledger,
    pub(super) durable: Durable,
    pub(super) carried: CarriedCounts,
    /// Of a service: what is kept for its clients.
    pub(super) outcomes: Option<Outcomes>,
    pub(super) point: ResumePoint,
}

impl Resumed {
    /// Notes from which unit on the last version of the topology holds, unless that is known.
    pub(super) fn settle_version(&self) -> Result<(), RunDirError> {
        let run_dir = &self.durable.run_dir;
        let mut versions = versions::read(run_dir)?;
        let Some(last) = versions.last_mut().filter(|last| last.from_unit.is_none()) else {
            return Ok(());
        };
        last.from_unit = Some(self.point.committed.watermark());
        last.units_before = self.point.committed.len();
        versions::write(run_dir, &versions)
    }
}

/// Opens the run in `run_dir`, which is named by `draw` if it is new.
///
/// 1. The last checkpoint is found, in the log or before it in the run directory: a log of another
///    format is refused here, before any output is opened.
/// 2. The outputs are cut back to it. What they hold beyond is in the log, or nobody was told of it.
/// 3. What waits on disk is found, in the runs that the checkpoint of the run directory lists.
/// 4. What the log holds beyond the checkpoint is taken in, and so written once more, the same.
pub(super) fn resume(
    config: SinkConfig,
    carries_input: bool,
    run_dir: RunDir,
    draw: u64,
    terms: &mut Terms,
) -> Result<Resumed, RecordError> {
    let digest = config_digest(&config, run_dir.path());
    let (run, epoch) = run_dir.start(draw)?;
    let recorded = recorded_checkpoint(&run_dir, &digest)?;
    terms.claim.made = Some(run_dir.made().clone());
    terms.claim.run = run;
    terms.claim.resumes = recorded.is_some();
    terms.check()?;
    run_dir.made().note_run(run)?;
    let segment = recorded.as_ref().map_or(1, |checkpoint| checkpoint.segment);
    let marks = recorded.as_ref().map(|checkpoint| checkpoint.runs.clone()).unwrap_or_default();
    let checkpoint = last_checkpoint(run_dir.path(), segment)?.or(recorded);
    let mut ledger = Ledger::open(config, carries_input, checkpoint.as_ref(), &terms.claim)?;
    let Room { memory_bytes_max, waiting_bytes_max } = terms.room;
    let folder = run_dir.path().to_owned();
    ledger.overflow_to_kept(memory_bytes_max, folder, &marks, waiting_bytes_max)?;
    prepare(&mut ledger, &run_dir)?;
    let mut carried: CarriedCounts = run_dir.fact("lives")?.unwrap_or_default();
    let open = |retention: Retention| Outcomes::open(run_dir.path(), retention);
    let mut outcomes = terms.retention.clone().map(open).transpose()?;
    let log = replay(&run_dir, segment, &mut ledger, &mut carried, &mut outcomes)?;
    let point = ResumePoint {
        run,
        epoch,
        committed: ledger.taken().clone(),
        plan: run_dir.fact("plan")?,
        window_units: run_dir.fact(WINDOW)?,
        dead: ledger.counts().dead,
        durable: true,
        units: run_dir.fact("units")?,
    };
    let durable = Durable::new(run_dir, log, digest, carried.duplicates(0))?;
    Ok(Resumed { ledger, durable, carried, outcomes, point })
}

/// The checkpoint that the run directory knows.
fn recorded_checkpoint(run_dir: &RunDir, digest: &str) -> Result<Option<Checkpoint>, RecordError> {
    let checkpoint: Option<Checkpoint> = run_dir.fact("checkpoint")?;
    match checkpoint {
        Some(checkpoint) if checkpoint.config != digest => Err(RecordError::OtherConfig),
        checkpoint => Ok(checkpoint),
    }
}

/// The last checkpoint that stands in this segment of the log itself, which is later than the one
/// that names the segment.
fn last_checkpoint(folder: &Path, segment: u64) -> Result<Option<Checkpoint>, LogError> {
    let mut last = None;
    read_segment(COMMIT_LOG, folder, segment, |record| {
        if Record::is_checkpoint(record)
            && let Some(Record::Checkpoint(checkpoint)) = Record::read(record)
        {
            last = Some(*checkpoint);
        }
    })?;
    Ok(last)
}

fn prepare(ledger: &mut Ledger, run_dir: &RunDir) -> Result<(), RecordError> {
    ledger.follow(run_dir.path());
    let dead_path = absolute(ledger.dead_path())?;
    run_dir.record("dead_path", &dead_path)?;
    let stages: Option<Vec<String>> = run_dir.fact("stages")?;
    ledger.set_stages(stages.unwrap_or_default());
    Ok(())
}

fn replay(
    run_dir: &RunDir,
    segment: u64,
    ledger: &mut Ledger,
    carried: &mut CarriedCounts,
    outcomes: &mut Option<Outcomes>,
) -> Result<Log, RecordError> {
    let mut replayed = Ok(());
    // No client is here yet.
    let mut nobody = Answers::default();
    let log =
        Log::open(COMMIT_LOG, run_dir.path(), segment, |record| match Record::read(record) {
            // What the last checkpoint covers is passed over.
            Some(Record::Entries(entries)) if replayed.is_ok() => {
                if let Some(outcomes) = outcomes {
                    let entries = entries.iter().cloned();
                    entries.for_each(|entry| outcomes.take(0, entry, &mut nobody));
                }
                // A log may hold more than memory does.
                replayed = ledger.take(entries).and_then(|_| Ok(ledger.make_room()?));
            }
            Some(Record::Fetched(units)) => {
                if let Some(outcomes) = outcomes {
                    units.into_iter().for_each(|units| outcomes.fetched(units));
                }
            }
            Some(Record::Duplicates(duplicates)) => carried.inherit_duplicates(duplicates),
            _ => {}
        })?;
    replayed?;
    // The diary may have them already, and what has failed before is over.
    ledger.take_unwritable();
    ledger.watch_anew();
    ledger.flush()?;
    Ok(log)
}

/// What of the configuration decides what the outputs hold.
fn config_digest(config: &SinkConfig, run_dir: &Path) -> String {
    // What becomes of files that were there decides nothing of what is written then.
    let mut config = SinkConfig { overwrite: Existing::Keep, ..config.clone() };
    // Letters in the run directory are found wherever that is moved to.
    config.dead = config.dead.filter(|path| path.parent() != Some(run_dir));
    let text = serde_json::to_vec(&config).unwrap_or_default();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
