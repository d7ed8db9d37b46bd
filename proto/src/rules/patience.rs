//! Waiting for a peer that does not answer: since when, and when that is worth a line.
//!
//! Owns two moments; refuses to say anything itself.

use std::time::Duration;

use crate::time::Time;

/// The first line comes after so long, each further one when it has lasted twice as long.
const FIRST: Duration = Duration::from_secs(5);
/// At most so much lies between two lines.
const LONGEST: Duration = Duration::from_secs(600);

/// How long a peer has been waited for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    since: Option<Time>,
    due: Duration,
}

impl Patience {
    /// The peer is there.
    pub fn met(&mut self) {
        self.since = None;
    }

    /// The peer is not there: how long already.
    pub fn lasted(&mut self, now: Time) -> Duration {
        if self.since.is_none() {
            self.due = FIRST;
        }
        now.since(*self.since.get_or_insert(now))
    }

    /// When the next line is due, if the peer is waited for.
    pub fn due(&self) -> Option<Time> {
        self.since.map(|since| since + self.due)
    }

    /// The peer is not there: how long already, if that is to be told now.
    pub fn told(&mut self, now: Time) -> Option<Duration> {
        let lasted = self.lasted(now);
        let tell = lasted >= self.due;
        if tell {
            self.due = lasted + lasted.min(LONGEST);
        }
        tell.then_some(lasted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_comes_soon_and_the_others_ever_more_rarely() {
        let mut patience = Patience::default();
        let lines = |patience: &mut Patience, from: u64, to: u64| -> Vec<u64> {
            (from..to).filter(|s| patience.told(Time::from_ms(s * 1_000)).is_some()).collect()
        };
        assert_eq!(lines(&mut patience, 100, 200), [105, 110, 120, 140, 180]);
        assert_eq!(patience.due(), Some(Time::from_ms(260_000)));
        patience.met();
        assert_eq!(patience.due(), None);
        assert_eq!(lines(&mut patience, 200, 209), [205]);
    }
}
