//! A worker joined to its sockets and its executor.

use std::{
    io,
    path::PathBuf,
    thread::{self, JoinHandle},
    time::Duration,
};

use proto::{
    diary::{self, Diary},
    frame::HelloRole,
    limits::{FRAME_BYTES_CEILING, Limits},
    net::{
        driver::{Driver, DriverError, Handle, Performed},
        endpoint::Endpoint,
        hello::hello,
        key::Key,
        zeromq::{NetError, SharedContext},
    },
    role::Effect,
};
use thiserror::Error;
use tracing::warn;

use crate::{
    core::{Reply, Request, WorkerRole},
    executor::{Code, Executor, Own, Workbench},
    external::Succession,
};

/// Everything that a worker has to know; the rest comes with the plan.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Its name.
    pub name: String,
    /// Where the ventilator listens.
    pub ventilator: Endpoint,
    /// Where it listens itself; where its peers' transport needs it, if empty.
    pub bind: Vec<Endpoint>,
    /// What it tells others instead, if not empty.
    pub advertise: Vec<String>,
    /// The stage that it asks for; the first if none.
    pub stage: Option<String>,
    /// Whether it starts programs that the plan names.
    pub code: Code,
    /// It leaves when no ventilator has answered for so long; never if none.
    pub give_up_after: Option<Duration>,
    /// It takes the place of a worker that had met the ventilator, and nobody else ends it when the
    /// run is over.
    pub inherits: bool,
    /// When it is asked to leave it waits no longer than that for units that are worked on; as the
    /// worker finds right if none.
    pub grace: Option<Duration>,
    /// How many units it has open at once, whatever the plan says.
    pub concurrency: Option<u32>,
    /// Where it notes what becomes of units that it sends to the workers of the next stage, if
    /// somebody is to read that.
    pub diary: Option<PathBuf>,
}

/// Why a worker could not run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The sockets can't be set up.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The sockets failed on the way.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// No thread, folder or random number could be had.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

/// A worker whose sockets listen, and that has not begun.
pub struct Prepared {
    driver: Driver<Reply>,
    role: WorkerRole,
    first: Vec<Effect<Request>>,
    own: Own,
    code: Code,
    diary: Journal,
}

/// A diary that is there from the first note on: of the run directory it is known then that it is one.
enum Journal {
    Unopened(PathBuf),
    Open(Diary),
    /// There is none, or it can't be had: that is no reason to stop a run.
    Closed,
}

impl Journal {
    fn note(&mut self, event: diary::Event) {
        if let Self::Unopened(path) = self {
            *self = match Diary::open(path) {
                Ok(diary) => Self::Open(diary),
                Err(error) => {
                    warn!(%error, path = %path.display(), "there is no diary of what is sent on");
                    Self::Closed
                }
            };
        }
        if let Self::Open(diary) = self {
            diary.note(event);
        }
    }
}

/// Has the executor, or the diary, do what the worker asks for.
fn performer(
    executor: Executor,
    mut diary: Journal,
) -> impl FnMut(Request) -> Performed<Reply> + Send {
    move |request| match request {
        Request::Note(event) => {
            diary.note(event);
            Performed::Underway
        }
        request => executor.perform(request),
    }
}

impl Prepared {
    /// Has the sockets listen. `own` is the function that the worker brings, and who makes those of its host's
    /// language; without one it does what the plan says.
    ///
    /// # Errors
    /// [`RunError`] when it cannot start.
    pub fn new(
        setup: &Setup,
        own: Own,
        context: &SharedContext,
        key: Option<Key>,
    ) -> Result<Self, RunError> {
        // The run's own limit comes with the plan, to a socket that listens already.
        let listening = Limits { frame_bytes_max: FRAME_BYTES_CEILING, ..Limits::default() };
        let mut driver = Driver::new(context, key, &listening)?;
        for endpoint in &setup.bind {
            driver.bind(endpoint)?;
        }
        driver.advertise(setup.advertise.clone());
        let role = HelloRole::Worker { stage: setup.stage.clone(), own: own.function.is_some() };
        let hello = hello(role, &setup.name);
        let own = Own { concurrency: setup.concurrency, ..own };
        let me = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let (mut role, first) = WorkerRole::new(me, hello, vec![setup.ventilator.to_string()]);
        if let Some(patience) = setup.give_up_after {
            role.give_up_after(patience);
        }
        if setup.inherits {
            role.inherit();
        }
        if let Some(grace) = setup.grace {
            role.grace(grace);
        }
        let diary = match &setup.diary {
            Some(path) => {
                role.keep_diary();
                Journal::Unopened(path.clone())
            }
            None => Journal::Closed,
        };
        Ok(Self { driver, role, first, own, code: setup.code, diary })
    }

    /// Has it give its place to a worker in Python where there is one for its stage: word of that
    /// worker is left in `succession`, and the run's code is
    /// [`REPLACED`](crate::core::exit::REPLACED) then.
    #[must_use]
    pub fn replaceable(mut self, succession: Succession) -> Self {
        self.own.succession = Some(succession);
        self
    }

    /// What makes it leave.
    pub fn handle(&self) -> Handle<Reply> {
        self.driver.handle()
    }

    /// Runs the worker to its end; its exit code. The function has a thread of its own.
    ///
    /// # Errors
    /// [`RunError`] when no thread can be made or the sockets fail.
    pub fn run(self) -> Result<i32, RunError> {
        let Self { driver, role, first, own, code, diary } = self;
        let executor = Executor::start(own, code, driver.handle())?;
        Ok(driver.run(role, first, performer(executor, diary))?)
    }

    /// Runs the worker on a thread of its own, and leaves this one for the function. The exit code
    /// comes from the handle, once [`Workbench::turn`] has said that there is no more.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn run_apart(self) -> io::Result<(Workbench, JoinHandle<Result<i32, RunError>>)> {
        let Self { driver, role, first, own, code, diary } = self;
        let (executor, workbench) = Executor::apart(own, code, driver.handle());
        let thread = thread::Builder::new()
            .name("worker".into())
            .spawn(move || Ok(driver.run(role, first, performer(executor, diary))?))?;
        Ok((workbench, thread))
    }
}
