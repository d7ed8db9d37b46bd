//! The threads of an embedded pipeline: a driver for the ventilator, for each worker and for the
//! sink, over in-process sockets of their own.
//!
//! Owns starting and ending them; what they do is the roles', the same as between processes.
//! Every inbox listens before any role dials it. At the end, everything that is the runtime's is
//! waited for; a source or a function that is busy with one item is not: its thread ends by
//! itself when the item is done.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use proto::{
    frame::{HelloRole, PeerId},
    limits::Limits,
    net::{
        driver::{Driver, DriverError, Handle, STOPPED},
        endpoint::Endpoint,
        hello::hello,
        zeromq::{NetError, SharedContext},
    },
    plan::Stage,
};
use sink::{
    Order,
    core::{ResumePoint, Sink, exit},
};
use thiserror::Error;
use ventilator::core::{Config, Ventilator};
use worker::{
    Concurrent, Failure, Function, OutputLimits, Outputs, Unit,
    executor::{Code, Executor, Own},
    function::{Batch, Outcomes},
};

use super::{
    error::ResultError,
    handover::{Collector, Handover, Taken},
    tap::{Break, Tap},
};

const SINK: &str = "sink";
const VENTILATOR: &str = "ventilator";
/// Executions are numbered from a worker's id on, so ids are far apart.
const PEER_DISTANCE: PeerId = 1 << 48;
/// Each pipeline has sockets and a run of its own, so any number but 0 does.
const RUN: u64 = 1;

/// Why a pipeline could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// A stage with no workers would never end.
    #[error("the stage `{stage}` has no workers")]
    NoWorkers {
        /// The stage.
        stage: String,
    },
    /// Two stages of one name.
    #[error("two stages are called `{stage}`")]
    SameName {
        /// The name.
        stage: String,
    },
    /// The sockets can't be set up.
    #[error(transparent)]
    Net(#[from] NetError),
    /// No thread could be had.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// A stage with a function for each of its workers.
pub(super) struct Team {
    pub(super) stage: Stage,
    pub(super) functions: Vec<Box<dyn Function>>,
}

/// Everything that a pipeline is started from.
pub(super) struct Blueprint {
    pub(super) feed: Box<dyn FnOnce(&Tap) + Send>,
    pub(super) teams: Vec<Team>,
    pub(super) order: Order,
    pub(super) limits: Limits,
}

impl Blueprint {
    fn check(&self) -> Result<(), StartError> {
        for (index, Team { stage, functions }) in self.teams.iter().enumerate() {
            let stage = stage.name.clone();
            if functions.is_empty() {
                return Err(StartError::NoWorkers { stage });
            }
            if self.teams[..index].iter().any(|other| other.stage.name == stage) {
                return Err(StartError::SameName { stage });
            }
        }
        Ok(())
    }
}

/// The threads of one pipeline. Stops them all when dropped.
pub(super) struct Threads {
    stage_names: Vec<String>,
    handover: Arc<Handover>,
    tap: Arc<Tap>,
    // Tells the functions that nobody wants what they do.
    halt: Arc<AtomicBool>,
    stops: Vec<Box<dyn Fn() + Send + Sync>>,
    threads: Vec<thread::JoinHandle<()>>,
    feeder: Option<thread::JoinHandle<()>>,
}

impl Threads {
    /// Starts a pipeline.
    pub(super) fn start(blueprint: Blueprint) -> Result<Self, StartError> {
        blueprint.check()?;
        let Blueprint { feed, teams, order, mut limits } = blueprint;
        let count: usize = teams.iter().map(|team| team.functions.len()).sum();
        // What waits here waits in memory.
        limits.waiting_bytes_max = limits.waiting_bytes_max.min(limits.window_bytes_max);
        limits.peers_max = limits.peers_max.max(u32::try_from(count + 8).unwrap_or(u32::MAX));
        let stages: Vec<Stage> = teams.iter().map(|team| team.stage.clone()).collect();
        let context = SharedContext::new();
        let sink = listening(&context, SINK, &limits)?;
        let ventilator = listening(&context, VENTILATOR, &limits)?;
        let output_limits = OutputLimits::from(&limits);
        let mut threads = Self {
            stage_names: stages.iter().map(|stage| stage.name.clone()).collect(),
            handover: Arc::new(Handover::new(sink.handle())),
            tap: Arc::new(Tap::new(output_limits, ventilator.handle())),
            halt: Arc::default(),
            stops: Vec::new(),
            threads: Vec::new(),
            feeder: None,
        };
        threads.start_sink(sink, &limits, order)?;
        threads.start_ventilator(ventilator, stages, limits.clone())?;
        let tap = threads.tap.clone();
        let feeder = thread::Builder::new().name("source".into()).spawn(move || feed(&tap))?;
        threads.feeder = Some(feeder);
        let mut index = 0;
        for Team { stage, functions } in teams {
            for (place, function) in functions.into_iter().enumerate() {
                let name = format!("{}-{}", stage.name, place + 1);
                let driver = listening(&context, &format!("worker-{index}"), &limits)?;
                threads.start_worker((index, name), driver, &stage.name, function)?;
                index += 1;
            }
        }
        Ok(threads)
    }

    fn start_sink(
        &mut self,
        driver: Driver<sink::core::Reply>,
        limits: &Limits,
        order: Order,
    ) -> io::Result<()> {
        let point = ResumePoint { run: RUN, epoch: 1, ..ResumePoint::default() };
        let hello = hello(HelloRole::Observer, SINK);
        let (sink, first) = Sink::new(PEER_DISTANCE, hello, limits.clone(), point);
        let mut collector = Collector::new(order, self.handover.clone());
        let handle = driver.handle();
        self.spawn(SINK, handle, move || {
            driver.run(sink, first, move |request| collector.perform(request))
        })
    }

    fn start_ventilator(
        &mut self,
        driver: Driver<ventilator::core::Reply>,
        stages: Vec<Stage>,
        limits: Limits,
    ) -> io::Result<()> {
        let role =
            HelloRole::Ventilator { plan: String::new(), run: 0, stages: self.stage_names.clone() };
        let config = Config {
            stages,
            limits,
            sink: vec![at(SINK).to_string()],
            digest: String::new(),
            carries_input: false,
        };
        let (ventilator, first) =
            Ventilator::new(2 * PEER_DISTANCE, hello(role, VENTILATOR), config);
        let tap = self.tap.clone();
        let handle = driver.handle();
        self.spawn(VENTILATOR, handle, move || {
            driver.run(ventilator, first, move |request| tap.perform(request))
        })
    }

    fn start_worker(
        &mut self,
        (index, name): (u64, String),
        driver: Driver<worker::core::Reply>,
        stage: &str,
        function: Box<dyn Function>,
    ) -> io::Result<()> {
        let role = HelloRole::Worker { stage: Some(stage.to_owned()), own: true };
        let ventilator = vec![at(VENTILATOR).to_string()];
        let me = (index + 3) * PEER_DISTANCE;
        let (worker, first) = worker::core::WorkerRole::new(me, hello(role, &name), ventilator);
        let watched = Watched {
            function,
            stage: stage.to_owned(),
            halt: self.halt.clone(),
            handover: self.handover.clone(),
        };
        let own = Own { function: Some(Box::new(watched)), ..Own::default() };
        let executor = Executor::start(own, Code::Refused, driver.handle())?;
        let handle = driver.handle();
        self.spawn(&name, handle, move || {
            driver.run(worker, first, move |request| executor.perform(request))
        })
    }

    /// Starts a driver's thread, which tells the consumer if it fails.
    fn spawn<R: Send + 'static>(
        &mut self,
        part: &str,
        handle: Handle<R>,
        run: impl FnOnce() -> Result<i32, DriverError> + Send + 'static,
    ) -> io::Result<()> {
        let handover = self.handover.clone();
        let name = part.to_owned();
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            let problem = match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(exit::COMPLETE | exit::DEAD | STOPPED)) => None,
                Ok(Ok(code)) => Some(format!("it left with code {code}")),
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it panicked".to_owned()),
            };
            let is_sink = name == SINK;
            match problem {
                Some(problem) => handover.break_off(ResultError::Broken { part: name, problem }),
                None if is_sink => handover.end(),
                None => {}
            }
        })?;
        self.threads.push(thread);
        self.stops.push(Box::new(move || handle.stop()));
        Ok(())
    }

    /// Waits for the next outcome.
    pub(super) fn take(&self) -> Taken {
        self.handover.take()
    }

    /// The name of a stage.
    pub(super) fn stage_name(&self, index: u32) -> String {
        self.stage_names.get(index as usize).cloned().unwrap_or_default()
    }

    /// After the run is over: waits until everyone has left. Why the source was not read to its
    /// end, if it was not.
    pub(super) fn leave(mut self) -> Option<Break> {
        // A worker that had not said Hello when the ventilator left would wait for another one.
        self.stop();
        self.join();
        if let Some(feeder) = self.feeder.take() {
            // It has told the end, which is the last thing that it does.
            let _ = feeder.join();
        }
        self.tap.take_break()
    }

    fn stop(&self) {
        self.stops.iter().for_each(|stop| stop());
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // Panics are caught inside and told.
            let _ = thread.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.halt.store(true, Ordering::Relaxed);
        self.tap.close();
        self.stop();
        self.join();
    }
}

