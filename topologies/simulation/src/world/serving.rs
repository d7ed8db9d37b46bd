//! What a service adds to a world: clients that come at their own times, and an end.
//!
//! Owns when it is asked to end: once all clients have what they wanted, and nothing is left of it.

use std::time::Duration;

use proto::unit::UnitId;

use super::World;
use crate::{
    actor::Happening,
    check::Broken,
    clock::Moment,
    process::{Duty, Life, Process, SINK, VENTILATOR},
    service::audit,
};

/// A sink that was started so long ago has looked for what is kept too long.
const SETTLED: Duration = Duration::from_secs(2);
/// A ventilator that was told so long ago what is committed has removed it from its queue.
const CLEANED: Duration = Duration::from_secs(15);

impl World<'_> {
    /// When a process is started for the first time.
    pub(super) fn comes_at(&self, process: usize) -> Moment {
        match (self.processes[process].duty, &self.premises) {
            (Duty::Client(index), Some(premises)) => premises.comes_at(index),
            _ => self.now,
        }
    }

    /// A service is asked to end once all clients have what they wanted, and nothing is left to be done.
    pub(super) fn look_after_service(&mut self) {
        let Some(premises) = self.premises.clone() else { return };
        let seen = |what| Broken::Seen { process: "service".into(), what };
        let sink = &self.processes[SINK];
        if sink.acts() && self.now.since(sink.started) > SETTLED {
            let grown = audit::bounded(&premises, &self.disk.borrow(), self.now);
            self.broken = self.broken.take().or(grown.err().map(seen));
        }
        let gone = |process: &Process| process.is_part() || process.life == Life::Left(0);
        if !self.draining
            && self.processes.iter().all(gone)
            && audit::is_all_done(&premises, &self.disk.borrow())
        {
            let since = *self.done_since.get_or_insert(self.now);
            let ventilator = &self.processes[VENTILATOR];
            let since = since.max(ventilator.started);
            let had_time = ventilator.acts() && self.now.since(since) > CLEANED;
            match audit::left_over(&premises) {
                None => self.close_service(),
                Some(what) if had_time => self.broken = self.broken.take().or(Some(seen(what))),
                Some(_) => {}
            }
        }
    }

    /// A worker has begun a unit.
    pub(super) fn note_begun(&self, unit: UnitId) {
        if let Some(premises) = &self.premises {
            premises.desk.borrow_mut().begun.insert(unit..unit + 1);
        }
    }

    /// A process has no lane any more to one that it may have given units.
    pub(super) fn note_loss(&self, process: usize) {
        if let Some(premises) = self.premises.as_ref().filter(|_| process == VENTILATOR) {
            premises.desk.borrow_mut().is_disturbed = true;
        }
    }

    fn close_service(&mut self) {
        (self.served, self.draining) = (true, true);
        self.trace.say(self.now, || "all clients have what they wanted".to_owned());
        self.tell(self.incarnation(VENTILATOR), Happening::Drain);
    }
}
