//! How soon others have what a killed or a stopped worker had.

use std::{thread, time::Duration};

use rustix::process::Signal;

use crate::{
    Failure, Figure, Options,
    figure::{Target, take_turns},
    ours::{Run, spinning, write_durations},
    site::Site,
};

const UNIT_MICROS: u64 = 1_000;
const WORKERS: u32 = 3;
/// What is promised for a stopped worker, from the last that was heard of it.
pub(super) const STOPPED_MS_MAX: u64 = 1_200;

/// What befalls one of three workers in the middle of the run.
#[derive(Clone, Copy)]
enum Blow {
    Kill,
    Stop,
}

/// The ventilator takes the time.
pub(super) fn measure(options: &Options) -> Result<Vec<Figure>, Failure> {
    let what = "a worker's death until others have its units";
    let killed = Figure::new("recovery", what, "ms");
    let what = "a worker's SIGSTOP until others have its units";
    let stopped =
        Figure::new("recovery", what, "ms").to_reach(Target::AtMost(STOPPED_MS_MAX as f64));
    // The run has to last until the silence is noticed.
    let (few, many) = (options.either(2_000, 1_000), options.either(8_000, 6_000));
    Ok(vec![after(options, Blow::Kill, few, killed)?, after(options, Blow::Stop, many, stopped)?])
}

fn after(options: &Options, blow: Blow, units: usize, figure: Figure) -> Result<Figure, Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let input = write_durations(&site, &[UNIT_MICROS].repeat(units))?;
    let order = spinning(options.transport(), &input, WORKERS);
    let mut figure = figure.checked("count", units);
    take_turns(options.pairs, || {
        let mut run = Run::start(&site, &order)?;
        let all = units as u64 * UNIT_MICROS / u64::from(WORKERS);
        let before = match blow {
            Blow::Kill => all / 2,
            Blow::Stop => all / 4,
        };
        thread::sleep(Duration::from_micros(before));
        let mut victim = run.workers.swap_remove(0);
        match blow {
            Blow::Kill => victim.kill(),
            Blow::Stop => victim.signal(Signal::STOP),
        }
        let summary = run.finish()?.summary;
        victim.kill();
        Failure::unless_equal("ours", "the number of results", summary.results, units as u64)?;
        figure.add(summary.recovery_ms.unwrap_or(0.0));
        Ok(())
    })?;
    Ok(figure)
}
