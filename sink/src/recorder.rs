//! The thread that records outcomes: in order, in the outputs, in the aggregates.
//!
//! Owns everything of the sink that touches a disk; refuses to judge what is new. It takes all
//! batches that wait at once and answers for them together.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use hdrhistogram::Histogram;
use proto::{net::driver::Handle, unit::Step, value::value_len};

use crate::{
    Aggregates, Arrange, DeadLetter, DeadLetters, Output, OutputError, Row, SinkConfig,
    core::{Conclusion, Reply, Request},
    entry::{Entry, Leaf, Origin, Outcome},
    output,
    summary::{OutputFacts, Percentiles, StageFlow, Summary, WorkerShare},
};

/// How many units came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Units with one output or more.
    pub results: u64,
    /// Outputs.
    pub outputs: u64,
    /// Units without output.
    pub filtered: u64,
    /// Units that failed for good.
    pub dead: u64,
}

/// Called with the summary when the run is over; what it returns is told to onlookers.
pub type Told = Box<dyn FnMut(&Summary, bool) -> Result<(), String> + Send>;

/// Where outcomes are recorded.
pub struct Recorder {
    config: SinkConfig,
    carries_input: bool,
    output: Option<Box<dyn Output>>,
    dead: DeadLetters,
    aggregates: Aggregates,
    arrange: Arrange<Entry>,
    counts: Counts,
    service: Histogram<u64>,
    stages: Vec<String>,
    reader_gone: bool,
    told: Told,
}

