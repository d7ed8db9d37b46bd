//! What the outcomes add up to: outputs, dead letters, aggregates, counts.
//!
//! Owns the order in which outcomes are written and everything that they are written to; refuses
//! to know when they are safe. Its state at any moment can be taken as a checkpoint, and a new
//! ledger goes on from one.
//!
//! - [`Ledger`], here: takes outcomes in, and writes those whose turn it is
//! - [`waiting`](crate::waiting): whose turn it is, and where the others wait
//! - [`error`]: what can go wrong with it
//! - [`counts`], [`flow`]: how many units came out how, and how far they got
//! - [`again`]: units that are tried again, and where their results belong
//! - `failing`: whether a stage fails with every unit
//! - [`checkpoint`]: all of it at one moment

pub mod again;
pub mod checkpoint;
pub mod counts;
pub mod error;
mod failing;
pub mod flow;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use proto::{diary::Event, frame::Failing, ranges::RangeSet, unit::UnitId};

use self::{
    again::Again, checkpoint::Checkpoint, counts::Counts, error::LedgerError, failing::Luck,
    flow::Flow, writer::Writer,
};
use crate::{
    accept::entry::Entry,
    aggregate::Aggregates,
    config::SinkConfig,
    order::Order,
    output::{claim::Claim, contract::Mark, error::OutputError, unsynced::Unsynced},
    report::manifest::{self, Followed},
    waiting::{
        Waiting,
        fault::WaitingError,
        runs::{RunMark, Runs},
    },
};

/// Outcomes that take less are always logged: one sync instead of two.
const LOG_BYTES_MAX: u64 = 128 << 10;
/// What a checkpoint takes beside aggregates and ranges, at most.
const CHECKPOINT_BYTES: u64 = 8 << 10;
/// A checkpoint that takes a larger part of what it saves is not worth it.
const CHECKPOINT_PART: u64 = 4;

/// Everything that outcomes are written to.
pub struct Ledger {
    config: SinkConfig,
    writer: Writer,
    waiting: Waiting,
    // Every unit that was taken in, written or waiting.
    taken: RangeSet,
    // Units that failed are tried again; their places in the output have been passed.
    late: bool,
}

impl Ledger {
    /// Opens the outputs, as far as the claim lets it: anew, or as they were at a checkpoint.
    ///
    /// # Errors
    /// [`OutputError`] when one can't be opened.
    pub fn open(
        config: SinkConfig,
        carries_input: bool,
        checkpoint: Option<&Checkpoint>,
        claim: &Claim,
    ) -> Result<Self, OutputError> {
        let writer = Writer::open(&config, carries_input, checkpoint, claim)?;
        let late = checkpoint.is_some_and(|checkpoint| checkpoint.late);
        let watermark = checkpoint.map_or(0, |checkpoint| checkpoint.watermark);
        let covered = checkpoint.map(|checkpoint| checkpoint.covered.clone()).unwrap_or_default();
        Ok(Self {
            writer,
            waiting: Waiting::new(config.order, watermark),
            taken: RangeSet::from_parts(0, covered),
            late,
            config,
        })
    }

    /// From now on so much may wait in memory; beyond it, in runs without a name that lie in `folder`
    /// and are gone with this process. About `waiting_bytes_max` may be in them.
    pub fn overflow_to(&mut self, memory_bytes_max: u64, folder: PathBuf, waiting_bytes_max: u64) {
        self.waiting.bound(memory_bytes_max, Runs::temporary(folder, waiting_bytes_max));
    }

    /// The same with runs that stay, in the run directory `folder`. What is in those that the
    /// checkpoint lists is taken in; other runs that are there are removed.
    ///
    /// # Errors
    /// [`WaitingError`] when one is not there as it was; nothing is removed then.
    pub fn overflow_to_kept(
        &mut self,
        memory_bytes_max: u64,
        folder: PathBuf,
        marks: &[RunMark],
        waiting_bytes_max: u64,
    ) -> Result<(), WaitingError> {
        let taken = &mut self.taken;
        let found = |entry: &Entry| {
            taken.insert(entry.first..entry.first + entry.count);
        };
        let watermark = self.waiting.watermark();
        let runs = Runs::kept(folder, marks, watermark, found, waiting_bytes_max)?;
        self.waiting.bound(memory_bytes_max, runs);
        Ok(())
    }

    /// Sums the output up while it is written, if nothing of it is yet; for the manifest in
    /// `run_dir`.
    pub fn follow(&mut self, run_dir: &Path) {
        if let Some(output) = &mut self.writer.output {
            output.follow(&|| manifest::follow(run_dir, &self.config));
        }
    }

    /// What the output adds up to, if it was followed from its beginning to its end.
    pub fn followed(&mut self) -> Option<Followed> {
        self.writer.output.as_mut()?.followed()
    }

    /// The names of the stages, for rows and letters.
    pub fn set_stages(&mut self, stages: Vec<String>) {
        self.writer.stages = stages;
    }

    /// The names of the stages.
    pub fn stages(&self) -> &[String] {
        &self.writer.stages
    }

