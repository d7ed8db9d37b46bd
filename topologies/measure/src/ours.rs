//! One run of our own pipeline, as `pipeline up` would start it, but without anyone watching.
//!
//! Owns its processes and its summary; refuses to know what is measured.

use std::{
    iter,
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command},
    time::{Duration, Instant},
};

use proto::{
    limits::Limits,
    net::endpoint::Endpoint,
    plan::{Function, Stage},
};
use serde::Serialize;
use sink::{
    Existing, Summary,
    config::{Aggregate, SinkConfig},
};
use ventilator::source::SourceSpec;

use super::{
    Failure, Transport,
    site::{Process, Site, all_end, ends_before},
};

/// What a run is to be.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// What the processes talk over.
    pub transport: Transport,
    /// Where units come from.
    pub source: SourceSpec,
    /// What is done with each.
    pub function: Function,
    /// How many processes do it.
    pub workers: u32,
    /// What is done with the results.
    pub sink: SinkConfig,
    /// Whether the run outlives its processes.
    pub durable: bool,
    /// The limits of the run.
    pub limits: Limits,
}

impl RunSpec {
    /// Two workers, aggregates only, nothing kept.
    pub fn new(transport: Transport, source: SourceSpec, function: Function) -> Self {
        let aggregate = vec![Aggregate::Count];
        Self {
            transport,
            source,
            function,
            workers: 2,
            sink: SinkConfig { aggregate, ..SinkConfig::default() },
            durable: false,
            limits: Limits::default(),
        }
    }
}

/// The built-in function of that name.
pub fn built_in(name: &str) -> Function {
    Function::Run(name.into())
}

/// Writes units that take so many microseconds each; the file.
pub fn write_durations(site: &Site, micros: &[u64]) -> Result<PathBuf, Failure> {
    let lines: String = micros.iter().map(|micros| format!("{micros}\n")).collect();
    site.write("durations.jsonl", lines.as_bytes())
}

/// Workers that compute for as long as each unit of that file says.
pub fn spinning(transport: Transport, input: &Path, workers: u32) -> RunSpec {
    let source = SourceSpec::Jsonl { path: input.into() };
    RunSpec { workers, ..RunSpec::new(transport, source, built_in("spin")) }
}

/// The source of the numbers 1 to `units`.
pub fn range(units: u64) -> SourceSpec {
    SourceSpec::Range { from: 1, to: i64::try_from(units).unwrap_or(i64::MAX), step: 1 }
}

/// A run under way.
pub struct Run {
    /// The process that collects.
    pub sink: Process,
    /// The process that reads the source.
    pub ventilator: Process,
    /// Those that compute.
    pub workers: Vec<Process>,
    summary: PathBuf,
    began: Instant,
}

/// A run that is over.
pub struct Finished {
    /// What the sink says of it.
    pub summary: Summary,
    /// From the start of its first process to the end of its last.
    pub wall: Duration,
}

impl Run {
    /// Starts all processes of a run.
    ///
    /// # Errors
    /// [`Failure`] when one can't be started.
    pub fn start(site: &Site, order: &RunSpec) -> Result<Self, Failure> {
        let plan = Plan::of(site, order)?;
        let began = Instant::now();
        let sink = site.start("sink", plan.sink)?;
        let ventilator = site.start("ventilator", plan.ventilator)?;
        let workers = plan.workers.into_iter().map(|command| site.start("worker", command));
        let workers = workers.collect::<Result<_, _>>()?;
        Ok(Self { sink, ventilator, workers, summary: plan.summary, began })
    }

    /// The same, with the ventilator's standard input and the sink's standard output.
    ///
    /// # Errors
    /// [`Failure`] when one can't be started.
    pub fn start_piped(
        site: &Site,
        order: &RunSpec,
    ) -> Result<(Self, ChildStdin, ChildStdout), Failure> {
        let plan = Plan::of(site, order)?;
        let began = Instant::now();
        let (sink, _, output) = site.start_piped("sink", plan.sink)?;
        let (ventilator, input, _) = site.start_piped("ventilator", plan.ventilator)?;
        let workers = plan.workers.into_iter().map(|command| site.start("worker", command));
        let workers = workers.collect::<Result<_, _>>()?;
        Ok((Self { sink, ventilator, workers, summary: plan.summary, began }, input, output))
    }

