//! One run of our own pipeline, as `pipeline up` would start it, but without anyone watching.
//!
//! Owns its processes and its summary; refuses to know what is measured.

use std::path::PathBuf;

use proto::{
    limits::Limits,
    net::endpoint::Endpoint,
    plan::{Function, Stage},
};
use serde::Serialize;
use sink::{
    Summary,
    config::{Aggregate, SinkConfig},
};
use ventilator::source::SourceSpec;

use super::{
    Failure, Transport,
    site::{Process, Site, all_end},
};

/// What a run is to be.
#[derive(Debug, Clone)]
pub struct Order {
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

impl Order {
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
}

impl Run {
    /// Starts all processes of a run.
    ///
    /// # Errors
    /// [`Failure`] when one can't be started.
    pub fn start(site: &Site, order: &Order) -> Result<Self, Failure> {
        let sink_at = site.endpoint(order.transport, "sink")?;
        let ventilator_at = site.endpoint(order.transport, "ventilator")?;
        let run_dir = order.durable.then(|| site.path("run"));
        let sink = sink::run::Setup {
            name: "sink".into(),
            bind: vec![sink_at.clone()],
            config: order.sink.clone(),
            carries_input: false,
            run_dir: run_dir.clone(),
            limits: order.limits.clone(),
        };
        let ventilator = ventilator::run::Setup {
            name: "ventilator".into(),
            bind: vec![ventilator_at.clone()],
            advertise: Vec::new(),
            sink: sink_at,
            sink_elsewhere: Vec::new(),
            source: order.source.clone(),
            stages: vec![Stage::new("work", order.function.clone())],
            carries_input: false,
            run_dir,
            limits: order.limits.clone(),
        };
        let summary = site.path("summary.json");
        let mut command = role(site, order, "sink")?;
        command.arg("--setup").arg(setup(site, "sink", &sink)?);
        command.arg("--quiet").arg("--summary").arg(&summary);
        let sink = site.start("sink", command)?;
        let mut command = role(site, order, "ventilator")?;
        command.arg("--setup").arg(setup(site, "ventilator", &ventilator)?);
        let ventilator = site.start("ventilator", command)?;
        let start = |number| worker(site, order, &ventilator_at, number);
        let workers = (1..=order.workers).map(start).collect::<Result<_, _>>()?;
        Ok(Self { sink, ventilator, workers, summary })
    }

    /// Waits for the end of the run.
    ///
    /// # Errors
    /// [`Failure`] when a process ends otherwise than well.
    pub fn finish(mut self) -> Result<Summary, Failure> {
        let mut all = vec![&mut self.sink, &mut self.ventilator];
        all.extend(&mut self.workers);
        all_end(&mut all)?;
        let read = std::fs::read(&self.summary);
        let json = read.map_err(|source| Failure::file(&self.summary, source))?;
        serde_json::from_slice(&json)
            .map_err(|error| Failure::file(&self.summary, std::io::Error::from(error)))
    }
}

fn setup(site: &Site, name: &str, setup: &impl Serialize) -> Result<PathBuf, Failure> {
    let file = format!("{name}.json");
    let json = serde_json::to_vec(setup);
    let json = json.map_err(|error| Failure::file(&file, std::io::Error::from(error)))?;
    site.write(&file, &json)
}

fn role(site: &Site, order: &Order, name: &str) -> Result<std::process::Command, Failure> {
    let mut command = site.this_program();
    command.arg(name);
    match order.transport {
        Transport::Curve => command.arg("--key").arg(site.key()?),
        Transport::Ipc | Transport::Tcp => command.arg("--insecure"),
    };
    Ok(command)
}

/// Starts one more worker of a run.
fn worker(
    site: &Site,
    order: &Order,
    ventilator: &Endpoint,
    number: u32,
) -> Result<Process, Failure> {
    let name = format!("work-{number}");
    let mut command = role(site, order, "worker")?;
    command.arg("--ventilator").arg(ventilator.to_string()).arg("--name").arg(&name);
    site.start(&name, command)
}
