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
#![cfg_attr(not(test), expect(clippy::expect_used, reason = "a constant that is in range"))]

pub mod checkpoint;
pub mod counts;
pub mod flow;
#[cfg(test)]
mod tests;

use std::{ops::Range, path::Path};

use hdrhistogram::Histogram;
use proto::{
    causes::with_causes,
    diary::Event,
    ranges::RangeSet,
    unit::{Step, UnitId},
    units::Units,
    value::value_len,
};

use self::{checkpoint::Checkpoint, counts::Counts, flow::Flow};
use crate::{
    accept::entry::{Entry, Expanded, Origin, Outcome},
    aggregate::Aggregates,
    arrange::Arrange,
    config::{OutputSpec, SinkConfig},
    letter::DeadLetter,
    order::Order,
    output::{
        self,
        claim::Claim,
        contract::{Mark, Output, Row},
        dead::{DeadLetters, SINK_STAGE},
        error::OutputError,
        unsynced::Unsynced,
    },
    report::manifest::{self, Followed},
};

/// The longest service time that is told apart: an hour.
const SERVICE_US_MAX: u64 = 3_600_000_000;

/// Outcomes that take less are always logged: one sync instead of two.
const LOG_BYTES_MAX: u64 = 128 << 10;
/// What a checkpoint takes beside aggregates and ranges, at most.
const CHECKPOINT_BYTES: u64 = 8 << 10;
/// A checkpoint that takes a larger part of what it saves is not worth it.
const CHECKPOINT_PART: u64 = 4;

