//! Sets of units, and what of them is known to be committed.

use std::collections::BTreeSet;

use proto::frame::Commit;
use proto::ranges::RangeSet;
use proto::rules::commit::{Committed, Untold};

use super::script::{Script, about, note};

/// Ids from here on stand for the last ones that there are.
const HIGH: u64 = u64::MAX - 40;

/// Small ids, and those at the end.
fn id(script: &mut Script<'_>) -> u64 {
    let place = script.below(80);
    if place < 40 { place } else { HIGH + (place - 40) }
}

fn range(script: &mut Script<'_>) -> std::ops::Range<u64> {
    let start = id(script);
    let count = script.below(12);
    start..start.saturating_add(count)
}

/// Every operation against a plain set of numbers.
pub fn ranges(data: &[u8]) -> u64 {
    let script = &mut Script::new(data);
    let (mut set, mut plain) = (RangeSet::new(), BTreeSet::new());
    let mut seen = 0;
    while !script.is_over() {
        let range = range(script);
        match script.below(8) {
            0..4 => {
                set.insert(range.clone());
                plain.extend(range.clone());
            }
            4..6 => {
                set.remove(range.clone());
                plain.retain(|id| !range.contains(id));
            }
            6 => {
                let other = RangeSet::from_parts(range.start % 8, [(range.start, range.end)]);
                set.insert_all(&other);
                plain.extend((0..range.start % 8).chain(range.clone()));
            }
            _ => {}
        }
        let missing: Vec<u64> = range.clone().filter(|id| !plain.contains(id)).collect();
        assert_eq!(set.contains_range(range.clone()), missing.is_empty());
        let count = (range.end - range.start) as usize;
        assert_eq!(set.intersects(range.clone()), missing.len() < count);
        assert_eq!(set.gaps(range.clone()).into_iter().flatten().collect::<Vec<_>>(), missing);
        assert_eq!(set.contains(range.start), plain.contains(&range.start));
        note(&mut seen, about(set.ranges() as u64));
    }
    assert_eq!(set.len(), plain.len() as u64);
    assert_eq!(set.watermark(), (0..).find(|id| !plain.contains(id)).unwrap_or_default());
    let above: Vec<(u64, u64)> = set.above().collect();
    assert!(above.windows(2).all(|pair| pair[0].1 < pair[1].0), "ranges do not touch");
    seen
}

/// What is known of the committed units: nothing is taken back, and whoever is told it knows it.
pub fn commit(data: &[u8]) -> u64 {
    let script = &mut Script::new(data);
    let mut known = Committed::default();
    // One who is told what is new from time to time, and one who is told everything now and then,
    // has his frames come twice, and late.
    let (mut untold, mut told) = (Untold::default(), Committed::default());
    let (mut other, mut late) = (Committed::default(), Vec::new());
    let mut seen = 0;
    while !script.is_over() {
        let commit = part(script);
        let before = known.clone();
        let new = known.apply(&commit);
        grew(&before, &known, new);
        for (start, end) in &commit.above {
            assert!(known.set().contains_range(*start..*end));
        }
        known.news().iter().for_each(|range| untold.add(range.clone()));
        assert!(!known.clone().apply(&commit), "a part that comes twice brings nothing new");
        match script.below(4) {
            0 => {
                for part in untold.take(known.set(), known.horizon(), known.complete()) {
                    told.apply(&part);
                    late.push(part);
                }
                assert_eq!(told.whole(), known.whole(), "what is told is what is known");
            }
            1 => {
                for part in late.drain(..).rev().chain(known.whole()) {
                    other.apply(&part);
                }
                assert_eq!(other.whole(), known.whole(), "also if it is told late and twice");
            }
            _ => {}
        }
        note(&mut seen, about(known.set().ranges() as u64) << 8 | about(known.set().len()));
    }
    seen
}

fn part(script: &mut Script<'_>) -> Commit {
    let any = |script: &mut Script<'_>| (script.number(), script.number());
    let one = |script: &mut Script<'_>| {
        let range = range(script);
        if script.coin() { any(script) } else { (range.start, range.end) }
    };
    let above = (0..script.below(5)).map(|_| one(script)).collect();
    let (watermark, horizon) = any(script);
    // The watermark is all that most parts would say otherwise.
    let watermark = if script.coin() { watermark % 8 } else { watermark };
    let urgent = script.coin().then(|| script.number());
    Commit { watermark, above, horizon, complete: script.below(16) == 0, urgent }
}

fn grew(before: &Committed, known: &Committed, new: bool) {
    let (len, len_before) = (known.set().len(), before.set().len());
    assert!(len >= len_before && known.horizon() >= before.horizon(), "it shrank");
    assert!(known.complete() >= before.complete());
    let grew = len > len_before || known.horizon() > before.horizon();
    assert_eq!(new, grew || known.complete() != before.complete());
}
