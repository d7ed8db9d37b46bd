//! The one who watches: dials the ventilator and the sink, and passes on what they report.
//!
//! Owns the reports' way from the sockets to a channel, and that a ventilator knows whether it may
//! send units, also one that has taken another's place; refuses to show or judge anything, and takes
//! no part in the run.

use std::{io, thread};

use proto::{
    frame::{Frame, HelloRole, Pause, Report, RunId},
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

use super::supervise::Hold;

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
    /// By what the ventilator knows who may have it pause.
    pub pass: u64,
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
    pass: u64,
    hold: Hold,
    left: bool,
}

/// Watches on a thread of its own until the handle drains it; `tell` is given every report.
///
/// # Errors
/// [`ObserverError`] when it cannot start.
pub fn start(
    lookout: &Lookout,
    tell: impl FnMut(Reporter, Report) + Send + 'static,
) -> Result<Handle<Hold>, ObserverError> {
    let mut driver = Driver::new(&SharedContext::new(), None, &lookout.limits)?;
    driver.bind(&lookout.own)?;
    let handle = driver.handle();
    let me = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let (observer, first) = Observer::new(me, lookout, tell);
    thread::Builder::new().name("observer".into()).spawn(move || {
        if let Err(error) = driver.run(observer, first, |()| None::<Hold>) {
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
        let (pass, hold) = (lookout.pass, Hold::Off);
        (Self { mesh, ventilator, sink, tell, pass, hold, left: false }, out)
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

    /// The ventilator may send units, or not.
    fn hold(&mut self, hold: Hold, out: &mut Vec<Effect<()>>) {
        self.hold = hold;
        let pause = Pause { pass: self.pass, on: hold == Hold::On };
        self.mesh.send(self.ventilator, Frame::Pause(pause), out);
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
    type Reply = Hold;

    fn handle(&mut self, now: Time, event: Event<Hold>, out: &mut Vec<Effect<()>>) {
        if self.left {
            return;
        }
        match self.mesh.handle(&mut Turn::new(now, out), event) {
            Some(Event::Drain) => return self.leave(out),
            Some(Event::Reply(hold)) => self.hold(hold, out),
            _ => {}
        }
        while let Some(event) = self.mesh.poll() {
            if let MeshEvent::Opened { run, .. } = event {
                self.join(run);
            }
            match event {
                MeshEvent::Frame { link, frame: Frame::Report(report) } => self.hear(link, *report),
                // It may be another one, which knows of no pause.
                MeshEvent::Opened { link, .. }
                    if link == self.ventilator && self.hold == Hold::On =>
                {
                    self.hold(Hold::On, out);
                }
                _ => {}
            }
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.mesh.deadline()
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        frame::{Envelope, VERSION, Welcome},
        role::LinkId,
    };

    use super::*;

    const RUN: RunId = 7;

    struct Script {
        observer: Observer<fn(Reporter, Report)>,
    }

    impl Script {
        fn new() -> Self {
            let at = |name: &str| Endpoint::Ipc(name.into());
            let lookout = Lookout {
                ventilator: at("/v"),
                sink: at("/s"),
                own: at("/up"),
                pass: 5,
                limits: Limits::default(),
            };
            let tell: fn(Reporter, Report) = |_, _| {};
            Self { observer: Observer::new(1, &lookout, tell).0 }
        }

        /// What is said when something happens: on which link, in which run, and what.
        fn says(&mut self, event: Event<Hold>) -> Vec<(LinkId, Envelope)> {
            let mut out = Vec::new();
            self.observer.handle(Time::from_ms(10), event, &mut out);
            let said = out.into_iter().filter_map(|effect| match effect {
                Effect::Send { link, envelope } => Some((link, envelope)),
                _ => None,
            });
            said.collect()
        }

        /// Meets the process at the end of a link; what is said then.
        fn meets(&mut self, link: LinkId, run: RunId) -> Vec<(LinkId, Envelope)> {
            let up = self.says(Event::LaneUp { link, inbox: vec!["ipc:///up".into()] });
            let session = up.first().expect("it says Hello").1.session;
            let frame = Frame::Welcome(Box::new(Welcome::Peer));
            let (version, from) = (VERSION, 100 + u64::from(link));
            self.says(Event::Frame(Envelope { version, run, from, session, seq: 0, frame }))
        }
    }

    fn pauses(said: &[(LinkId, Envelope)]) -> Vec<(RunId, Pause)> {
        let pause = |(_, envelope): &(LinkId, Envelope)| match envelope.frame {
            Frame::Pause(pause) => Some((envelope.run, pause)),
            _ => None,
        };
        said.iter().filter_map(pause).collect()
    }

    /// Progress stood still for five seconds of ten: heartbeats without the run's number were heard
    /// by nobody, so that ventilator and sink gave the observer up.
    #[test]
    fn an_observer_speaks_as_part_of_the_run_that_it_watches() {
        let mut script = Script::new();
        let (ventilator, sink) = (script.observer.ventilator, script.observer.sink);
        script.meets(ventilator, 0);
        script.meets(sink, RUN);
        let said = script.says(Event::Reply(Hold::On));
        assert_eq!(pauses(&said), [(RUN, Pause { pass: 5, on: true })]);
    }

    #[test]
    fn a_ventilator_that_takes_anothers_place_is_told_of_the_pause() {
        let mut script = Script::new();
        let ventilator = script.observer.ventilator;
        assert_eq!(pauses(&script.meets(ventilator, RUN)), []);
        script.says(Event::Reply(Hold::On));
        script.says(Event::LaneDown { link: ventilator });
        assert_eq!(pauses(&script.meets(ventilator, RUN)).len(), 1);
        script.says(Event::Reply(Hold::Off));
        script.says(Event::LaneDown { link: ventilator });
        assert_eq!(pauses(&script.meets(ventilator, RUN)), []);
    }
}