/// Everything that outcomes are written to.
pub struct Ledger {
    config: SinkConfig,
    carries_input: bool,
    stages: Vec<String>,
    output: Option<Box<dyn Output>>,
    reader_gone: bool,
    // What was written to a reader that has gone.
    streamed: u64,
    dead: DeadLetters,
    aggregates: Aggregates,
    arrange: Arrange<Entry>,
    // Every unit that was taken in, written or waiting.
    taken: RangeSet,
    counts: Counts,
    flow: Flow,
    // Results that could not be written since they were last asked for.
    unwritable: Vec<Event>,
    service: Histogram<u64>,
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
        let mark = checkpoint.and_then(|checkpoint| checkpoint.output.clone());
        let output = config
            .output
            .as_ref()
            .map(|spec| output::open(spec, &config, mark, claim))
            .transpose()?;
        let letters = checkpoint.map(|checkpoint| &checkpoint.dead);
        let dead = DeadLetters::open(&config.dead_path(), letters, claim)?;
        let mut service = Histogram::new_with_bounds(1, SERVICE_US_MAX, 2)
            .expect("1 µs to 1 h in two digits is a valid range");
        for (us, units) in checkpoint.iter().flat_map(|checkpoint| &checkpoint.service) {
            service.saturating_record_n(*us, *units);
        }
        let aggregates = checkpoint.map(|checkpoint| checkpoint.aggregates.clone());
        let late = checkpoint.is_some_and(|checkpoint| checkpoint.late);
        let order = if late { Order::Completion } else { config.order };
        let watermark = checkpoint.map_or(0, |checkpoint| checkpoint.watermark);
        let covered = checkpoint.map(|checkpoint| checkpoint.covered.clone()).unwrap_or_default();
        Ok(Self {
            carries_input,
            stages: Vec::new(),
            output,
            reader_gone: false,
            streamed: 0,
            dead,
            aggregates: aggregates.unwrap_or_else(|| Aggregates::new(&config)),
            arrange: Arrange::new(order, watermark),
            taken: RangeSet::from_parts(0, covered),
            counts: checkpoint.map(|checkpoint| checkpoint.counts).unwrap_or_default(),
            flow: checkpoint.map(|checkpoint| checkpoint.flow.clone()).unwrap_or_default(),
            unwritable: Vec::new(),
            service,
            late,
            config,
        })
    }

    /// Sums the output up while it is written, if nothing of it is yet; for the manifest in
    /// `run_dir`.
    pub fn follow(&mut self, run_dir: &Path) {
        if let Some(output) = &mut self.output {
            output.follow(&|| manifest::follow(run_dir, &self.config));
        }
    }

    /// What the output adds up to, if it was followed from its beginning to its end.
    pub fn followed(&mut self) -> Option<Followed> {
        self.output.as_mut()?.followed()
    }

    /// The names of the stages, for rows and letters.
    pub fn set_stages(&mut self, stages: Vec<String>) {
        self.stages = stages;
    }

    /// The names of the stages.
    pub fn stages(&self) -> &[String] {
        &self.stages
    }

    /// The name of a stage.
    pub fn stage_name(&self, index: u32) -> String {
        self.stages.get(index as usize).cloned().unwrap_or_default()
    }

    /// How many units came out how.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How far units got.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// For the diary: the results that could not be written since this was last asked for.
    pub fn take_unwritable(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.unwritable)
    }

    /// Every unit that was taken in.
    pub fn taken(&self) -> &RangeSet {
        &self.taken
    }

    /// The aggregates.
    pub fn aggregates(&self) -> &Aggregates {
        &self.aggregates
    }

    /// Service times in microseconds.
    pub fn service(&self) -> &Histogram<u64> {
        &self.service
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
        self.output.as_mut().is_none_or(|output| output.can_be_the_log())
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
        let checkpoint = CHECKPOINT_BYTES + self.aggregates.size_hint() as u64 + ranges;
        let bytes: u64 = entries.iter().map(Entry::bytes).sum();
        bytes >= LOG_BYTES_MAX.max(checkpoint * CHECKPOINT_PART)
            && self.has_files_only()
            && (may_wait || entries.iter().any(|entry| self.arrange.would_release(entry.first)))
    }

    /// Whether whoever read the output has gone since this was last asked.
    pub fn take_reader_gone(&mut self) -> bool {
        std::mem::take(&mut self.reader_gone)
    }

    /// Where dead letters are.
    pub fn dead_path(&self) -> &Path {
        self.dead.path()
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
            let written = self.write(entry);
            self.quietly(written)?;
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
            let written = self.write(entry);
            self.quietly(written)?;
        }
        Ok(())
    }

    /// Hands everything to the operating system.
    ///
    /// # Errors
    /// [`OutputError`] when it does not take it.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        let flushed = self.output.as_mut().map_or(Ok(()), |output| output.flush());
        self.quietly(flushed)?;
        self.dead.flush()
    }

    /// Makes everything durable and says what it is. `segment` is where the log goes on.
    ///
    /// # Errors
    /// [`OutputError`] when the disk fails.
    pub fn snapshot(&mut self, segment: u64, config: String) -> Result<Checkpoint, OutputError> {
        let synced = self.output.as_mut().map(|output| output.sync()).transpose();
        let output = match synced {
            Err(OutputError::Closed) => {
                self.lose_reader();
                None
            }
            other => other?,
        };
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
        let output = self.output.as_mut();
        let unsynced = output.map_or(Ok(None), |output| output.unsynced())?;
        let mark = self.output.as_ref().map(|output| output.mark());
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
            counts: self.counts,
            flow: self.flow.clone(),
            output,
            dead: self.dead.sync()?,
            aggregates: self.aggregates.clone(),
            service: self
                .service
                .iter_recorded()
                .map(|v| (v.value_iterated_to(), v.count_at_value()))
                .collect(),
            config,
            late: self.late,
        })
    }

    /// Closes the outputs; how long the output is.
    ///
    /// # Errors
    /// [`OutputError`] when the disk fails.
    pub fn finish(&mut self) -> Result<(), OutputError> {
        let finished = self.output.as_mut().map_or(Ok(()), |output| output.finish().map(drop));
        self.quietly(finished)?;
        self.dead.sync().map(drop)
    }

    /// A reader that has gone is no failure.
    fn quietly(&mut self, written: Result<(), OutputError>) -> Result<(), OutputError> {
        match written {
            Err(OutputError::Closed) => {
                self.lose_reader();
                Ok(())
            }
            other => other,
        }
    }

    /// How much was written: of a file its length, which may have come from earlier sinks, of a
    /// stream what left through it.
    pub fn output_bytes(&self) -> u64 {
        let path = self.config.output.as_ref().and_then(OutputSpec::path);
        let file = path.and_then(|path| path.metadata().ok()).filter(|data| data.is_file());
        let streamed = || self.output.as_ref().map_or(self.streamed, |output| output.mark().bytes);
        file.map_or_else(streamed, |data| data.len())
    }

    fn lose_reader(&mut self) {
        self.reader_gone = true;
        self.streamed = self.output_bytes();
        self.output = None;
    }

    fn write(&mut self, entry: Entry) -> Result<(), OutputError> {
        match entry.outcome {
            Outcome::Filtered(stage) => {
                self.counts.filtered += entry.count;
                self.flow.filtered(stage, self.stages.len(), entry.count);
                Ok(())
            }
            Outcome::Values { origin, units, timing } => {
                for (run, us) in &timing {
                    self.service.saturating_record_n(u64::from(*us).max(1), u64::from(*run));
                }
                if self.output.is_none() && !self.carries_input {
                    self.counts.results += entry.count;
                    self.counts.outputs += entry.count;
                    self.aggregates.add_all(units.values_iter(0..units.len()));
                    return Ok(());
                }
                let mut at = 0;
                for (run, us) in timing {
                    let end = units.len().min(at + run as usize);
                    self.write_values(entry.first, &units, at..end, &origin, us)?;
                    at = end;
                }
                // A peer may have told fewer times than values.
                self.write_values(entry.first, &units, at..units.len(), &origin, 0)
            }
            Outcome::Expanded(outputs) => self.write_outputs(entry.first, &outputs),
            Outcome::Dead { origin, dead } => {
                self.flow.dead(dead.stage, self.stages.len());
                let letter = DeadLetter {
                    id: dead.root,
                    path: DeadLetter::path_of(&dead.path),
                    stage: self.stage_name(dead.stage),
                    input: DeadLetter::input_of(self.halves(&dead.input).1),
                    error: dead.error,
                    attempts: dead.attempts,
                    worker: if dead.worker.is_empty() { origin.worker } else { dead.worker },
                };
                self.counts.dead += 1;
                self.dead.write(&letter)
            }
        }
    }

    /// Units of which each became one output: those in a range of indices, `first` being the unit
    /// at index 0.
    fn write_values(
        &mut self,
        first: UnitId,
        units: &Units,
        mut indices: Range<usize>,
        origin: &Origin,
        us: u32,
    ) -> Result<(), OutputError> {
        if self.carries_input {
            for index in indices {
                self.write_value(first + index as u64, units.value(index), origin, us)?;
            }
            return Ok(());
        }
        while !indices.is_empty() {
            let mut values = units.values_iter(indices.clone());
            let id = first + indices.start as u64;
            let row = row(&self.stages, id, origin, us);
            let written = match &mut self.output {
                Some(output) => output.write_run(&row, &mut values),
                None => Ok(()),
            };
            // One that the output cannot hold was taken last.
            let (end, fault) = match written {
                Err(error) if error.is_the_rows_fault() => {
                    (indices.end - values.len() - 1, Some(error))
                }
                written => {
                    self.quietly(written)?;
                    (indices.end, None)
                }
            };
            let count = (end - indices.start) as u64;
            self.counts.results += count;
            self.counts.outputs += count;
            self.aggregates.add_all(units.values_iter(indices.start..end));
            if let Some(error) = fault {
                let id = first + end as u64;
                self.dead_letter(id, Vec::new(), origin, units.value(end), &error)?;
            }
            indices.start = end + 1;
        }
        Ok(())
    }

    /// A unit that became one output, and carries its input along.
    fn write_value(
        &mut self,
        id: u64,
        value: &[u8],
        origin: &Origin,
        us: u32,
    ) -> Result<(), OutputError> {
        match self.write_row(id, &[], value, origin, us) {
            Ok(()) => {
                self.counts.results += 1;
                self.counts.outputs += 1;
                let (_, value) = self.halves(value);
                self.aggregates.add(value);
                Ok(())
            }
            Err(error) if error.is_the_rows_fault() => {
                self.dead_letter(id, Vec::new(), origin, value, &error)
            }
            Err(error) => Err(error),
        }
    }

    /// A unit that became several outputs: all of them are written, or none.
    fn write_outputs(&mut self, id: u64, outputs: &Expanded) -> Result<(), OutputError> {
        let before = self.output.as_mut().map(|output| output.begin_unit());
        let mut fault = None;
        let mut path = Vec::new();
        for leaf in outputs.leaves() {
            let step = |index| Step { execution: 0, index, of: u32::MAX };
            path.clear();
            path.extend(leaf.indices().map(step));
            self.service.saturating_record(u64::from(leaf.us).max(1));
            match self.write_row(id, &path, leaf.value, leaf.origin, leaf.us) {
                Err(error) if error.is_the_rows_fault() => {
                    fault = Some((leaf, error));
                    break;
                }
                written => written?,
            }
        }
        if let (Some(output), Some(before)) = (&mut self.output, before) {
            if fault.is_some() {
                output.rewind(&before)?;
            }
            let ended = output.end_unit();
            self.quietly(ended)?;
        }
        if let Some((leaf, error)) = fault {
            return self.dead_letter(id, leaf.indices().collect(), leaf.origin, leaf.value, &error);
        }
        self.counts.results += 1;
        self.counts.outputs += outputs.len();
        for leaf in outputs.leaves() {
            let (_, value) = self.halves(leaf.value);
            self.aggregates.add(value);
        }
        Ok(())
    }

    fn write_row(
        &mut self,
        id: u64,
        path: &[Step],
        value: &[u8],
        origin: &Origin,
        us: u32,
    ) -> Result<(), OutputError> {
        let (input, value) = self.halves(value);
        let Some(output) = &mut self.output else { return Ok(()) };
        let row = Row { path, value, input, ..row(&self.stages, id, origin, us) };
        let written = output.write(&row);
        self.quietly(written)
    }

    /// A result that the output cannot hold is no reason to end the run: its unit is dead. Which
    /// ones they are follows from what was committed and its order alone, so a sink that writes the
    /// same outcomes once more decides the same.
    fn dead_letter(
        &mut self,
        id: u64,
        path: Vec<u32>,
        origin: &Origin,
        value: &[u8],
        error: &OutputError,
    ) -> Result<(), OutputError> {
        let letter = DeadLetter {
            id,
            path,
            stage: SINK_STAGE.into(),
            input: DeadLetter::input_of(self.halves(value).1),
            error: with_causes(error),
            attempts: origin.attempt,
            worker: origin.worker.clone(),
        };
        self.unwritable.push(Event::Unwritable { unit: id, error: letter.error.clone() });
        self.counts.dead += 1;
        self.dead.write(&letter)
    }

    /// What the source gave, where it travels along, and the value.
    fn halves<'a>(&self, value: &'a [u8]) -> (Option<&'a [u8]>, &'a [u8]) {
        if !self.carries_input {
            return (None, value);
        }
        let halves = value.split_first().and_then(|(_, rest)| {
            let len = value_len(rest).ok()?;
            Some(rest.split_at(len))
        });
        halves.map_or((None, value), |(input, value)| (Some(input), value))
    }
}

/// What is known of a result beside its value.
fn row<'a>(stages: &'a [String], id: UnitId, origin: &'a Origin, us: u32) -> Row<'a> {
    Row {
        id,
        path: &[],
        value: &[],
        input: None,
        stage: stages.get(origin.stage as usize).map_or("", String::as_str),
        attempt: origin.attempt,
        worker: &origin.worker,
        ms: f64::from(us) / 1e3,
    }
}
