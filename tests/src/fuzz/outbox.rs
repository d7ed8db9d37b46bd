//! Outcomes on their way to the sink.

use std::collections::BTreeSet;

use proto::frame::{Credit, Dead, Results};
use proto::limits::Limits;
use proto::ranges::RangeSet;
use proto::rules::outbox::{Outbox, weight};
use proto::units::{Span, Units};

use super::script::{Script, about, note};

/// Outcomes, sessions, credit and commits in any order: what is not committed is sent in each
/// session, once, and nothing stays behind.
pub fn outbox(data: &[u8]) -> u64 {
    let script = &mut Script::new(data);
    let limits = Limits {
        parcel_units_max: 1 + script.below(8) as u32,
        parcel_bytes_max: 1 + script.below(200),
        ..Limits::default()
    };
    let mut outbox = Outbox::new(&limits);
    let mut committed = RangeSet::new();
    let mut pending = BTreeSet::new();
    let mut sent = BTreeSet::new();
    let mut next = 0;
    let mut open = false;
    let mut seen = 0;
    while !script.is_over() {
        match script.below(8) {
            0..3 => {
                let results = results(script, &mut next);
                pending.extend(ids(&results));
                outbox.push(results);
            }
            3 => {
                outbox.opened();
                sent.clear();
                open = true;
            }
            4 => {
                outbox.broken();
                open = false;
            }
            5 => outbox.granted(Credit { units: script.number(), bytes: script.number() }),
            6 => {
                let first = script.number() % (next + 1);
                committed.insert(first..(first + script.below(40)).min(next));
                pending.retain(|id| !committed.contains(*id));
                outbox.committed(&committed);
            }
            _ => {}
        }
        while let Some(results) = outbox.take() {
            assert!(open, "sent without a session");
            take_in(&results, &mut sent);
            note(&mut seen, about(results.units.len() as u64) << 8 | results.dead.len() as u64);
        }
        assert!(pending.is_empty() || !outbox.is_empty(), "outcomes are lost");
    }
    sent.clear();
    outbox.opened();
    outbox.granted(Credit { units: u64::MAX, bytes: u64::MAX });
    while let Some(results) = outbox.take() {
        take_in(&results, &mut sent);
    }
    assert!(pending.is_subset(&sent), "a new session is told everything");
    committed.insert(0..next);
    outbox.committed(&committed);
    assert!(outbox.is_empty() && outbox.bytes() == 0, "{} bytes stay behind", outbox.bytes());
    seen
}

fn results(script: &mut Script<'_>, next: &mut u64) -> Results {
    let mut results = Results { attempt: 1 + script.below(2) as u32, ..Results::default() };
    let mut units = Units::new();
    for _ in 0..script.below(6) {
        units.push(Span::one(*next, Vec::new()), &[1]);
        *next += 1 + script.below(2);
    }
    results.timing = vec![(units.len() as u32, script.number32())];
    results.units = units;
    if script.below(3) == 0 {
        let count = 1 + script.below(4);
        results.filtered.push(Span { first: *next, count: count as u32, path: Vec::new() });
        *next += count;
    }
    if script.below(4) == 0 {
        let (input, error) = (vec![0xc0; script.below(9) as usize], "e".into());
        let worker = String::new();
        let path = Vec::new();
        results.dead.push(Dead { root: *next, path, stage: 0, input, error, attempts: 1, worker });
        *next += 1;
    }
    results
}

fn ids(results: &Results) -> impl Iterator<Item = u64> {
    let units = results.units.iter().map(|(id, ..)| id);
    let filtered = results.filtered.iter().flat_map(Span::roots);
    units.chain(filtered).chain(results.dead.iter().map(|dead| dead.root))
}

fn take_in(results: &Results, sent: &mut BTreeSet<u64>) {
    let (units, _) = weight(results);
    assert!(units > 0, "a frame of nothing");
    for id in ids(results) {
        assert!(sent.insert(id), "unit {id} is sent twice in one session");
    }
}
