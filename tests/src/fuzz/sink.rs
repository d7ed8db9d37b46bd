//! What a sink makes of outcomes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::frame::{Dead, Results};
use proto::ranges::RangeSet;
use proto::unit::Step;
use proto::units::{Span, Units};
use sink::Order;
use sink::accept::Accept;
use sink::arrange::Arrange;

use super::script::{Script, about, note};

/// Outcomes of any shape: each unit is accepted once, none beyond the end, and nothing is kept of
/// what is accepted.
pub fn accept(data: &[u8]) -> u64 {
    let script = &mut Script::new(data);
    let mut before = RangeSet::new();
    before.insert(0..script.below(4));
    let mut accept = Accept::new(before.clone());
    let end = if script.below(8) == 0 { u64::MAX } else { script.below(64) };
    let worker: Arc<str> = "w".into();
    let mut seen = 0;
    while !script.is_over() {
        let results = match script.below(8) {
            // As it may come off the wire.
            0 => match rmp_serde::from_slice(script.bytes()) {
                Ok(results) => results,
                Err(_) => continue,
            },
            _ => results(script),
        };
        for entry in accept.take(results, &worker, end) {
            let range = entry.first..entry.first.checked_add(entry.count).expect("a range");
            assert!(!range.is_empty() && range.end <= end, "{range:?} of {end}");
            assert!(!before.intersects(range.clone()), "{range:?} is accepted twice");
            let _ = (entry.bytes(), entry.event());
            before.insert(range);
            note(&mut seen, about(entry.count));
        }
        note(&mut seen, about(accept.open_bytes()) << 8 | about(accept.duplicates()));
    }
    if end <= 64 {
        let all = Units::from_source(0, vec![1; end as usize], (1..=end as u32).collect());
        accept.take(Results { units: all, ..Results::default() }, &worker, end);
        assert_eq!(accept.open_bytes(), 0, "kept of units that are accepted");
    }
    seen
}

fn path(script: &mut Script<'_>) -> Vec<Step> {
    (0..script.below(3))
        .map(|_| {
            let of = 1 + script.below(3) as u32;
            Step { execution: script.below(3), index: script.below(of.into()) as u32, of }
        })
        .collect()
}

fn results(script: &mut Script<'_>) -> Results {
    let mut results =
        Results { stage: script.number32(), attempt: script.number32(), ..Results::default() };
    let mut units = Units::new();
    for _ in 0..script.below(5) {
        let id = if script.below(16) == 0 { script.number() } else { script.below(70) };
        units.push(Span::one(id.min(u64::MAX - 1), path(script)), &[1]);
    }
    results.timing = (0..script.below(3)).map(|_| (script.number32(), script.number32())).collect();
    results.units = units;
    for _ in 0..script.below(3) {
        let (first, path) = (script.number() % (1 << 62), path(script));
        let left = path.last().map_or(u32::MAX, |step| step.of - step.index);
        let count = (1 + script.below(9) as u32).min(left);
        results.filtered.push(Span { first, count, path });
    }
    if script.below(4) == 0 {
        results.dead.push(Dead {
            root: script.below(70),
            path: path(script),
            stage: script.number32(),
            input: Vec::new(),
            error: "e".into(),
            attempts: 1,
            worker: String::new(),
        });
    }
    results
}

/// Entries in any order against a list that is sorted: each unit is released once, in order.
pub fn arrange(data: &[u8]) -> u64 {
    let script = &mut Script::new(data);
    let order = if script.coin() { Order::Input } else { Order::Completion };
    let start = script.below(8);
    let mut arrange = Arrange::new(order, start);
    let mut waiting: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut covered = RangeSet::from_parts(start, []);
    let mut released = BTreeSet::new();
    let mut watermark = start;
    let mut number = 0;
    let mut seen = 0;
    while !script.is_over() {
        if script.below(3) == 0 {
            let Some((first, count, item)) = arrange.pop() else {
                assert!(order == Order::Completion || !waiting.contains_key(&watermark));
                continue;
            };
            assert!(released.insert(item));
            if order == Order::Input {
                assert_eq!(first, watermark, "in order");
                assert_eq!(waiting.remove(&first), Some((count, item)));
                watermark = first + count;
            }
            note(&mut seen, about(first));
            continue;
        }
        let first = if script.below(16) == 0 { script.number() } else { script.below(64) };
        // In completion order nobody looks whether a unit comes twice, so nothing bounds the sum.
        let edge = script.below(16) == 0 && order == Order::Input;
        let count = if edge { script.number() } else { script.below(6) };
        number += 1;
        let taken = arrange.push(first, count, script.below(99), number);
        let range = first..first.checked_add(count).unwrap_or(first);
        let fits =
            !range.is_empty() && (order == Order::Completion || !covered.intersects(range.clone()));
        assert_eq!(taken.is_ok(), fits, "{range:?} over {covered:?}");
        if fits && order == Order::Input {
            covered.insert(range);
            waiting.insert(first, (count, number));
        }
    }
    let held = arrange.held().count();
    assert!(order == Order::Completion || held == waiting.len());
    assert_eq!(arrange.is_empty(), held == 0);
    seen
}
