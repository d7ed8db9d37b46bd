//! What outcomes are written to: the output, the dead letters, the aggregates, the counts.
//!
//! Owns how one outcome is written and counted, and what becomes of a result that the output cannot hold;
//! refuses to know whose turn it is, and when what was written is safe.
#![cfg_attr(not(test), expect(clippy::expect_used, reason = "a constant that is in range"))]

use std::ops::Range;

use hdrhistogram::Histogram;
use proto::{
    causes::with_causes,
    diary::Event,
    frame::Failing,
    unit::{Step, UnitId},
    units::Units,
    value::value_len,
};

use super::{again::Again, checkpoint::Checkpoint, counts::Counts, failing::Luck, flow::Flow};
use crate::{
    accept::entry::{Entry, Expanded, Origin, Outcome},
    aggregate::Aggregates,
    config::{OutputSpec, SinkConfig},
    letter::DeadLetter,
    order::Order,
    output::{
        self,
        claim::Claim,
        contract::{Mark, Output, Row},
        dead::{DeadLetters, SINK_STAGE},
        error::OutputError,
    },
};

/// The longest service time that is told apart: an hour.
const SERVICE_US_MAX: u64 = 3_600_000_000;

/// See the module.
pub(super) struct Writer {
    carries_input: bool,
    order: Order,
    // What is written now comes behind its place.
    is_behind: bool,
    pub(super) again: Again,
    pub(super) stages: Vec<String>,
    pub(super) output: Option<Box<dyn Output>>,
    // Whoever read the output has gone, and nobody was told.
    reader_gone: bool,
    // What was written to a reader that has gone.
    streamed: u64,
    pub(super) dead: DeadLetters,
    pub(super) aggregates: Aggregates,
    pub(super) counts: Counts,
    pub(super) flow: Flow,
    pub(super) luck: Luck,
    // Results that could not be written since they were last asked for.
    unwritable: Vec<Event>,
    // Microseconds that units took.
    pub(super) service: Histogram<u64>,
}

impl Writer {
    /// Opens the outputs, as far as the claim lets it: anew, or as they were at a checkpoint.
    pub(super) fn open(
        config: &SinkConfig,
        carries_input: bool,
        checkpoint: Option<&Checkpoint>,
        claim: &Claim,
    ) -> Result<Self, OutputError> {
        let mark = checkpoint.and_then(|checkpoint| checkpoint.output.clone());
        let spec = config.output.as_ref();
        let output = spec.map(|spec| output::open(spec, config, mark, claim)).transpose()?;
        let letters = checkpoint.map(|checkpoint| &checkpoint.dead);
        let dead = DeadLetters::open(&config.dead_path(), letters, claim)?;
        let mut service = Histogram::new_with_bounds(1, SERVICE_US_MAX, 2)
            .expect("1 µs to 1 h in two digits is a valid range");
        for (us, units) in checkpoint.iter().flat_map(|checkpoint| &checkpoint.service) {
            service.saturating_record_n(*us, *units);
        }
        let aggregates = checkpoint.map(|checkpoint| checkpoint.aggregates.clone());
        Ok(Self {
            carries_input,
            order: config.order,
            is_behind: false,
            again: checkpoint.map(|checkpoint| checkpoint.again.clone()).unwrap_or_default(),
            stages: Vec::new(),
            output,
            reader_gone: false,
            streamed: 0,
            dead,
            aggregates: aggregates.unwrap_or_else(|| Aggregates::new(config)),
            counts: checkpoint.map(|checkpoint| checkpoint.counts).unwrap_or_default(),
            flow: checkpoint.map(|checkpoint| checkpoint.flow.clone()).unwrap_or_default(),
            luck: Luck::default(),
            unwritable: Vec::new(),
            service,
        })
    }

    /// The name of a stage.
    pub(super) fn stage_name(&self, index: u32) -> String {
        self.stages.get(index as usize).cloned().unwrap_or_default()
    }

