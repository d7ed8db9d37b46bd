//! How far a run has got, and what is said about it.
//!
//! Owns the figures and their words; refuses terminals and clocks.

use std::time::Duration;

use proto::frame::Report;
use sink::{
    Summary,
    figures::{counted, thousands},
};
use ventilator::source::SourceSpec;

use super::observer::Reporter;

/// How far a run has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Units with an outcome.
    pub committed: u64,
    /// All units, once known.
    pub total: Option<u64>,
    /// Units without success.
    pub dead: u64,
    /// Workers that take part.
    pub workers: u32,
    /// The unit that the output waits for, and for how many seconds about.
    pub awaited: Option<(u64, u64)>,
    /// Of a run that was asked to end: units that are worked on, and for how many seconds about the
    /// longest.
    pub running: Option<(u64, u64)>,
}

impl Progress {
    /// Nothing has happened; the total where the source tells it.
    pub fn of(source: &SourceSpec) -> Self {
        Self { total: total(source), ..Self::default() }
    }

    /// Takes a report in. What is committed the sink knows first, and the workers the
    /// ventilator.
    pub fn note(&mut self, from: Reporter, report: &Report) {
        self.total = report.total.or(self.total);
        match from {
            Reporter::Ventilator => {
                self.workers = report.workers;
                self.running = report.running.map(|on| (on.units, about(on.longest_ms / 1_000)));
            }
            Reporter::Sink => {
                self.committed = report.committed;
                self.dead = report.dead;
                self.awaited = report.awaited.map(|on| (on.unit, about(on.ms / 1_000)));
            }
        }
    }

    /// The run is over, and has come to this, whatever was reported last.
    pub fn conclude(&mut self, summary: &Summary) {
        let Summary { results, filtered, dead, .. } = *summary;
        self.committed = results + filtered + dead;
        self.dead = dead;
        (self.awaited, self.running) = (None, None);
    }

    /// The workers, and the dead units if there are any.
    pub fn company(&self) -> String {
        let workers = counted(self.workers.into(), ["worker", "workers"]);
        match self.dead {
            0 => workers,
            dead => format!("{workers}, {} dead", thousands(dead)),
        }
    }

    /// What a run that was asked to end waits for, if anything: `3 units running, longest 10 s; Ctrl-C
    /// again stops at once`.
    pub fn ending(&self) -> Option<String> {
        let (units, longest) = self.running?;
        let units = counted(units, ["unit", "units"]);
        let longest = lasted(longest);
        Some(format!("{units} running, longest {longest}; Ctrl-C again stops at once"))
    }

    /// What the output waits for, if anything: `, output waits for unit 17, 4 min`.
    pub fn waiting(&self) -> String {
        let told = |(unit, seconds)| {
            format!(", output waits for unit {}, {}", thousands(unit), lasted(seconds))
        };
        self.awaited.map(told).unwrap_or_default()
    }

    /// The units: `1,200 of 100,000 units`.
    pub fn reached(&self) -> String {
        const UNITS: [&str; 2] = ["unit", "units"];
        match self.total {
            Some(total) => format!("{} of {}", thousands(self.committed), counted(total, UNITS)),
            None => counted(self.committed, UNITS),
        }
    }

    /// One line: `1,200 of 100,000 units, 600/s, 2 min left, 2 workers`.
    pub fn line(&self, rate: f64) -> String {
        if let Some(ending) = self.ending() {
            return format!("{}, draining: {ending}", self.reached());
        }
        let mut line = format!("{}, {}/s", self.reached(), thousands(rate.round() as u64));
        if let Some(left) = self.left(rate) {
            line += &format!(", {} left", seconds(left));
        }
        line + ", " + &self.company() + &self.waiting()
    }

    fn left(&self, rate: f64) -> Option<Duration> {
        let left = self.total?.checked_sub(self.committed).filter(|left| *left > 0)?;
        Duration::try_from_secs_f64(left as f64 / rate).ok()
    }
}

