//! The lanes between processes: connections that come and go, in order or not at all.
//!
//! Owns which lane is connected to which start of which process, what is on its way, and who
//! cannot reach whom; refuses to decide when anything goes wrong.

use std::{collections::BTreeMap, time::Duration};

use proto::role::LinkId;

use super::{clock::Moment, faults::Cut};

/// A start of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incarnation {
    pub process: usize,
    pub start: u32,
}

/// A connection, counted.
pub(super) type Connection = u64;

/// The pauses between attempts to connect.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

#[derive(Debug)]
struct Lane {
    endpoint: String,
    connection: Option<Connection>,
    pause: Duration,
    // Its owner is told of changes in order.
    told: Moment,
}

#[derive(Debug)]
struct Connected {
    from: usize,
    to: Incarnation,
    // The last frame on it arrives then; what is due after `cut` never does.
    last: Moment,
    cut: Option<Moment>,
}

#[derive(Debug)]
struct Partition {
    inside: Vec<usize>,
    until: Moment,
    how: Cut,
}

/// All lanes of the processes that are up.
#[derive(Debug, Default)]
pub(super) struct Network {
    lanes: BTreeMap<(usize, LinkId), Lane>,
    connections: BTreeMap<Connection, Connected>,
    next: Connection,
    partitions: Vec<Partition>,
}

impl Network {
    /// A process makes a lane.
    pub fn open(&mut self, process: usize, link: LinkId, endpoint: String) {
        let lane = Lane { endpoint, connection: None, pause: RECONNECT.0, told: Moment::default() };
        self.lanes.insert((process, link), lane);
    }

    /// A process closes a lane; what is on its way arrives all the same.
    pub fn close(&mut self, process: usize, link: LinkId) {
        self.lanes.remove(&(process, link));
    }

    /// Where a lane wants to get to, unless it is there or gone.
    pub fn wanted(&self, process: usize, link: LinkId) -> Option<&str> {
        let lane = self.lanes.get(&(process, link))?;
        lane.connection.is_none().then_some(lane.endpoint.as_str())
    }

    /// How long a lane waits before it tries again.
    pub fn pause(&mut self, process: usize, link: LinkId) -> Duration {
        let Some(lane) = self.lanes.get_mut(&(process, link)) else { return RECONNECT.1 };
        let pause = lane.pause;
        lane.pause = (pause * 2).min(RECONNECT.1);
        pause
    }

    /// A lane has reached a process.
    pub fn connect(&mut self, process: usize, link: LinkId, to: Incarnation) {
        if let Some(lane) = self.lanes.get_mut(&(process, link)) {
            lane.connection = Some(self.next);
            lane.pause = RECONNECT.0;
            let last = Moment::default();
            let connected = Connected { from: process, to, last, cut: None };
            self.connections.insert(self.next, connected);
            self.next += 1;
        }
    }

    /// When the owner of a lane is told of a change that it would learn of at `due`.
    pub fn tell(&mut self, process: usize, link: LinkId, due: Moment) -> Moment {
        let Some(lane) = self.lanes.get_mut(&(process, link)) else { return due };
        lane.told = lane.told.max(due);
        lane.told
    }

    /// A frame is put on a lane and would arrive at `due`: when it does, after those before it,
    /// and on which connection. None if the lane is down.
    pub fn put(
        &mut self,
        process: usize,
        link: LinkId,
        due: Moment,
    ) -> Option<(Connection, Moment)> {
        let connection = self.lanes.get(&(process, link))?.connection?;
        let connected = self.connections.get_mut(&connection)?;
        connected.last = connected.last.max(due);
        Some((connection, connected.last))
    }

    /// Whom what is due now on a connection reaches, and who sent it.
    pub fn arrives(&self, connection: Connection, now: Moment) -> Option<(usize, Incarnation)> {
        let connected = self.connections.get(&connection)?;
        let alive = connected.cut.is_none_or(|cut| now <= cut);
        alive.then_some((connected.from, connected.to))
    }

