//! A sink joined to its sockets and its recorder.

use std::{io, path::PathBuf};

use proto::{
    frame::HelloRole,
    limits::Limits,
    net::{
        driver::{Driver, DriverError, Handle},
        endpoint::Endpoint,
        hello::hello,
        key::Key,
        zeromq::{NetError, SharedContext},
    },
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    config::SinkConfig,
    core::{requests::Reply, resume_point::ResumePoint, sink::Sink},
    outcomes::Retention,
    output::claim::{Claim, Spared},
    record::{
        error::RecordError,
        recorder::Recorder,
        run_dir::{RunDir, RunDirError},
        terms::{Room, Terms, Told},
    },
    report::joblog::JobLogSpec,
};

/// Everything that a sink has to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub bind: Vec<Endpoint>,
    /// What it writes.
    pub config: SinkConfig,
    /// Whether values are pairs of what the source gave and the result.
    #[serde(default)]
    pub carries_input: bool,
    /// What outlives the sink is kept here; without it nothing is.
    #[serde(default)]
    pub run_dir: Option<PathBuf>,
    /// Where the summary goes as JSON.
    #[serde(default)]
    pub summary: Option<PathBuf>,
    /// Where a line for each unit goes.
    #[serde(default)]
    pub joblog: Option<JobLogSpec>,
    /// Of a service: how long outcomes are kept for its clients.
    #[serde(default)]
    pub retention: Option<Retention>,
    /// The files that the run reads, which are never written to.
    #[serde(default)]
    pub spared: Vec<Spared>,
    /// The limits of the run.
    #[serde(default)]
    pub limits: Limits,
}

/// Why a sink could not run.
#[derive(Debug, Error)]
pub enum RunError {
    /// An output can't be opened, or the run directory belongs to another run.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The run directory can't be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// A service keeps outcomes for its clients.
    #[error("a service keeps outcomes for its clients: give its sink a run directory")]
    NoRunDir,
    /// The sockets can't be set up.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The sockets failed on the way.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// No thread or random number could be had.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

/// Runs a sink to its end; its exit code. `told` is given the summary, and whether the run
/// stopped early; `started` the handle that drains the run.
///
/// # Errors
/// [`RunError`] when it cannot start or its sockets fail.
pub fn run(
    setup: &Setup,
    context: &SharedContext,
    key: Option<Key>,
    told: Told,
    started: impl FnOnce(Handle<Reply>),
) -> Result<i32, RunError> {
    let random = || getrandom::u64().map_err(|error| io::Error::other(error.to_string()));
    // 0 means that no run is known, so it names none.
    let draw = random()?.max(1);
    let terms = Terms {
        room: Room::of(&setup.limits),
        claim: Claim {
            existing: setup.config.overwrite,
            spared: setup.spared.clone(),
            run: draw,
            ..Claim::default()
        },
        summary: setup.summary.clone(),
        joblog: setup.joblog.clone(),
        retention: setup.retention.clone(),
        told,
    };
    let (recorder, point) = match &setup.run_dir {
        None if setup.retention.is_some() => return Err(RunError::NoRunDir),
        None => {
            let point = ResumePoint { run: draw, epoch: 1, ..ResumePoint::default() };
            (Recorder::ephemeral(setup.config.clone(), setup.carries_input, terms)?, point)
        }
        Some(path) => {
            let run_dir = RunDir::open(path)?;
            Recorder::durable(setup.config.clone(), setup.carries_input, run_dir, draw, terms)?
        }
    };
    let mut driver = Driver::new(context, key, &setup.limits)?;
    driver.listen(&setup.bind)?;
    let recorder = recorder.start(driver.handle())?;
    started(driver.handle());
    let hello = hello(HelloRole::Observer, &setup.name);
    let (mut sink, first) = Sink::new(random()?, hello, setup.limits.clone(), point);
    if let Some(retention) = &setup.retention {
        sink.serve_clients(retention.queue_units_max);
    }
    Ok(driver.run(sink, first, move |request| recorder.perform(request))?)
}
