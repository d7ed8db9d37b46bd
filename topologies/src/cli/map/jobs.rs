//! `pipeline map` with a command: a program for each unit.

use std::{
    ffi::OsString,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use proto::{kin, net::endpoint::this_host};

use super::{MapArgs, Refusal, reading::Reading};
use crate::{
    halt::When,
    map::{
        arguments::Rows,
        joblog::{JobLog, Past},
        jobs::{Done, Job, Jobs, Line, Terms, kept_errors},
        printer::{Audience, Printer},
        tally::Tally,
    },
    up::exit,
};

/// What a unit that has failed is tried again after, at first.
const BACKOFF: Duration = Duration::from_millis(100);

impl MapArgs {
    pub(super) fn run_jobs(
        &self,
        line: Line,
        rows: Rows,
        total: Option<u64>,
    ) -> Result<i32, Refusal> {
        let failed = |error: io::Error| (exit::INPUT_OUTPUT, error.to_string());
        let goes_on = self.resume || self.resume_failed;
        let mut past = Past::default();
        let mut log = None;
        if let Some(path) = &self.joblog {
            let told = |error| (exit::INPUT_OUTPUT, format!("{}: {error}", path.display()));
            if goes_on {
                past = Past::read(path).map_err(told)?;
            }
            if self.resume_failed {
                past.forget_failed();
            }
            log = Some(JobLog::open(path, goes_on, this_host()).map_err(told)?);
        }
        let jobs = Arc::new(Jobs::new(Terms {
            line,
            retries: self.retries,
            limit: self.timeout,
            results: self.results.clone(),
        }));
        let closing = jobs.clone();
        let reading = Reading::start(move || closing.close())?;
        let units = reading
            .units(rows)
            .filter(move |(number, _)| !past.has(*number))
            .map(|(number, row)| Job::new(number, row));
        let places = self.jobs.unwrap_or_default().count();
        let works = jobs.clone();
        let results = crate::source(units)
            .function::<u64, _>("map", 1, move || {
                let works = works.clone();
                worker::try_threads(places, move |job: Job| works.work(job))
            })
            .retries(self.retries)
            .backoff(BACKOFF)
            .order(self.order())
            .run()
            .map_err(|error| (exit::SYSTEM, error.to_string()))?;
        let tag = self.tag.then(|| OsString::from("{}")).or_else(|| self.tagstring.clone());
        let mut printer = Printer::new(io::stdout(), tag.as_deref());
        let mut tally = Tally::new(self.shown(), total);
        let mut halted = None;
        for result in results {
            if reading.is_stopped() {
                break;
            }
            let done = match result {
                Ok(number) => jobs.take(number),
                Err(error) => {
                    tally.fail(|| error.to_string());
                    continue;
                }
            };
            let Some(done) = done.filter(|done| done.begun) else { continue };
            let _ = io::stderr().write_all(&kept_errors(&jobs, &done));
            if printer.put(&done).map_err(failed)? == Audience::Left {
                kin::end_all();
                return Ok(exit::COMPLETE);
            }
            if let Some(log) = &mut log {
                log.put(&done).map_err(failed)?;
            }
            count(&mut tally, &done);
            if halted.is_none() {
                halted = self.halt.is_enough(tally.succeeded, tally.failed);
                if halted.is_some() {
                    reading.close();
                    jobs.close();
                }
                if halted == Some(When::Now) {
                    break;
                }
            }
        }
        kin::end_all();
        tally.finish();
        let wanted = self.halt.wants_success() && halted.is_some();
        reading.code(if wanted { 0 } else { tally.failed })
    }
}

fn count(tally: &mut Tally, done: &Done) {
    if done.is_good() {
        tally.succeed();
    } else {
        tally.fail(|| format!("{}: {}", done.command.display(), done.problem()));
    }
}
