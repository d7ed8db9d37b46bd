//! Ventilator and sink of a pool, on threads of the caller's process.
//!
//! Owns starting and ending them. Workers are processes, and find both over sockets.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use pipeline::up::workplace::{PrivateFolder, WorkplaceError};
use proto::{
    frame::HelloRole,
    limits::{FRAME_BYTES_CEILING, Limits},
    net::{
        driver::{Driver, DriverError, Handle, STOPPED},
        endpoint::{Endpoint, this_host},
        hello::hello,
        key::{Key, KeyError},
        zeromq::{NetError, SharedContext},
    },
    plan::{Function, Stage},
};
use sink::{
    core::{ResumePoint, Sink, exit},
    entry::Outcome,
};
use thiserror::Error;
use ventilator::core::{Config, Ventilator};
use worker::OutputLimits;

use super::{intake::Intake, shelves::Shelves};

const SINK: &str = "sink";
const VENTILATOR: &str = "ventilator";
/// The stage's name; workers are called by it and a number.
pub(super) const STAGE: &str = "worker";
/// Why a pool could not be started.
#[derive(Debug, Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Folder(#[from] WorkplaceError),
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// What a pool is started from.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// Where workers on other machines find the ventilator; the sink is at the next port.
    pub bind: Option<Endpoint>,
    pub key: Option<std::path::PathBuf>,
    pub retries: u32,
    pub backoff_ms: u64,
    pub crash_limit: u32,
    pub concurrency: u32,
    /// Whether large buffers may go by way of memory that is shared.
    pub shelves: bool,
}

/// How many roles there are here.
pub(super) const ROLES: usize = 2;

/// The threads of one pool.
pub(super) struct Threads {
    folder: PrivateFolder,
    stops: Vec<Box<dyn Fn() + Send + Sync>>,
    threads: Vec<thread::JoinHandle<()>>,
    pub intake: Arc<Intake>,
}

impl Threads {
    /// Starts both roles.
    pub fn start(terms: &Terms) -> Result<Self, StartError> {
        let limits = limits();
        let folder = PrivateFolder::make()?;
        let (ventilator_at, sink_at) = public(terms.bind.as_ref());
        let at = |name: &str| Endpoint::Ipc(folder.path().join(name));
        let key = match &ventilator_at {
            Some(public) => {
                Key::for_process(terms.key.as_deref(), false, std::slice::from_ref(public))?
            }
            None => None,
        };
        let listening = |name: &str, elsewhere: &Option<Endpoint>| {
            let endpoints: Vec<Endpoint> =
                [at(name)].into_iter().chain(elsewhere.clone()).collect();
            (key.clone(), endpoints)
        };
        let sink = driver(listening(SINK, &sink_at), &limits)?;
        let ventilator = driver(listening(VENTILATOR, &ventilator_at), &limits)?;
        // Who joins from another machine can't look there.
        let shelves = Shelves::new(terms.shelves && terms.bind.is_none());
        let intake = Intake::new(OutputLimits::from(&limits), ventilator.handle(), shelves);
        let sink_path = at(SINK).to_string();
        let mut threads =
            Self { folder, stops: Vec::new(), threads: Vec::new(), intake: Arc::new(intake) };
        threads.start_sink(sink, &limits)?;
        threads.start_ventilator(ventilator, terms, limits, sink_path, sink_at)?;
        Ok(threads)
    }

    /// Where workers on this machine find the ventilator.
    pub fn endpoint(&self) -> String {
        Endpoint::Ipc(self.folder.path().join(VENTILATOR)).to_string()
    }

