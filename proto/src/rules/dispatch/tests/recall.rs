//! Units that shall not be worked on: what is asked, and what becomes known.

use super::*;

impl Script {
    fn recall(&mut self, units: &[u64]) {
        let mut roots = RangeSet::new();
        units.iter().for_each(|unit| _ = roots.insert(*unit..unit + 1));
        self.dispatch.recall(&roots, &self.committed);
    }

    /// Who is asked for which parcel, and which units are idle, idle and tried before, and begun.
    fn settle(&mut self) -> (Vec<(LinkId, ParcelId)>, [Vec<u64>; 3]) {
        let mut orders = Vec::new();
        let told = self.dispatch.settle(&mut orders);
        let asked = orders.into_iter().map(|order| match order {
            Instruction::Retract(link, parcel) => (link, parcel),
            other => panic!("expected only questions, got {other:?}"),
        });
        let roots = |units: &Units| units.iter().map(|(root, ..)| root).collect();
        let begun = told.begun.iter().flatten().collect();
        (asked.collect(), [roots(&told.idle), roots(&told.tried), begun])
    }

    fn returned(&mut self, link: LinkId, parcel: ParcelId, keep: u32) {
        self.dispatch.returned(link, parcel, keep, &self.committed);
    }

    /// One worker has been sent four units in one parcel.
    fn with_a_parcel_of_four() -> (Self, ParcelId) {
        let mut script = Self::new();
        script.join(1);
        script.add(0, 1);
        let (_, first) = script.works().remove(0);
        script.done(1, first.parcel, 4_000_000, vec![]);
        script.committed.insert(0..1);
        script.commit();
        script.add(1, 4);
        let works = script.works();
        assert_eq!(works.iter().map(|(_, work)| ids(work).len()).sum::<usize>(), 4);
        let (_, work) = works.into_iter().max_by_key(|(_, work)| work.units.len()).unwrap();
        (script, work.parcel)
    }
}

const NONE: [Vec<u64>; 3] = [vec![], vec![], vec![]];

#[test]
fn what_waits_is_idle_at_once_and_is_sent_to_nobody() {
    let mut script = Script::new();
    script.add(0, 5);
    script.recall(&[1, 3]);
    assert_eq!((script.dispatch.waiting(), script.dispatch.bytes()), (5, 5));
    assert_eq!(script.settle(), (vec![], [vec![1, 3], vec![], vec![]]));
    assert_eq!((script.dispatch.waiting(), script.dispatch.bytes()), (3, 3));
    script.join(1);
    script.join(2);
    let sent: Vec<u64> = script.works().iter().flat_map(|(_, work)| ids(work)).collect();
    assert!(!sent.is_empty() && !sent.contains(&1) && !sent.contains(&3), "{sent:?}");
    assert_eq!(script.settle(), (vec![], NONE), "it is told once");
}

#[test]
fn what_waits_for_another_try_is_idle_and_told_apart() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 1);
    let (_, work) = script.works().remove(0);
    script.done(1, work.parcel, 1_000, vec![failure(0)]);
    script.recall(&[0]);
    assert_eq!(script.settle(), (vec![], [vec![], vec![0], vec![]]));
    assert!(script.dispatch.is_empty() || script.dispatch.ready() == 0);
    script.pass(1_000);
    assert_eq!(script.works(), []);
}

#[test]
fn a_worker_is_asked_until_the_unit_comes_back_and_the_rest_of_it_goes_on() {
    let mut script = Script::new();
    script.join(1);
    script.dispatch.opens(1, 16);
    script.add(0, 8);
    let works = script.works();
    let (_, work) = works.into_iter().find(|(_, work)| ids(work).contains(&3)).unwrap();
    assert_eq!(ids(&work).len(), 2, "{work:?}");
    let parcel = work.parcel;
    script.recall(&[3]);
    assert_eq!(script.settle(), (vec![(1, parcel)], NONE));
    assert_eq!(script.settle(), (vec![], NONE), "it is asked once");
    script.returned(1, parcel, 1);
    assert_eq!(script.settle(), (vec![], [vec![3], vec![], vec![]]));
    assert_eq!(script.dispatch.recalled(), 1);
    assert_eq!(script.dispatch.waiting(), 0);
}

#[test]
fn a_part_that_comes_back_without_the_unit_is_no_answer() {
    let (mut script, parcel) = Script::with_a_parcel_of_four();
    let held = script.dispatch.workers.get(1).unwrap().pending[&parcel].units.clone();
    let first = held.spans()[0].first;
    let count = held.len() as u32;
    assert!(count > 1, "{held:?}");
    script.recall(&[first]);
    assert_eq!(script.settle(), (vec![(1, parcel)], NONE));
    script.returned(1, parcel, count - 1);
    assert_eq!(script.settle(), (vec![(1, parcel)], NONE), "it is asked again");
    script.returned(1, parcel, count - 1);
    assert_eq!(script.settle(), (vec![], [vec![], vec![], vec![first]]), "nothing came back");
    assert_eq!(script.dispatch.recalled(), 0);
    // The others of the parcel go on.
    assert!(script.dispatch.waiting() > 0);
}

