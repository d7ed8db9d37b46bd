//! Scheduling of units that differ a lot: most take a millisecond, the last ones half a second.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::recovery::STOPPED_MS_MAX;
use crate::{
    Against, Failure, Figure, Options, Transport,
    bare::processes,
    figure::{Target, take_turns},
    ours::{Run, spinning, write_durations},
    site::Site,
};

const WORKERS: u32 = 2;
const LONGEST_MS: f64 = 500.0;

/// Compared with handing out one unit at a time to the next idle worker, computed exactly, and
/// with the guide's pipeline, which deals them round.
pub(super) fn measure(options: &Options) -> Result<Vec<Figure>, Failure> {
    let durations = durations(options.either(2_000, 100));
    let site = Site::new(options.folder.as_deref())?;
    let input = write_durations(&site, &durations)?;
    let greedy = one_at_a_time(&durations, WORKERS).as_secs_f64() * 1e3;
    let ideal = durations.iter().sum::<u64>() as f64 / f64::from(WORKERS) / 1e3;
    let what = format!("skewed units, makespan (ideal: {ideal:.0} ms)");
    let mut figure = Figure::new("skew", what, "ms")
        .to_reach(Target::TimesAtMost(1.01))
        .checked("count", durations.len());
    let mut dealt = Figure::new("skew", "the same, beside the guide's pipeline", "ms");
    let transport = options.transport();
    take_turns(options.pairs, || {
        let run = Run::start(&site, &spinning(transport, &input, WORKERS))?;
        let summary = run.finish()?.summary;
        let units = durations.len() as u64;
        Failure::unless_equal("ours", "the number of results", summary.results, units)?;
        figure.add(summary.seconds * 1e3);
        figure.add_other("one at a time (computed)", greedy);
        if options.compares(Against::Bare) {
            dealt.add(summary.seconds * 1e3);
            dealt.add_other("bare", bare(options, transport, &input, &durations)?);
        }
        Ok(())
    })?;
    let compared = dealt.other.is_some().then_some(dealt);
    Ok([figure].into_iter().chain(compared).collect())
}

/// With one of the workers stopped when half of the time has passed.
pub(super) fn stopped(options: &Options) -> Result<Vec<Figure>, Failure> {
    let durations = durations(options.either(2_000, 100));
    let all: u64 = durations.iter().sum();
    let site = Site::new(options.folder.as_deref())?;
    let input = write_durations(&site, &durations)?;
    let transport = options.transport();
    let half = Duration::from_micros(all / u64::from(2 * WORKERS));
    // Until then both compute; the other one does the rest alone.
    let ideal = Duration::from_micros(all) - half;
    let noticed = Duration::from_millis(STOPPED_MS_MAX);
    let what = format!("a worker of two stopped after {} ms, makespan", half.as_millis());
    let mut figure = Figure::new("stopped", what, "ms")
        .to_reach(Target::AtMost((ideal + noticed).as_secs_f64() * 1e3))
        .checked("count", durations.len());
    take_turns(options.pairs, || {
        let start = Instant::now();
        let mut run = Run::start(&site, &spinning(transport, &input, WORKERS))?;
        thread::sleep(half.saturating_sub(start.elapsed()));
        let mut victim = run.workers.swap_remove(0);
        victim.signal(Signal::STOP);
        let summary = run.finish()?.summary;
        let units = durations.len() as u64;
        Failure::unless_equal("ours", "the number of results", summary.results, units)?;
        figure.add(summary.seconds * 1e3);
        Ok(())
    })?;
    Ok(vec![figure])
}

fn bare(
    options: &Options,
    transport: Transport,
    input: &Path,
    durations: &[u64],
) -> Result<f64, Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let (count, input) = (durations.len().to_string(), input.display().to_string());
    let send = ["numbers", "--file", &input];
    let work = ["worker", "--run", "spin"];
    let collect = ["sink", "--units", &count];
    let taken = processes::run(&site, transport.unencrypted(), [&send, &work, &collect])?;
    let sum = durations.iter().copied().map(u128::from).sum();
    Failure::unless_equal("bare", "sum", taken.collected.sum, sum)?;
    Ok(taken.time.as_secs_f64() * 1e3)
}

/// Microseconds of each unit, in the order of the source: the quantiles of a Pareto distribution
/// with shape 1, from 1 ms, cut at half a second.
fn durations(units: usize) -> Vec<u64> {
    let quantile = |index: usize| 1.0 - (index as f64 + 0.5) / units as f64;
    (0..units).map(|index| (1e3 * (1.0 / quantile(index)).min(LONGEST_MS)) as u64).collect()
}

/// When the last worker is done, if each takes the next unit when it is idle and nothing costs
/// anything beside.
fn one_at_a_time(durations: &[u64], workers: u32) -> Duration {
    let mut idle_at: BinaryHeap<Reverse<u64>> = (0..workers).map(|_| Reverse(0)).collect();
    for micros in durations {
        let Reverse(now) = idle_at.pop().unwrap_or_default();
        idle_at.push(Reverse(now + micros));
    }
    Duration::from_micros(idle_at.into_iter().map(|Reverse(at)| at).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_is_computed_as_by_hand() {
        let time = |durations: &[u64]| one_at_a_time(durations, 2).as_micros();
        assert_eq!(time(&[1, 1, 1, 10]), 11);
        assert_eq!(time(&[10, 1, 1, 1]), 10);
        assert_eq!(time(&[]), 0);
    }

    #[test]
    fn durations_rise_from_a_millisecond_to_half_a_second() {
        let durations = durations(2_000);
        assert!(durations.is_sorted());
        assert_eq!((durations[0], durations[1_999]), (1_000, 500_000));
    }
}
