//! Outcomes on their way to the sink: kept until committed, sent again in a new session.
//!
//! Owns what one process has for the sink; refuses to choose, since there is one sink. Outcomes
//! that wait for credit grow together, so that a burst of small ones leaves as one frame.

use std::collections::VecDeque;

use crate::{
    frame::{Credit, Results},
    limits::Limits,
    ranges::RangeSet,
    rules::credit::Allowance,
    units::push_span,
};

#[derive(Debug)]
struct KeptResults {
    results: Results,
    units: usize,
    bytes: usize,
    sent: bool,
}

/// What waits for the sink's credit, and what waits for its commit.
#[derive(Debug)]
pub struct Outbox {
    kept: VecDeque<KeptResults>,
    // All before it are sent in the current session.
    next: usize,
    allowance: Allowance,
    open: bool,
    next_parcel: u64,
    bytes: usize,
    parcel_units_max: usize,
    parcel_bytes_max: usize,
}

/// What a span of units counts as beside their values, or a unit without a value.
const ENTRY_BYTES: usize = 32;

/// The same of outputs of a unit that became several: until it is recorded, the sink keeps a tree for it,
/// and it is an outcome of its own.
const EXPANDED_BYTES: usize = 512;

impl Outbox {
    /// An empty outbox.
    pub fn new(limits: &Limits) -> Self {
        Self {
            kept: VecDeque::new(),
            next: 0,
            allowance: Allowance::default(),
            open: false,
            next_parcel: 0,
            bytes: 0,
            parcel_units_max: limits.parcel_units_max as usize,
            parcel_bytes_max: limits.parcel_bytes_max as usize,
        }
    }

    /// Bytes that wait or are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything has been committed.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether the sink has been sent everything in this session.
    pub fn is_sent(&self) -> bool {
        self.open && self.next == self.kept.len()
    }

    /// Takes outcomes in, in pieces that fit a parcel each.
    pub fn push(&mut self, mut results: Results) {
        let fits = results.units.len() <= self.parcel_units_max
            && results.units.bytes() <= self.parcel_bytes_max;
        if fits {
            return self.push_piece(results);
        }
        results.units.share();
        let units = std::mem::take(&mut results.units);
        let timing = std::mem::take(&mut results.timing);
        let (stage, attempt) = (results.stage, results.attempt);
        let mut from = 0;
        while from < units.len() {
            let count = units.fitting(from, self.parcel_units_max, self.parcel_bytes_max);
            let part = units.slice(from..from + count);
            let timing = timing_part(&timing, from, count);
            self.push_piece(Results { stage, attempt, units: part, timing, ..Results::default() });
            from += count;
        }
        self.push_piece(results);
    }

    fn push_piece(&mut self, results: Results) {
        let (units, bytes) = weight(&results);
        if units == 0 {
            return;
        }
        self.bytes += bytes;
        if let Some(last) = self.kept.back_mut()
            && !last.sent
            && last.units + units <= self.parcel_units_max
            && last.bytes + bytes <= self.parcel_bytes_max
            && joinable(&last.results, &results)
        {
            join(&mut last.results, results);
            last.units += units;
            last.bytes += bytes;
        } else {
            self.kept.push_back(KeptResults { results, units, bytes, sent: false });
        }
    }

    /// A session with the sink begins: what is not committed is sent again.
    pub fn opened(&mut self) {
        self.open = true;
        self.allowance = Allowance::default();
        self.next = 0;
    }

    /// The session has ended.
    pub fn broken(&mut self) {
        self.open = false;
    }

    /// The sink grants credit.
    pub fn granted(&mut self, credit: Credit) {
        self.allowance.granted(credit);
    }

    /// Whether so many bytes that are no outcomes may be sent now; then they count as sent.
    pub fn spend(&mut self, bytes: usize) -> bool {
        let may = self.open && self.allowance.room().is_some();
        if may {
            self.allowance.sent(0, bytes);
        }
        may
    }

