//! A run that outlives its sink: where its outcomes are made safe, and in which order.
//!
//! Owns the choice between log and outputs, and the order of everything that is written and synced.
//! Refuses to sync what is written while the next outcomes are: the [`syncer`](super::syncer) does, in
//! the order that a [`SyncJob`] has.
//!
//! # The order of the syncs, and what a crash in between leaves
//!
//! **Log first**: few bytes, or an output that cannot be cut back.
//!
//! 1. The outcomes are appended to the log. An output that cannot be cut back has to wait until the log
//!    is synced: what has left for a pipe, and nobody remembers, would leave once more.
//! 2. They are written to the outputs, which nobody syncs. After a crash these are cut back to the last
//!    checkpoint, and the log gives the rest again.
//! 3. The log is synced, and then they are answered for. One sync.
//!
//! **Outputs first**: many bytes, which are written once instead of twice.
//!
//! 1. The outcomes are written to the outputs. After a crash the log knows nothing of them, and the
//!    outputs are cut back. Nobody was told.
//! 2. The output is synced, before the log is even written: a checkpoint in the log says how far the
//!    output is to be believed, and must not be there first.
//! 3. The log with that checkpoint is synced, and then they are answered for. Two syncs. What of them
//!    waits for an earlier outcome is in neither, so it is not answered for.
//!
//! **A checkpoint in the run directory**: the log has grown, or the run ends.
//!
//! 1. The syncer has made everything safe that it was given: two threads must not write to one log.
//! 2. The next segment begins with what still waits for an earlier outcome in memory, and is synced.
//!    After a crash the run directory still names the segment before, which is whole.
//! 3. The outputs and the runs of what waits on disk are synced, and then the checkpoint is recorded,
//!    which names the new segment and lists the runs with their lengths.
//! 4. The segments before are removed, and runs that the checkpoint does not list. What stays is removed
//!    at the next start.
//!
//! **What waits goes to disk** when memory is full. It is in the log before, and the runs are not synced:
//! after a crash those that the last checkpoint lists are cut back to what it says, and the log gives
//! the rest again. A run that it lists stays until the next checkpoint, also when all of it was read.

use std::sync::{Arc, Mutex};

use proto::diary::{Diary, Event, SINK_FILE};

use super::{
    deferred::Deferred,
    error::RecordError,
    log::Log,
    logged,
    run_dir::RunDir,
    syncer::{self, SharedDiary, SyncJob},
};
use crate::{accept::entry::Entry, core::requests::Reply, ledger::Ledger};

/// What makes a run outlive its sink.
pub(super) struct Durable {
    pub(super) run_dir: RunDir,
    pub(super) diary: SharedDiary,
    pub(super) log: Log,
    /// The digest of the sink's configuration.
    config: String,
    /// How many duplicates the log knows of.
    duplicates: u64,
    deferred: Deferred,
    /// All outcomes are logged, since more than the outputs needs them.
    logs_all: bool,
}

impl Durable {
    /// Goes on with a log that was replayed, and knows of so many duplicates.
    pub(super) fn new(
        run_dir: RunDir,
        log: Log,
        config: String,
        duplicates: u64,
    ) -> Result<Self, RecordError> {
        let diary = Diary::open(&run_dir.path().join(SINK_FILE))?;
        let diary = Arc::new(Mutex::new(diary));
        Ok(Self {
            run_dir,
            diary,
            log,
            config,
            duplicates,
            deferred: Deferred::default(),
            logs_all: false,
        })
    }

    /// From here on all outcomes are in the log, be there few or many bytes.
    pub(super) fn log_all(&mut self) {
        self.logs_all = true;
    }

    /// Writes batches to log and outputs; what has to be synced before they are safe, and what may be
    /// said then. `duplicates` were discarded in all.
    pub(super) fn write(
        &mut self,
        batches: Vec<(u64, Vec<Entry>)>,
        duplicates: u64,
        ledger: &mut Ledger,
    ) -> Result<SyncJob, RecordError> {
        for (number, entries) in &batches {
            self.deferred.add(*number, entries);
        }
        let entries: Vec<Entry> = batches.into_iter().flat_map(|(_, entries)| entries).collect();
        if self.duplicates != duplicates {
            self.duplicates = duplicates;
            logged::append_duplicates(&mut self.log, duplicates);
        }
        let may_wait = !self.deferred.must_be_logged();
        let mut job = if !self.logs_all && ledger.can_be_the_log(&entries, may_wait) {
            self.write_outputs_first(entries, ledger)?
        } else {
            self.write_log_first(entries, ledger)?
        };
        self.deferred.resume(|first| ledger.waits(first));
        if ledger.is_full() {
            job.events.extend(self.log_deferred(ledger));
            ledger.make_room()?;
        }
        job.records = Some(self.log.take());
        job.replies.extend(self.answer(ledger));
        Ok(job)
    }