    /// For the diary: the results that could not be written since this was last asked for.
    pub(super) fn take_unwritable(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.unwritable)
    }

    /// The stage that fails with every unit, if that has changed since this was last asked.
    pub(super) fn take_failing(&mut self) -> Option<Option<Failing>> {
        let Self { luck, stages, .. } = self;
        luck.take_news(|stage| stages.get(stage).map_or(SINK_STAGE, String::as_str).to_owned())
    }

    /// Whether whoever read the output has gone since this was last asked.
    pub(super) fn take_reader_gone(&mut self) -> bool {
        std::mem::take(&mut self.reader_gone)
    }

    /// Hands everything to the operating system.
    pub(super) fn flush(&mut self) -> Result<(), OutputError> {
        let flushed = self.output.as_mut().map_or(Ok(()), |output| output.flush());
        self.quietly(flushed)?;
        self.dead.flush()
    }

    /// Closes the outputs.
    pub(super) fn finish(&mut self) -> Result<(), OutputError> {
        let finished = self.output.as_mut().map_or(Ok(()), |output| output.finish().map(drop));
        self.quietly(finished)?;
        self.dead.sync().map(drop)
    }

    /// Makes the output durable; how far it has come, if there is one that anybody reads.
    pub(super) fn sync_output(&mut self) -> Result<Option<Mark>, OutputError> {
        let synced = self.output.as_mut().map(|output| output.sync()).transpose();
        match synced {
            Err(OutputError::Closed) => {
                self.lose_reader();
                Ok(None)
            }
            other => other,
        }
    }

    /// How much was written: of a file its length, which may have come from earlier sinks, of a
    /// stream what left through it.
    pub(super) fn output_bytes(&self, config: &SinkConfig) -> u64 {
        let path = config.output.as_ref().and_then(OutputSpec::path);
        let file = path.and_then(|path| path.metadata().ok()).filter(|data| data.is_file());
        let streamed = || self.output.as_ref().map_or(self.streamed, |output| output.mark().bytes);
        file.map_or_else(streamed, |data| data.len())
    }

    /// Writes and counts one outcome. That nobody reads the output any more is no failure.
    pub(super) fn write(&mut self, entry: Entry) -> Result<(), OutputError> {
        let written = self.write_outcome(entry);
        self.quietly(written)
    }

    /// The same with what comes too late for its place.
    pub(super) fn write_behind(&mut self, entry: Entry) -> Result<(), OutputError> {
        let units = entry.first..entry.first + entry.count;
        let before = self.file_bytes();
        self.is_behind = true;
        let written = self.write(entry);
        self.is_behind = false;
        written?;
        if let (Some(before), Some(after)) = (before, self.file_bytes()) {
            self.again.wrote(units, before..after);
        }
        Ok(())
    }

    /// How long the output is, if it is a file.
    fn file_bytes(&mut self) -> Option<u64> {
        let tail = self.output.as_mut()?.tail()?;
        tail.is_file().then(|| tail.len())
    }

    /// How many bytes of the output stand before the place of a unit that has failed, if it has one.
    fn place_of(&mut self, unit: UnitId) -> Option<u64> {
        match (self.order, self.is_behind) {
            (Order::Completion, _) => None,
            (Order::Input, true) => self.again.places.get(&unit).copied(),
            (Order::Input, false) => self.file_bytes(),
        }
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

    fn lose_reader(&mut self) {
        self.reader_gone = true;
        self.streamed = self.output.as_ref().map_or(self.streamed, |output| output.mark().bytes);
        self.output = None;
    }

    fn write_outcome(&mut self, entry: Entry) -> Result<(), OutputError> {
        match entry.outcome {
            Outcome::Filtered(stage) => {
                self.counts.filtered += entry.count;
                self.flow.filtered(stage, self.stages.len(), entry.count);
                self.luck.came_to((stage as usize + 1).min(self.stages.len()));
                Ok(())
            }
            Outcome::Values { origin, units, timing } => {
                for (run, us) in &timing {
                    self.service.saturating_record_n(u64::from(*us).max(1), u64::from(*run));
                }
                if self.output.is_none() && !self.carries_input {
                    self.came_through();
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
                let last = self.stages.len().saturating_sub(1);
                self.luck.failed_in(last.min(dead.stage as usize), &dead.error);
                let offset_bytes = self.place_of(dead.root);
                let letter = DeadLetter {
                    id: dead.root,
                    path: DeadLetter::path_of(&dead.path),
                    stage: self.stage_name(dead.stage),
                    input: DeadLetter::input_of(self.halves(&dead.input).1),
                    error: dead.error,
                    attempts: dead.attempts,
                    worker: if dead.worker.is_empty() { origin.worker } else { dead.worker },
                    offset_bytes,
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
            if count > 0 {
                self.came_through();
            }
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
                self.came_through();
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
        self.came_through();
        self.counts.results += 1;
        self.counts.outputs += outputs.len();
        for leaf in outputs.leaves() {
            let (_, value) = self.halves(leaf.value);
            self.aggregates.add(value);
        }
        Ok(())
    }

    /// A result has come through all stages, and is written.
    fn came_through(&mut self) {
        self.luck.came_to(self.stages.len() + 1);
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
        let offset_bytes = self.place_of(id);
        let letter = DeadLetter {
            id,
            path,
            stage: SINK_STAGE.into(),
            input: DeadLetter::input_of(self.halves(value).1),
            error: with_causes(error),
            attempts: origin.attempt,
            worker: origin.worker.clone(),
            offset_bytes,
        };
        self.luck.failed_in(self.stages.len(), &letter.error);
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
