//! A run that was asked to end: what is still waited for, and how long.
//!
//! Owns since when it is so, and when waiting has an end: once nobody is left who works on anything,
//! or once it has taken as long as it may. Refuses to know who the workers are.

use std::time::Duration;

use proto::{rules::patience::Patience, time::Time};

/// Who is still there of those who were told to finish what they work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// Somebody who may be working on a unit.
    Here,
    /// Nobody; but somebody who was cut off may be back within so long.
    Astray(Duration),
    /// Nobody.
    Gone,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    limit: Option<Duration>,
    since: Option<Time>,
    alone: Option<Time>,
    patience: Patience,
}

impl Draining {
    /// Waits no longer than this.
    pub fn limit(&mut self, limit: Duration) {
        self.limit = Some(limit);
    }

    /// The run was asked to end.
    pub fn begin(&mut self, now: Time) {
        self.since.get_or_insert(now);
    }

    /// Whether it was.
    pub fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// Whether what is waited for has taken as long as it may.
    pub fn is_overdue(&self, now: Time) -> bool {
        self.overdue().is_some_and(|due| due <= now)
    }

    fn overdue(&self) -> Option<Time> {
        Some(self.since? + self.limit?)
    }

    /// Whether nobody is left who is worth waiting for.
    pub fn is_alone(&mut self, now: Time, company: Company) -> bool {
        let absence = match company {
            Company::Here => {
                self.alone = None;
                return false;
            }
            Company::Astray(absence) => absence,
            Company::Gone => Duration::ZERO,
        };
        now >= *self.alone.get_or_insert(now) + absence
    }

    /// Whether it is time to say that it lasts, and how long it has.
    pub fn told(&mut self, now: Time) -> Option<Duration> {
        self.since?;
        self.patience.told(now)
    }

    /// When to look again, if those who are cut off may be back within `absence`.
    pub fn deadline(&self, absence: Duration) -> Option<Time> {
        self.since?;
        let alone = self.alone.map(|since| since + absence);
        alone.into_iter().chain(self.overdue()).chain(self.patience.due()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: u64) -> Time {
        Time::from_ms(seconds * 1_000)
    }

    #[test]
    fn it_lasts_as_long_as_somebody_is_there_or_may_be_back() {
        let mut draining = Draining::default();
        assert_eq!((draining.is_on(), draining.deadline(Duration::ZERO)), (false, None));
        draining.begin(second(10));
        assert!(draining.is_on() && !draining.is_overdue(second(9_999)));
        let three = Duration::from_secs(3);
        assert!(!draining.is_alone(second(11), Company::Here));
        assert!(!draining.is_alone(second(20), Company::Astray(three)));
        assert!(!draining.is_alone(second(22), Company::Astray(three)));
        assert_eq!(draining.deadline(three), Some(second(23)));
        assert!(!draining.is_alone(second(22), Company::Here), "it is back");
        assert!(!draining.is_alone(second(24), Company::Astray(three)));
        assert!(draining.is_alone(second(27), Company::Astray(three)));
        assert!(draining.is_alone(second(24), Company::Gone));
    }

    #[test]
    fn it_lasts_no_longer_than_it_may() {
        let mut draining = Draining::default();
        draining.limit(Duration::from_secs(60));
        draining.begin(second(10));
        draining.begin(second(50));
        assert!(!draining.is_overdue(second(69)) && draining.is_overdue(second(70)));
        assert_eq!(draining.deadline(Duration::ZERO), Some(second(70)));
        assert_eq!(draining.told(second(11)), None);
        assert_eq!(draining.deadline(Duration::ZERO), Some(second(16)));
        assert!(draining.told(second(16)).is_some());
    }
}
