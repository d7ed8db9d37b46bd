//! Ventilators that have said Hello and are not answered yet.
//!
//! An answer lets units be sent, and a sink that is started again takes their outcomes only if it
//! knows that there was one. So the answer waits until it is recorded that the run has begun, and
//! so does the verdict on a ventilator of another plan. Owns whose turn it is; refuses to record
//! or to answer.

use std::collections::VecDeque;

use proto::{frame::PeerId, role::LinkId};

/// A ventilator that has said Hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The conversation.
    pub link: LinkId,
    /// Which start of a ventilator it is.
    pub ventilator: PeerId,
    /// The digest of source and stages.
    pub plan: String,
    /// The names of the stages.
    pub stages: Vec<String>,
}

/// What is to be done for the one whose turn it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The run is another one's.
    Refuse(LinkId),
    /// Record that the run has begun with it, or goes on; [`Arrivals::recorded`] then.
    Record(Arrival),
    /// Everything that its answer counts on is recorded.
    Welcome(LinkId),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Arrivals {
    waiting: VecDeque<Arrival>,
    // What is being recorded: the plan, and whose it is.
    recording: Option<(PeerId, String)>,
    // The ventilator with which the run has begun or goes on, as it is recorded.
    begun: Option<PeerId>,
}

impl Arrivals {
    /// One more has said Hello.
    pub fn add(&mut self, arrival: Arrival) {
        self.waiting.push_back(arrival);
    }

    /// Whether nobody waits for an answer.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Keeps only those who can still be answered.
    pub fn retain(&mut self, is_there: impl Fn(LinkId) -> bool) {
        self.waiting.retain(|arrival| is_there(arrival.link));
    }

    /// Whose turn it is, and for what, in a run of the plan that is recorded, if any is. None as
    /// long as something is being recorded, and when nobody waits.
    pub fn next(&mut self, plan: Option<&str>) -> Option<Next> {
        if self.recording.is_some() {
            return None;
        }
        let first = self.waiting.front()?;
        if plan.is_some_and(|plan| plan != first.plan) {
            return Some(Next::Refuse(self.waiting.pop_front()?.link));
        }
        if plan.is_some() && self.begun == Some(first.ventilator) {
            return Some(Next::Welcome(self.waiting.pop_front()?.link));
        }
        self.recording = Some((first.ventilator, first.plan.clone()));
        Some(Next::Record(first.clone()))
    }

    /// It is recorded; the plan that the run has from now on.
    pub fn recorded(&mut self) -> Option<String> {
        let (ventilator, plan) = self.recording.take()?;
        self.begun = Some(ventilator);
        Some(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(link: LinkId, plan: &str) -> Arrival {
        let (plan, stages) = (plan.into(), vec!["s".into()]);
        Arrival { link, ventilator: 100 + u64::from(link), plan, stages }
    }

    #[test]
    fn a_ventilator_is_answered_once_it_is_recorded_and_again_at_once() {
        let mut arrivals = Arrivals::default();
        arrivals.add(arrival(1, "a"));
        assert_eq!(arrivals.next(None), Some(Next::Record(arrival(1, "a"))));
        assert_eq!(arrivals.next(None), None);
        let plan = arrivals.recorded();
        assert_eq!(plan.as_deref(), Some("a"));
        assert_eq!(arrivals.next(plan.as_deref()), Some(Next::Welcome(1)));
        arrivals.add(Arrival { link: 7, ..arrival(1, "a") });
        assert_eq!(arrivals.next(plan.as_deref()), Some(Next::Welcome(7)));
        assert!(arrivals.is_empty());
    }

    #[test]
    fn nobody_is_refused_for_a_plan_that_is_not_recorded_yet() {
        let mut arrivals = Arrivals::default();
        arrivals.add(arrival(1, "a"));
        arrivals.add(arrival(2, "b"));
        assert!(matches!(arrivals.next(None), Some(Next::Record(_))));
        arrivals.retain(|link| link == 2);
        assert_eq!(arrivals.next(None), None, "who asked first is gone, and being recorded");
        let plan = arrivals.recorded();
        assert_eq!(arrivals.next(plan.as_deref()), Some(Next::Refuse(2)));
    }
}
