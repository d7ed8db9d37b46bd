//! What becomes of outcomes that clients wait for, fetch, or forget.

use proto::{service::Outcomes as Told, units::Units};

use super::*;
use crate::accept::entry::{Origin, Outcome};

const RETENTION: Retention =
    Retention { ms: 1_000, bytes_max: 1 << 20, in_memory: false, queue_units_max: 100 };

struct Story {
    folder: tempfile::TempDir,
    outcomes: Outcomes,
    taken: RangeSet,
    answers: Answers,
    now: u64,
}

impl Story {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let outcomes = Outcomes::open(folder.path(), RETENTION).unwrap();
        let (taken, answers) = (RangeSet::new(), Answers::default());
        Self { folder, outcomes, taken, answers, now: 0 }
    }

    /// The sink was started again, after a checkpoint.
    fn restarted(mut self) -> Self {
        self.outcomes.put_away(self.now).unwrap();
        let Self { folder, outcomes, taken, .. } = self;
        let retention = outcomes.retention.clone();
        drop(outcomes);
        let outcomes = Outcomes::open(folder.path(), retention).unwrap();
        Self { folder, outcomes, taken, answers: Answers::default(), now: 0 }
    }

    /// Units have each their own id as their value.
    fn come(&mut self, units: Range<u64>) {
        let mut values = Units::new();
        for id in units.clone() {
            values.push(proto::units::Span::one(id, vec![]), &[id as u8]);
        }
        let origin = Origin { stage: 0, attempt: 1, worker: "w".into() };
        let outcome = Outcome::Values { origin, units: values, timing: vec![] };
        let (first, count) = (units.start, units.end - units.start);
        self.taken.insert(units);
        self.outcomes.take(self.now, Entry { first, count, outcome }, &mut self.answers);
    }

    fn ask(&mut self, link: LinkId, units: IdRange) -> Told {
        self.outcomes.asked(link, units, &self.taken, &mut self.answers).unwrap();
        self.told(link)
    }

    /// What a client is told, in one.
    fn told(&mut self, link: LinkId) -> Told {
        let mut all = Told::default();
        for (to, told) in self.answers.take() {
            assert_eq!(to, link);
            all.units.append(&told.units);
            all.expired.extend(told.expired);
            all.unknown.extend(told.unknown);
        }
        all
    }
}

fn ids(told: &Told) -> Vec<u64> {
    told.units
        .iter()
        .map(|(id, _, value)| {
            assert_eq!(value, [id as u8]);
            id
        })
        .collect()
}

#[test]
fn who_waits_is_told_when_it_comes_and_who_asks_later_at_once() {
    let mut story = Story::new();
    assert!(story.ask(1, (3, 6)).is_empty());
    story.come(0..5);
    assert_eq!(ids(&story.told(1)), [3, 4]);
    story.come(5..9);
    assert_eq!(ids(&story.told(1)), [5]);
    assert_eq!(ids(&story.ask(2, (4, 8))), [4, 5, 6, 7], "it is kept until somebody has it");
}

#[test]
fn what_was_fetched_is_gone_and_the_rest_of_it_stays() {
    let mut story = Story::new();
    story.come(0..10);
    story.outcomes.fetched((2, 4));
    assert_eq!(story.outcomes.weight().0, 8);
    let told = story.ask(1, (0, 6));
    assert_eq!((ids(&told), told.expired), (vec![0, 1, 4, 5], vec![(2, 4)]));
    let mut story = story.restarted();
    assert_eq!(story.outcomes.weight().0, 8);
    story.outcomes.fetched((0, 1));
    story.outcomes.fetched((8, 20));
    let told = story.ask(1, (0, 10));
    assert_eq!((ids(&told), told.expired), (vec![1, 4, 5, 6, 7], vec![(0, 1), (2, 4), (8, 10)]));
    let mut story = story.restarted();
    assert_eq!((ids(&story.ask(1, (0, 10))), story.outcomes.weight().0), (vec![1, 4, 5, 6, 7], 5));
}

#[test]
fn what_nobody_fetches_in_time_is_expired() {
    let mut story = Story::new();
    story.come(0..2);
    story.now = 600;
    story.come(2..4);
    // Half of its time is over; nothing passes while nobody could have fetched it.
    let mut story = story.restarted();
    story.now = 500;
    story.outcomes.expire(story.now).unwrap();
    let told = story.ask(1, (0, 5));
    assert_eq!((ids(&told), told.expired), (vec![2, 3], vec![(0, 2)]));
    let told = story.ask(1, (999, 1_002));
    assert_eq!((told.expired, told.unknown), (vec![], vec![]), "the ventilator knows of these");
    story.now = 1_100;
    story.outcomes.expire(story.now).unwrap();
    assert_eq!(story.outcomes.weight(), (0, 0));
}

#[test]
fn the_oldest_make_room_on_the_shelf_and_in_memory() {
    let mut story = Story::new();
    story.outcomes.retention.bytes_max = 2_000;
    for unit in 0..40 {
        story.now = unit;
        story.come(unit..unit + 1);
        if unit == 20 {
            story.outcomes.put_away(unit).unwrap();
        }
        story.outcomes.expire(unit).unwrap();
        assert!(story.outcomes.weight().1 <= 2_000);
    }
    let told = story.ask(1, (0, 40));
    assert_eq!(ids(&told).last(), Some(&39));
    assert_eq!(told.expired, [(0, 40 - ids(&told).len() as u64)]);
    let told_again = story.restarted();
    assert!(told_again.outcomes.weight().1 <= 2_000);
}

#[test]
fn a_kill_before_the_checkpoint_was_recorded_leaves_nothing_twice() {
    let mut story = Story::new();
    story.come(0..4);
    story.outcomes.fetched((1, 2));
    let mut story = story.restarted();
    // The log gives all of it once more.
    story.come(0..4);
    story.outcomes.fetched((1, 2));
    let mut story = story.restarted();
    assert_eq!((ids(&story.ask(1, (0, 4))), story.outcomes.weight().0), (vec![0, 2, 3], 3));
}

#[test]
fn who_is_gone_is_told_nothing() {
    let mut story = Story::new();
    story.ask(1, (0, 4));
    story.ask(2, (0, 2));
    story.outcomes.left(1);
    story.come(0..4);
    assert_eq!(ids(&story.told(2)), [0, 1]);
}
