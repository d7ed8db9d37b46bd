//! What a client has submitted and is not accepted yet.
//!
//! Owns its order and what of it was sent in this session; what waits for an answer lets what comes
//! meanwhile gather, so that a frame carries as much as there is. Refuses sockets.

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Range,
};

use proto::{
    ranges::RangeSet,
    rules::credit::Allowance,
    service::{Submit, Terms, Ticketed},
    unit::UnitId,
    units::{Span, Units},
};

/// Frames that may be without an answer; what comes meanwhile gathers.
const UNANSWERED_MAX: usize = 2;
/// Units in one frame.
const FRAME_UNITS_MAX: usize = 16 << 10;
/// Bytes of values in one frame, unless one value is larger.
const FRAME_BYTES_MAX: usize = 256 << 10;

/// Units that were submitted together.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// The first one's number.
    pub number: u64,
    /// How they are to be treated.
    pub terms: Terms,
    /// Their values, as concatenated MessagePack.
    pub payload: Vec<u8>,
    /// Where each value ends.
    pub ends: Vec<u32>,
    /// Whether this client waits for their outcomes.
    pub awaits: bool,
}

impl Submission {
    /// How many units.
    fn count(&self) -> u64 {
        self.ends.len() as u64
    }

    fn numbers(&self) -> Range<u64> {
        self.number..self.number.saturating_add(self.count())
    }

    /// Whether another one may travel with it.
    fn takes(&self, next: &Self) -> bool {
        self.terms == next.terms
            && self.terms.unique.is_none()
            && self.terms.once.is_none()
            && self.awaits == next.awaits
            && self.number + self.count() == next.number
            && self.ends.len() + next.ends.len() <= FRAME_UNITS_MAX
            && self.payload.len() + next.payload.len() <= FRAME_BYTES_MAX
    }

    fn append(&mut self, next: Self) {
        let start = self.payload.len() as u32;
        self.payload.extend_from_slice(&next.payload);
        self.ends.extend(next.ends.iter().map(|end| start + end));
    }
}

/// A submission that was sent, and which of its numbers were answered.
#[derive(Debug)]
struct Sent {
    submission: Submission,
    answered: RangeSet,
}

impl Sent {
    fn is_answered(&self) -> bool {
        self.answered.contains_range(self.submission.numbers())
    }

    /// These numbers were answered, or are of somebody else, or were answered before and are meant for a
    /// later one that has them too: those are left.
    fn answer(&mut self, numbers: Range<u64>) -> Vec<Range<u64>> {
        let own = self.submission.numbers();
        let common = numbers.start.max(own.start)..numbers.end.min(own.end);
        if common.is_empty() {
            return vec![numbers];
        }
        let (below, above) = (numbers.start..common.start, common.end..numbers.end);
        let mut left = RangeSet::new();
        left.insert(common.clone());
        for new in self.answered.gaps(common) {
            left.remove(new.clone());
            self.answered.insert(new);
        }
        left.iter().chain([below, above]).filter(|range| !range.is_empty()).collect()
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Submissions {
    // Sent in this session, or in one before; in the order of their numbers.
    sent: VecDeque<Sent>,
    waiting: VecDeque<Submission>,
    allowance: Allowance,
    // All numbers below were answered, and nobody will submit them again.
    known: u64,
    keeps: Keeps,
    // Of a client that cancels: tickets without an outcome, each with its number.
    open: BTreeSet<(UnitId, u64)>,
    open_numbers: BTreeSet<u64>,
}

/// For how long the service has to know which ticket a number has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keeps {
    /// Until it was told: nobody will submit it again.
    #[default]
    UntilAnswered,
    /// Until there is an outcome: what the client has submitted is cancelled if it is gone before, and that goes
    /// by its numbers.
    UntilOver,
    /// A client with a name may be started again, and submit what it has submitted before.
    Always,
}

impl Submissions {
    /// Those of a client of which the service has to know so much.
    pub fn keeping(keeps: Keeps) -> Self {
        Self { keeps, ..Self::default() }
    }

    /// Takes one in.
    pub fn push(&mut self, submission: Submission) {
        match self.waiting.back_mut() {
            Some(last) if last.takes(&submission) => last.append(submission),
            _ => self.waiting.push_back(submission),
        }
    }

