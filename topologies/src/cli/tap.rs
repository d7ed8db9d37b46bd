//! `pipeline tap`: some of what passes through a run, as it passes.
//!
//! Owns which samples are printed, and how often. They are taken by the workers, one each in half a
//! second at most, and kept by the launcher; nothing of the run waits for this.

use std::{
    io::{self, Write},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use proto::process::exit_code;
use serde_json::json;

use super::{
    complain,
    onlooker::{self, Onlooker, Seen},
    print,
};
use crate::{
    runs::{choice, wire::PassedSample},
    up::exit,
};

/// The launcher is asked no more often.
const INTERVAL: Duration = Duration::from_millis(200);

/// Shows some of the results of a run's stages as they pass, a line of JSON each, until it is over
#[derive(Debug, Args)]
pub(super) struct TapArgs {
    /// The run: its name, its directory, its topology or its id [default: the only one]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Only results of this stage
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// At most so many a second; each worker gives two
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// Leave after so many
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

impl TapArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(self.tap().unwrap_or_else(|problem| {
            complain(&problem);
            exit::NO_INPUT
        }))
    }

    fn tap(&self) -> Result<i32, String> {
        let run = choice::choose(self.run.as_deref()).map_err(|error| error.to_string())?;
        let mut details = onlooker::ask(&run).map_err(|error| error.to_string())?;
        if let Some(wanted) = &self.stage {
            let names: Vec<&str> = details.stages.iter().map(|stage| stage.name.as_str()).collect();
            if !names.contains(&wanted.as_str()) {
                let names = names.join(", ");
                complain(&format_args!("there is no stage `{wanted}`; there are {names}"));
                return Ok(exit::USAGE);
            }
        }
        let onlooker = Onlooker::of(&run);
        let (mut next, mut printed) = (0, 0);
        let mut allowance = Allowance::of(self.rate);
        loop {
            let is_wanted = |sample: &&PassedSample| {
                let stage = self.stage.as_ref();
                sample.number >= next && stage.is_none_or(|stage| sample.stage == *stage)
            };
            for sample in details.passed.iter().filter(is_wanted) {
                if !allowance.take(Instant::now()) {
                    break;
                }
                match print(&line(sample)) {
                    exit::COMPLETE => printed += 1,
                    // Whoever read it has seen enough.
                    code => return Ok(code),
                }
                if self.count.is_some_and(|count| printed >= count) {
                    return Ok(exit::COMPLETE);
                }
            }
            // A ventilator that has begun anew counts from 0.
            next = details.passed.last().map_or(0, |sample| sample.number + 1);
            thread::sleep(INTERVAL);
            match onlooker.look() {
                Seen::Details(now) => details = *now,
                // What is known has been printed; a launcher that is stopped may go on.
                Seen::Nothing(_) => {}
                // However it ended: that is what was waited for.
                Seen::Over(told) => {
                    let _ = writeln!(io::stderr(), "{told}");
                    return Ok(exit::COMPLETE);
                }
            }
        }
    }
}

fn line(sample: &PassedSample) -> String {
    let PassedSample { unit, stage, worker, value, bytes, .. } = sample;
    let line = match value {
        Some(value) => json!({"unit": unit, "stage": stage, "worker": worker, "value": value}),
        None => json!({"unit": unit, "stage": stage, "worker": worker, "bytes": bytes}),
    };
    format!("{line}\n")
}

/// How much may be printed.
struct Allowance {
    rate: u32,
    since: Option<Instant>,
    used: u32,
}

impl Allowance {
    fn of(rate: u32) -> Self {
        Self { rate, since: None, used: 0 }
    }

    /// Whether one more may be printed in this second.
    fn take(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now - since >= Duration::from_secs(1)) {
            (self.since, self.used) = (Some(now), 0);
        }
        self.used += 1;
        self.used <= self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_are_printed_and_no_more() {
        let mut allowance = Allowance::of(2);
        let now = Instant::now();
        let mut after = |ms| allowance.take(now + Duration::from_millis(ms));
        assert_eq!([0, 10, 20, 1_000].map(&mut after), [true, true, false, true]);
    }

    #[test]
    fn a_value_that_is_too_large_is_told_by_its_size() {
        let (unit, value) = ("3.1".into(), Some(json!(7)));
        let small = PassedSample { unit, value, bytes: 1, ..PassedSample::default() };
        let told = r#"{"unit":"3.1","stage":"","worker":"","value":7}"#;
        assert_eq!(line(&small), format!("{told}\n"));
        let large = PassedSample { bytes: 5_000, ..PassedSample::default() };
        assert!(line(&large).contains("\"bytes\":5000"));
    }
}