    /// Its private folder.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    fn start_sink(&mut self, driver: Driver<sink::core::Reply>, limits: &Limits) -> io::Result<()> {
        // Each pool is a run of its own: a worker that was part of another one at the same address begins anew.
        let point = ResumePoint { run: incarnation()?.max(1), epoch: 1, ..ResumePoint::default() };
        let hello = hello(HelloRole::Observer, SINK);
        let (sink, first) = Sink::new(incarnation()?, hello, limits.clone(), point);
        let mut collector = Collector { intake: self.intake.clone(), dead: 0 };
        let handle = driver.handle();
        self.spawn(SINK, handle, move || {
            driver.run(sink, first, move |request| collector.perform(request))
        })
    }

    fn start_ventilator(
        &mut self,
        driver: Driver<ventilator::core::Reply>,
        terms: &Terms,
        limits: Limits,
        sink: String,
        sink_elsewhere: Option<Endpoint>,
    ) -> io::Result<()> {
        let stages = vec![STAGE.to_owned()];
        let role = HelloRole::Ventilator { plan: String::new(), run: 0, stages };
        let stage = Stage {
            retries: terms.retries,
            backoff_ms: terms.backoff_ms,
            crash_limit: terms.crash_limit,
            concurrency: Some(terms.concurrency).filter(|units| *units > 1),
            ..Stage::new(STAGE, Function::Own)
        };
        let config = Config {
            stages: vec![stage],
            limits,
            sink: vec![sink],
            digest: String::new(),
            carries_input: false,
        };
        let (mut ventilator, first) =
            Ventilator::new(incarnation()?, hello(role, VENTILATOR), config);
        if let Some(sink) = sink_elsewhere {
            ventilator.sink_elsewhere(this_host(), vec![sink.to_string()]);
        }
        let intake = self.intake.clone();
        let handle = driver.handle();
        self.spawn(VENTILATOR, handle, move || {
            driver.run(ventilator, first, move |request| intake.perform(request))
        })
    }

    /// Starts a driver's thread, which tells all calls if it fails.
    fn spawn<R: Send + 'static>(
        &mut self,
        part: &'static str,
        handle: Handle<R>,
        run: impl FnOnce() -> Result<i32, DriverError> + Send + 'static,
    ) -> io::Result<()> {
        let intake = self.intake.clone();
        let thread = thread::Builder::new().name(part.into()).spawn(move || {
            let problem = match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(exit::COMPLETE | exit::DEAD | STOPPED)) => None,
                Ok(Ok(code)) => Some(format!("the pool's {part} left with code {code}")),
                Ok(Err(error)) => Some(format!("the pool's {part} failed: {error}")),
                Err(_) => Some(format!("the pool's {part} panicked")),
            };
            intake.break_off(problem.as_deref().unwrap_or("the pool was closed"));
            intake.role_over();
        })?;
        self.threads.push(thread);
        self.stops.push(Box::new(move || handle.stop()));
        Ok(())
    }

    /// Ends both at once, and waits for them.
    pub fn stop(mut self) {
        self.stops.iter().for_each(|stop| stop());
        for thread in self.threads.drain(..) {
            // Panics are caught inside and told.
            let _ = thread.join();
        }
    }
}

/// The sink's recorder: gives outcomes to their calls, and keeps nothing.
struct Collector {
    intake: Arc<Intake>,
    dead: u64,
}

impl Collector {
    fn perform(&mut self, request: sink::core::Request) -> Option<sink::core::Reply> {
        use sink::core::{Reply, Request};
        match request {
            Request::Record { number, entries, .. } => {
                for entry in entries {
                    self.dead += u64::from(matches!(entry.outcome, Outcome::Dead { .. }));
                    self.intake.deliver(entry);
                }
                let dead = self.dead;
                Some(Reply::Recorded { number, waiting: Vec::new(), waiting_bytes: 0, dead })
            }
            Request::LogWaiting
            | Request::Await { .. }
            | Request::Fetched(_)
            | Request::ClientLeft(_)
            | Request::Expire => None,
            Request::Begin { .. } => Some(Reply::Begun),
            Request::Close { .. } => Some(Reply::Closed),
            Request::Conclude(_) => Some(Reply::Concluded(String::new())),
        }
    }
}

/// A value is an array of hundreds of megabytes now and then.
fn limits() -> Limits {
    Limits { frame_bytes_max: FRAME_BYTES_CEILING, ..Limits::default() }
}

/// Where ventilator and sink listen for other machines.
fn public(bind: Option<&Endpoint>) -> (Option<Endpoint>, Option<Endpoint>) {
    match bind {
        Some(Endpoint::Tcp { host, port }) => {
            let sink = Endpoint::Tcp { host: host.clone(), port: port.saturating_add(1) };
            (bind.cloned(), Some(sink))
        }
        _ => (None, None),
    }
}

fn driver<R: Send + 'static>(
    (key, endpoints): (Option<Key>, Vec<Endpoint>),
    limits: &Limits,
) -> Result<Driver<R>, NetError> {
    // A context each: there is one ZAP handler in a context, and each inbox has its own.
    let mut driver = Driver::new(&SharedContext::new(), key, limits)?;
    driver.listen(&endpoints)?;
    Ok(driver)
}

fn incarnation() -> io::Result<u64> {
    getrandom::u64().map_err(|error| io::Error::other(error.to_string()))
}
