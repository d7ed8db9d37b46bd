//! Those who watch a run: whoever says so in its Hello is told of progress now and then.
//!
//! Owns who they are and when they are told next; refuses to know what a report says.

use std::time::Duration;

use crate::{role::LinkId, time::Time};

/// Interval between reports of progress to observers.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// The observers of one process.
#[derive(Debug, Default)]
pub struct Observers {
    links: Vec<LinkId>,
    reported: Time,
}

impl Observers {
    /// One has said Hello.
    pub fn join(&mut self, link: LinkId) {
        self.links.push(link);
    }

    /// A session has ended; whether it was an observer's.
    pub fn leave(&mut self, link: LinkId) -> bool {
        let before = self.links.len();
        self.links.retain(|observer| *observer != link);
        self.links.len() < before
    }

    /// Whether this is one.
    pub fn has(&self, link: LinkId) -> bool {
        self.links.contains(&link)
    }

    /// All of them.
    pub fn links(&self) -> impl Iterator<Item = LinkId> + use<> {
        self.links.clone().into_iter()
    }

    /// Those who are to be told now: all, once an interval, or none.
    pub fn due(&mut self, now: Time) -> impl Iterator<Item = LinkId> + use<> {
        let due = !self.links.is_empty() && now.since(self.reported) >= REPORT_INTERVAL;
        if due {
            self.reported = now;
        }
        let links = if due { self.links.clone() } else { Vec::new() };
        links.into_iter()
    }

    /// When they are told next.
    pub fn deadline(&self) -> Option<Time> {
        (!self.links.is_empty()).then(|| self.reported + REPORT_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(observers: &mut Observers, ms: u64) -> Vec<LinkId> {
        observers.due(Time::from_ms(ms)).collect()
    }

    #[test]
    fn all_are_told_once_an_interval() {
        let mut observers = Observers::default();
        assert_eq!((observers.deadline(), due(&mut observers, 1_000)), (None, vec![]));
        observers.join(3);
        observers.join(5);
        assert_eq!(due(&mut observers, 1_000), [3, 5]);
        assert_eq!(observers.deadline(), Some(Time::from_ms(1_200)));
        assert!(due(&mut observers, 1_199).is_empty());
        assert_eq!(due(&mut observers, 1_200), [3, 5]);
    }

    #[test]
    fn who_has_left_is_told_nothing() {
        let mut observers = Observers::default();
        observers.join(3);
        assert!(observers.has(3) && observers.leave(3) && !observers.leave(3));
        assert_eq!((observers.deadline(), observers.links().count()), (None, 0));
    }
}