    /// A session begins: nothing of what was sent is known to have come.
    pub fn opened(&mut self) {
        self.allowance = Allowance::default();
        while let Some(last) = self.sent.pop_back() {
            if !last.is_answered() {
                self.waiting.push_front(last.submission);
            }
        }
    }

    /// The ventilator grants credit.
    pub fn granted(&mut self, credit: proto::frame::Credit) {
        self.allowance.granted(credit);
    }

    /// Whether what is submitted now has to wait for credit.
    pub fn is_held_up(&self) -> bool {
        self.allowance.room().is_none()
    }

    /// What may be sent now.
    pub fn next(&mut self) -> Option<Submit> {
        if self.sent.len() >= UNANSWERED_MAX || self.allowance.room().is_none() {
            return None;
        }
        let submission = self.waiting.pop_front()?;
        self.allowance.sent(submission.ends.len(), submission.payload.len());
        let Submission { number, terms, payload, ends, .. } = submission.clone();
        let count = ends.len() as u32;
        let spans = vec![Span { first: number, count, path: Vec::new() }];
        self.sent.push_back(Sent { submission, answered: RangeSet::new() });
        let units = Units::from_outputs(spans, payload, ends);
        Some(Submit { known: self.known(), terms, units })
    }

    /// Units of these numbers were answered; whether this client waits for their outcomes.
    pub fn answered(&mut self, number: u64, count: u64) -> bool {
        let mut awaits = false;
        let end = number.saturating_add(count);
        let sent = self.sent.iter().map(|sent| &sent.submission);
        for submission in sent.chain(&self.waiting) {
            if submission.number < end && number < submission.number + submission.count() {
                awaits |= submission.awaits;
            }
        }
        // Some of a submission may be accepted and others declined, and what is accepted is told first.
        let mut told: Vec<_> = std::iter::once(number..end).collect();
        for sent in &mut self.sent {
            told = told.into_iter().flat_map(|numbers| sent.answer(numbers)).collect();
        }
        while let Some(first) = self.sent.front()
            && first.is_answered()
        {
            if self.keeps != Keeps::Always {
                self.known = self.known.max(first.submission.numbers().end);
            }
            self.sent.pop_front();
        }
        awaits
    }

    /// All numbers below need not be known any more.
    fn known(&self) -> u64 {
        self.open_numbers.first().map_or(self.known, |first| self.known.min(*first))
    }

    /// Units have tickets, and their outcomes are waited for.
    pub fn begun(&mut self, told: &Ticketed) {
        if self.keeps == Keeps::UntilOver {
            self.open.extend(tickets(told).map(|(number, ticket)| (ticket, number)));
            self.open_numbers.extend(tickets(told).map(|(number, _)| number));
        }
    }

    /// There is an outcome of these units, or will be none.
    pub fn over(&mut self, units: Range<UnitId>) {
        let over: Vec<_> = self.open.range((units.start, 0)..(units.end, 0)).copied().collect();
        for unit in over {
            self.open.remove(&unit);
            self.open_numbers.remove(&unit.1);
        }
    }

    /// Whether all is answered.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.waiting.is_empty()
    }
}

/// What is answered, and where.
pub fn tickets(told: &Ticketed) -> impl Iterator<Item = (u64, u64)> {
    let Ticketed { number, count, ticket } = *told;
    (0..count).map(move |offset| (number + offset, ticket + offset))
}

#[cfg(test)]
mod tests {
    use proto::frame::Credit;

    use super::*;

    fn one(number: u64) -> Submission {
        let terms = Terms::default();
        Submission { number, terms, payload: vec![1], ends: vec![1], awaits: true }
    }

    fn with_credit() -> Submissions {
        let mut submissions = Submissions::default();
        submissions.granted(Credit { units: 100, bytes: 1_000 });
        submissions
    }

    fn numbers(submit: &Submit) -> Range<u64> {
        submit.units.spans()[0].roots()
    }

