//! `pipeline map` with a function.

use std::{
    io::{self, BufWriter, Write},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use proto::{kin, limits::Limits, plan::Stage};

use super::{MapArgs, Refusal, reading::Reading};
use crate::{
    embedded::ResultError,
    halt::When,
    map::{
        arguments::Rows,
        calls::{Given, Written},
        jobs::Limit,
        printer::{Audience, audience},
        tally::Tally,
    },
    up::exit,
};

/// What is written waits for others at most so long.
const FLUSH: Duration = Duration::from_millis(20);

impl MapArgs {
    pub(super) fn run_function(&self, rows: Rows, total: Option<u64>) -> Result<i32, Refusal> {
        let Some(function) = self.function() else { return Ok(exit::USAGE) };
        let failed = |error: io::Error| (exit::INPUT_OUTPUT, error.to_string());
        let mut stage = Stage { retries: self.retries, ..Stage::new("map", function) };
        if let Some(Limit::Time(limit)) = self.timeout {
            stage.timeout_ms = u64::try_from(limit.as_millis()).ok();
        }
        let limits = Limits::default();
        let places = self.jobs.unwrap_or_default().count() as usize;
        let mut functions = Vec::new();
        for _ in 0..places {
            let function = worker::assemble(&stage, None, &limits)
                .map_err(|error| (exit::USAGE, proto::causes::with_causes(&error)))?;
            functions.push(function);
        }
        let reading = Reading::start(|| ())?;
        let as_text = self.text;
        let units = reading.units(rows).map(move |(_, row)| Given::new(row, as_text));
        let results = crate::source(units)
            .function::<Written, _>("map", places, || {
                functions.pop().expect("one was made for each place")
            })
            .retries(self.retries)
            .order(self.order())
            .run()
            .map_err(|error| (exit::SYSTEM, error.to_string()))?;
        let out = Arc::new(Mutex::new(BufWriter::with_capacity(64 << 10, io::stdout())));
        flush_now_and_then(&out).map_err(failed)?;
        let locked = || out.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tally = Tally::new(self.shown(), total);
        for result in results {
            if reading.is_stopped() {
                break;
            }
            match result {
                Ok(Written(mut line)) => {
                    line.push(b'\n');
                    if audience(locked().write_all(&line)).map_err(failed)? == Audience::Left {
                        kin::end_all();
                        return Ok(exit::COMPLETE);
                    }
                    tally.succeed();
                }
                Err(ResultError::Dead(dead)) => {
                    tally.fail(|| format!("unit {} ({}): {}", dead.id + 1, dead.input, dead.error));
                    if let Some(when) = self.halt.is_enough(tally.succeeded, tally.failed) {
                        reading.close();
                        if when == When::Now {
                            break;
                        }
                    }
                }
                Err(error @ ResultError::SetUp { .. }) => {
                    return Err((exit::UNFIT, error.to_string()));
                }
                Err(error) => return Err((exit::LOST, error.to_string())),
            }
        }
        if audience(locked().flush()).map_err(failed)? == Audience::Left {
            return Ok(exit::COMPLETE);
        }
        kin::end_all();
        tally.finish();
        reading.code(tally.failed)
    }
}

/// Has what was written seen soon, though more may be long in coming.
fn flush_now_and_then(out: &Arc<Mutex<BufWriter<io::Stdout>>>) -> io::Result<()> {
    let out = Arc::downgrade(out);
    thread::Builder::new().name("flush".into()).spawn(move || {
        while let Some(out) = out.upgrade() {
            // Whoever writes next is told what is wrong.
            let _ = out.lock().unwrap_or_else(PoisonError::into_inner).flush();
            drop(out);
            thread::sleep(FLUSH);
        }
    })?;
    Ok(())
}
