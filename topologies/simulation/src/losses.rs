//! Which units a worker had begun when whoever had sent them lost it.
//!
//! Owns the count, kept from the frames that pass between processes and from the connections that
//! break, without a look into a role: what a sender had heard when its lane went down is what it
//! could know. Refuses to judge.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proto::{
    frame::{Envelope, Frame, ParcelId, Work},
    role::LinkId,
    unit::{Path, UnitId},
};

use super::{clock::Moment, lane::Incarnation};

/// Connections that break within so short a time may have done so by one cause.
const TOGETHER: Duration = Duration::from_millis(10);

/// Units of one parcel, in order.
type Parcel = Vec<(UnitId, Path)>;

/// A session in which a process has sent work.
#[derive(Debug, Default)]
struct Session {
    number: u32,
    parcels: BTreeMap<ParcelId, Parcel>,
}

/// What every process has given away and not heard back, and what was lost that way.
#[derive(Debug, Default)]
pub(super) struct Losses {
    // By the sender's number and its link.
    sessions: BTreeMap<(usize, LinkId), Session>,
    // Senders and sessions with workers that have many units open at once.
    concurrent: BTreeSet<(usize, u32)>,
    // By the start of the sender, and the unit: how often, and when the last time.
    lost: BTreeMap<(usize, u32, UnitId, Path), (u32, Moment)>,
}

impl Losses {
    /// A process sends a frame on a link.
    pub fn sent(&mut self, process: usize, link: LinkId, envelope: &Envelope) {
        match &envelope.frame {
            // A session begins, whatever was in the one before.
            Frame::Hello(_) | Frame::Welcome(_) => self.closed(process, link),
            Frame::Work(Work { parcel, units, .. }) => {
                let session = self.sessions.entry((process, link)).or_default();
                session.number = envelope.session;
                let units = units.iter().map(|(root, path, _)| (root, path)).collect();
                session.parcels.insert(*parcel, units);
            }
            _ => {}
        }
    }

    /// A process has heard a frame.
    pub fn heard(&mut self, process: usize, envelope: &Envelope) {
        let (parcel, keep) = match &envelope.frame {
            Frame::Done(done) => (done.parcel, 0),
            Frame::Returned { parcel, keep } => (*parcel, *keep as usize),
            Frame::Concurrency(_) => {
                self.concurrent.insert((process, envelope.session));
                return;
            }
            _ => return,
        };
        let mut theirs = self.sessions.range_mut((process, 0)..=(process, LinkId::MAX));
        let session = theirs.find(|(_, session)| session.number == envelope.session);
        let Some((_, Session { parcels, .. })) = session else { return };
        if let Some(units) = parcels.get_mut(&parcel) {
            units.truncate(keep);
        }
        parcels.retain(|_, units| !units.is_empty());
    }

    /// The lane of a process has lost its worker, who had begun the first of its parcels at most, or
    /// any of them if it has many units open at once.
    /// Lanes that go down together count once: one cut can do that to all of a process's lanes.
    pub fn lane_down(&mut self, at: Moment, sender: Incarnation, link: LinkId) {
        let Some(session) = self.sessions.remove(&(sender.process, link)) else { return };
        let concurrent = self.concurrent.contains(&(sender.process, session.number));
        let most = if concurrent { usize::MAX } else { 1 };
        let begun = session.parcels.into_values().take(most);
        for (root, path) in begun.into_iter().flatten() {
            let place = (sender.process, sender.start, root, path);
            let (count, last) = self.lost.entry(place).or_default();
            *count += u32::from(*count == 0 || at.since(*last) > TOGETHER);
            *last = at;
        }
    }

    /// A process has closed a lane, or gives its session up.
    pub fn closed(&mut self, process: usize, link: LinkId) {
        self.sessions.remove(&(process, link));
    }

    /// A process is gone, with all that it knew.
    pub fn gone(&mut self, process: usize) {
        self.sessions.retain(|(sender, _), _| *sender != process);
    }

    /// How often one start of a process has lost the worker that had begun this unit, at most; each
    /// time by a cause of its own.
    pub fn of(&self, root: UnitId, path: &Path) -> u32 {
        let same = |known: &(usize, u32, UnitId, Path)| known.2 == root && known.3 == *path;
        let counts =
            self.lost.iter().filter(|(known, _)| same(known)).map(|(_, (count, _))| *count);
        counts.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        frame::{Done, VERSION},
        units::Units,
    };

    use super::*;

    const SENDER: Incarnation = Incarnation { process: 0, start: 1 };

    fn envelope(session: u32, frame: Frame) -> Envelope {
        Envelope { version: VERSION, run: 1, from: 1, session, seq: 0, frame }
    }

    fn work(parcel: ParcelId, first: UnitId, count: u32) -> Envelope {
        let units = Units::from_source(first, vec![0; count as usize], (1..=count).collect());
        envelope(7, Frame::Work(Work { parcel, attempt: 1, units }))
    }

    fn lost(losses: &Losses, units: std::ops::Range<UnitId>) -> Vec<u32> {
        units.map(|unit| losses.of(unit, &Path::new())).collect()
    }

    #[test]
    fn only_the_first_parcel_that_is_not_done_was_begun() {
        let mut losses = Losses::default();
        for parcel in 0..3 {
            losses.sent(0, 5, &work(parcel, parcel * 2, 2));
        }
        let done = Done { parcel: 0, busy_ns: 1, failed: Vec::new() };
        losses.heard(0, &envelope(7, Frame::Done(done)));
        losses.lane_down(Moment(0), SENDER, 5);
        losses.lane_down(Moment(0), SENDER, 5);
        assert_eq!(lost(&losses, 0..6), [0, 0, 1, 1, 0, 0]);
    }

    #[test]
    fn what_was_given_back_or_is_of_another_session_is_not_lost() {
        let mut losses = Losses::default();
        losses.sent(0, 5, &work(0, 0, 3));
        losses.heard(0, &envelope(7, Frame::Returned { parcel: 0, keep: 1 }));
        losses.heard(0, &envelope(8, Frame::Returned { parcel: 0, keep: 0 }));
        losses.lane_down(Moment(0), SENDER, 5);
        assert_eq!(lost(&losses, 0..3), [1, 0, 0]);
        losses.sent(0, 5, &work(1, 0, 3));
        losses.closed(0, 5);
        losses.lane_down(Moment(0), SENDER, 5);
        assert_eq!(lost(&losses, 0..3), [1, 0, 0]);
    }

    #[test]
    fn lanes_that_break_together_count_once() {
        let mut losses = Losses::default();
        for (ms, count) in [(1, 1), (4, 1), (30, 2)] {
            losses.sent(0, 5, &work(0, 0, 1));
            losses.lane_down(Moment(ms * 1_000_000), SENDER, 5);
            assert_eq!(lost(&losses, 0..1), [count]);
        }
    }

    #[test]
    fn each_start_of_a_sender_counts_for_itself() {
        let mut losses = Losses::default();
        for start in 1..=3 {
            losses.sent(0, 5, &work(0, 0, 1));
            losses.lane_down(Moment(0), Incarnation { process: 0, start }, 5);
        }
        assert_eq!(lost(&losses, 0..1), [1]);
    }
}