    /// What may be sent now.
    pub fn take(&mut self) -> Option<Results> {
        let kept = self.kept.get_mut(self.next).filter(|_| self.open)?;
        self.allowance.room()?;
        // What grew together weighs less than its parts, and the sink weighs what it gets: both
        // ends must count the same, or credit leaks away.
        let (units, bytes) = weight(&kept.results);
        self.allowance.sent(units, bytes);
        kept.sent = true;
        kept.results.units.share();
        kept.results.parcel = self.next_parcel;
        self.next += 1;
        self.next_parcel += 1;
        Some(kept.results.clone())
    }

    /// Forgets what is committed.
    pub fn committed(&mut self, committed: &RangeSet) {
        let (mut index, mut gone) = (0, 0);
        self.kept.retain(|kept| {
            let keep = !is_committed(&kept.results, committed);
            if !keep {
                self.bytes -= kept.bytes;
                gone += usize::from(index < self.next);
            }
            index += 1;
            keep
        });
        self.next -= gone;
    }
}

/// Units and bytes of outcomes, as credit counts them.
pub fn weight(results: &Results) -> (usize, usize) {
    let filtered: usize = results.filtered.iter().map(|span| span.count as usize).sum();
    let dead: usize = results.dead.iter().map(|dead| dead.input.len() + dead.error.len()).sum();
    let spans = results.units.spans().iter().chain(&results.filtered).map(|span| &span.path);
    let paths = spans.chain(results.dead.iter().map(|dead| &dead.path));
    let entries: usize =
        paths.map(|path| if path.is_empty() { ENTRY_BYTES } else { EXPANDED_BYTES }).sum();
    let units = results.units.len() + filtered + results.dead.len();
    (units, results.units.bytes() + dead + entries)
}

fn joinable(last: &Results, next: &Results) -> bool {
    last.stage == next.stage && last.attempt == next.attempt
}

fn join(last: &mut Results, next: Results) {
    last.units.append(&next.units);
    next.filtered.into_iter().for_each(|span| push_span(&mut last.filtered, span));
    last.dead.extend(next.dead);
    for (count, us) in next.timing {
        push_timing(&mut last.timing, count, us);
    }
}

/// Appends a run of units that took equally long.
pub fn push_timing(timing: &mut Vec<(u32, u32)>, count: u32, us: u32) {
    match timing.last_mut() {
        Some((units, each)) if *each == us => *units += count,
        _ => timing.push((count, us)),
    }
}

/// The part of a run-length encoding between two positions.
pub fn timing_part(timing: &[(u32, u32)], from: usize, count: usize) -> Vec<(u32, u32)> {
    let (mut skip, mut left) = (from, count);
    let mut part = Vec::new();
    for (run, each) in timing {
        let run = *run as usize;
        if left == 0 {
            break;
        }
        if skip >= run {
            skip -= run;
            continue;
        }
        let taken = (run - skip).min(left);
        part.push((taken as u32, *each));
        left -= taken;
        skip = 0;
    }
    part
}

