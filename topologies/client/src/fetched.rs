//! Which outcomes the program has, and the sink may not know of.
//!
//! Owns what is told to a sink once more when its session begins anew: one that was killed has not noted what it
//! was told last. Refuses sockets and clocks.

use std::time::Duration;

use proto::{ranges::RangeSet, service::IdRange, time::Time};

/// A sink has noted what it was told so long ago, unless it was lost since.
const NOTED_AFTER: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub struct Fetched {
    recent: RangeSet,
    // What was told before that.
    before: RangeSet,
    since: Time,
    // Some of it no sink knows, perhaps.
    is_untold: bool,
}

impl Fetched {
    /// The program has these outcomes, which a sink that is there is told now.
    pub fn told(&mut self, now: Time, ranges: &[IdRange]) {
        if !self.is_untold && now.since(self.since) >= NOTED_AFTER {
            self.before = std::mem::take(&mut self.recent);
            self.since = now;
        }
        ranges.iter().for_each(|(start, end)| _ = self.recent.insert(*start..*end));
    }

    /// The program has these outcomes, and no sink is there.
    pub fn keep(&mut self, ranges: &[IdRange]) {
        self.is_untold |= !ranges.is_empty();
        ranges.iter().for_each(|(start, end)| _ = self.recent.insert(*start..*end));
    }

    /// The sink is lost.
    pub fn lost(&mut self) {
        self.is_untold = !self.recent.is_empty() || !self.before.is_empty();
    }

    /// A sink is there: what it is to be told.
    pub fn again(&mut self, now: Time) -> Vec<IdRange> {
        (self.since, self.is_untold) = (now, false);
        self.recent.insert_all(&std::mem::take(&mut self.before));
        self.recent.iter().map(|range| (range.start, range.end)).collect()
    }

    /// Whether there may be something that a sink has yet to be told.
    pub fn is_untold(&self) -> bool {
        self.is_untold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_sink_that_is_back_is_told_the_last_moments_and_what_was_said_to_nobody() {
        let mut fetched = Fetched::default();
        assert_eq!(fetched.again(at(100)), []);
        for second in 100..112 {
            fetched.told(at(second), &[(second, second + 1)]);
        }
        fetched.lost();
        assert!(fetched.is_untold());
        assert_eq!(fetched.again(at(112)), [(105, 112)]);
        assert!(!fetched.is_untold());
        fetched.keep(&[(200, 201)]);
        assert!(fetched.is_untold());
        assert_eq!(fetched.again(at(500)), [(105, 112), (200, 201)]);
        assert!(!fetched.is_untold());
        fetched.told(at(505), &[(300, 301)]);
        fetched.told(at(510), &[(301, 302)]);
        assert_eq!(fetched.again(at(510)), [(300, 302)]);
    }
}