#[test]
fn what_is_done_or_executed_was_begun_and_fails_as_ever() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 2);
    let (_, work) = script.works().remove(0);
    assert_eq!(ids(&work), [0]);
    script.recall(&[0]);
    assert_eq!(script.settle().0, [(1, work.parcel)]);
    script.done(1, work.parcel, 1_000, vec![failure(0)]);
    assert_eq!(script.settle(), (vec![], [vec![], vec![], vec![0]]));
    script.pass(50);
    let again: Vec<u64> = script.works().iter().flat_map(|(_, work)| ids(work)).collect();
    assert!(again.contains(&0), "it is tried again: {again:?}");
    // What waits to be committed.
    let mut script = Script::new();
    script.join(1);
    script.add(0, 1);
    let (_, work) = script.works().remove(0);
    script.done(1, work.parcel, 1_000, vec![]);
    script.recall(&[0]);
    assert_eq!(script.settle(), (vec![], [vec![], vec![], vec![0]]));
}

#[test]
fn a_worker_that_is_lost_while_it_is_asked_has_nothing_any_more() {
    for loss in [Loss::Silent, Loss::Disconnected] {
        let mut script = Script::new();
        script.join(1);
        script.add(0, 1);
        assert_eq!(script.works().len(), 1);
        script.recall(&[0]);
        assert_eq!(script.settle().0.len(), 1);
        assert_eq!(script.lost(1, loss), []);
        assert_eq!(script.settle(), (vec![], [vec![], vec![0], vec![]]), "{loss:?}");
        script.pass(1_000);
        script.join(2);
        assert_eq!(script.works(), []);
        assert!(script.dispatch.is_empty());
    }
}

/// It may be stopped in the middle of the unit. Others are not given the unit meanwhile.
#[test]
fn a_worker_that_is_not_heard_is_waited_for_as_long_as_its_session_lasts() {
    for asked_before in [true, false] {
        let quiet = |script: &mut Script| {
            script.quiet(1);
            script.join(2);
        };
        let mut script = Script::new();
        script.join(1);
        script.add(0, 1);
        let (_, work) = script.works().remove(0);
        if asked_before {
            script.recall(&[0]);
            assert_eq!(script.settle().0, [(1, work.parcel)]);
            quiet(&mut script);
        } else {
            quiet(&mut script);
            script.recall(&[0]);
            assert_eq!(script.settle().0, [(1, work.parcel)]);
        }
        assert_eq!((script.works(), script.settle()), (vec![], (vec![], NONE)));
        // It goes on, and has begun it.
        assert_eq!(script.back(1), [], "it is asked already");
        script.returned(1, work.parcel, 1);
        assert_eq!(script.settle(), (vec![], [vec![], vec![], vec![0]]));
        assert_eq!(script.works().len(), 1, "others have it too, as ever");
    }
    // It does not come back.
    let mut script = Script::new();
    script.join(1);
    script.add(0, 1);
    assert_eq!(script.works().len(), 1);
    script.quiet(1);
    script.recall(&[0]);
    assert_eq!(script.settle().0.len(), 1);
    script.lost(1, Loss::Silent);
    assert_eq!(script.settle(), (vec![], [vec![], vec![0], vec![]]));
    script.join(2);
    assert_eq!(script.works(), []);
}

#[test]
fn all_who_have_a_copy_are_asked_and_nobody_is_given_one_meanwhile() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 1);
    let (_, original) = script.works().remove(0);
    script.dispatch.ending();
    script.join(2);
    script.pass(1_000);
    let (to, copy) = script.works().remove(0);
    assert_eq!(to, 2);
    script.recall(&[0]);
    let (mut asked, told) = script.settle();
    asked.sort_unstable();
    assert_eq!((asked, told), (vec![(1, original.parcel), (2, copy.parcel)], NONE));
    script.returned(1, original.parcel, 0);
    assert_eq!(script.settle(), (vec![], NONE), "the other one may have begun it");
    script.join(3);
    script.pass(1_000);
    assert_eq!(script.works(), []);
    script.returned(2, copy.parcel, 1);
    assert_eq!(script.settle(), (vec![], [vec![], vec![], vec![0]]));
    assert_eq!(script.works().len(), 1, "it counts again, and no copy does");
}

#[test]
fn what_is_committed_meanwhile_is_not_told() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 1);
    let (_, work) = script.works().remove(0);
    script.recall(&[0]);
    assert_eq!(script.settle().0.len(), 1, "{work:?}");
    script.committed.insert(0..1);
    script.commit();
    script.returned(1, work.parcel, 0);
    assert_eq!(script.settle(), (vec![], NONE));
    assert!(script.dispatch.recalls.asked.is_empty());
    script.recall(&[0]);
    assert_eq!(script.settle(), (vec![], NONE));
}