/// Some seconds as people say it: `40 s`, `4 min`, `2 h 2 min`.
fn lasted(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// Seconds, as exact as is worth a new line.
fn about(seconds: u64) -> u64 {
    let step = match seconds {
        0..5 => 1,
        5..10 => 5,
        10..60 => 10,
        _ => 60,
    };
    seconds / step * step
}

/// How many units a source has, where that can be told without opening it.
fn total(source: &SourceSpec) -> Option<u64> {
    let SourceSpec::Range { from, to, step } = *source else { return None };
    let (from, to, step) = (i128::from(from), i128::from(to), i128::from(step));
    if step == 0 {
        return None;
    }
    u64::try_from((to - from) / step + 1)
        .ok()
        .filter(|_| (to - from) * step.signum() >= 0)
        .or(Some(0))
}

/// A duration in the two units that matter: `12 s`, `3 min 20 s`, `2 h 5 min`.
pub fn seconds(duration: Duration) -> String {
    let all = duration.as_secs();
    match (all / 3600, all / 60 % 60, all % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, to: i64, step: i64) -> Option<u64> {
        total(&SourceSpec::Range { from, to, step })
    }

    #[test]
    fn the_length_of_a_range_is_known_before_it_is_read() {
        assert_eq!(range(1, 1000, 1), Some(1000));
        assert_eq!(range(0, 10, 3), Some(4));
        assert_eq!(range(10, 1, -4), Some(3));
        assert_eq!(range(5, 1, 1), Some(0));
        assert_eq!(range(i64::MIN, i64::MAX, 1), Some(0));
        assert_eq!(total(&SourceSpec::Stdin), None);
    }

    #[test]
    fn a_line_says_what_is_known() {
        let mut progress = Progress { committed: 1200, workers: 2, ..Progress::default() };
        assert_eq!(progress.line(600.4), "1,200 units, 600/s, 2 workers");
        progress.total = Some(100_000);
        progress.dead = 3;
        assert_eq!(
            progress.line(600.4),
            "1,200 of 100,000 units, 600/s, 2 min 44 s left, 2 workers, 3 dead"
        );
        assert_eq!(progress.line(0.0), "1,200 of 100,000 units, 0/s, 2 workers, 3 dead");
    }

    #[test]
    fn a_line_says_what_the_output_waits_for() {
        let mut progress = Progress { committed: 1200, workers: 2, ..Progress::default() };
        let mut line = |unit, seconds: u64| {
            let awaited = Some(proto::frame::Awaited { unit, ms: seconds * 1_000 + 900 });
            progress
                .note(Reporter::Sink, &Report { awaited, committed: 1200, ..Report::default() });
            progress.line(0.0).split_once(", output waits for ").map(|(_, rest)| rest.to_owned())
        };
        assert_eq!(line(17, 5).as_deref(), Some("unit 17, 5 s"));
        assert_eq!(line(17, 9), line(17, 5), "the same line is not shown again");
        assert_eq!(line(17, 48).as_deref(), Some("unit 17, 40 s"));
        assert_eq!(line(1_234_567, 299).as_deref(), Some("unit 1,234,567, 4 min"));
        assert_eq!(line(0, 7_325).as_deref(), Some("unit 0, 2 h 2 min"));
        progress.note(Reporter::Sink, &Report::default());
        assert_eq!(progress.waiting(), "");
    }

    #[test]
    fn a_run_that_was_asked_to_end_says_what_is_waited_for() {
        let mut progress = Progress { committed: 1200, workers: 2, ..Progress::default() };
        let running = Some(proto::frame::Running { units: 3, longest_ms: 12_700 });
        let report = Report { running, workers: 2, ..Report::default() };
        progress.note(Reporter::Ventilator, &report);
        let told =
            "1,200 units, draining: 3 units running, longest 10 s; Ctrl-C again stops at once";
        assert_eq!(progress.line(5.0), told);
        progress.note(Reporter::Ventilator, &Report { workers: 2, ..Report::default() });
        assert_eq!(progress.line(600.4), "1,200 units, 600/s, 2 workers");
    }

    #[test]
    fn at_the_end_the_summary_counts_and_not_the_report_before_it() {
        let mut progress = Progress { workers: 2, ..Progress::default() };
        let awaited = Some(proto::frame::Awaited { unit: 8, ms: 9_000 });
        let last = Report { total: Some(9), committed: 8, awaited, ..Report::default() };
        progress.note(Reporter::Sink, &last);
        let summary = Summary { results: 6, filtered: 1, dead: 2, ..Summary::default() };
        progress.conclude(&summary);
        let expected =
            Progress { committed: 9, total: Some(9), dead: 2, workers: 2, ..Progress::default() };
        assert_eq!(progress, expected);
    }

    #[test]
    fn each_figure_comes_from_the_one_who_knows_it() {
        let mut progress = Progress::default();
        let report = Report { committed: 7, workers: 2, dead: 1, ..Report::default() };
        progress.note(Reporter::Ventilator, &report);
        assert_eq!(progress, Progress { workers: 2, ..Progress::default() });
        progress.note(Reporter::Sink, &Report { workers: 0, total: Some(9), ..report });
        let expected =
            Progress { committed: 7, total: Some(9), dead: 1, workers: 2, ..Progress::default() };
        assert_eq!(progress, expected);
    }
}