fn is_committed(results: &Results, committed: &RangeSet) -> bool {
    results.units.all_in(committed)
        && results.filtered.iter().all(|span| committed.contains_range(span.roots()))
        && results.dead.iter().all(|dead| committed.contains(dead.root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frame::Dead,
        unit::Step,
        units::{Span, Units},
    };

    fn results(first: u64, count: u8) -> Results {
        let payload = vec![0; count.into()];
        let units = Units::from_source(first, payload, (1..=u32::from(count)).collect());
        Results { units, ..Results::default() }
    }

    fn outbox() -> Outbox {
        let mut outbox = Outbox::new(&Limits::default());
        outbox.opened();
        outbox.granted(Credit { units: 1000, bytes: 100_000 });
        outbox
    }

    #[test]
    fn what_waits_grows_together_and_what_is_sent_stays_as_it_was() {
        let mut outbox = outbox();
        outbox.push(results(0, 2));
        outbox.push(results(2, 2));
        assert_eq!(outbox.take().unwrap().units.len(), 4);
        outbox.push(results(4, 1));
        assert_eq!(outbox.take().unwrap().units.len(), 1);
        assert_eq!(outbox.take(), None);
    }

    #[test]
    fn a_new_session_sends_all_that_is_not_committed() {
        let mut outbox = outbox();
        for first in 0..3 {
            outbox.push(results(first, 1));
            assert!(outbox.take().is_some());
        }
        outbox.committed(&RangeSet::from_parts(1, [(2, 3)]));
        outbox.opened();
        assert_eq!(outbox.take(), None); // no credit in the new session yet
        outbox.granted(Credit { units: 1000, bytes: 100_000 });
        assert_eq!(outbox.take().unwrap().units.spans()[0].first, 1);
        assert_eq!(outbox.take(), None);
        outbox.committed(&RangeSet::from_parts(3, []));
        assert!(outbox.is_empty() && outbox.bytes() == 0);
    }

    /// A sink that took a megabyte of such outcomes needed 13 MiB for it.
    #[test]
    fn a_unit_that_became_several_weighs_what_the_sink_keeps_for_it() {
        let step = Step { execution: 1, index: 0, of: 2 };
        let spans = vec![Span { first: 7, count: 2, path: vec![step] }];
        let several = Results { filtered: spans, ..Results::default() };
        let dead = Dead {
            root: 7,
            path: vec![step],
            stage: 0,
            input: vec![1; 10],
            error: String::new(),
            attempts: 1,
            worker: String::new(),
        };
        let failed = Results { dead: vec![dead], ..Results::default() };
        assert_eq!(weight(&several), (2, EXPANDED_BYTES));
        assert_eq!(weight(&failed), (1, EXPANDED_BYTES + 10));
        assert_eq!(weight(&results(0, 5)), (5, ENTRY_BYTES + 5));
    }

    #[test]
    fn outcomes_that_grew_together_use_the_credit_that_the_sink_gives_back() {
        let mut outbox = Outbox::new(&Limits::default());
        outbox.opened();
        outbox.granted(Credit { units: 1000, bytes: 50 });
        (0..10).for_each(|first| outbox.push(results(first, 1)));
        let (_, bytes) = weight(&outbox.take().unwrap());
        outbox.push(results(10, 1));
        outbox.granted(Credit { units: 1000, bytes: 50 + bytes as u64 });
        assert!(outbox.take().is_some());
    }

    #[test]
    fn outcomes_larger_than_a_parcel_leave_in_pieces_with_their_times() {
        let limits = Limits { parcel_units_max: 4, ..Limits::default() };
        let mut outbox = Outbox::new(&limits);
        outbox.opened();
        outbox.granted(Credit { units: 1000, bytes: 100_000 });
        outbox.push(Results { timing: vec![(5, 1), (5, 2)], ..results(0, 10) });
        let pieces: Vec<Results> = std::iter::from_fn(|| outbox.take()).collect();
        let sizes: Vec<usize> = pieces.iter().map(|piece| piece.units.len()).collect();
        assert_eq!(sizes, [4, 4, 2]);
        assert_eq!(pieces[1].timing, [(1, 1), (3, 2)]);
    }

    #[test]
    fn a_part_of_a_timing_has_the_times_of_its_units() {
        let timing = [(2, 10), (3, 20), (1, 30)];
        assert_eq!(timing_part(&timing, 1, 3), [(1, 10), (2, 20)]);
        assert_eq!(timing_part(&timing, 5, 9), [(1, 30)]);
        assert_eq!(timing_part(&timing, 0, 0), []);
    }

    #[test]
    fn without_credit_nothing_leaves() {
        let mut outbox = Outbox::new(&Limits::default());
        outbox.opened();
        outbox.push(results(0, 1));
        assert_eq!(outbox.take(), None);
    }
}
