//! When workers are told what is committed.
//!
//! Owns the rounds: who is next, and how long the next may wait. Telling one worker costs the same
//! however many there are, so they are told in turn, a part of them at a time; and less often while
//! there is little for them to forget, since a frame takes more time on its way than a short unit.
//! All workers of a round are told the same: what is new since the round before. One that joins
//! meanwhile was told everything. Refuses to know what is committed.

use std::{ops::Range, time::Duration};

use proto::{
    frame::Commit,
    role::LinkId,
    rules::commit::{Committed, Untold},
    time::Time,
    unit::UnitId,
};

/// So many workers are told at a time, and the next ones after this interval.
const WORKERS: usize = 40;
const INTERVAL: Duration = Duration::from_millis(2);
/// The interval while less is new than [`FRESH_UNITS`] and [`FRESH_BYTES`].
const INTERVAL_MAX: Duration = Duration::from_millis(100);
const FRESH_UNITS: u64 = 32 << 10;
const FRESH_BYTES: usize = 1 << 20;

/// The rounds in which workers are told.
#[derive(Debug, Default)]
pub(crate) struct CommitRounds {
    told: Option<Time>,
    // There is something that not every worker has been told.
    news: bool,
    // What the next round tells.
    untold: Untold,
    // Who is next in a round that is under way, and what that tells.
    next: Option<LinkId>,
    parts: Vec<Commit>,
    // What was committed when the round began, and the bytes given up since then.
    told_units: u64,
    fresh_bytes: usize,
}

impl CommitRounds {
    /// There is something to tell, these ranges of what is committed among it.
    pub fn news(&mut self, ranges: &[Range<UnitId>]) {
        self.news = true;
        for range in ranges {
            self.untold.add(range.clone());
        }
    }

    /// Units of so many bytes need not be kept any more, here or by workers.
    pub fn freed(&mut self, bytes: usize) {
        self.fresh_bytes += bytes;
    }

    /// When the next workers are told, if so many units are committed by now.
    pub fn due(&self, committed_units: u64) -> Option<Time> {
        let much = self.next.is_some()
            || self.fresh_bytes >= FRESH_BYTES
            || committed_units - self.told_units >= FRESH_UNITS;
        let interval = if much { INTERVAL } else { INTERVAL_MAX };
        let untold = self.news || self.next.is_some();
        untold.then(|| self.told.map_or(Time::default(), |told| told + interval))
    }

    /// Who is told now, and what; `workers` are all of them in order, from a link on.
    pub fn turn<I>(
        &mut self,
        now: Time,
        committed: &Committed,
        workers: impl FnOnce(LinkId) -> I,
    ) -> (Vec<LinkId>, &[Commit])
    where
        I: Iterator<Item = LinkId>,
    {
        self.told = Some(now);
        let first = self.next.take().unwrap_or_else(|| {
            self.news = false;
            self.told_units = committed.set().len();
            self.fresh_bytes = 0;
            self.parts =
                self.untold.take(committed.set(), committed.horizon(), committed.complete());
            0
        });
        let mut workers = workers(first);
        let told = workers.by_ref().take(WORKERS).collect();
        self.next = workers.next();
        (told, &self.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        rounds: &mut CommitRounds,
        ms: u64,
        committed: &Committed,
    ) -> (Vec<LinkId>, Vec<Commit>) {
        let (links, parts) = rounds.turn(Time::from_ms(ms), committed, |first| first..100);
        (links, parts.to_vec())
    }

    /// One more range is committed.
    fn commit(rounds: &mut CommitRounds, committed: &mut Committed, above: (UnitId, UnitId)) {
        committed.apply(&Commit { above: vec![above], ..Commit::default() });
        rounds.news(committed.news());
    }

    #[test]
    fn many_workers_are_told_in_turn_before_the_next_round() {
        let (mut rounds, mut committed) = (CommitRounds::default(), Committed::default());
        assert_eq!(rounds.due(0), None);
        commit(&mut rounds, &mut committed, (5, 6));
        assert_eq!(rounds.due(1), Some(Time::default()));
        let first = vec![Commit { above: vec![(5, 6)], ..Commit::default() }];
        assert_eq!(told(&mut rounds, 10, &committed), ((0..40).collect(), first.clone()));
        commit(&mut rounds, &mut committed, (8, 9));
        assert_eq!(rounds.due(2), Some(Time::from_ms(12)));
        assert_eq!(told(&mut rounds, 12, &committed), ((40..80).collect(), first.clone()));
        assert_eq!(told(&mut rounds, 14, &committed), ((80..100).collect(), first));
        assert_eq!(rounds.due(2), Some(Time::from_ms(114)), "what came meanwhile, a round later");
        let second = vec![Commit { above: vec![(8, 9)], ..Commit::default() }];
        assert_eq!(told(&mut rounds, 114, &committed), ((0..40).collect(), second));
    }

    #[test]
    fn much_that_is_new_is_told_soon_and_little_later() {
        let (mut rounds, committed) = (CommitRounds::default(), Committed::default());
        rounds.news(&[]);
        while rounds.due(0).is_some() {
            told(&mut rounds, 10, &committed);
        }
        rounds.news(&[]);
        assert_eq!(rounds.due(FRESH_UNITS - 1), Some(Time::from_ms(110)));
        assert_eq!(rounds.due(FRESH_UNITS), Some(Time::from_ms(12)));
        rounds.freed(FRESH_BYTES);
        assert_eq!(rounds.due(0), Some(Time::from_ms(12)));
    }
}
