//! The unit that the output waits for, while outcomes of later ones are kept.
//!
//! Owns which one it is, since when, and when that is worth a word: a run that gets on without its
//! output growing has to say why. Refuses to say it itself.

use std::time::Duration;

use proto::{frame, rules::patience::Patience, time::Time, unit::UnitId};

/// Shorter waits are no news.
const NEWS: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    // The unit, and since when.
    waits: Option<(UnitId, Time)>,
    patience: Patience,
}

impl Awaited {
    /// All units below this one are committed, and outcomes of later ones take so much that are not
    /// written.
    pub(super) fn note(&mut self, now: Time, unit: UnitId, waiting_bytes: u64) {
        let goes_on = self.waits.is_some_and(|(known, _)| known == unit);
        if waiting_bytes > 0 && goes_on {
            return;
        }
        self.waits = (waiting_bytes > 0).then_some((unit, now));
        self.patience.met();
        if self.waits.is_some() {
            self.patience.lasted(now);
        }
    }

    /// For those who watch, if it has lasted.
    pub(super) fn report(&self, now: Time) -> Option<frame::Awaited> {
        let (unit, since) = self.waits?;
        let lasted = now.since(since);
        (lasted >= NEWS).then_some(frame::Awaited { unit, ms: lasted.as_millis() as u64 })
    }

    /// The unit and how long already, if that is to be told now.
    pub(super) fn told(&mut self, now: Time) -> Option<(UnitId, Duration)> {
        let (unit, _) = self.waits?;
        Some((unit, self.patience.told(now)?))
    }

    /// When it is to be told next.
    pub(super) fn due(&self) -> Option<Time> {
        self.patience.due()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_unit_is_told_with_how_long_it_is_waited_for_and_the_next_one_anew() {
        let second = |seconds: u64| Time::from_ms(seconds * 1_000);
        let mut awaited = Awaited::default();
        awaited.note(second(1), 17, 0);
        assert_eq!((awaited.due(), awaited.report(second(99))), (None, None));
        awaited.note(second(100), 17, 5);
        awaited.note(second(103), 17, 900);
        assert_eq!(awaited.report(second(104)), None, "that is no news yet");
        assert_eq!(awaited.report(second(106)), Some(frame::Awaited { unit: 17, ms: 6_000 }));
        assert_eq!(awaited.due(), Some(second(105)));
        assert_eq!(awaited.told(second(105)), Some((17, Duration::from_secs(5))));
        assert_eq!(awaited.told(second(106)), None);
        awaited.note(second(200), 40, 900);
        assert_eq!(awaited.report(second(204)), None);
        awaited.note(second(204), 90, 0);
        assert_eq!((awaited.due(), awaited.report(second(300))), (None, None));
    }
}
