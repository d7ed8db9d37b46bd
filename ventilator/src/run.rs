//! A ventilator joined to its sockets and its source.

use std::{io, path::PathBuf, time::Duration};

use proto::{
    diary::{Diary, VENTILATOR_FILE},
    frame::HelloRole,
    net::{
        driver::{Driver, DriverError, Handle, Performed},
        endpoint::{Endpoint, this_host},
        hello::hello,
        key::Key,
        lock::{Lock, LockError},
        zeromq::{NetError, SharedContext},
    },
    plan::Stage,
    role::Effect,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{
    core::{Config, Reply, Request, Ventilator},
    queue::{runner::QueueThread, store::StoreError},
    source::{self, ServiceSpec, SourceError, SourceSpec},
};

/// What a ventilator locks in its run directory.
const LOCK: &str = "ventilator.lock";

/// Everything that a ventilator has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub bind: Vec<Endpoint>,
    /// What it tells others instead, if not empty.
    #[serde(default)]
    pub advertise: Vec<String>,
    /// Where the sink listens.
    pub sink: Endpoint,
    /// Where workers on other machines find the sink, if not there; a host `*` is this machine.
    #[serde(default)]
    pub sink_elsewhere: Vec<Endpoint>,
    /// Where units come from.
    pub source: SourceSpec,
    /// What this run writes, which a pattern may match and which is no input.
    #[serde(default)]
    pub own_files: Vec<PathBuf>,
    /// The stages, at least one.
    pub stages: Vec<Stage>,
    /// Whether results carry what the source gave.
    #[serde(default)]
    pub carries_input: bool,
    /// Where a source that can't be read twice is copied to, and the diary is kept; without it,
    /// neither is.
    #[serde(default)]
    pub run_dir: Option<PathBuf>,
    /// Where workers that others start find it, if anywhere: for the hint that one is missing.
    #[serde(default)]
    pub join_at: Option<Endpoint>,
    /// For how long a run that was asked to end waits for what workers work on, if not for ever.
    #[serde(default)]
    pub drain_limit_ms: Option<u64>,
    /// By what it knows who may have it pause, if anyone may.
    #[serde(default)]
    pub pass: Option<u64>,
    /// The limits of the run.
    #[serde(default)]
    pub limits: proto::limits::Limits,
}

