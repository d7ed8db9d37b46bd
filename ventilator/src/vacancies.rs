//! Stages that have no worker.
//!
//! Owns how often they are looked for and told; refuses to know who the workers are.

use std::time::Duration;

use proto::{
    plan::{Function, Stage},
    rules::patience::Patience,
    time::Time,
};
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

    /// The first stage without a worker, if there is one, is waited for; which one is told, and how to
    /// start a worker that finds this process `at` an endpoint, if others can reach it.
    pub fn found(&mut self, now: Time, vacant: Option<&Stage>, at: Option<&str>) {
        self.looked = now;
        let Some(stage) = vacant else { return self.patience.met() };
        if let Some(lasted) = self.patience.told(now) {
            let (name, seconds) = (&stage.name, lasted.as_secs());
            match at {
                // To be pasted, so nothing comes behind it.
                Some(at) => warn!(
                    "stage `{name}` has no worker yet, for {seconds} s; start one with: {}",
                    command(stage, at)
                ),
                None => {
                    warn!(stage = %name, seconds, "no worker of this stage is here; waiting for one")
                }
            }
        }
    }
}

/// What starts a worker of a stage.
fn command(stage: &Stage, at: &str) -> String {
    let function = if stage.function == Function::Own { " --run FUNCTION" } else { "" };
    format!("worker --ventilator '{at}' --stage {}{function}", stage.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_a_worker_says_what_it_has_to_be_told() {
        let own = command(&Stage::new("square", Function::Own), "tcp://HOST:5557");
        assert_eq!(own, "worker --ventilator 'tcp://HOST:5557' --stage square --run FUNCTION");
        let known = command(&Stage::new("work", Function::Run("echo".into())), "ipc:///v");
        assert_eq!(known, "worker --ventilator 'ipc:///v' --stage work");
    }
}
