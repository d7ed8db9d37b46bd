//! What the passing of time does to conversations.
//!
//! Owns that something is said only to be heard, that Hello is said again, and that who is not heard
//! for too long is given up. Refuses clocks.

use std::time::Duration;

use super::{Loss, Mesh, MeshEvent, link::State};
use crate::{
    frame::Frame,
    role::{Effect, LinkId, Turn},
};

impl Mesh {
    /// Time has passed: beats, and gives up who is not heard for too long.
    pub(super) fn tick<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>) {
        let now = turn.now;
        for (link, since) in self.pulse.look(now, &mut self.links) {
            self.events.push_back(MeshEvent::Quiet { link, since });
        }
        if !self.pulse.beats(now) {
            return;
        }
        let liveness = self.pulse.liveness;
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            let Some(known) = self.links.get(&link) else { continue };
            match known.state {
                State::Open if now.since(known.heard) > liveness => {
                    self.break_up(turn, link, Loss::Silent);
                }
                State::Open => {
                    let beat = known.granted.map_or(Frame::Beat, Frame::Credit);
                    self.put(link, beat, turn.out);
                }
                State::Greeting if known.greeted_before(now, liveness / 2) => {
                    self.greet_or_redial(turn, link);
                }
                State::Knocked | State::Deciding if now.since(known.heard) > liveness * 4 => {
                    self.hang_up(link, turn.out);
                }
                _ => {}
            }
        }
    }

    /// Peers could not be heard while this process did not run, so nobody's silence counts. After
    /// a long sleep those that were dialled have given this process up.
    pub(super) fn asleep<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, gap: Duration) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            let Some(known) = self.links.get_mut(&link) else { continue };
            known.heard = turn.now;
            if known.is_dialled() && known.state == State::Open && gap > self.pulse.liveness {
                self.break_up(turn, link, Loss::Asleep);
            }
        }
    }
}