/// Why a ventilator could not run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The source can't be opened.
    #[error("cannot read the source: {0}")]
    Source(#[from] SourceError),
    /// The sockets can't be set up.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The sockets failed on the way.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The queue of a service can't be opened.
    #[error(transparent)]
    Queue(#[from] StoreError),
    /// A service keeps what it has accepted.
    #[error("a service keeps what it has accepted: give it a run directory")]
    NoRunDir,
    /// Another ventilator has the run directory.
    #[error("the run directory is in use: {0}")]
    Locked(#[from] LockError),
    /// No thread or no random number could be had.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

/// Runs a ventilator to its end; its exit code. `started` is given the handle that drains it.
///
/// # Errors
/// [`RunError`] when it cannot start or its sockets fail.
pub fn run(
    setup: &Setup,
    context: &SharedContext,
    key: Option<Key>,
    started: impl FnOnce(Handle<Reply>),
) -> Result<i32, RunError> {
    let take = |run_dir: &PathBuf| {
        std::fs::create_dir_all(run_dir)?;
        Ok::<_, RunError>(Lock::inherit(&run_dir.join(LOCK))?)
    };
    let _lock = setup.run_dir.as_ref().map(take).transpose()?;
    if let SourceSpec::Service(spec) = &setup.source {
        return run_service(setup, spec, context, key, started);
    }
    let mut spec = setup.source.clone();
    spec.leave_out(setup.own_files.iter().chain(&setup.run_dir).cloned());
    let source = source::open(&spec, setup.run_dir.as_deref())?;
    run_source(setup, source, context, key, started)
}

/// Runs a ventilator over a source of one's own.
///
/// # Errors
/// [`RunError`] when it cannot start or its sockets fail.
pub fn run_source(
    setup: &Setup,
    source: Box<dyn source::Source>,
    context: &SharedContext,
    key: Option<Key>,
    started: impl FnOnce(Handle<Reply>),
) -> Result<i32, RunError> {
    let driver = driver(setup, context, key)?;
    let thread = source::spawn(source, setup.carries_input, driver.handle())?;
    started(driver.handle());
    let (ventilator, first) = ventilator(setup)?;
    let mut diary = open_diary(setup)?;
    let perform = move |request| {
        match (request, &mut diary) {
            (Request::Note(event), Some(diary)) => diary.note(event),
            (Request::Note(_), None) => {}
            (request, _) => thread.ask(request),
        }
        None::<Reply>
    };
    Ok(driver.run(ventilator, first, perform)?)
}

/// Runs the ventilator of a service, whose units come from clients.
fn run_service(
    setup: &Setup,
    spec: &ServiceSpec,
    context: &SharedContext,
    key: Option<Key>,
    started: impl FnOnce(Handle<Reply>),
) -> Result<i32, RunError> {
    let run_dir = setup.run_dir.as_ref().ok_or(RunError::NoRunDir)?;
    let driver = driver(setup, context, key)?;
    let queue = QueueThread::open(run_dir, spec, driver.handle())??;
    started(driver.handle());
    let (mut ventilator, first) = ventilator(setup)?;
    ventilator.serve_clients(spec.queue_units_max);
    let mut diary = open_diary(setup)?;
    let perform = move |request| match (request, &mut diary) {
        (Request::Queue(ask), _) => queue.ask(ask),
        (Request::Note(event), Some(diary)) => {
            diary.note(event);
            Performed::Underway
        }
        _ => Performed::Underway,
    };
    Ok(driver.run(ventilator, first, perform)?)
}

/// The sockets of a ventilator.
fn driver(
    setup: &Setup,
    context: &SharedContext,
    key: Option<Key>,
) -> Result<Driver<Reply>, RunError> {
    let mut driver = Driver::new(context, key, &setup.limits)?;
    driver.listen(&setup.bind)?;
    driver.advertise(setup.advertise.clone());
    Ok(driver)
}

fn open_diary(setup: &Setup) -> io::Result<Option<Diary>> {
    let diary = |path: &PathBuf| Diary::open(&path.join(VENTILATOR_FILE));
    setup.run_dir.as_ref().map(diary).transpose()
}

/// The state machine, and what it begins with.
fn ventilator(setup: &Setup) -> io::Result<(Ventilator, Vec<Effect<Request>>)> {
    let config = Config {
        stages: setup.stages.clone(),
        limits: setup.limits.clone(),
        // Workers may be in other folders.
        sink: vec![setup.sink.absolute().to_string()],
        digest: digest(setup),
        carries_input: setup.carries_input,
    };
    let me = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let hello = hello(role(setup, &config.digest), &setup.name);
    let (mut ventilator, first) = Ventilator::new(me, hello, config);
    if !setup.sink_elsewhere.is_empty() {
        let sink = setup.sink_elsewhere.iter().map(ToString::to_string).collect();
        ventilator.sink_elsewhere(this_host(), sink);
    }
    if let Some(at) = setup.join_at.as_ref().and_then(shown) {
        ventilator.join_at(at);
    }
    if let Some(ms) = setup.drain_limit_ms {
        ventilator.drain_limit(Duration::from_millis(ms));
    }
    if let Some(pass) = setup.pass {
        ventilator.steered_with(pass);
    }
    Ok((ventilator, first))
}

/// An endpoint as others write it; none where the port is not known beforehand.
fn shown(endpoint: &Endpoint) -> Option<String> {
    match endpoint {
        Endpoint::Tcp { port: 0, .. } => None,
        Endpoint::Tcp { host, port } if host == "*" => Some(format!("tcp://HOST:{port}")),
        other => Some(other.absolute().to_string()),
    }
}

/// What this ventilator is.
fn role(setup: &Setup, digest: &str) -> HelloRole {
    HelloRole::Ventilator {
        plan: digest.to_owned(),
        run: 0,
        stages: setup.stages.iter().map(|stage| stage.name.clone()).collect(),
    }
}

/// What decides the results: the source, and the stages but for their workers' number and the
/// rules for failures. What is in the source is compared by whoever reads it.
fn digest(setup: &Setup) -> String {
    let stages: Vec<_> = setup
        .stages
        .iter()
        .map(|stage| (&stage.name, &stage.function, &stage.args, &stage.env))
        .collect();
    // How much may wait for a service is nothing that decides results.
    let source = match &setup.source {
        SourceSpec::Service(_) => &SourceSpec::Service(ServiceSpec::default()),
        source => source,
    };
    let text = serde_json::to_vec(&(source, stages, setup.carries_input));
    let digest = Sha256::digest(text.unwrap_or_default());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
