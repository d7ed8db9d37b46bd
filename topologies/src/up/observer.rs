//! The one who watches: dials the ventilator and the sink, and passes on what they report.
//!
//! Owns the reports' way from the sockets to a channel; refuses to show or judge them, and takes
//! no part in the run.

use std::{io, thread};

use proto::{
    frame::{Frame, HelloRole, Report, RunId},
    limits::Limits,
    net::{
        driver::{Driver, Handle},
        endpoint::Endpoint,
        hello::hello,
        zeromq::{NetError, SharedContext},
    },
    role::{Effect, Event, LinkId, Role, Turn},
    rules::mesh::{Mesh, MeshEvent},
    time::Time,
};
use thiserror::Error;

/// Who reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporter {
    /// What is read, and how many workers there are.
    Ventilator,
    /// What is committed, and at the end how the run went.
    Sink,
}

/// Where those who report are, and where they answer.
#[derive(Debug, Clone)]
pub struct Lookout {
    /// The ventilator's inbox.
    pub ventilator: Endpoint,
    /// The sink's inbox.
    pub sink: Endpoint,
    /// The observer's own.
    pub own: Endpoint,
    /// The limits of the run.
    pub limits: Limits,
}

/// Why nobody watches.
#[derive(Debug, Error)]
pub enum ObserverError {
    /// The sockets can't be set up.
    #[error(transparent)]
    Net(#[from] NetError),
    /// No thread or random number could be had.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The observer's part in a pipeline.
struct Observer<F> {
    mesh: Mesh,
    ventilator: LinkId,
    sink: LinkId,
    tell: F,
    left: bool,
}

/// Watches on a thread of its own until the handle drains it; `tell` is given every report.
///
/// # Errors
/// [`ObserverError`] when it cannot start.
pub fn start(
    lookout: &Lookout,
    tell: impl FnMut(Reporter, Report) + Send + 'static,
) -> Result<Handle<()>, ObserverError> {
    let mut driver = Driver::new(&SharedContext::new(), None, &lookout.limits)?;
    driver.bind(&lookout.own)?;
    let handle = driver.handle();
    let me = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let (observer, first) = Observer::new(me, lookout, tell);
    thread::Builder::new().name("observer".into()).spawn(move || {
        if let Err(error) = driver.run(observer, first, |()| None) {
            tracing::warn!(%error, "progress can no longer be shown");
        }
    })?;
    Ok(handle)
}

impl<F: FnMut(Reporter, Report)> Observer<F> {
    fn new(me: u64, lookout: &Lookout, tell: F) -> (Self, Vec<Effect<()>>) {
        let hello = hello(HelloRole::Observer, "up");
        let mut mesh = Mesh::new(me, hello, &lookout.limits);
        let mut out = Vec::new();
        let ventilator = mesh.dial(vec![lookout.ventilator.to_string()], None, &mut out);
        let sink = mesh.dial(vec![lookout.sink.to_string()], None, &mut out);
        (Self { mesh, ventilator, sink, tell, left: false }, out)
    }

    fn hear(&mut self, link: LinkId, report: Report) {
        let reporter = if link == self.sink { Reporter::Sink } else { Reporter::Ventilator };
        (self.tell)(reporter, report);
    }

    /// What is said without the run's number is heard by nobody who knows it, heartbeats included.
    fn join(&mut self, run: RunId) {
        // A ventilator that has not met the sink does not know it yet.
        if run != 0 {
            self.mesh.join(run);
        }
    }

    fn leave(&mut self, out: &mut Vec<Effect<()>>) {
        self.left = true;
        for link in [self.ventilator, self.sink] {
            self.mesh.send(link, Frame::Bye, out);
        }
        out.push(Effect::Exit(0));
    }
}

impl<F: FnMut(Reporter, Report)> Role for Observer<F> {
    type Request = ();
    type Reply = ();

    fn handle(&mut self, now: Time, event: Event<()>, out: &mut Vec<Effect<()>>) {
        if self.left {
            return;
        }
        if let Some(Event::Drain) = self.mesh.handle(&mut Turn::new(now, out), event) {
            return self.leave(out);
        }
        while let Some(event) = self.mesh.poll() {
            match event {
                MeshEvent::Opened { run, .. } => self.join(run),
                MeshEvent::Frame { link, frame: Frame::Report(report) } => self.hear(link, *report),
                _ => {}
            }
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.mesh.deadline()
    }
}