    /// The name of a stage.
    pub fn stage_name(&self, index: u32) -> String {
        self.writer.stage_name(index)
    }

    /// How many units came out how.
    pub fn counts(&self) -> Counts {
        self.writer.counts
    }

    /// How far units got.
    pub fn flow(&self) -> &Flow {
        &self.writer.flow
    }

    /// For the diary: the results that could not be written since this was last asked for.
    pub fn take_unwritable(&mut self) -> Vec<Event> {
        self.writer.take_unwritable()
    }

    /// Every unit that was taken in.
    pub fn taken(&self) -> &RangeSet {
        &self.taken
    }

    /// The aggregates.
    pub fn aggregates(&self) -> &Aggregates {
        &self.writer.aggregates
    }

    /// Service times in microseconds.
    pub fn service(&self) -> &Histogram<u64> {
        &self.writer.service
    }

    /// What the ledger was asked to write.
    pub fn config(&self) -> &SinkConfig {
        &self.config
    }

    /// What is written, in the order in which it is: units that are tried again come last.
    pub fn written(&self) -> SinkConfig {
        let order = if self.late { Order::Completion } else { self.config.order };
        SinkConfig { order, ..self.config.clone() }
    }

    /// Memory that outcomes take that wait for an earlier one.
    pub fn held_bytes(&self) -> u64 {
        self.waiting.memory_bytes()
    }

    /// What outcomes take that wait for an earlier one, in memory and on disk.
    pub fn waiting_bytes(&self) -> u64 {
        self.waiting.bytes()
    }

    /// The outcomes that wait for an earlier one in memory.
    pub fn held(&self) -> impl Iterator<Item = &Entry> {
        self.waiting.in_memory()
    }

    /// Whether the outcome of this unit was taken in and waits for an earlier one.
    pub fn waits(&self, unit: UnitId) -> bool {
        self.waiting.is_ahead(unit) && self.taken.contains(unit)
    }

    /// Whether more waits in memory than may.
    pub fn is_full(&self) -> bool {
        self.waiting.is_full()
    }

    /// Moves outcomes that wait in memory to disk, where that is full. In a durable run they have to be
    /// in the log: what is on disk is safe with the next checkpoint.
    ///
    /// # Errors
    /// [`WaitingError`] when they can't be written; the run has to end.
    pub fn make_room(&mut self) -> Result<(), WaitingError> {
        self.waiting.make_room()
    }

    /// Bytes of files that wait for the next checkpoint to go.
    pub fn retired_bytes(&self) -> u64 {
        self.waiting.retired_bytes()
    }

    /// A [`snapshot`](Self::snapshot) is recorded: what only the one before needed goes.
    pub fn checkpointed(&mut self) {
        self.waiting.checkpointed();
    }

    /// Whether the outputs can be synced and cut back, so that they may be written first.
    pub fn has_files_only(&mut self) -> bool {
        self.writer.output.as_mut().is_none_or(|output| output.can_be_the_log())
    }

    /// Those of the outcomes that begin with these units that wait for an earlier one in memory.
    pub fn waiting(&self, firsts: impl Iterator<Item = UnitId>) -> impl Iterator<Item = &Entry> {
        firsts.filter_map(|first| self.waiting.in_memory_at(first))
    }

    /// Whether these outcomes are better written to the outputs alone, with a
    /// [checkpoint](Self::unsynced_snapshot), than to the log as well. Those that wait for an
    /// earlier one are only if they `may_wait` without being logged.
    pub fn can_be_the_log(&mut self, entries: &[Entry], may_wait: bool) -> bool {
        let ranges = if self.waiting.is_in_order() && !self.late { 1 } else { self.taken.ranges() };
        let ranges = ranges as u64 * size_of::<(UnitId, UnitId)>() as u64;
        let known = self.writer.aggregates.size_hint() + self.writer.again.size_hint();
        let checkpoint = CHECKPOINT_BYTES + known as u64 + ranges;
        let bytes: u64 = entries.iter().map(Entry::bytes).sum();
        bytes >= LOG_BYTES_MAX.max(checkpoint * CHECKPOINT_PART)
            && self.has_files_only()
            && (may_wait || entries.iter().any(|entry| self.would_release(entry.first)))
    }

    /// From here on it counts which stage fails with every unit.
    pub fn watch_anew(&mut self) {
        self.writer.luck = Luck::default();
    }

    /// The stage that fails with every unit, if that has changed since this was last asked.
    pub fn take_failing(&mut self) -> Option<Option<Failing>> {
        self.writer.take_failing()
    }

    fn would_release(&self, first: UnitId) -> bool {
        self.is_late(first) || self.waiting.would_release(first)
    }

    /// Whether whoever read the output has gone since this was last asked.
    pub fn take_reader_gone(&mut self) -> bool {
        self.writer.take_reader_gone()
    }

    /// Where dead letters are.
    pub fn dead_path(&self) -> &Path {
        self.writer.dead.path()
    }

