//! When a run that was asked to end is given up.
//!
//! Owns how long a stage without a worker is waited for then; refuses to know who the workers are.
//! Who is asked to end along with his workers would otherwise wait for ever for one that does the rest.

use std::time::Duration;

use proto::time::Time;

/// The wait for somebody who finishes what was read.
#[derive(Debug, Default)]
pub(crate) struct Abandonment {
    // None: for ever.
    patience: Option<Duration>,
    unstaffed: Option<Time>,
    given_up: bool,
}

impl Abandonment {
    /// Waits no longer than this.
    pub fn after(&mut self, patience: Duration) {
        self.patience = Some(patience);
    }

    /// Whether the run is given up.
    pub fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// A run that was asked to end has a stage without a worker; those that are cut off may be back
    /// within `absence`. Whether that makes it give up, now.
    pub fn gives_up(&mut self, now: Time, absence: Duration) -> bool {
        let since = *self.unstaffed.get_or_insert(now);
        let due = self.patience.map(|patience| since + patience.max(absence));
        self.given_up = due.is_some_and(|due| due <= now);
        self.given_up
    }

    /// Somebody is there, or nobody was asked to end.
    pub fn none(&mut self) {
        self.unstaffed = None;
    }

    /// When to look again.
    pub fn deadline(&self, absence: Duration) -> Option<Time> {
        let patience = self.patience?;
        self.unstaffed.filter(|_| !self.given_up).map(|since| since + patience.max(absence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_given_up_when_a_stage_stays_without_a_worker() {
        let mut run = Abandonment::default();
        let (second, late) = (Duration::from_secs(1), Time(5_000_000_000));
        assert!(!run.gives_up(late, Duration::ZERO), "by default it waits for ever");
        run.after(second);
        run.none();
        assert!(!run.gives_up(late, Duration::ZERO));
        assert_eq!(run.deadline(Duration::ZERO), Some(late + second));
        run.none();
        assert_eq!(run.deadline(Duration::ZERO), None);
        assert!(!run.gives_up(late, second * 3));
        assert!(!run.gives_up(late + second * 2, second * 3));
        assert!(run.gives_up(late + second * 3, second * 3) && run.is_given_up());
    }
}
