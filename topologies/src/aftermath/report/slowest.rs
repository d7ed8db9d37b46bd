//! The units that took longest, from the diaries of ventilator and sink.
//!
//! Owns how a commit is put to the first leaving of its units; refuses to guess: what no diary holds is
//! not told. The diaries have a note a parcel, so that what is told are ranges of units.

use std::{collections::BTreeMap, io, path::Path};

use proto::diary::{self, Event};
use serde::Serialize;

/// So many are told.
const TOLD_MAX: usize = 20;

/// Units that left and were committed together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Slow {
    /// Milliseconds from their first leaving to their commit.
    pub ms: u64,
    /// The first of them.
    pub unit: u64,
    /// How many.
    pub count: u64,
    /// The worker that they were sent to first.
    pub worker: String,
}

/// When units first left: by the first of a parcel, behind its last, when, and to whom.
type Left = BTreeMap<u64, (u64, u64, String)>;

pub(super) fn slowest(run_dir: &Path) -> io::Result<Vec<Slow>> {
    let notes = |file: &str| diary::read_if_there(&run_dir.join(file));
    let mut left = Left::new();
    for note in notes(diary::VENTILATOR_FILE)?.into_iter().flatten() {
        let (units, worker) = match note.event {
            Event::Sent { first, count, worker, .. } => (vec![(first, count)], worker),
            Event::SentSome { units, worker, .. } => (units, worker),
            _ => continue,
        };
        for (first, count) in units {
            let end = first.saturating_add(u64::from(count));
            left.entry(first).or_insert((end, note.ms, worker.clone()));
        }
    }
    let mut slowest = Vec::new();
    for note in notes(diary::SINK_FILE)?.into_iter().flatten() {
        if let Event::Committed { first, count, .. } = note.event {
            take(&mut slowest, &left, first..first.saturating_add(count), note.ms);
        }
    }
    slowest.sort_by(|a, b| b.cmp(a));
    slowest.truncate(TOLD_MAX);
    Ok(slowest)
}

/// Adds what of these units left together; now and then only the slowest stay.
fn take(slowest: &mut Vec<Slow>, left: &Left, units: std::ops::Range<u64>, ms: u64) {
    let before = left.range(..=units.start).next_back().map_or(units.start, |(first, _)| *first);
    for (first, (end, sent, worker)) in left.range(before..units.end) {
        let (unit, end) = ((*first).max(units.start), (*end).min(units.end));
        if unit < end {
            let ms = ms.saturating_sub(*sent);
            slowest.push(Slow { ms, unit, count: end - unit, worker: worker.clone() });
        }
    }
    if slowest.len() > 64 * TOLD_MAX {
        slowest.sort_by(|a, b| b.cmp(a));
        slowest.truncate(TOLD_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_as_slow_as_the_time_from_their_first_leaving() {
        let parcel = |end, ms| (end, ms, "w".to_owned());
        let left = Left::from([(0, parcel(10, 100)), (10, parcel(20, 200))]);
        let mut slowest = Vec::new();
        take(&mut slowest, &left, 5..12, 1_000);
        let told: Vec<_> = slowest.iter().map(|slow| (slow.unit, slow.count, slow.ms)).collect();
        assert_eq!(told, [(5, 5, 900), (10, 2, 800)]);
        take(&mut slowest, &left, 30..31, 1_000);
        assert_eq!(slowest.len(), 2);
    }
}