/// The longest service time that is told apart: an hour.
const SERVICE_US_MAX: u64 = 3_600_000_000;

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
    /// Opens the outputs.
    ///
    /// # Errors
    /// [`OutputError`] when one can't be opened.
    pub fn open(config: SinkConfig, carries_input: bool, told: Told) -> Result<Self, OutputError> {
        let output =
            config.output.as_ref().map(|spec| output::open(spec, &config, None)).transpose()?;
        let dead = DeadLetters::open(&config.dead_path(), None)?;
        Ok(Self {
            carries_input,
            output,
            dead,
            aggregates: Aggregates::new(&config),
            arrange: Arrange::new(config.order, 0),
            counts: Counts::default(),
            service: Histogram::new_with_bounds(1, SERVICE_US_MAX, 2)
                .expect("1 µs to 1 h in two digits is a valid range"),
            stages: Vec::new(),
            reader_gone: false,
            told,
            config,
        })
    }

    /// Starts the thread that serves requests.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(mut self, handle: Handle<Reply>) -> std::io::Result<RecorderThread> {
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
    ) -> Result<(), OutputError> {
        while let Ok(first) = requests.recv() {
            let mut recorded = None;
            let mut next = Some(first);
            while let Some(request) = next {
                match request {
                    Request::Record { number, entries } => {
                        self.record(entries)?;
                        recorded = Some(number);
                    }
                    other => {
                        self.settle(recorded.take(), handle)?;
                        self.serve_other(other, handle)?;
                    }
                }
                next = requests.try_recv().ok();
            }
            self.settle(recorded, handle)?;
        }
        Ok(())
    }

    /// Answers for what was recorded since the last answer.
    fn settle(&mut self, recorded: Option<u64>, handle: &Handle<Reply>) -> Result<(), OutputError> {
        let Some(number) = recorded else { return Ok(()) };
        if !self.reader_gone
            && let Some(output) = &mut self.output
        {
            match output.flush() {
                Err(OutputError::Closed) => self.lose_reader(handle),
                other => other?,
            }
        }
        self.dead.flush()?;
        let held_bytes = self.arrange.held_bytes();
        handle.reply(Reply::Recorded { number, held_bytes, dead: self.counts.dead });
        if self.reader_gone {
            self.lose_reader(handle);
        }
        Ok(())
    }

    fn lose_reader(&mut self, handle: &Handle<Reply>) {
        self.reader_gone = true;
        self.output = None;
        handle.reply(Reply::ReaderGone);
    }

    fn serve_other(&mut self, request: Request, handle: &Handle<Reply>) -> Result<(), OutputError> {
        match request {
            Request::Record { .. } => {}
            Request::Begin { stages, .. } => self.stages = stages,
            Request::Close => {
                if let Some(output) = &mut self.output {
                    match output.finish() {
                        Err(OutputError::Closed) => self.reader_gone = true,
                        other => drop(other?),
                    }
                }
                self.dead.sync()?;
                handle.reply(Reply::Closed);
            }
            Request::Conclude(conclusion) => {
                let summary = self.summary(&conclusion);
                let json = serde_json::to_string(&summary).unwrap_or_default();
                match (self.told)(&summary, conclusion.drained) {
                    Ok(()) => handle.reply(Reply::Concluded(json)),
                    Err(problem) => handle.reply(Reply::Failed(problem)),
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, entries: Vec<Entry>) -> Result<(), OutputError> {
        for entry in entries {
            let (first, count, bytes) = (entry.first, entry.count, entry.bytes());
            if let Err(error) = self.arrange.push(first, count, bytes, entry) {
                // Dedupe lets each unit through once; a second time here is a broken promise.
                tracing::error!(%error, "a unit was to be recorded twice; it is not");
            }
        }
        while let Some((_, _, entry)) = self.arrange.pop() {
            match self.write(entry) {
                Err(OutputError::Closed) => {
                    self.reader_gone = true;
                    self.output = None;
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn write(&mut self, entry: Entry) -> Result<(), OutputError> {
        match entry.outcome {
            Outcome::Filtered => self.counts.filtered += entry.count,
            Outcome::Values { origin, units, timing } => {
                self.counts.results += entry.count;
                self.counts.outputs += entry.count;
                let mut index = 0;
                for (run, us) in timing {
                    self.service.saturating_record_n(u64::from(us).max(1), run.into());
                    for _ in 0..run {
                        let value = units.value(index);
                        self.write_value(entry.first + index as u64, &[], value, &origin, us)?;
                        index += 1;
                    }
                }
            }
            Outcome::Expanded(leaves) => {
                self.counts.results += 1;
                self.counts.outputs += leaves.len() as u64;
                for Leaf { indices, origin, value, us } in leaves {
                    let step = |index: &u32| Step { execution: 0, index: *index, of: u32::MAX };
                    let path: Vec<Step> = indices.iter().map(step).collect();
                    self.service.saturating_record(u64::from(us).max(1));
                    self.write_value(entry.first, &path, &value, &origin, us)?;
                }
            }
            Outcome::Dead { origin, dead } => {
                self.counts.dead += 1;
                let letter = DeadLetter {
                    id: dead.root,
                    path: DeadLetter::path_of(&dead.path),
                    stage: self.stage_name(dead.stage),
                    input: DeadLetter::input_of(&self.without_input(&dead.input)),
                    error: dead.error,
                    attempts: dead.attempts,
                    worker: origin.worker,
                };
                self.dead.write(&letter)?;
            }
        }
        Ok(())
    }

    fn write_value(
        &mut self,
        id: u64,
        path: &[Step],
        value: &[u8],
        origin: &Origin,
        us: u32,
    ) -> Result<(), OutputError> {
        let (input, value) = if self.carries_input { split_pair(value) } else { (None, value) };
        self.aggregates.add(value);
        let Some(output) = &mut self.output else { return Ok(()) };
        let stage = self.stages.get(origin.stage as usize).map_or("", String::as_str);
        let row = Row {
            id,
            path,
            value,
            input,
            stage,
            attempt: origin.attempt,
            worker: &origin.worker,
            ms: f64::from(us) / 1e3,
        };
        output.write(&row)
    }

    fn without_input(&self, value: &[u8]) -> Vec<u8> {
        if self.carries_input { split_pair(value).1.to_vec() } else { value.to_vec() }
    }

    fn stage_name(&self, index: u32) -> String {
        self.stages.get(index as usize).cloned().unwrap_or_default()
    }

    fn summary(&mut self, conclusion: &Conclusion) -> Summary {
        let tally = conclusion.tally.clone().unwrap_or_default();
        let seconds = conclusion.elapsed.as_secs_f64();
        let Counts { results, outputs, filtered, dead } = self.counts;
        let latency = (tally.latency_us != [0; 4]).then(|| {
            let [p50, p90, p99, max] = tally.latency_us.map(|us| us as f64);
            Percentiles { p50, p90, p99, max }
        });
        let mut stages: Vec<StageFlow> = self
            .stages
            .iter()
            .map(|name| StageFlow { name: name.clone(), units_in: 0, units_out: 0 })
            .collect();
        for worker in &tally.workers {
            if let Some(stage) = stages.get_mut(worker.stage as usize) {
                stage.units_in += worker.units;
            }
        }
        let workers = tally.workers.iter().map(|worker| WorkerShare {
            name: worker.name.clone(),
            stage: self.stage_name(worker.stage),
            units: worker.units,
            busy: worker.busy_ns as f64 / (worker.present_ns.max(1)) as f64,
        });
        let bytes = self.output.as_ref().map_or(0, |output| output.mark().bytes);
        let path =
            self.config.output.as_ref().map(|spec| spec.path().map_or("-".into(), Into::into));
        Summary {
            units_in: conclusion.units,
            results,
            outputs,
            filtered,
            dead,
            attempts: tally.attempts,
            duplicates_discarded: conclusion.duplicates,
            seconds,
            units_per_second: conclusion.units as f64 / seconds.max(1e-9),
            recovery_ms: tally.recovery_ms,
            service_us: Percentiles::of(&self.service),
            latency_us: latency,
            workers: workers.collect(),
            stages,
            output: path.map(|path| OutputFacts { path, bytes }),
            dead_letters: (dead > 0).then(|| self.dead.path().to_owned()),
            aggregates: (!self.aggregates.is_empty()).then(|| self.aggregates.report()),
        }
    }
}

/// The halves of `[input, value]`.
fn split_pair(pair: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let halves = pair.split_first().and_then(|(_, rest)| {
        let len = value_len(rest).ok()?;
        Some(rest.split_at(len))
    });
    halves.map_or((None, pair), |(input, value)| (Some(input), value))
}

/// An error and what caused it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
