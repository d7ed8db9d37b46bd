//! The processes of a simulated pipeline: which there are, and how each one starts.
//!
//! Owns the joining of roles with their models; refuses to know when a start happens.

use std::{cell::RefCell, rc::Rc, time::Duration};

use client::core::Client;
use proto::{
    frame::{Envelope, Frame, Hello, HelloRole, PeerId},
    plan::Stage,
    ranges::RangeSet,
};
use sink::core::{Sink, reach};
use ventilator::core::{Config, Ventilator};
use worker::core::WorkerRole;

use super::{
    actor::{Actor, Happening, Joined},
    bounds::{self, Load},
    clock::Moment,
    deltas::{DoublesDeltas, LosesDeltas},
    doom::Doom,
    faults::FaultPlan,
    forger::Forger,
    forgetful::Forgetful,
    model::{Crew, Disk, Executor, Recorder, Source},
    mutation::Mutation,
    scenario::Scenario,
    service::{Counter, Premises, Program, Spool},
};

pub(super) use super::places::{Duty, SINK, VENTILATOR, WORKERS};

/// What a process is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Not started, or dead.
    Down,
    /// Started.
    Up,
    /// It has left by itself, with this exit code.
    Left(i32),
}

/// One process over all its starts.
pub(super) struct Process {
    /// As people call it.
    pub name: String,
    pub duty: Duty,
    pub life: Life,
    /// Counts its starts, from 1.
    pub start: u32,
    pub started: Moment,
    /// Since when it is stopped.
    pub stopped: Option<Moment>,
    /// What has happened while it was stopped.
    pub waiting: Vec<Happening>,
    /// Whether a ventilator has told it what to be.
    pub joined: bool,
    /// Whether it was asked to leave.
    pub leaving: bool,
    /// What it kept last.
    pub load: Load,
    /// Its inside, while it is up.
    pub actor: Option<Box<dyn Actor>>,
    /// Tells the wake-up that counts from those that it had wanted before.
    pub wake: u64,
    /// How often in a row it wanted to be woken at once, for nothing.
    pub spins: u32,
}

impl Process {
    /// One that is not started.
    pub fn new(name: String, duty: Duty) -> Self {
        Self {
            name,
            duty,
            life: Life::Down,
            start: 0,
            started: Moment::default(),
            stopped: None,
            waiting: Vec::new(),
            joined: false,
            leaving: false,
            load: Load::default(),
            actor: None,
            wake: 0,
            spins: 0,
        }
    }

    /// All processes of a pipeline, in the order of their numbers.
    pub fn all(scenario: &Scenario) -> Vec<Self> {
        let mut all = vec![
            Self::new("ventilator".into(), Duty::Ventilator),
            Self::new("sink".into(), Duty::Sink),
        ];
        for (index, stage) in scenario.stages.iter().enumerate() {
            let name = &stage.stage.name;
            let worker = |n| Self::new(format!("{name}-{n}"), Duty::Worker(index));
            all.extend((0..stage.workers.max(1)).map(worker));
        }
        let clients = scenario.service.as_ref().map_or(0, |service| service.clients);
        let client = |n| Self::new(format!("client-{n}"), Duty::Client(n as usize));
        all.extend((0..clients).map(client));
        all
    }

    /// Whether it is part of the run, and does not only use it.
    pub fn is_part(&self) -> bool {
        !matches!(self.duty, Duty::Client(_))
    }

    /// Whether it is a worker.
    pub fn is_worker(&self) -> bool {
        matches!(self.duty, Duty::Worker(_))
    }

    /// Whether it can act at this moment.
    pub fn acts(&self) -> bool {
        self.life == Life::Up && self.stopped.is_none()
    }
}

/// Where a process listens.
pub(super) fn endpoint(process: usize, start: u32, same: bool) -> String {
    match process {
        VENTILATOR | SINK => format!("sim://{process}"),
        _ if same => format!("sim://{process}"),
        _ => format!("sim://{process}/{start}"),
    }
}

/// What every start needs to know.
pub(super) struct Surroundings<'a> {
    pub scenario: &'a Scenario,
    pub plan: &'a FaultPlan,
    pub disk: Rc<RefCell<Disk>>,
    /// Of a service.
    pub premises: Option<Rc<Premises>>,
    pub now: Moment,
    /// How this start ends, if not otherwise.
    pub doom: Option<Doom>,
}