    /// What of the outcomes waits for an earlier one stays in memory, unless that is late.
    fn write_outputs_first(
        &mut self,
        entries: Vec<Entry>,
        ledger: &mut Ledger,
    ) -> Result<SyncJob, RecordError> {
        let mut job = SyncJob::default();
        let any_written = ledger.take(entries)?;
        job.events = self.deferred.settle(|first| ledger.waits(first));
        if self.deferred.must_be_logged() {
            job.events.extend(self.log_deferred(ledger));
        }
        if any_written {
            let (segment, config) = (self.log.segment(), self.config.clone());
            let (checkpoint, unsynced) = ledger.unsynced_snapshot(segment, config)?;
            logged::append_checkpoint(&mut self.log, &checkpoint);
            job.output = unsynced;
        }
        Ok(job)
    }

    fn write_log_first(
        &mut self,
        entries: Vec<Entry>,
        ledger: &mut Ledger,
    ) -> Result<SyncJob, RecordError> {
        // These may be what others waited for, which are written then: they have to be in the log.
        logged::append_entries(&mut self.log, ledger.waiting(self.deferred.firsts()));
        logged::append_entries(&mut self.log, entries.iter());
        if !ledger.has_files_only() {
            self.log.sync()?;
        }
        ledger.take(entries)?;
        ledger.flush()?;
        Ok(SyncJob { events: self.deferred.clear(), ..SyncJob::default() })
    }

    /// Logs what waits for an earlier outcome in memory only; what the diary is to know of it.
    fn log_deferred(&mut self, ledger: &Ledger) -> Vec<Event> {
        logged::append_entries(&mut self.log, ledger.waiting(self.deferred.firsts()));
        self.deferred.clear()
    }

    /// What is waited for is late: logs what waits for it, if anything does.
    pub(super) fn log_waiting(&mut self, ledger: &Ledger) -> Option<SyncJob> {
        self.deferred.stop_deferring();
        if self.deferred.is_empty() {
            return None;
        }
        let events = self.log_deferred(ledger);
        let records = Some(self.log.take());
        let replies = self.answer(ledger).into_iter().collect();
        Some(SyncJob { output: None, records, events, replies })
    }

    /// Moves what is safe in the log to where it belongs, and starts the log anew with what still
    /// waits for an earlier outcome. Everything that was written has to be safe.
    pub(super) fn checkpoint(&mut self, ledger: &mut Ledger) -> Result<(), RecordError> {
        self.begin_segment(ledger)?;
        let checkpoint = ledger.snapshot(self.log.segment(), self.config.clone())?;
        self.run_dir.record("checkpoint", &checkpoint)?;
        self.log.remove_before();
        ledger.checkpointed();
        syncer::note(&self.diary, self.deferred.clear());
        Ok(())
    }

    /// The next segment holds what no checkpoint of the outputs does, and no run on disk.
    fn begin_segment(&mut self, ledger: &Ledger) -> Result<(), RecordError> {
        self.log.rotate()?;
        logged::append_entries(&mut self.log, ledger.held());
        logged::append_duplicates(&mut self.log, self.duplicates);
        Ok(self.log.sync()?)
    }

    /// What can be said of the batches that are safe, or will be when this is said.
    pub(super) fn answer(&mut self, ledger: &Ledger) -> Option<Reply> {
        let (number, waiting) = self.deferred.answer()?;
        Some(recorded(number, waiting, ledger))
    }
}

/// Batches up to this one are safe, but for those that wait.
pub(super) fn recorded(number: u64, waiting: Vec<u64>, ledger: &Ledger) -> Reply {
    let (waiting_bytes, dead) = (ledger.waiting_bytes(), ledger.counts().dead);
    Reply::Recorded { number, waiting, waiting_bytes, dead }
}
