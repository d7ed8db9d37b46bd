//! What the rules cost a parcel, with two workers.
//!
//! An iteration is the whole way of some units through a rule, as in a run, so that nothing grows
//! from one iteration to the next.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use proto::{
    frame::{Credit, Done, Results},
    limits::Limits,
    plan::{Function, Stage},
    ranges::RangeSet,
    role::Turn,
    rules::{
        commit::{Committed, Untold},
        dispatch::{Dispatch, Instruction},
        outbox::Outbox,
    },
    time::Time,
    units::Units,
};

/// A unit alone, a small parcel, and the largest that the default limits allow.
const UNITS: [u32; 3] = [1, 1_000, 16_000];
const WORKERS: u32 = 2;
/// As much as can be granted: credit is measured beside, not waited for.
const CREDIT: Credit = Credit { units: u64::MAX, bytes: u64::MAX };
/// What a worker says that a parcel took: short enough for parcels to stay as large as they can be.
const BUSY_NS: u64 = 1_000;
/// Between two parcels: less than it takes to look for something to call back.
const STEP_NS: u64 = 1_000;

fn units(first: u64, count: u32) -> Units {
    let mut units = Units::from_source(first, vec![1; count as usize], (1..=count).collect());
    units.share();
    units
}

/// Units are handed out, executed and committed, in as few parcels as the rules allow.
fn dispatch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch");
    for count in UNITS {
        let stage = Stage::new("square", Function::Run("square".into()));
        let mut dispatch = Dispatch::new(0, &stage, &Limits::default());
        for link in 0..WORKERS {
            dispatch.join(link, "square");
            dispatch.granted(link, CREDIT);
        }
        let mut committed = RangeSet::new();
        let (mut now, mut next) = (Time::default(), 0);
        let mut orders = Vec::new();
        group.throughput(Throughput::Elements(count.into()));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                now = Time(now.0 + STEP_NS);
                dispatch.add(units(next, count));
                next += u64::from(count);
                loop {
                    let urgent = committed.watermark();
                    dispatch.dispatch(&mut Turn::new(now, &mut orders), &committed, urgent);
                    if orders.is_empty() {
                        break;
                    }
                    for order in std::mem::take(&mut orders) {
                        let Instruction::Send(link, work) = order else {
                            panic!("nothing is late")
                        };
                        let parcel = work.parcel;
                        let done = Done { parcel, busy_ns: BUSY_NS, failed: Vec::new() };
                        dispatch.done(&mut Turn::new(now, &mut orders), link, &done, &committed);
                    }
                }
                let grown = committed.insert(0..next);
                dispatch.committed(now, &committed, &[grown]);
                black_box(dispatch.take_latencies());
            });
            assert!(dispatch.is_empty(), "everything was handed out and committed");
        });
    }
    group.finish();
}

/// Results wait, are sent and are committed.
fn outbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox");
    for count in UNITS {
        let mut outbox = Outbox::new(&Limits::default());
        outbox.opened();
        outbox.granted(CREDIT);
        let mut committed = RangeSet::new();
        let values = units(0, count);
        committed.insert(0..count.into());
        group.throughput(Throughput::Elements(count.into()));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let (units, timing) = (values.clone(), vec![(count, 1)]);
                outbox.push(Results { units, timing, ..Results::default() });
                black_box(outbox.take().expect("it may be sent"));
                outbox.committed(&committed);
            });
            assert!(outbox.is_empty(), "everything was committed");
        });
    }
    group.finish();
}

/// The sink inserts a parcel and tells it; the ventilator takes that in. With parcels missing
/// below, as when the results of some workers are late.
fn commit(criterion: &mut Criterion) {
    const PARCEL: u64 = 1_000;
    let mut group = criterion.benchmark_group("commit");
    for missing in [0u64, 2, 500] {
        let late =
            (0..missing).map(|number| (PARCEL * (2 * number + 1), PARCEL * 2 * (number + 1)));
        let mut set = RangeSet::from_parts(0, late);
        let (mut known, mut untold) = (Committed::default(), Untold::default());
        let mut next = PARCEL * (2 * missing + 1);
        group.bench_function(BenchmarkId::new("missing", missing), |bencher| {
            bencher.iter(|| {
                untold.add(set.insert(next..next + PARCEL));
                next += PARCEL;
                for part in untold.take(&set, next, false) {
                    black_box(known.apply(&part));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, dispatch, outbox, commit);
criterion_main!(benches);
