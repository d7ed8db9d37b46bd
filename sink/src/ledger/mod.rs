//! What the outcomes add up to: outputs, dead letters, aggregates, counts.
//!
//! Owns the order in which outcomes are written and everything that they are written to; refuses
//! to know when they are safe. Its state at any moment can be taken as a checkpoint, and a new
//! ledger goes on from one.
//!
//! - [`Ledger`], here: takes outcomes in, and writes those whose turn it is
//! - [`arrange`](crate::arrange): whose turn it is
//! - [`counts`], [`flow`]: how many units came out how, and how far they got
//! - [`checkpoint`]: all of it at one moment

pub mod checkpoint;
pub mod counts;
pub mod flow;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;

use hdrhistogram::Histogram;
use proto::{diary::Event, ranges::RangeSet, unit::UnitId};

use self::{checkpoint::Checkpoint, counts::Counts, flow::Flow, writer::Writer};
use crate::{
    accept::entry::Entry,
    aggregate::Aggregates,
    arrange::Arrange,
    config::SinkConfig,
    order::Order,
    output::{claim::Claim, contract::Mark, error::OutputError, unsynced::Unsynced},
    report::manifest::{self, Followed},
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
    arrange: Arrange<Entry>,
    // Every unit that was taken in, written or waiting.
    taken: RangeSet,
    // Units of a finished run are tried again; their places in the output have been passed.
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
        let order = if late { Order::Completion } else { config.order };
        let watermark = checkpoint.map_or(0, |checkpoint| checkpoint.watermark);
        let covered = checkpoint.map(|checkpoint| checkpoint.covered.clone()).unwrap_or_default();
        Ok(Self {
            writer,
            arrange: Arrange::new(order, watermark),
            taken: RangeSet::from_parts(0, covered),
            late,
            config,
        })
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
        self.arrange.held_bytes()
    }

    /// What outcomes take that wait for an earlier one, in memory and on disk.
    pub fn waiting_bytes(&self) -> u64 {
        self.held_bytes()
    }

    /// The outcomes that wait for an earlier one.
    pub fn held(&self) -> impl Iterator<Item = &Entry> {
        self.arrange.held().map(|(_, _, entry)| entry)
    }

    /// An outcome that waits for an earlier one, by its first unit.
    pub fn waiting_at(&self, first: UnitId) -> Option<&Entry> {
        self.arrange.waiting_at(first)
    }

    /// Whether the outputs can be synced and cut back, so that they may be written first.
    pub fn has_files_only(&mut self) -> bool {
        self.writer.output.as_mut().is_none_or(|output| output.can_be_the_log())
    }

    /// Those of the outcomes that begin with these units that wait for an earlier one.
    pub fn waiting(&self, firsts: impl Iterator<Item = UnitId>) -> impl Iterator<Item = &Entry> {
        firsts.filter_map(|first| self.waiting_at(first))
    }

    /// Whether these outcomes are better written to the outputs alone, with a
    /// [checkpoint](Self::unsynced_snapshot), than to the log as well. Those that wait for an
    /// earlier one are only if they `may_wait` without being logged.
    pub fn can_be_the_log(&mut self, entries: &[Entry], may_wait: bool) -> bool {
        let ranges = self.taken.ranges() as u64 * size_of::<(UnitId, UnitId)>() as u64;
        let checkpoint = CHECKPOINT_BYTES + self.writer.aggregates.size_hint() as u64 + ranges;
        let bytes: u64 = entries.iter().map(Entry::bytes).sum();
        bytes >= LOG_BYTES_MAX.max(checkpoint * CHECKPOINT_PART)
            && self.has_files_only()
            && (may_wait || entries.iter().any(|entry| self.arrange.would_release(entry.first)))
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
    /// [`OutputError`] when an output can't be written; nothing can be written afterwards.
    pub fn take(&mut self, entries: Vec<Entry>) -> Result<bool, OutputError> {
        for entry in entries {
            let (first, count, bytes) = (entry.first, entry.count, entry.bytes());
            if self.taken.intersects(first..first + count) {
                continue;
            }
            self.taken.insert(first..first + count);
            if let Err(error) = self.arrange.push(first, count, bytes, entry) {
                // Ruled out by the line above; if not, a unit must not be written twice.
                tracing::error!(%error, "an outcome is not written");
            }
        }
        let mut any = false;
        while let Some((_, _, entry)) = self.arrange.pop() {
            self.writer.write(entry)?;
            any = true;
        }
        Ok(any)
    }

    /// Writes what waits for an earlier outcome that will not come, in its order.
    ///
    /// # Errors
    /// [`OutputError`] when an output can't be written; nothing can be written afterwards.
    pub fn take_held(&mut self) -> Result<(), OutputError> {
        while let Some((_, _, entry)) = self.arrange.pop_held() {
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
    /// [`OutputError`] when the disk fails.
    pub fn snapshot(&mut self, segment: u64, config: String) -> Result<Checkpoint, OutputError> {
        let output = self.writer.sync_output()?;
        self.describe(segment, config, output)
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
        let mut covered = self.taken.clone();
        for entry in self.arrange.held() {
            covered.remove(entry.0..entry.0 + entry.1);
        }
        let watermark = self.arrange.watermark();
        let below = (covered.watermark() > 0).then_some((0, covered.watermark()));
        Ok(Checkpoint {
            segment,
            covered: below.into_iter().chain(covered.above()).collect(),
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
            late: self.late,
        })
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