    /// A process is gone: its lanes with it, but for what is due until `cut`. The lanes that led
    /// to it, as (owner, link).
    pub fn lose(&mut self, process: usize, cut: Moment) -> Vec<(usize, LinkId)> {
        self.lanes.retain(|(owner, _), _| *owner != process);
        for connected in self.connections.values_mut() {
            if connected.from == process && connected.cut.is_none() {
                connected.cut = Some(cut);
            }
        }
        self.break_where(Moment::default(), |connected| connected.to.process == process)
    }

    /// All connections of a process break; what is due until `cut` arrives all the same. The
    /// lanes that were connected.
    pub fn reset(&mut self, process: usize, cut: Moment) -> Vec<(usize, LinkId)> {
        self.break_where(cut, |connected| {
            connected.from == process || connected.to.process == process
        })
    }

    /// A partition begins. The lanes whose connections it breaks.
    pub fn part(&mut self, inside: Vec<usize>, until: Moment, how: Cut) -> Vec<(usize, LinkId)> {
        let broken = match how {
            Cut::Reset => self.break_where(Moment::default(), |connected| {
                inside.contains(&connected.from) != inside.contains(&connected.to.process)
            }),
            Cut::Hold | Cut::Drop => Vec::new(),
        };
        self.partitions.push(Partition { inside, until, how });
        broken
    }

    /// Until when two processes cannot reach each other, and what becomes of frames.
    pub fn parted(&self, from: usize, to: usize, now: Moment) -> Option<(Moment, Cut)> {
        let parts = self.partitions.iter().filter(|p| now < p.until);
        let parts = parts.filter(|p| p.inside.contains(&from) != p.inside.contains(&to));
        parts.map(|p| (p.until, p.how)).max_by_key(|(until, _)| *until)
    }

    fn break_where(
        &mut self,
        cut: Moment,
        broken: impl Fn(&Connected) -> bool,
    ) -> Vec<(usize, LinkId)> {
        let mut lanes = Vec::new();
        for (id, lane) in &mut self.lanes {
            let connected = lane.connection.and_then(|known| self.connections.get_mut(&known));
            if let Some(connected) = connected
                && broken(connected)
            {
                lane.connection = None;
                connected.cut = Some(cut);
                lanes.push(*id);
            }
        }
        // Also those whose lane is closed already.
        for connected in self.connections.values_mut() {
            if connected.cut.is_none() && broken(connected) {
                connected.cut = Some(cut);
            }
        }
        lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: Incarnation = Incarnation { process: 1, start: 1 };

    fn connected() -> Network {
        let mut network = Network::default();
        network.open(0, 5, "b".into());
        assert_eq!(network.wanted(0, 5), Some("b"));
        network.connect(0, 5, B);
        network
    }

    #[test]
    fn frames_of_a_lane_arrive_in_order() {
        let mut network = connected();
        let (connection, first) = network.put(0, 5, Moment(90)).unwrap();
        let (_, second) = network.put(0, 5, Moment(10)).unwrap();
        assert_eq!((first, second), (Moment(90), Moment(90)));
        assert_eq!(network.arrives(connection, Moment(90)), Some((0, B)));
    }

    #[test]
    fn a_lane_whose_peer_is_gone_carries_nothing_and_wants_to_connect_again() {
        let mut network = connected();
        let (connection, _) = network.put(0, 5, Moment(90)).unwrap();
        assert_eq!(network.lose(1, Moment(50)), [(0, 5)]);
        assert_eq!(network.arrives(connection, Moment(90)), None);
        assert_eq!(network.put(0, 5, Moment(100)), None);
        assert_eq!(network.wanted(0, 5), Some("b"));
    }

    #[test]
    fn what_a_dead_process_had_sent_arrives_up_to_the_cut() {
        let mut network = connected();
        let (connection, _) = network.put(0, 5, Moment(40)).unwrap();
        network.lose(0, Moment(50));
        assert!(network.arrives(connection, Moment(40)).is_some());
        assert!(network.arrives(connection, Moment(60)).is_none());
    }
}