/// What becomes of units that nobody waits for any more.
const STOPPED_TEXT: &str = "the pipeline was stopped";

/// A user's function: tells why it cannot be set up, and does nothing once nobody cares.
struct Watched {
    function: Box<dyn Function>,
    stage: String,
    halt: Arc<AtomicBool>,
    handover: Arc<Handover>,
}

impl Function for Watched {
    fn open_at_once(&mut self, units: u32) {
        self.function.open_at_once(units);
    }

    fn set_up(&mut self) -> Result<(), Failure> {
        self.function.set_up().inspect_err(|failure| {
            let problem = failure.text().to_owned();
            self.handover.break_off(ResultError::SetUp { stage: self.stage.clone(), problem });
        })
    }

    fn define(&mut self, id: u64, code: Option<&[u8]>) -> Result<(), Failure> {
        self.function.define(id, code)
    }

    fn call(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        if self.halt.load(Ordering::Relaxed) {
            return Err(Failure::new(STOPPED_TEXT));
        }
        self.function.call(unit, input, out)
    }

    fn call_all(&mut self, batch: &mut Batch<'_>, out: &mut Outputs, outcomes: &mut Outcomes) {
        if !self.halt.load(Ordering::Relaxed) {
            return self.function.call_all(batch, out, outcomes);
        }
        while batch.next_unit().is_some() {
            outcomes.push_failed(Failure::new(STOPPED_TEXT));
        }
    }

    fn together(&self) -> Duration {
        self.function.together()
    }

    fn concurrent(&mut self) -> Option<&mut dyn Concurrent> {
        self.function.concurrent()
    }

    fn tear_down(&mut self) {
        self.function.tear_down();
    }
}

fn at(name: &str) -> Endpoint {
    // A context's in-process endpoints are its own, so every pipeline can use the same ones.
    Endpoint::Inproc(name.to_owned())
}

fn listening<R: Send + 'static>(
    context: &SharedContext,
    name: &str,
    limits: &Limits,
) -> Result<Driver<R>, NetError> {
    let mut driver = Driver::new(context, None, limits)?;
    driver.bind(&at(name))?;
    Ok(driver)
}
