//! What joins a role to the world: events in, effects out.
//!
//! Owns the shape; refuses to perform anything. The driver performs effects with sockets and
//! threads, a simulation with a seeded network; the role cannot tell them apart.

use crate::{frame::Envelope, time::Time, turned_away::Unwanted};

/// A lane and the conversation on it, as this process numbers them.
pub type LinkId = u32;

/// What happened.
#[derive(Debug)]
pub enum Event<R> {
    /// A lane has reached its peer's inbox. `inbox` is where that peer can reach this process.
    LaneUp {
        /// Which lane.
        link: LinkId,
        /// The endpoints of this process's inbox that are of use to that peer.
        inbox: Vec<String>,
    },
    /// A lane has lost its peer; what was in it may be lost. It goes on trying to connect.
    LaneDown {
        /// Which lane.
        link: LinkId,
    },
    /// A frame has arrived.
    Frame(Envelope),
    /// What the role asked for is done.
    Reply(R),
    /// Someone wants the process to end after what it has begun.
    Drain,
    /// Nothing but the passing of time.
    Tick,
    /// Something came that no role shall see.
    Unwanted {
        /// Why not.
        what: Unwanted,
        /// How many since it was last told.
        count: u64,
    },
    /// The process was stopped for this long and could hear nobody.
    Asleep(std::time::Duration),
}

/// What shall be done.
#[derive(Debug)]
pub enum Effect<Q> {
    /// Open a lane to an inbox that listens at one of these endpoints.
    Open {
        /// The role's number for it.
        link: LinkId,
        /// Where the peer listens, best first.
        endpoints: Vec<String>,
        /// The peer's machine, when known.
        host: Option<String>,
    },
    /// Close a lane; nothing more is sent on it.
    Close {
        /// Which lane.
        link: LinkId,
    },
    /// Send a frame; if the lane is down it is dropped, and `LaneDown` tells.
    Send {
        /// Which lane.
        link: LinkId,
        /// What to send.
        envelope: Envelope,
    },
    /// Something that only this kind of role needs.
    Request(Q),
    /// Leave with this exit code.
    Exit(i32),
}

/// The handling of one event: when it happened, and what follows from it so far.
///
/// `T` is what follows: an [`Effect`] for a role, something of its own for a rule below one. All
/// that one event leads to happens at one time, so both are handed on together.
#[derive(Debug)]
pub struct Turn<'a, T> {
    /// The time of the event.
    pub now: Time,
    /// What follows from it, in the order in which it is to be done.
    pub out: &'a mut Vec<T>,
}

impl<'a, T> Turn<'a, T> {
    /// A turn that appends what follows to `out`.
    pub fn new(now: Time, out: &'a mut Vec<T>) -> Self {
        Self { now, out }
    }
}

impl<Q> Turn<'_, Effect<Q>> {
    /// Asks for something that only this kind of role needs.
    pub fn request(&mut self, request: Q) {
        self.out.push(Effect::Request(request));
    }

    /// Leaves with this exit code.
    pub fn exit(&mut self, code: i32) {
        self.out.push(Effect::Exit(code));
    }
}

/// One process's part in the pipeline, without sockets, threads, clocks or chance.
pub trait Role {
    /// What it asks of the outside beyond sockets.
    type Request;
    /// What comes back.
    type Reply;

    /// Takes one event, appends what follows from it.
    fn handle(
        &mut self,
        now: Time,
        event: Event<Self::Reply>,
        effects: &mut Vec<Effect<Self::Request>>,
    );

    /// When it wants a [`Event::Tick`] if nothing happens before.
    fn deadline(&self) -> Option<Time>;
}