impl Surroundings<'_> {
    /// A new start of a process, with nothing in its memory.
    pub fn start(&self, process: &Process, me: PeerId) -> Box<dyn Actor> {
        match (process.duty, &self.premises) {
            (Duty::Worker(stage), _) => self.worker(process, stage, me),
            (Duty::Sink, _) => self.sink(process, me),
            (Duty::Client(index), Some(premises)) => self.client(process, (index, me), premises),
            (Duty::Ventilator | Duty::Client(_), _) => self.ventilator(process, me),
        }
    }

    fn hello(&self, process: &Process, role: HelloRole) -> Hello {
        let (name, host) = (process.name.clone(), "sim".into());
        Hello { role, name, endpoints: Vec::new(), host, pid: process.start }
    }

    fn stages(&self) -> Vec<Stage> {
        self.scenario.stages.iter().map(|stage| stage.stage.clone()).collect()
    }

    fn ventilator(&self, process: &Process, me: PeerId) -> Box<dyn Actor> {
        let mut stages = self.stages();
        if self.scenario.mutation == Some(Mutation::BlamedTooSoon) {
            stages.iter_mut().for_each(|stage| stage.crash_limit = 1);
        }
        let names = stages.iter().map(|stage| stage.name.clone()).collect();
        let role = HelloRole::Ventilator { plan: "plan".into(), run: 0, stages: names };
        let config = Config {
            stages,
            limits: self.scenario.limits.clone(),
            sink: vec![endpoint(SINK, 0, true)],
            digest: "plan".into(),
            carries_input: false,
        };
        let (mut role, effects) = Ventilator::new(me, self.hello(process, role), config);
        let (load, doom) = (bounds::ventilator, self.doom);
        let (knows, forger) = (knows_of_ventilator, self.forger());
        if let Some(premises) = &self.premises {
            role.serve_clients(premises.service.queue_units_max);
            let helper = Spool::new(premises.clone(), self.plan, self.now);
            return Box::new(Joined {
                role,
                helper,
                effects,
                load,
                knows,
                forger,
                deaf: None,
                doom,
            });
        }
        let waits_until =
            if self.plan.source_waits { self.plan.quiet_at } else { Moment::default() };
        let read_max = self.plan.read_max.max(Duration::from_micros(1));
        let helper = Source::new(self.scenario.units, read_max, waits_until);
        Box::new(Joined { role, helper, effects, load, knows, forger, deaf: None, doom })
    }

    /// What plays the bug of this run where it concerns all who are told what is committed.
    fn forger(&self) -> Option<Box<dyn Forger>> {
        match self.scenario.mutation? {
            Mutation::DeltaLost => Some(Box::<LosesDeltas>::default()),
            Mutation::DeltaTwice => Some(Box::<DoublesDeltas>::default()),
            _ => None,
        }
    }

    fn sink(&self, process: &Process, me: PeerId) -> Box<dyn Actor> {
        let mutation = self.scenario.mutation;
        let standing = self.disk.borrow_mut().standing(mutation);
        let hello = self.hello(process, HelloRole::Observer);
        let (mut role, effects) = Sink::new(me, hello, self.scenario.limits.clone(), standing);
        let mut helper = Recorder::new(self.disk.clone(), self.plan, mutation);
        if let Some(premises) = &self.premises {
            role.serve_clients(premises.service.queue_units_max);
            let counter = Counter::new(premises.clone(), self.disk.clone(), self.now);
            helper.serve_clients(counter);
        }
        let (load, doom) = (bounds::sink, self.doom);
        let deaf =
            (mutation == Some(Mutation::DroppedAsTaken)).then_some(pass_over as fn(&_, &mut _));
        let (knows, forger) = (knows_of_sink, None);
        Box::new(Joined { role, helper, effects, load, knows, forger, deaf, doom })
    }

    fn client(
        &self,
        process: &Process,
        (index, me): (usize, PeerId),
        premises: &Rc<Premises>,
    ) -> Box<dyn Actor> {
        let (client, cancels) = premises.introduces_itself(index);
        let hello = self.hello(process, HelloRole::Client { client, cancels });
        let ventilator = endpoint(VENTILATOR, 0, true);
        let (role, effects) = Client::new(me, hello, vec![ventilator.clone()]);
        let world = (self.disk.clone(), self.scenario.shapes());
        let helper = Program::new(premises.clone(), world, (index, me), ventilator);
        let (load, knows) = (load_of_client, knows_of_client);
        let (forger, deaf, doom) = (None, None, self.doom);
        Box::new(Joined { role, helper, effects, load, knows, forger, deaf, doom })
    }

    fn worker(&self, process: &Process, stage: usize, me: PeerId) -> Box<dyn Actor> {
        let shape = &self.scenario.stages[stage];
        let asked = Some(shape.stage.name.clone());
        let hello = self.hello(process, HelloRole::Worker { stage: asked, own: true });
        let ventilator = vec![endpoint(VENTILATOR, 0, true)];
        let (role, effects) = WorkerRole::new(me, hello, ventilator);
        let (index, retries) = (stage as u32, shape.stage.retries);
        let forgets = self.scenario.mutation == Some(Mutation::ForgetOnCredit);
        let forgetful = forgets.then(|| Box::<Forgetful>::default() as Box<dyn Forger>);
        let (load, doom) = (bounds::worker, self.doom);
        let (knows, forger) = (WorkerRole::committed, forgetful.or_else(|| self.forger()));
        match shape.stage.concurrency.filter(|open| *open > 1) {
            Some(open) => {
                let helper = Crew::new(index, retries, shape.shape, open)
                    .with_mutation(self.scenario.mutation);
                Box::new(Joined { role, helper, effects, load, knows, forger, deaf: None, doom })
            }
            None => {
                let is_last = stage + 1 == self.scenario.stages.len();
                let streams = is_last && self.scenario.service.is_some();
                let helper = Executor::new(index, retries, shape.shape, streams);
                Box::new(Joined { role, helper, effects, load, knows, forger, deaf: None, doom })
            }
        }
    }
}

fn knows_of_ventilator(role: &Ventilator) -> Option<&RangeSet> {
    Some(role.committed())
}

/// It keeps what its program has submitted, as much as that likes.
fn load_of_client(_: &Client) -> Load {
    Load::default()
}

fn knows_of_client(_: &Client) -> Option<&RangeSet> {
    None
}

fn knows_of_sink(role: &Sink) -> Option<&RangeSet> {
    Some(role.committed())
}

/// The sink has not heard what it would have to say no to.
fn pass_over(sink: &Sink, envelope: &mut Envelope) {
    if matches!(&envelope.frame, Frame::Results(results) if reach(results) > sink.takes_below()) {
        envelope.frame = Frame::Beat;
    }
}
