//! A process a unit: what is left is what starting one costs.

use std::{process::Command, time::Instant};

use proto::plan::Function;

use crate::{
    Against, Failure, Figure, Options,
    figure::{Target, take_turns},
    ours::{Run, RunSpec, range},
    site::{Site, all_end},
};

const PROGRAM: &str = "/bin/true";

/// Compared with `xargs -P2 -n1`.
pub(super) fn measure(options: &Options) -> Result<Vec<Figure>, Failure> {
    let units = options.either(10_000, 50);
    let site = Site::new(options.folder.as_deref())?;
    let transport = options.transport();
    let function = Function::Exec(vec![PROGRAM.into(), "{}".into()]);
    let order = RunSpec::new(transport, range(units), function);
    let mut figure = Figure::new("exec", "a process a unit: /bin/true", "units/s")
        .to_reach(Target::TimesAtLeast(0.95))
        .checked("count", units);
    take_turns(options.pairs, || {
        let finished = Run::start(&site, &order)?.finish()?;
        // It prints nothing, so every unit is filtered.
        Failure::unless_equal("ours", "the number of units", finished.summary.filtered, units)?;
        figure.add(units as f64 / finished.wall.as_secs_f64());
        if options.compares(Against::Tools) {
            figure.add_other("xargs", units as f64 / xargs(&site, units)?);
        }
        Ok(())
    })?;
    Ok(vec![figure])
}

fn xargs(site: &Site, units: u64) -> Result<f64, Failure> {
    let mut command = Command::new("sh");
    command.args(["-c", r#"seq "$1" | xargs -P2 -n1 "$2""#, "sh", &units.to_string(), PROGRAM]);
    let start = Instant::now();
    let mut xargs = site.start("xargs", command)?;
    all_end([&mut xargs])?;
    Ok(start.elapsed().as_secs_f64())
}
