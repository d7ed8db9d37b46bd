//! How a run stands, for those who ask.
//!
//! Owns who has reported, and how many units there were a second of late; refuses clocks, and to
//! decide anything.

use std::{collections::VecDeque, time::Duration};

use proto::{frame::Report, service, time::Time};

use super::{observer::Reporter, progress::Progress};
use crate::runs::wire::{State, Status};

/// The rate is that of so long.
const SPAN: Duration = Duration::from_secs(10);
/// No two moments that are kept lie closer together.
const STEP: Duration = Duration::from_millis(150);

/// See the module.
#[derive(Debug, Default)]
pub struct Standing {
    ventilator: bool,
    sink: bool,
    // Units that were done at a moment.
    moments: VecDeque<(Time, u64)>,
    // Of a service.
    service: Option<service::Standing>,
}

impl Standing {
    /// Someone has reported. A ventilator admits nobody and reads nothing before the sink has made
    /// sure of its output and told it so.
    pub fn note(&mut self, now: Time, from: Reporter, report: &Report) {
        match from {
            Reporter::Ventilator => {
                let has_met = report.read > 0 || report.workers > 0 || report.total.is_some();
                self.ventilator |= has_met;
                if let Some(told) = report.service {
                    let known = self.service.get_or_insert_default();
                    let service::Standing { kept, kept_bytes, .. } = *known;
                    *known = service::Standing { kept, kept_bytes, ..told };
                }
            }
            Reporter::Sink => {
                self.sink = true;
                if let Some(told) = report.service {
                    let known = self.service.get_or_insert_default();
                    let service::Standing { kept, kept_bytes, .. } = told;
                    *known = service::Standing { kept, kept_bytes, ..*known };
                }
                self.moment(now, report.committed);
            }
        }
    }

    fn moment(&mut self, now: Time, done: u64) {
        match self.moments.back() {
            // A sink that was started again counts from what its predecessor had recorded.
            Some((_, before)) if done < *before => self.moments.clear(),
            Some((at, _)) if now.since(*at) < STEP => return,
            _ => {}
        }
        self.moments.push_back((now, done));
        // One older than the span stays, so that all of it is measured.
        while self.moments.get(1).is_some_and(|(at, _)| now.since(*at) >= SPAN) {
            self.moments.pop_front();
        }
    }

    /// Whether the run has really begun: ventilator and sink have met.
    pub fn has_begun(&self) -> bool {
        self.ventilator && self.sink
    }

    /// How far the run has got, that is about `state`.
    pub fn status(&self, state: State, progress: &Progress) -> Status {
        let state = match state {
            State::Running if !self.has_begun() => State::Starting,
            state => state,
        };
        let rate = self.rate();
        let left = progress.total.map(|total| total.saturating_sub(progress.committed));
        let left_s = left.filter(|_| rate > 0.0).map(|left| (left as f64 / rate).ceil() as u64);
        Status {
            state,
            done: progress.committed,
            total: progress.total,
            rate,
            left_s,
            workers: progress.workers,
            dead: progress.dead,
            service: self.service,
        }
    }

    fn rate(&self) -> f64 {
        let (Some((first, before)), Some((last, now))) =
            (self.moments.front(), self.moments.back())
        else {
            return 0.0;
        };
        let elapsed = last.since(*first).as_secs_f64();
        if elapsed > 0.0 { (now - before) as f64 / elapsed } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(committed: u64) -> Progress {
        Progress { committed, total: Some(1_000), ..Progress::default() }
    }

    fn report(committed: u64) -> Report {
        Report { committed, ..Report::default() }
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut standing = Standing::default();
        for second in 0..60 {
            // A hundred a second, then one.
            let done = if second < 5 { 100 * second } else { 500 + second - 5 };
            standing.note(Time::from_ms(1_000 * second), Reporter::Sink, &report(done));
        }
        let status = standing.status(State::Running, &progress(554));
        assert_eq!((status.rate, status.left_s), (1.0, Some(446)));
    }

    #[test]
    fn of_a_service_each_of_the_two_tells_its_own() {
        let mut standing = Standing::default();
        let told = |service| Report { read: 1, service: Some(service), ..Report::default() };
        let ventilator = service::Standing {
            clients: 2,
            queued: 7,
            queued_bytes: 70,
            oldest_ms: Some(1_500),
            ..service::Standing::default()
        };
        let sink = service::Standing { clients: 9, kept: 3, kept_bytes: 30, ..Default::default() };
        for _ in 0..2 {
            standing.note(Time::default(), Reporter::Ventilator, &told(ventilator));
            standing.note(Time::default(), Reporter::Sink, &told(sink));
        }
        let all = service::Standing { kept: 3, kept_bytes: 30, ..ventilator };
        assert_eq!(standing.status(State::Running, &progress(0)).service, Some(all));
    }

    #[test]
    fn a_run_starts_until_both_are_heard_and_has_no_rate_before_it_moves() {
        let mut standing = Standing::default();
        standing.note(Time::from_ms(1), Reporter::Sink, &report(7));
        let status = standing.status(State::Running, &progress(7));
        assert_eq!((status.state, status.rate, status.left_s), (State::Starting, 0.0, None));
        // It is there, and has not met the sink, which may refuse the output.
        standing.note(Time::from_ms(2), Reporter::Ventilator, &Report::default());
        assert_eq!(standing.status(State::Running, &progress(7)).state, State::Starting);
        let met = Report { read: 1, ..Report::default() };
        standing.note(Time::from_ms(2), Reporter::Ventilator, &met);
        assert_eq!(standing.status(State::Running, &progress(7)).state, State::Running);
        assert_eq!(standing.status(State::Paused, &progress(7)).state, State::Paused);
    }

    #[test]
    fn a_sink_that_begins_anew_makes_no_negative_rate() {
        let mut standing = Standing::default();
        standing.note(Time::from_ms(0), Reporter::Sink, &report(500));
        standing.note(Time::from_ms(1_000), Reporter::Sink, &report(400));
        standing.note(Time::from_ms(2_000), Reporter::Sink, &report(450));
        assert_eq!(standing.status(State::Running, &progress(450)).rate, 50.0);
    }
}