    /// Takes outcomes in, and writes those whose turn it is; whether there were any. Units that were
    /// taken in before are passed over, so that a log may be replayed over a checkpoint.
    ///
    /// # Errors
    /// [`LedgerError`] when an output can't be written; nothing can be written afterwards.
    pub fn take(&mut self, entries: Vec<Entry>) -> Result<bool, LedgerError> {
        let mut any = false;
        for entry in entries {
            let (first, count) = (entry.first, entry.count);
            if self.taken.intersects(first..first + count) {
                continue;
            }
            self.taken.insert(first..first + count);
            let Some(entry) = self.write_late(entry, &mut any)? else { continue };
            if let Err(error) = self.waiting.push(entry) {
                // Ruled out by the line above; if not, a unit must not be written twice.
                tracing::error!(%error, "an outcome is not written");
            }
        }
        while let Some(entry) = self.waiting.pop()? {
            self.writer.write(entry)?;
            any = true;
        }
        Ok(any)
    }

    /// Writes what is of units that are tried again, whose turn is over; the rest of it, if any.
    fn write_late(&mut self, entry: Entry, any: &mut bool) -> Result<Option<Entry>, LedgerError> {
        if !self.is_late(entry.first) {
            return Ok(Some(entry));
        }
        let (entry, rest) = entry.cut(self.waiting.watermark());
        self.writer.write_behind(entry)?;
        *any = true;
        Ok(rest)
    }

    /// Whether everything behind this unit may be written already.
    fn is_late(&self, unit: UnitId) -> bool {
        self.waiting.is_in_order() && unit < self.waiting.watermark()
    }

    /// What was written behind was put in its place; results that were there before may still be late.
    pub fn settled(&mut self, late: bool) {
        self.late = late;
        self.writer.again = Again::default();
        // What was followed is not what the output holds now.
        self.followed();
    }

    /// Forgets the failures that wait for an earlier outcome, so that their units are tried again.
    pub fn give_up_dead(&mut self) {
        for (first, count) in self.waiting.give_up_dead() {
            self.taken.remove(first..first + count);
        }
    }

    /// Writes what waits for an earlier outcome that will not come, in its order.
    ///
    /// # Errors
    /// [`LedgerError`] when an output can't be written; nothing can be written afterwards.
    pub fn take_held(&mut self) -> Result<(), LedgerError> {
        while let Some(entry) = self.waiting.pop_held()? {
            self.writer.write(entry)?;
        }
        Ok(())
    }

    /// Hands everything to the operating system.
    ///
    /// # Errors
    /// [`OutputError`] when it does not take it.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        self.writer.flush()
    }

    /// Makes everything durable and says what it is. `segment` is where the log goes on.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk fails.
    pub fn snapshot(&mut self, segment: u64, config: String) -> Result<Checkpoint, LedgerError> {
        let output = self.writer.sync_output()?;
        let runs = self.waiting.sync()?;
        Ok(Checkpoint { runs, ..self.describe(segment, config, output)? })
    }

    /// A checkpoint that is true once the output is synced, and what has to be synced for that.
    ///
    /// # Errors
    /// [`OutputError`] when the disk fails.
    pub fn unsynced_snapshot(
        &mut self,
        segment: u64,
        config: String,
    ) -> Result<(Checkpoint, Option<Unsynced>), OutputError> {
        let output = self.writer.output.as_mut();
        let unsynced = output.map_or(Ok(None), |output| output.unsynced())?;
        let mark = self.writer.output.as_ref().map(|output| output.mark());
        Ok((self.describe(segment, config, mark)?, unsynced))
    }

    fn describe(
        &mut self,
        segment: u64,
        config: String,
        output: Option<Mark>,
    ) -> Result<Checkpoint, OutputError> {
        let watermark = self.waiting.watermark();
        Ok(Checkpoint {
            segment,
            covered: self.covered(),
            watermark,
            counts: self.writer.counts,
            flow: self.writer.flow.clone(),
            output,
            dead: self.writer.dead.sync()?,
            aggregates: self.writer.aggregates.clone(),
            service: self
                .writer
                .service
                .iter_recorded()
                .map(|v| (v.value_iterated_to(), v.count_at_value()))
                .collect(),
            config,
            runs: Vec::new(),
            late: self.late,
            again: self.writer.again.clone(),
        })
    }

    /// The units that are written.
    fn covered(&self) -> Vec<(UnitId, UnitId)> {
        // In order whatever lies above waits, and otherwise nothing does.
        let end = match self.waiting.is_in_order() {
            true => self.waiting.watermark(),
            false => UnitId::MAX,
        };
        let ranges = self.taken.iter().map(|range| (range.start, range.end.min(end)));
        ranges.take_while(|(start, _)| *start < end).collect()
    }

    /// Closes the outputs.
    ///
    /// # Errors
    /// [`OutputError`] when the disk fails.
    pub fn finish(&mut self) -> Result<(), OutputError> {
        self.writer.finish()
    }

    /// How much was written: of a file its length, which may have come from earlier sinks, of a
    /// stream what left through it.
    pub fn output_bytes(&self) -> u64 {
        self.writer.output_bytes(&self.config)
    }
}
