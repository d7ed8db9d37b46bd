//! One conversation with one peer.
//!
//! Owns its state, and what each side of it has to know; refuses to change itself: that is the
//! mesh's.

use std::time::Duration;

use crate::{
    frame::{Credit, Hello, PeerId},
    time::Time,
};

/// How far a conversation is.
///
/// ```text
///   dialled:       Dialing ──lane up──► Greeting ──Welcome──► Open ──lost──► Dialing
///   asked:         Knocked ──lane up──► Deciding ──welcome──► Open ──lost──► (gone)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Dialled; the lane has not reached the inbox yet.
    Dialing,
    /// Dialled; Hello is said.
    Greeting,
    /// Asked by a peer; the lane back has not reached its inbox yet.
    Knocked,
    /// Asked by a peer; the role has not answered yet.
    Deciding,
    /// Both sides may send.
    Open,
}

/// What is thought of a peer that is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// It is heard.
    None,
    /// Too long, if it is not heard in a moment.
    Doubtful,
    /// Too long; the role knows.
    Known,
}

/// Who began the conversation.
#[derive(Debug)]
pub(super) enum Side {
    /// This process did, and goes on trying.
    Dialled(Dialled),
    /// The peer did. When its session ends the link is gone.
    Asked(Asked),
}

/// What the one who dialled has to know.
#[derive(Debug)]
pub(super) struct Dialled {
    /// Where the peer listens, best first.
    pub endpoints: Vec<String>,
    /// The peer's machine, when known.
    pub host: Option<String>,
    /// What is said to it; none until it is known where it can reach this process.
    pub hello: Option<Box<Hello>>,
    /// When that was said last.
    pub greeted: Time,
    /// How many Hellos nobody has answered since the lane was made.
    pub unanswered: u32,
}

/// What the one who was asked has to know.
#[derive(Debug)]
pub(super) struct Asked {
    /// What the peer says of itself.
    pub hello: Box<Hello>,
    /// One too many; it is told so as soon as it can be.
    pub unwelcome: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    pub state: State,
    pub side: Side,
    pub peer: Option<PeerId>,
    pub session: u32,
    pub out_seq: u64,
    pub in_seq: u64,
    /// When the peer was heard last.
    pub heard: Time,
    pub silence: Silence,
    /// The credit that is repeated with each heartbeat.
    pub granted: Option<Credit>,
    pub lane_up: bool,
}

impl Link {
    /// A conversation in which nothing has been said.
    pub fn new(state: State, side: Side, session: u32) -> Self {
        Self {
            state,
            side,
            peer: None,
            session,
            out_seq: 0,
            in_seq: 0,
            heard: Time::default(),
            silence: Silence::None,
            granted: None,
            lane_up: false,
        }
    }

    pub fn is_dialled(&self) -> bool {
        matches!(self.side, Side::Dialled(_))
    }

    /// What is to be known if this process dialled.
    pub fn dialled(&mut self) -> Option<&mut Dialled> {
        match &mut self.side {
            Side::Dialled(dialled) => Some(dialled),
            Side::Asked(_) => None,
        }
    }

    /// What is to be known if the peer dialled.
    pub fn asked(&self) -> Option<&Asked> {
        match &self.side {
            Side::Dialled(_) => None,
            Side::Asked(asked) => Some(asked),
        }
    }

    /// Whether Hello was said so long ago.
    pub fn greeted_before(&self, now: Time, age: Duration) -> bool {
        match &self.side {
            Side::Dialled(dialled) => now.since(dialled.greeted) > age,
            Side::Asked(_) => false,
        }
    }
}