    #[test]
    fn what_comes_while_answers_are_awaited_travels_together() {
        let mut submissions = with_credit();
        let mut sent = Vec::new();
        for number in 0..10 {
            submissions.push(one(number));
            sent.extend(submissions.next());
        }
        assert_eq!(sent.iter().map(numbers).collect::<Vec<_>>(), [0..1, 1..2]);
        assert!(submissions.answered(0, 2));
        let next = submissions.next().unwrap();
        assert_eq!((numbers(&next), next.known), (2..10, 2));
        assert!(submissions.answered(2, 8) && submissions.is_empty());
    }

    #[test]
    fn a_new_session_begins_with_what_was_not_answered() {
        let mut submissions = with_credit();
        for number in 0..3 {
            submissions.push(one(number));
        }
        submissions.next();
        submissions.push(one(3));
        submissions.next();
        submissions.opened();
        assert_eq!(submissions.next(), None, "no credit yet");
        assert!(submissions.is_held_up());
        submissions.granted(Credit { units: 100, bytes: 1_000 });
        assert_eq!(numbers(&submissions.next().unwrap()), 0..3);
        assert_eq!(numbers(&submissions.next().unwrap()), 3..4);
    }

    /// A client that came back submits numbers of which it has said that it knows the first one's ticket.
    #[test]
    fn what_is_answered_in_part_is_submitted_again_in_a_new_session() {
        let mut submissions = with_credit();
        submissions.push(one(0));
        submissions.push(one(1));
        submissions.push(one(2));
        assert_eq!(numbers(&submissions.next().unwrap()), 0..3);
        submissions.push(one(3));
        submissions.next();
        assert!(submissions.answered(1, 3));
        assert!(!submissions.is_empty(), "0 is declined, which has not come yet");
        submissions.opened();
        submissions.granted(Credit { units: 100, bytes: 1_000 });
        let again = submissions.next().unwrap();
        assert_eq!((numbers(&again), again.known), (0..3, 0));
        assert_eq!(submissions.next(), None, "3 is answered");
        submissions.answered(1, 2);
        submissions.answered(0, 1);
        assert!(submissions.is_empty());
    }

    #[test]
    fn a_number_that_is_submitted_twice_is_answered_twice() {
        let mut submissions = with_credit();
        submissions.push(one(5));
        submissions.push(one(6));
        submissions.next();
        submissions.push(one(6));
        submissions.next();
        for (number, left) in [(6, false), (6, false), (5, true)] {
            submissions.answered(number, 1);
            assert_eq!(submissions.is_empty(), left, "{number}");
        }
    }

    #[test]
    fn a_client_that_may_come_back_lets_nothing_be_forgotten() {
        let mut submissions = Submissions::keeping(Keeps::Always);
        submissions.granted(Credit { units: 100, bytes: 1_000 });
        submissions.push(one(0));
        submissions.next();
        submissions.answered(0, 1);
        submissions.push(one(1));
        assert_eq!(submissions.next().unwrap().known, 0);
    }

    /// Its units were forgotten as soon as their tickets were told, and nothing of it was cancelled.
    #[test]
    fn a_client_that_cancels_lets_no_number_be_forgotten_before_its_unit_is_over() {
        let mut submissions = Submissions::keeping(Keeps::UntilOver);
        submissions.granted(Credit { units: 100, bytes: 1_000 });
        let mut known_behind = |number: u64, over: Range<UnitId>| {
            submissions.over(over);
            submissions.push(one(number));
            let known = submissions.next().unwrap().known;
            submissions.answered(number, 1);
            // Two numbers may be one unit.
            submissions.begun(&Ticketed { number, count: 1, ticket: 50 + number / 2 });
            known
        };
        let known = [(0, 0..0), (1, 0..0), (2, 0..0), (3, 51..52), (4, 50..51), (5, 51..52)];
        let known = known.map(|(number, over)| known_behind(number, over));
        assert_eq!(known, [0, 0, 0, 0, 3, 4]);
    }

    #[test]
    fn what_is_treated_in_another_way_travels_alone() {
        let mut submissions = with_credit();
        let mut urgent = one(1);
        urgent.terms.priority = 9;
        submissions.push(one(0));
        submissions.push(urgent);
        assert_eq!(numbers(&submissions.next().unwrap()), 0..1);
        assert_eq!(submissions.next().unwrap().terms.priority, 9);
    }
}
