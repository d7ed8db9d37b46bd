//! A role joined to models of what it asks for, as the driver joins it to threads and sockets.
//!
//! Owns the order in which a role's effects are carried out, the same as the driver's; refuses
//! to know the network, which gets deeds to do and answers with happenings.

use std::time::Duration;

use fastrand::Rng;
use proto::{
    frame::Envelope,
    ranges::RangeSet,
    role::{Effect, Event, LinkId, Role},
    time::Time,
    unit::UnitId,
};

use super::{
    bounds::Load,
    clock::Moment,
    doom::{Doom, Fate, Job},
    forger::Forger,
};

/// What happens to a process.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    /// A lane has reached its peer.
    LaneUp { link: LinkId, inbox: String },
    /// A lane has lost its peer.
    LaneDown { link: LinkId },
    /// Bytes have arrived.
    Frame(Vec<u8>),
    /// Time for a helper to go on.
    Timer(u64),
    /// Someone wants it to leave.
    Drain,
    /// It was stopped for this long.
    Asleep(Duration),
    /// Time has passed.
    Tick,
}

/// What a process does to the world.
#[derive(Debug)]
pub(super) enum Deed {
    /// Makes a lane.
    Open { link: LinkId, endpoint: Option<String> },
    /// Closes it.
    Close { link: LinkId },
    /// Sends a frame on it.
    Send { link: LinkId, envelope: Envelope },
    /// Wants [`Happening::Timer`] after a while.
    Timer { after: Duration, token: u64 },
    /// Has been told what to be.
    Joined,
    /// Has begun to work on a unit of the source.
    Began(UnitId),
    /// Leaves.
    Exit(i32),
    /// Is killed by its own function.
    Die,
    /// Dies in the middle of what it asked for.
    Crash(Fate),
    /// Breaks a promise, in the sight of a model.
    Violation(String),
}

/// What a model may use: the time, chance, and the way to the world.
pub(super) struct Context<'a> {
    pub now: Moment,
    pub rng: &'a mut Rng,
    pub deeds: &'a mut Vec<Deed>,
}

impl Context<'_> {
    /// Whether the process has died or left.
    pub fn is_dead(&self) -> bool {
        self.deeds.iter().any(|deed| matches!(deed, Deed::Exit(_) | Deed::Die | Deed::Crash(_)))
    }

    /// Wants to go on with `token` after a while.
    pub fn later(&mut self, after: Duration, token: u64) {
        self.deeds.push(Deed::Timer { after, token });
    }
}

/// A model of what a role asks for.
pub(super) trait Helper {
    type Request;
    type Reply;

    /// What is asked for.
    fn job(request: &Self::Request) -> Job;

    /// Does what is asked; what is answered at once. With a fate it is the last request: it is done
    /// as far as that says, and never answered; then the process dies.
    fn ask(
        &mut self,
        request: Self::Request,
        fate: Option<Fate>,
        context: &mut Context<'_>,
    ) -> Option<Self::Reply>;

    /// Goes on with what it wanted to; what is answered then.
    fn go_on(&mut self, token: u64, context: &mut Context<'_>) -> Option<Self::Reply>;
}

/// A process's inside, whichever role it has.
pub(super) trait Actor {
    /// Carries out what a role wants before anything happens.
    fn begin(&mut self, context: &mut Context<'_>);

    /// Something happens at `time` of the process.
    fn happen(&mut self, time: Time, happening: Happening, context: &mut Context<'_>);

    /// When it wants a tick.
    fn deadline(&self) -> Option<Time>;

    /// What it keeps.
    fn load(&self) -> Load;

    /// What it knows to be committed, if it is part of a run.
    fn knows(&self) -> Option<&RangeSet>;
}

/// A role with its helper.
pub(super) struct Joined<P: Role, H> {
    pub role: P,
    pub helper: H,
    pub effects: Vec<Effect<P::Request>>,
    pub load: fn(&P) -> Load,
    pub knows: fn(&P) -> Option<&RangeSet>,
    pub forger: Option<Box<dyn Forger>>,
    /// Passes over what it should not.
    pub deaf: Option<fn(&P, &mut Envelope)>,
    pub doom: Option<Doom>,
}

impl<P, H> Joined<P, H>
where
    P: Role,
    H: Helper<Request = P::Request, Reply = P::Reply>,
{
    fn carry_out(&mut self, time: Time, context: &mut Context<'_>) {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    Effect::Open { link, endpoints, .. } => {
                        let endpoint = endpoints.into_iter().next();
                        context.deeds.push(Deed::Open { link, endpoint });
                    }
                    Effect::Close { link } => context.deeds.push(Deed::Close { link }),
                    Effect::Send { link, envelope } => {
                        if let Some(forger) = &mut self.forger {
                            forger.sends(&envelope);
                        }
                        context.deeds.push(Deed::Send { link, envelope });
                    }
                    Effect::Request(request) => {
                        let fate = self.doom.as_mut().and_then(|doom| doom.meets(H::job(&request)));
                        if let Some(reply) = self.helper.ask(request, fate, context) {
                            self.role.handle(time, Event::Reply(reply), &mut self.effects);
                        }
                        if context.is_dead() {
                            self.effects.clear();
                            return;
                        }
                    }
                    Effect::Exit(code) => {
                        context.deeds.push(Deed::Exit(code));
                        self.effects.clear();
                        return;
                    }
                }
            }
        }
    }

    fn event(
        &mut self,
        happening: Happening,
        context: &mut Context<'_>,
    ) -> Option<Event<P::Reply>> {
        Some(match happening {
            Happening::LaneUp { link, inbox } => Event::LaneUp { link, inbox: vec![inbox] },
            Happening::LaneDown { link } => Event::LaneDown { link },
            Happening::Frame(bytes) => match Envelope::decode(bytes) {
                Ok(mut envelope) => {
                    if let Some(forger) = &mut self.forger {
                        forger.hears(&mut envelope);
                    }
                    if let Some(deaf) = self.deaf {
                        deaf(&self.role, &mut envelope);
                    }
                    Event::Frame(envelope)
                }
                Err(error) => {
                    context.deeds.push(Deed::Violation(format!("cannot be decoded: {error}")));
                    return None;
                }
            },
            Happening::Timer(token) => Event::Reply(self.helper.go_on(token, context)?),
            Happening::Drain => Event::Drain,
            Happening::Asleep(gap) => Event::Asleep(gap),
            Happening::Tick => Event::Tick,
        })
    }
}

impl<P, H> Actor for Joined<P, H>
where
    P: Role,
    H: Helper<Request = P::Request, Reply = P::Reply>,
{
    fn begin(&mut self, context: &mut Context<'_>) {
        self.carry_out(Time::default(), context);
    }

    fn happen(&mut self, time: Time, happening: Happening, context: &mut Context<'_>) {
        if let Some(event) = self.event(happening, context) {
            self.role.handle(time, event, &mut self.effects);
            self.carry_out(time, context);
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.role.deadline()
    }

    fn load(&self) -> Load {
        (self.load)(&self.role)
    }

    fn knows(&self) -> Option<&RangeSet> {
        (self.knows)(&self.role)
    }
}
