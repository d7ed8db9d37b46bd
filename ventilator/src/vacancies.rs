//! Stages that have no worker.
//!
//! Owns how often they are looked for and told; refuses to know who the workers are.

use std::time::Duration;

use proto::{plan::Stage, rules::patience::Patience, time::Time};
use tracing::warn;

/// How often stages are looked through for one that has no worker.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The search for a stage without a worker.
#[derive(Debug, Default)]
pub(crate) struct Vacancies {
    patience: Patience,
    looked: Time,
}

impl Vacancies {
    /// When one has to be told.
    pub fn deadline(&self) -> Option<Time> {
        self.patience.due()
    }

    /// Whether it is time to look.
    pub fn is_due(&self, now: Time) -> bool {
        self.deadline().is_some_and(|due| due <= now) || now.since(self.looked) >= LOOK_INTERVAL
    }

    /// The first stage without a worker, if there is one, is waited for; which one is told.
    pub fn found(&mut self, now: Time, vacant: Option<&Stage>) {
        self.looked = now;
        let Some(stage) = vacant else { return self.patience.met() };
        if let Some(lasted) = self.patience.told(now) {
            let (stage, seconds) = (&stage.name, lasted.as_secs());
            warn!(%stage, seconds, "no worker of this stage is here; waiting for one");
        }
    }
}
