//! What it costs to write and to read the two frames that carry values, by the number of units.
//!
//! Shown a parcel, and as elements a second: a unit's nanoseconds are the inverse.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use proto::{
    frame::{Envelope, Frame, Results, VERSION, Work},
    units::Units,
};

/// A unit alone, a small parcel, and the largest that the default limits allow.
const UNITS: [u32; 3] = [1, 1_000, 16_000];

/// A number as a source gives it: a marker and eight bytes.
const VALUE_BYTES: u32 = 9;

fn units(count: u32) -> Units {
    let value = |number: u32| {
        let mut value = vec![0xcf];
        value.extend((u64::from(number) << 32).to_be_bytes());
        value
    };
    let ends = (1..=count).map(|number| number * VALUE_BYTES).collect();
    let mut units = Units::from_source(7, (0..count).flat_map(value).collect(), ends);
    units.share();
    units
}

fn envelope(frame: Frame) -> Envelope {
    Envelope { version: VERSION, run: 1 << 60, from: 1 << 59, session: 1, seq: 1_000, frame }
}

fn work(count: u32) -> Envelope {
    envelope(Frame::Work(Work { parcel: 1_000, attempt: 1, units: units(count) }))
}

fn results(count: u32) -> Envelope {
    let timing = vec![(count, 1)];
    envelope(Frame::Results(Results { units: units(count), timing, ..Results::default() }))
}

/// A frame of so many units.
type Make = fn(u32) -> Envelope;

fn codec(criterion: &mut Criterion) {
    let frames: [(&str, Make); 2] = [("work", work), ("results", results)];
    for (name, frame) in frames {
        let mut group = criterion.benchmark_group(name);
        for count in UNITS {
            let envelope = frame(count);
            let bytes = Bytes::from(envelope.encode());
            group.throughput(Throughput::Elements(count.into()));
            group.bench_function(BenchmarkId::new("encode", count), |bencher| {
                bencher.iter(|| black_box(&envelope).encode());
            });
            group.bench_function(BenchmarkId::new("decode", count), |bencher| {
                let decode = |bytes| Envelope::decode(bytes).expect("it was just encoded");
                bencher.iter_batched(|| bytes.clone(), decode, BatchSize::SmallInput);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
