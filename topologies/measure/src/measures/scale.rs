//! What a parcel costs the ventilator and the sink, by the number of workers.
//!
//! Both are run as they are, as state machines in this process: every frame between them and
//! thousands of made-up workers is handed over by hand, so that no machine has to have as many
//! cores. What is counted is the time inside the two. Refuses to model the network, and what
//! encoding a frame takes: that is the same however many workers there are.

mod world;

use std::time::Duration;

use sink::figures::thousands;

use self::world::World;
use crate::{
    Failure, Figure, Options,
    figure::{Target, take_turns},
    measures::memory::pss_bytes,
};

const WORKERS: [u32; 4] = [10, 100, 1_000, 10_000];
const WORKERS_QUICK: [u32; 2] = [10, 100];
const MIB: f64 = (1u64 << 20) as f64;

/// What one run is about.
#[derive(Debug, Clone, Copy)]
struct Load {
    workers: u32,
    units: u64,
    /// The most units in a parcel.
    parcel_units_max: u32,
}

/// What one run gave.
#[derive(Debug, Clone, Copy)]
struct Taken {
    parcels: u64,
    ventilator: Duration,
    sink: Duration,
    /// Of this process, when everything was committed.
    memory_bytes: u64,
}

/// Three rows for each number of workers, and a row of memory for many units.
pub(super) fn measure(options: &Options) -> Result<Vec<Figure>, Failure> {
    // First, since an allocator keeps what thousands of workers once took.
    let counts = options.either([10_000_000, 1_000_000_000], [100_000, 1_000_000]);
    let many = counts.map(many_units).into_iter().collect::<Result<Vec<_>, _>>()?;
    let workers = options.either(&WORKERS[..], &WORKERS_QUICK[..]);
    let mut rows: Vec<[Figure; 3]> = workers.iter().map(|workers| rows_of(*workers)).collect();
    // A unit a parcel: parcels are the same, however many workers share what there is.
    let units = options.either(200_000, 2_000);
    take_turns(options.pairs, || {
        let mut first = None;
        for (row, workers) in rows.iter_mut().zip(workers) {
            let taken = run(Load { workers: *workers, units, parcel_units_max: 1 })?;
            let of = *first.get_or_insert(taken);
            let a_parcel = |time: Duration| time.as_nanos() as f64 / taken.parcels as f64;
            let figures = [a_parcel(taken.ventilator), a_parcel(taken.sink)];
            let others = [of.ventilator, of.sink].map(a_parcel);
            for ((figure, number), other) in row.iter_mut().zip(figures).zip(others) {
                figure.add(number);
                if *workers > WORKERS[0] {
                    figure.add_other("10 workers", other);
                }
            }
            row[2].add(taken.memory_bytes as f64 / MIB);
        }
        Ok(())
    })?;
    Ok(rows.into_iter().flatten().chain(many).collect())
}

fn rows_of(workers: u32) -> [Figure; 3] {
    let row = |what: &str, unit| {
        Figure::new("scale", format!("{what}, {} workers", thousands(workers)), unit)
    };
    let mut rows = [
        row("a parcel in the ventilator", "ns"),
        row("a parcel in the sink", "ns"),
        row("memory of both", "MiB"),
    ];
    // The cost may grow with the logarithm of the workers.
    if workers > WORKERS[0] {
        let times = f64::from(workers).ln() / f64::from(WORKERS[0]).ln();
        for row in rows.iter_mut().take(2) {
            row.target = Some(Target::TimesAtMost((times * 100.0).round() / 100.0));
        }
    }
    rows
}

/// Parcels as large as they get: memory has to follow the window, not the units.
fn many_units(units: u64) -> Result<Figure, Failure> {
    let taken = run(Load { workers: WORKERS[0], units, parcel_units_max: 5_000 })?;
    let what = format!(
        "memory of both, {} units in {} parcels, {} workers",
        thousands(units),
        thousands(taken.parcels),
        WORKERS[0]
    );
    let mut figure = Figure::new("scale", what, "MiB").checked("count", units);
    figure.add(taken.memory_bytes as f64 / MIB);
    Ok(figure)
}

fn run(load: Load) -> Result<Taken, Failure> {
    let mut world = World::new(load);
    world.connect();
    world.forget_times();
    world.work();
    Failure::unless_equal("ours", "the number of units committed", world.committed(), load.units)?;
    let (ventilator, sink) = world.times();
    let memory_bytes = pss_bytes(std::process::id()).unwrap_or(0);
    Ok(Taken { parcels: world.parcels(), ventilator, sink, memory_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_units_are_committed_however_many_workers_share_them() {
        for workers in [1, 3, 40] {
            let taken = run(Load { workers, units: 500, parcel_units_max: 1 });
            assert!(taken.is_ok_and(|taken| taken.parcels == 500));
        }
        let taken = run(Load { workers: 10, units: 100_000, parcel_units_max: 5_000 });
        assert!(taken.is_ok_and(|taken| taken.parcels < 2_000));
    }
}
