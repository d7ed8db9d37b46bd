//! How much of the time workers compute, when a unit takes a millisecond.

use crate::{
    Failure, Figure, Options,
    figure::{Target, take_turns},
    ours::{Run, spinning, write_durations},
    site::Site,
};

const UNIT_MICROS: u64 = 1_000;
const WORKERS: u32 = 2;

/// The time that the units have to take, of the time that the workers had.
pub(super) fn measure(options: &Options) -> Result<Vec<Figure>, Failure> {
    let units = options.either(10_000, 100);
    let site = Site::new(options.folder.as_deref())?;
    let input = write_durations(&site, &[UNIT_MICROS].repeat(units))?;
    let order = spinning(options.transport(), &input, WORKERS);
    let mut figure = Figure::new("busy", "units of 1 ms: share of time computing", "%")
        .to_reach(Target::AtLeast(99.0))
        .checked("count", units);
    take_turns(options.pairs, || {
        let summary = Run::start(&site, &order)?.finish()?.summary;
        Failure::unless_equal("ours", "the number of results", summary.results, units as u64)?;
        let computed = units as f64 * UNIT_MICROS as f64 / 1e6 / f64::from(WORKERS);
        figure.add(computed / summary.seconds * 100.0);
        Ok(())
    })?;
    Ok(vec![figure])
}
