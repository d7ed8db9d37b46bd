//! A crowd: as many peers as one likes, behind one inbox and one lane.
//!
//! Owns their conversations with one victim, up to the Welcome, and keeps them alive; refuses to
//! say anything else. To the victim each is a peer of its own, to which it opens a lane.

use std::time::{Duration, Instant};

use proto::frame::{Frame, HelloRole};

use crate::hostile::Attacker;
use crate::wait;

/// Who was not answered says Hello again after so long.
const AGAIN: Duration = Duration::from_millis(500);
/// Who was says as often that it is there.
const BEAT: Duration = Duration::from_millis(1_000);

/// One of them.
#[derive(Debug, Clone)]
struct Member {
    me: u64,
    // Frames that it has said in its session, once it was answered.
    said: Option<u64>,
}

/// Peers that one victim has let in.
pub struct Crowd {
    speaker: Attacker,
    members: Vec<Member>,
    beat: Instant,
}

impl Crowd {
    /// So many peers say Hello, all at once and again, until each of them is answered.
    ///
    /// # Panics
    /// When they are not.
    pub fn gathers(speaker: Attacker, count: u64) -> Self {
        let first = fastrand::u64(1..u64::MAX / 2);
        let members = (first..first + count).map(|me| Member { me, said: None }).collect();
        let mut crowd = Self { speaker, members, beat: Instant::now() };
        let mut asked = None;
        wait::until("every peer is welcomed", || {
            if asked.is_none_or(|at: Instant| at.elapsed() >= AGAIN) {
                asked = Some(Instant::now());
                crowd.ask();
            }
            crowd.lives();
            crowd.members.iter().all(|member| member.said.is_some()).then_some(())
        });
        crowd
    }

    /// Takes in what the victim says, and says that everybody is there, if it is time to.
    pub fn lives(&mut self) {
        while let Some(envelope) = self.speaker.hears() {
            // Whom it was for is told by the session: one each.
            let place = (envelope.session as usize).wrapping_sub(1);
            if let Some(member) = self.members.get_mut(place)
                && matches!(envelope.frame, Frame::Welcome(_))
            {
                self.speaker.run = envelope.run;
                member.said.get_or_insert(1);
            }
        }
        if self.beat.elapsed() >= BEAT {
            self.beat = Instant::now();
            for (place, member) in self.members.iter_mut().enumerate() {
                let Some(said) = &mut member.said else { continue };
                let at = (member.me, place as u32 + 1, *said);
                *said += 1;
                self.speaker.says_as(at, Frame::Beat);
            }
        }
    }

    fn ask(&mut self) {
        let hello = self.speaker.hello(HelloRole::Observer);
        for (place, member) in self.members.iter().enumerate() {
            if member.said.is_none() {
                self.speaker.says_as((member.me, place as u32 + 1, 0), hello.clone());
            }
        }
    }
}
