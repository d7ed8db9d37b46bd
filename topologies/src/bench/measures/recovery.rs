//! How soon others have what a killed worker had.

use std::{thread, time::Duration};

use crate::bench::{
    Failure, Figure, Options,
    figure::take_turns,
    ours::{Run, spinning, write_durations},
    site::Site,
};

const UNIT_MICROS: u64 = 1_000;
const WORKERS: u32 = 3;

/// One of three workers is killed in the middle of the run; the ventilator takes the time.
pub(super) fn measure(options: &Options) -> Result<Vec<Figure>, Failure> {
    let units = options.either(2_000, 1_000);
    let site = Site::new(options.folder.as_deref())?;
    let input = write_durations(&site, &[UNIT_MICROS].repeat(units))?;
    let order = spinning(options.transport(), &input, WORKERS);
    let what = "a worker's death until others have its units";
    let mut figure = Figure::new("recovery", what, "ms").checked("count", units);
    take_turns(options.pairs, || {
        let mut run = Run::start(&site, &order)?;
        let middle = units as u64 * UNIT_MICROS / u64::from(2 * WORKERS);
        thread::sleep(Duration::from_micros(middle));
        run.workers.swap_remove(0).kill();
        let summary = run.finish()?.summary;
        Failure::unless_equal("ours", "the number of results", summary.results, units as u64)?;
        figure.add(summary.recovery_ms.unwrap_or(0.0));
        Ok(())
    })?;
    Ok(vec![figure])
}