    /// The process ids of all.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        [&self.sink, &self.ventilator].into_iter().chain(&self.workers).map(Process::id)
    }

    /// Waits for the end of the run.
    ///
    /// # Errors
    /// [`Failure`] when a process ends otherwise than well.
    pub fn finish(mut self) -> Result<Finished, Failure> {
        let Self { sink, ventilator, workers, .. } = &mut self;
        ends_before(sink, iter::once(&mut *ventilator).chain(&mut *workers))?;
        ends_before(ventilator, &mut *workers)?;
        // One that was late to a short run would wait for the next.
        for worker in &mut *workers {
            worker.dismiss()?;
        }
        all_end(workers)?;
        let wall = self.began.elapsed();
        let read = std::fs::read(&self.summary);
        let json = read.map_err(|source| Failure::file(&self.summary, source))?;
        let summary = serde_json::from_slice(&json)
            .map_err(|error| Failure::file(&self.summary, std::io::Error::from(error)))?;
        Ok(Finished { summary, wall })
    }
}

/// The commands of a run.
struct Plan {
    sink: Command,
    ventilator: Command,
    workers: Vec<Command>,
    summary: PathBuf,
}

impl Plan {
    fn of(site: &Site, order: &RunSpec) -> Result<Self, Failure> {
        let sink_at = site.endpoint(order.transport, "sink")?;
        let ventilator_at = site.endpoint(order.transport, "ventilator")?;
        let run_dir = order.durable.then(|| site.path("run"));
        let sink = sink::run::Setup {
            name: "sink".into(),
            bind: vec![sink_at.clone()],
            // The folder is the measurement's own, and several runs follow each other in it.
            config: SinkConfig { overwrite: Existing::Overwrite, ..order.sink.clone() },
            carries_input: false,
            run_dir: run_dir.clone(),
            summary: None,
            joblog: None,
            retention: None,
            spared: Vec::new(),
            limits: order.limits.clone(),
        };
        let ventilator = ventilator::run::Setup {
            name: "ventilator".into(),
            bind: vec![ventilator_at.clone()],
            advertise: Vec::new(),
            sink: sink_at,
            sink_elsewhere: Vec::new(),
            join_at: None,
            pass: None,
            drain_limit_ms: None,
            source: order.source.clone(),
            stages: vec![Stage::new("work", order.function.clone())],
            own_files: Vec::new(),
            carries_input: false,
            run_dir,
            limits: order.limits.clone(),
        };
        let summary = site.path("summary.json");
        let mut collect = role(site, order, "sink")?;
        collect.arg("--setup").arg(setup(site, "sink", &sink)?);
        collect.arg("--quiet").arg("--summary").arg(&summary);
        let mut read = role(site, order, "ventilator")?;
        read.arg("--setup").arg(setup(site, "ventilator", &ventilator)?);
        let workers = (1..=order.workers).map(|number| worker(site, order, &ventilator_at, number));
        let workers = workers.collect::<Result<_, _>>()?;
        Ok(Self { sink: collect, ventilator: read, workers, summary })
    }
}

fn setup(site: &Site, name: &str, setup: &impl Serialize) -> Result<PathBuf, Failure> {
    let file = format!("{name}.json");
    let json = serde_json::to_vec(setup);
    let json = json.map_err(|error| Failure::file(&file, std::io::Error::from(error)))?;
    site.write(&file, &json)
}

fn role(site: &Site, order: &RunSpec, name: &str) -> Result<Command, Failure> {
    let mut command = site.this_program();
    command.arg(name);
    match order.transport {
        Transport::Ipc | Transport::Curve => command.arg("--key").arg(site.key()?),
        Transport::Tcp => command.arg("--insecure"),
    };
    Ok(command)
}

fn worker(
    site: &Site,
    order: &RunSpec,
    ventilator: &Endpoint,
    number: u32,
) -> Result<Command, Failure> {
    let mut command = role(site, order, "worker")?;
    if order.transport == Transport::Tcp {
        // Programs are measured over it as well, and nobody else is here to send any.
        command.arg("--allow-code");
    }
    command.arg("--ventilator").arg(ventilator.to_string());
    command.arg("--name").arg(format!("work-{number}"));
    Ok(command)
}
