//! What all processes of a run take together, and that it does not grow with the units.

use std::{fs, thread, time::Duration};

use sink::config::Aggregate;

use crate::{
    Failure, Figure, Options,
    figure::Target,
    ours::{Run, RunSpec, built_in, range},
    site::Site,
};
use sink::figures::thousands;

const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const MIB: f64 = (1u64 << 20) as f64;

/// A row at few units and one at many; a run each, since the peak is no matter of luck.
pub(super) fn measure(options: &Options) -> Result<Vec<Figure>, Failure> {
    let counts = options.either([10_000_000, 1_000_000_000], [100_000, 1_000_000]);
    counts.into_iter().map(|units| at(options, units)).collect()
}

fn at(options: &Options, units: u64) -> Result<Figure, Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let transport = options.transport();
    let mut order = RunSpec::new(transport, range(units), built_in("square"));
    order.sink.aggregate.push(Aggregate::Sum);
    let mut run = Run::start(&site, &order)?;
    let mut peak = 0;
    while !run.sink.has_ended()? {
        peak = peak.max(run.processes().filter_map(pss_bytes).sum());
        thread::sleep(LOOK_INTERVAL);
    }
    let summary = run.finish()?.summary;
    Failure::unless_equal("ours", "the number of results", summary.results, units)?;
    let what = format!("memory of all processes (PSS), {} tiny units", thousands(units));
    let mut figure =
        Figure::new("memory", what, "MiB").to_reach(Target::AtMost(40.0)).checked("count", units);
    figure.add(peak as f64 / MIB);
    Ok(figure)
}

/// What a process has, its share of what it shares included; none when it has ended.
pub(super) fn pss_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_some_memory() {
        assert!(pss_bytes(std::process::id()).is_some_and(|bytes| bytes > 1 << 16));
    }
}
