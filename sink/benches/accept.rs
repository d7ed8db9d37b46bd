//! What the sink's dedupe costs a parcel: of new outcomes, and of ones that came before.

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use proto::{frame::Results, unit::UnitId, units::Units};
use sink::accept::Accept;

/// A unit alone, a small parcel, and the largest that the default limits allow.
const UNITS: [u32; 3] = [1, 1_000, 16_000];

fn results(first: UnitId, count: u32) -> Results {
    let mut units = Units::from_source(first, vec![1; count as usize], (1..=count).collect());
    units.share();
    Results { units, timing: vec![(count, 1)], ..Results::default() }
}

fn accept(criterion: &mut Criterion) {
    let worker: Arc<str> = "square-1".into();
    let mut group = criterion.benchmark_group("accept");
    for count in UNITS {
        group.throughput(Throughput::Elements(count.into()));
        let mut accept = Accept::default();
        let mut next = 0;
        group.bench_function(BenchmarkId::new("new", count), |bencher| {
            let parcel = || {
                next += u64::from(count);
                results(next - u64::from(count), count)
            };
            let take = |parcel| accept.take(black_box(parcel), &worker, UnitId::MAX);
            bencher.iter_batched(parcel, take, BatchSize::SmallInput);
        });
        assert_eq!(accept.duplicates(), 0);
        let mut accept = Accept::default();
        accept.take(results(0, count), &worker, UnitId::MAX);
        group.bench_function(BenchmarkId::new("again", count), |bencher| {
            let take = |parcel| accept.take(black_box(parcel), &worker, UnitId::MAX);
            bencher.iter_batched(|| results(0, count), take, BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, accept);
criterion_main!(benches);
