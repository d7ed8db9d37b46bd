//! Peers that say Hello.
//!
//! Owns what becomes of it: it is the one that was heard before, a new session, or a peer that has to
//! be called back before it can be answered. Nobody takes the name of one that is there. Refuses to
//! answer: that is the role's.

use super::{
    Loss, Mesh,
    door::Caller,
    link::{Asked, Link, Side, State},
};
use crate::{
    frame::Hello,
    role::{Effect, LinkId, Turn},
    time::Time,
    turned_away::Unwanted,
};

/// Peers that have said Hello and can't be reached yet, at most; the oldest makes way.
const KNOCKING_MAX: usize = 64;

impl Mesh {
    /// A peer says Hello, for the first time, again (it repeats itself until it is answered), or
    /// in a new session after it has lost the old one.
    pub(super) fn hello<Q>(
        &mut self,
        turn: &mut Turn<'_, Effect<Q>>,
        caller: Caller,
        hello: Box<Hello>,
    ) {
        let known = self
            .links
            .iter_mut()
            .find(|(_, known)| !known.is_dialled() && known.peer == Some(caller.peer));
        if let Some((&link, known)) = known {
            let unanswered = matches!(known.state, State::Knocked | State::Deciding);
            if caller.session <= known.session {
                if unanswered && caller.session == known.session {
                    known.heard = turn.now;
                }
                return;
            }
            let before = known.asked().map_or(&[][..], |asked| &asked.hello.endpoints);
            if before == hello.endpoints && unanswered {
                // Not answered yet: the answer will open the session that was asked for last.
                (known.session, known.heard) = (caller.session, turn.now);
                return;
            }
            // A process keeps the inbox that it has. As long as it is there nobody takes its name.
            let same = before == hello.endpoints
                || before.iter().any(|endpoint| hello.endpoints.contains(endpoint));
            if !same && matches!(known.state, State::Open | State::Deciding) {
                return self.turn_away(Unwanted::Impostor);
            }
            if !self.takes_hello(turn.now) {
                return;
            }
            // The lane still leads to the same process, so it may be kept; but what it carried
            // for the old session is of no use, and the endpoints may be new.
            self.break_up(turn, link, Loss::Replaced);
            self.hang_up(link, turn.out);
        } else if self.door.is_thronged(self.links.len()) {
            return self.turn_away(Unwanted::Hello);
        } else if !self.takes_hello(turn.now) {
            return;
        }
        self.knock(turn, caller, hello);
    }

    /// Whether one more lane may be opened for a Hello. A peer that is not answered repeats itself.
    fn takes_hello(&mut self, now: Time) -> bool {
        let takes = self.door.takes(now);
        if !takes {
            self.turn_away(Unwanted::Hello);
        }
        takes
    }

    /// A peer is at the door: a lane back to it is opened.
    fn knock<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, caller: Caller, hello: Box<Hello>) {
        let knocking = |(link, known): (&LinkId, &Link)| {
            (known.state == State::Knocked).then_some((known.heard, *link))
        };
        if self.links.iter().filter_map(knocking).count() >= KNOCKING_MAX
            && let Some((_, oldest)) = self.links.iter().filter_map(knocking).min()
        {
            self.turn_away(Unwanted::Hello);
            self.hang_up(oldest, turn.out);
        }
        let unwelcome = self.door.is_full(self.links.len());
        let (endpoints, host) = (hello.endpoints.clone(), Some(hello.host.clone()));
        let link = self.add(State::Knocked, Side::Asked(Asked { hello, unwelcome }));
        if let Some(fresh) = self.links.get_mut(&link) {
            fresh.peer = Some(caller.peer);
            fresh.session = caller.session;
            fresh.heard = turn.now;
            fresh.in_seq = 1;
        }
        turn.out.push(Effect::Open { link, endpoints, host });
    }
}
