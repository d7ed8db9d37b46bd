//! Scripts: what happens, and what the dispatcher orders.

mod recall;
mod tries;

use std::collections::VecDeque;

use super::*;
use crate::{frame::Failed, plan::Function};

const GENEROUS: Credit = Credit { units: 1 << 40, bytes: 1 << 40 };

struct Script {
    now: Time,
    dispatch: Dispatch,
    committed: RangeSet,
}

impl Script {
    fn new() -> Self {
        let stage = Stage { retries: 1, backoff_ms: 50, ..Stage::new("s", Function::Own) };
        let dispatch = Dispatch::new(0, &stage, &Limits::default());
        Self { now: Time::from_ms(1_000), dispatch, committed: RangeSet::new() }
    }

    fn join(&mut self, link: LinkId) {
        self.dispatch.join(link, "w");
        self.dispatch.granted(link, GENEROUS);
    }

    fn add(&mut self, first: u64, count: u32) {
        let payload = (0..count).map(|n| n as u8 % 100).collect();
        self.dispatch.add(Units::from_source(first, payload, (1..=count).collect()));
    }

    fn orders(&mut self) -> Vec<Instruction> {
        let mut orders = Vec::new();
        let urgent = self.committed.watermark();
        self.dispatch.dispatch(&mut Turn::new(self.now, &mut orders), &self.committed, urgent);
        orders
    }

    fn works(&mut self) -> Vec<(LinkId, Work)> {
        let sends = self.orders().into_iter().map(|order| match order {
            Instruction::Send(link, work) => (link, work),
            other => panic!("expected only parcels, got {other:?}"),
        });
        sends.collect()
    }

    /// The dispatch hears of what is committed.
    fn commit(&mut self) {
        let news: Vec<_> = self.committed.iter().collect();
        self.dispatch.committed(self.now, &self.committed, &news);
    }

    fn done(
        &mut self,
        link: LinkId,
        parcel: ParcelId,
        ns: u64,
        failed: Vec<Failed>,
    ) -> Vec<Instruction> {
        let mut orders = Vec::new();
        let done = Done { parcel, busy_ns: ns, failed };
        self.dispatch.done(&mut Turn::new(self.now, &mut orders), link, &done, &self.committed);
        orders
    }

    fn lost(&mut self, link: LinkId, loss: Loss) -> Vec<Instruction> {
        let mut orders = Vec::new();
        self.dispatch.lost(&mut Turn::new(self.now, &mut orders), link, loss, &self.committed);
        orders
    }

    fn quiet(&mut self, link: LinkId) {
        self.dispatch.quiet(link, self.now, &self.committed);
    }

    fn back(&mut self, link: LinkId) -> Vec<Instruction> {
        let mut orders = Vec::new();
        self.dispatch.back(link, &self.committed, &mut orders);
        orders
    }

    /// With how many deaths a worker has been given this unit.
    fn deaths_of(&self, unit: UnitId) -> u32 {
        let holds = |sent: &&Sent| sent.units.iter().any(|(root, ..)| root == unit);
        let mut all = self.dispatch.workers.iter().flat_map(|(_, peer)| peer.pending.values());
        all.find(holds).expect("somebody has it").history.deaths()
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
    }
}

fn ids(work: &Work) -> Vec<u64> {
    work.units.iter().map(|(id, ..)| id).collect()
}

fn failure(index: u32) -> Failed {
    Failed { index, error: "boom".into() }
}

#[test]
fn a_lone_unit_leaves_at_once_and_alone() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 1);
    let works = script.works();
    assert_eq!(works.len(), 1);
    assert_eq!(ids(&works[0].1), [0]);
}

#[test]
fn what_waits_is_counted_in_bytes_wherever_it_comes_from_and_goes_to() {
    let mut script = Script::new();
    script.add(0, 40);
    assert_eq!(script.dispatch.ready_bytes(), 40);
    script.join(1);
    let (_, sent) = script.works().remove(0);
    assert_eq!(script.dispatch.ready_bytes(), 40 - 2 * sent.units.bytes());
    script.committed.insert(0..1);
    script.lost(1, Loss::Silent);
    assert_eq!(script.dispatch.ready_bytes(), 39);
}

#[test]
fn a_worker_holds_no_more_than_two_parcels_and_no_more_than_its_credit() {
    let mut script = Script::new();
    script.dispatch.join(1, "w");
    script.add(0, 100);
    assert_eq!(script.works().len(), 0);
    script.dispatch.granted(1, Credit { units: 1, bytes: 100 });
    assert_eq!(script.works().len(), 1);
    script.dispatch.granted(1, GENEROUS);
    assert_eq!(script.works().len(), 1);
}

#[test]
fn parcels_of_quick_units_grow() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 10_000);
    let mut open: VecDeque<Work> = script.works().into_iter().map(|(_, work)| work).collect();
    let mut sizes = Vec::new();
    while let Some(work) = open.pop_front() {
        sizes.push(work.units.len());
        script.done(1, work.parcel, work.units.len() as u64 * 200, vec![]);
        open.extend(script.works().into_iter().map(|(_, work)| work));
    }
    assert_eq!(sizes.iter().sum::<usize>(), 10_000);
    assert!(sizes.len() < 20, "{sizes:?}");
}

#[test]
fn the_least_loaded_worker_is_served_first() {
    let mut script = Script::new();
    script.join(1);
    script.join(2);
    script.add(0, 1);
    let first = script.works()[0].0;
    script.add(1, 1);
    assert_ne!(script.works()[0].0, first);
}

#[test]
fn exactly_the_uncommitted_units_of_a_lost_worker_go_to_others() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 4);
    let works = script.works();
    script.done(1, works[0].1.parcel, 1000, vec![]);
    let more = script.works();
    assert!(works.len() + more.len() >= 3);
    script.committed.insert(0..1);
    script.join(2);
    assert_eq!(script.lost(1, Loss::Silent), []);
    let mut again: Vec<u64> = Vec::new();
    for _ in 0..5 {
        for (link, work) in script.works() {
            assert_eq!(link, 2);
            again.extend(ids(&work));
            script.done(2, work.parcel, 1000, vec![]);
        }
    }
    again.sort_unstable();
    assert_eq!(again, [1, 2, 3]);
}

#[test]
fn a_failed_unit_is_tried_again_after_a_pause_and_then_dead() {
    let mut script = Script::new();
    script.join(1);
    script.add(7, 1);
    let parcel = script.works()[0].1.parcel;
    assert_eq!(script.done(1, parcel, 10, vec![failure(0)]), []);
    assert_eq!(script.works(), []);
    script.pass(50);
    let again = script.works();
    assert_eq!((again[0].1.attempt, ids(&again[0].1)), (2, vec![7]));
    let orders = script.done(1, again[0].1.parcel, 10, vec![failure(0)]);
    match &orders[..] {
        [Instruction::Dead(dead)] => {
            assert_eq!((dead.root, dead.attempts, dead.error.as_str()), (7, 2, "boom"));
        }
        other => panic!("{other:?}"),
    }
    assert!(script.dispatch.is_empty());
    assert_eq!(script.dispatch.bytes(), 0);
}

#[test]
fn a_unit_that_kills_workers_is_found_and_the_others_of_its_parcel_go_on() {
    let mut script = Script::new();
    script.join(0);
    script.add(0, 500);
    // Let the parcels grow before the first death.
    for _ in 0..7 {
        for (link, work) in script.works() {
            script.done(link, work.parcel, work.units.len() as u64, vec![]);
        }
    }
    script.add(500, 500);
    let killer = 777;
    let mut finished: Vec<u64> = Vec::new();
    let mut dead = Vec::new();
    let mut link = 0;
    for _ in 0..400 {
        script.pass(10);
        let works = script.works();
        let mut alive = true;
        for (_, work) in works {
            if !alive {
                continue;
            }
            if ids(&work).contains(&killer) {
                dead.extend(script.lost(link, Loss::Disconnected));
                link += 1;
                script.join(link);
                alive = false;
            } else {
                finished.extend(ids(&work));
                script.done(link, work.parcel, work.units.len() as u64, vec![]);
                let last = finished.len() as u64;
                assert!(last > 0);
                for id in ids(&work) {
                    script.committed.insert(id..id + 1);
                }
                script.commit();
            }
        }
    }
    match &dead[..] {
        [Instruction::Dead(dead)] => assert_eq!(dead.root, killer),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        (500..1000).filter(|id| *id != killer && !script.committed.contains(*id)).count(),
        0
    );
    assert!(link < 10, "{link} workers died");
}

#[test]
fn no_innocent_is_charged_when_the_last_words_of_those_that_die_are_lost() {
    let mut script = Script::new();
    let mut link = 0;
    script.join(link);
    script.add(0, 60);
    let killer = 36;
    let mut dead = Vec::new();
    for _ in 0..200 {
        script.pass(10);
        let works = script.works();
        // It has done what comes before the killer, but nobody hears of it.
        if works.iter().any(|(_, work)| ids(work).contains(&killer)) {
            dead.extend(script.lost(link, Loss::Disconnected));
            link += 1;
            script.join(link);
            continue;
        }
        for (_, work) in works {
            script.done(link, work.parcel, work.units.len() as u64, vec![]);
            for id in ids(&work) {
                script.committed.insert(id..id + 1);
            }
        }
    }
    match &dead[..] {
        [Instruction::Dead(dead)] => assert_eq!(dead.root, killer),
        other => panic!("{other:?}"),
    }
    assert!((0..60).all(|id| id == killer || script.committed.contains(id)));
}

#[test]
fn what_an_idle_worker_could_do_is_called_back_from_a_busy_one() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 2);
    let works = script.works();
    assert_eq!(works.len(), 2);
    script.join(2);
    script.pass(100);
    assert_eq!(script.orders(), [Instruction::Retract(1, works[1].1.parcel)]);
    script.dispatch.returned(1, works[1].1.parcel, 0, &script.committed);
    let moved = script.works();
    assert_eq!((moved[0].0, ids(&moved[0].1)), (2, ids(&works[1].1)));
}

#[test]
fn at_the_end_an_idle_worker_gets_a_copy_of_what_lasts_long() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 1);
    script.works();
    script.join(2);
    script.pass(1000);
    assert_eq!(script.orders(), []);
    script.dispatch.ending();
    script.pass(100);
    let copies = script.works();
    assert_eq!((copies[0].0, ids(&copies[0].1)), (2, vec![0]));
    assert_eq!(script.orders(), []);
    // The copy's worker fails or dies: the original is still under way, nothing happens.
    assert_eq!(script.done(2, copies[0].1.parcel, 10, vec![failure(0)]), []);
    assert_eq!(script.lost(2, Loss::Disconnected), []);
    assert_eq!(script.dispatch.waiting(), 0);
}

#[test]
fn a_peer_that_reports_nonsense_harms_nobody() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 1);
    let parcel = script.works()[0].1.parcel;
    let orders = script.done(1, parcel, 10, vec![failure(0), failure(0), failure(77)]);
    assert_eq!(orders, []);
    assert_eq!(script.done(1, 999, 10, vec![]), []);
    script.dispatch.returned(1, parcel, 99, &script.committed);
    assert_eq!(script.dispatch.waiting(), 1);
}

#[test]
fn a_worker_that_leaves_gets_nothing_more() {
    let mut script = Script::new();
    script.join(1);
    script.dispatch.leaving(1);
    script.add(0, 1);
    assert_eq!(script.works(), []);
}

#[test]
fn kept_bytes_return_to_zero() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 1000);
    for _ in 0..50 {
        for (link, work) in script.works() {
            script.done(link, work.parcel, 100, vec![]);
        }
    }
    assert_eq!(script.dispatch.bytes(), 1000);
    script.committed.insert(0..1000);
    script.commit();
    assert_eq!(script.dispatch.bytes(), 0);
    assert!(script.dispatch.is_empty());
}

#[test]
fn what_belongs_to_the_oldest_unit_goes_without_credit_too() {
    let mut script = Script::new();
    script.dispatch.join(1, "w");
    script.add(7, 2);
    script.add(2, 3);
    script.committed.insert(0..3);
    assert_eq!(script.works(), [], "nothing before the first grant");
    script.dispatch.granted(1, Credit { units: 1, bytes: 9 });
    let sent: Vec<_> = script.works().iter().map(|(_, work)| ids(work)).collect();
    assert_eq!(sent, [vec![7], vec![3]]);
    script.done(1, 0, 1, vec![]);
    assert_eq!(script.works(), []);
    script.committed.insert(3..4);
    let sent: Vec<_> = script.works().iter().map(|(_, work)| ids(work)).collect();
    assert_eq!(sent, [vec![4]]);
    script.committed.insert(4..8);
    script.done(1, 1, 1, vec![]);
    let sent: Vec<_> = script.works().iter().map(|(_, work)| ids(work)).collect();
    assert_eq!(sent, [vec![8]]);
    assert_eq!(script.dispatch.waiting(), 1, "unit 2 was committed before it was sent");
}

#[test]
fn what_a_quiet_worker_has_goes_to_others_too_executed_or_not() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 3);
    let works = script.works();
    script.done(1, works[0].1.parcel, 1000, vec![]);
    let held: usize = script.works().iter().chain(&works).map(|(_, work)| work.units.len()).sum();
    script.join(2);
    script.quiet(1);
    script.quiet(1);
    let mut again: Vec<u64> = Vec::new();
    for _ in 0..4 {
        for (link, work) in script.works() {
            assert_eq!(link, 2, "a quiet worker is sent nothing");
            again.extend(ids(&work));
            script.done(2, work.parcel, 1000, vec![]);
        }
    }
    again.sort_unstable();
    assert_eq!(again, [0, 1, 2], "{held} units of it");
    script.committed.insert(0..3);
    script.commit();
    assert_eq!(script.lost(1, Loss::Silent), []);
    assert_eq!((script.dispatch.bytes(), script.dispatch.waiting()), (0, 0));
    assert!(script.dispatch.is_empty());
}

#[test]
fn what_a_worker_has_that_is_only_late_stays_with_it_unless_another_one_was_sent_it() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 3);
    let works = script.works();
    assert_eq!(works.len(), 2);
    script.done(1, works[0].1.parcel, 1000, vec![]);
    script.works();
    script.quiet(1);
    assert!(script.dispatch.waiting() >= 2, "nobody is there to take it");
    assert_eq!(script.back(1), [], "nobody has been sent anything");
    assert_eq!((script.dispatch.waiting(), script.dispatch.bytes()), (0, 3));
    assert_eq!(script.dispatch.recovery(), None, "nothing was lost");
    // Now another one gets it, and the late one needs not begin it.
    script.join(2);
    script.quiet(1);
    let sent: Vec<LinkId> = script.works().iter().map(|(link, _)| *link).collect();
    assert_eq!(sent, [2, 2]);
    let retracts = script.back(1);
    assert!(!retracts.is_empty());
    assert!(
        retracts.iter().all(|order| matches!(order, Instruction::Retract(1, _))),
        "{retracts:?}"
    );
    let Instruction::Retract(_, parcel) = retracts[0] else { unreachable!() };
    script.dispatch.returned(1, parcel, 0, &script.committed);
    assert_eq!(script.back(1), [], "it was not quiet");
}

#[test]
fn units_of_several_quiet_workers_go_to_one_that_is_heard() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 2);
    script.works();
    script.quiet(1);
    script.join(2);
    assert_eq!(script.works().len(), 2);
    script.quiet(2);
    script.join(3);
    let all: Vec<u64> = script.works().iter().flat_map(|(_, work)| ids(work)).collect();
    assert_eq!(all, [0, 1]);
    assert_eq!(script.dispatch.lent(), 4, "each one's units are copied once");
    // Who has copies only may go without a word; who has the units themselves may not.
    assert_eq!(script.lost(2, Loss::Disconnected), []);
    assert_eq!(script.dispatch.waiting(), 0);
    script.lost(3, Loss::Silent);
    assert_eq!(script.dispatch.waiting(), 2);
}

#[test]
fn a_copy_that_another_one_has_already_counts_from_then_on() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 1);
    script.works();
    script.join(2);
    script.dispatch.ending();
    script.pass(1_000);
    let copies = script.works();
    assert_eq!(copies.len(), 1);
    script.quiet(1);
    assert_eq!(script.works(), [], "no third one");
    script.lost(2, Loss::Silent);
    assert_eq!(script.dispatch.waiting(), 1);
}

#[test]
fn a_stopped_worker_does_not_keep_idle_ones_from_copies_of_what_others_have() {
    let mut script = Script::new();
    for link in [1, 2] {
        script.join(link);
    }
    script.add(0, 4);
    script.works();
    script.join(3);
    script.pass(100);
    let asked = script.orders();
    assert_eq!(asked.len(), 2, "called back from both, {asked:?}");
    script.dispatch.ending();
    // One of them answers, the other one never does.
    for order in asked {
        if let Instruction::Retract(2, parcel) = order {
            script.dispatch.returned(2, parcel, 0, &script.committed);
        }
    }
    script.quiet(1);
    for _ in 0..4 {
        for (link, work) in script.works() {
            script.done(link, work.parcel, 1000, vec![]);
        }
    }
    script.pass(1_000);
    let copied: Vec<_> = script.works();
    assert_eq!(copied.len(), 1, "of the unit that worker 2 has had for long: {copied:?}");
}

#[test]
fn a_unit_that_makes_workers_quiet_before_it_kills_them_is_found_too() {
    for quiet_at_once in [true, false] {
        let mut script = Script::new();
        let mut link = 0;
        script.join(link);
        script.add(0, 40);
        let killer = 7;
        let mut dead = Vec::new();
        for _ in 0..300 {
            script.pass(10);
            let works = script.works();
            let killing = works.iter().any(|(_, work)| ids(work).contains(&killer));
            if !killing {
                for (link, work) in works {
                    script.done(link, work.parcel, work.units.len() as u64, vec![]);
                    ids(&work).into_iter().for_each(|id| {
                        script.committed.insert(id..id + 1);
                    });
                }
                continue;
            }
            // It is quiet for long before it dies: others have its units by then, or nobody has.
            script.quiet(link);
            link += 1;
            if quiet_at_once {
                script.join(link);
                let moved = script.works();
                dead.extend(script.lost(link - 1, Loss::Disconnected));
                // Whoever has the killer now goes the same way.
                if moved.iter().any(|(_, work)| ids(work).contains(&killer)) {
                    script.quiet(link);
                    link += 1;
                    script.join(link);
                    dead.extend(script.lost(link - 1, Loss::Disconnected));
                } else {
                    for (link, work) in moved {
                        script.done(link, work.parcel, work.units.len() as u64, vec![]);
                    }
                }
            } else {
                dead.extend(script.lost(link - 1, Loss::Disconnected));
                script.join(link);
            }
            if !dead.is_empty() {
                break;
            }
        }
        match &dead[..] {
            [Instruction::Dead(dead)] => assert_eq!(dead.root, killer),
            other => panic!("{quiet_at_once}: {other:?}, {link} died"),
        }
        assert!(link < 14, "{link} workers died");
    }
}

/// One cut that broke the lanes of a process to all of its workers, one after the other, was a
/// death for each of them, and the unit dead without anybody having died.
#[test]
fn lanes_that_break_together_are_no_deaths_of_a_unit() {
    let mut script = Script::new();
    (1..=9).for_each(|link| script.join(link));
    script.add(0, 1);
    let mut holders = Vec::new();
    for _ in 0..9 {
        let Some((link, _)) = script.works().pop() else { break };
        holders.push(link);
        assert_eq!(script.lost(link, Loss::Disconnected), []);
        script.pass(1);
    }
    assert_eq!(holders.len(), 2, "after the second one it is waited");
    script.pass(50);
    assert_eq!(script.works().len(), 1);
    assert_eq!(script.deaths_of(0), 0, "none of them was a death");
    // The next cut.
    let links: Vec<LinkId> = script.dispatch.workers.links();
    for link in links {
        script.lost(link, Loss::Disconnected);
        script.pass(1);
    }
    script.pass(50);
    script.join(20);
    assert_eq!(script.works().len(), 1);
    assert_eq!(script.deaths_of(0), 1, "and of the second cut one at most");
}

/// The same where a copy of the unit is with another worker, since the first one was quiet.
#[test]
fn lanes_of_a_unit_and_of_its_copy_that_break_together_are_one_death_at_most() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 1);
    assert_eq!(script.works().len(), 1);
    script.lost(1, Loss::Disconnected);
    script.pass(100);
    script.join(2);
    assert_eq!(script.works().len(), 1);
    script.quiet(2);
    script.join(3);
    assert_eq!(script.works().len(), 1);
    script.lost(2, Loss::Disconnected);
    script.pass(2);
    script.lost(3, Loss::Disconnected);
    script.pass(50);
    script.join(4);
    assert_eq!(script.works().len(), 1);
    assert_eq!(script.deaths_of(0), 1);
}

/// The deaths of one output's workers were charged to every output of the same unit.
#[test]
fn an_output_is_not_charged_for_the_deaths_of_another_one_s_workers() {
    let mut script = Script::new();
    let add = |script: &mut Script, index| {
        let path = vec![crate::unit::Step { execution: 1, index, of: 2 }];
        let span = crate::units::Span::one(7, path);
        script.dispatch.add(Units::from_outputs(vec![span], vec![1], vec![1]));
    };
    let holds = |script: &mut Script, link| {
        script.join(link);
        let works = script.works();
        assert!(matches!(&works[..], [(holder, work)] if *holder == link && work.units.len() == 1));
    };
    add(&mut script, 0);
    holds(&mut script, 1);
    script.lost(1, Loss::Disconnected);
    holds(&mut script, 2);
    add(&mut script, 1);
    holds(&mut script, 3);
    script.quiet(2);
    holds(&mut script, 4);
    script.pass(20);
    script.lost(2, Loss::Disconnected);
    let history = |link| {
        let peer = script.dispatch.workers.get(link).expect("it is there");
        peer.pending.values().next().expect("it has a parcel").history
    };
    assert!(history(4).is_suspect() && history(4).deaths() == 1);
    assert!(!history(3).is_suspect() && history(3).deaths() == 0);
}

/// Outputs of an expanded unit that all fail at first: their retries take no place each.
#[test]
fn what_fails_together_is_tried_again_together() {
    let mut script = Script::new();
    script.join(1);
    let path = vec![crate::unit::Step { execution: 1, index: 0, of: 4_000 }];
    let span = crate::units::Span { first: 7, count: 4_000, path };
    script.dispatch.add(Units::from_outputs(vec![span], vec![1; 4_000], (1..=4_000).collect()));
    let mut tried = 0;
    let mut parcels = 0;
    while tried < 4_000 {
        for (link, work) in script.works() {
            let all = (0..work.units.len() as u32).map(failure).collect();
            script.done(link, work.parcel, 100 * work.units.len() as u64, all);
            tried += work.units.len();
            parcels += 1;
        }
    }
    assert!(script.dispatch.stocks.delayed_stocks() <= parcels);
    assert_eq!((script.dispatch.waiting(), script.dispatch.bytes()), (4_000, 4_000));
    script.pass(50);
    let again = script.works();
    assert!(again.iter().all(|(_, work)| work.attempt == 2 && work.units.spans().len() == 1));
}

/// A worker of 80 units at once, with as many parcels as it may have.
fn with_many_open(script: &mut Script, link: LinkId) -> Vec<Work> {
    script.join(link);
    script.dispatch.opens(link, 80);
    script.add(0, 1_000);
    script.works().into_iter().map(|(_, work)| work).collect()
}

#[test]
fn a_worker_with_many_units_open_has_twice_as_many_in_parcels_of_an_eighth() {
    let mut script = Script::new();
    let works = with_many_open(&mut script, 1);
    assert_eq!(works.len(), 16);
    assert!(works.iter().all(|work| work.units.len() == 10));
    // One that ends makes way for the next.
    script.done(1, 3, 10_000_000, vec![]);
    assert_eq!(script.works().len(), 1);
}

#[test]
fn whoever_can_begin_at_once_comes_first() {
    let mut script = Script::new();
    script.join(1);
    script.add(0, 1);
    script.works();
    script.done(1, 0, 1_000_000_000, vec![]);
    script.join(2);
    script.dispatch.opens(2, 80);
    script.add(1, 2);
    let sent = script.works();
    assert_eq!(sent.iter().map(|(link, _)| *link).collect::<Vec<_>>(), [1, 2]);
    for unit in 3..7 {
        script.add(unit, 1);
        assert_eq!(script.works()[0].0, 2);
    }
    // Both take a second for a unit, and one of them has four.
    script.done(2, sent[1].1.parcel, 1_000_000_000, vec![]);
    script.add(7, 1);
    assert_eq!(script.works()[0].0, 2);
}

#[test]
fn whatever_one_with_many_open_had_may_have_killed_it_and_is_cut_together() {
    let mut script = Script::new();
    let works = with_many_open(&mut script, 1);
    script.committed.insert(0..40);
    script.commit();
    assert!(script.lost(1, Loss::Disconnected).is_empty(), "nobody is dead");
    script.join(2);
    script.join(3);
    // 120 units in 16 pieces: each is all that its worker has.
    let pieces = script.works();
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces.iter().map(|(_, work)| work.units.len()).max(), Some(8));
    assert!(pieces.iter().all(|(_, work)| works.iter().any(|w| ids(w).contains(&ids(work)[0]))));
}

#[test]
fn a_unit_among_many_open_that_kills_is_found_and_no_other_is_given_up() {
    let mut script = Script::new();
    script.join(1);
    script.dispatch.opens(1, 80);
    script.add(0, 60);
    let (mut dead, mut link) = (Vec::new(), 1);
    for _ in 0..2_000 {
        script.pass(500);
        let orders = script.orders();
        let sent = orders.into_iter().filter_map(|order| match order {
            Instruction::Send(_, work) => Some(work),
            _ => None,
        });
        let sent: Vec<Work> = sent.collect();
        if sent.iter().any(|work| ids(work).contains(&17)) {
            dead.extend(script.lost(link, Loss::Disconnected));
            link += 1;
            script.join(link);
            script.dispatch.opens(link, 80);
            continue;
        }
        for work in sent {
            script.committed.insert(ids(&work)[0]..ids(&work)[0] + ids(&work).len() as u64);
            script.done(link, work.parcel, 1_000, vec![]);
            script.commit();
        }
        if script.dispatch.is_empty() {
            break;
        }
    }
    let roots = dead.iter().map(|order| match order {
        Instruction::Dead(dead) => dead.root,
        other => panic!("{other:?}"),
    });
    assert_eq!(roots.collect::<Vec<_>>(), [17]);
    assert_eq!(script.committed.watermark(), 17);
    assert!(link < 12, "{link} workers died");
}

#[test]
fn what_gave_nothing_back_is_not_called_back_again() {
    let mut script = Script::new();
    script.join(1);
    script.dispatch.opens(1, 80);
    script.add(0, 160);
    script.works();
    script.join(2);
    let mut asked = Vec::new();
    for _ in 0..40 {
        script.pass(20);
        for order in script.orders() {
            if let Instruction::Retract(_, parcel) = order {
                asked.push(parcel);
                script.dispatch.returned(1, parcel, u32::MAX, &script.committed);
            }
        }
    }
    assert_eq!(asked, [15], "the newest one, once");
}

#[test]
fn units_that_take_their_time_beside_others_are_not_copied_early() {
    let mut script = Script::new();
    script.join(1);
    script.dispatch.opens(1, 8);
    script.add(0, 8);
    let works = script.works();
    script.dispatch.ending();
    script.pass(400);
    // A unit takes 400 ms, and eight of them together too: 50 ms each.
    for (_, work) in &works {
        script.done(1, work.parcel, 50_000_000, vec![]);
    }
    script.committed.insert(0..8);
    script.commit();
    script.add(8, 4);
    script.works();
    script.join(2);
    let mut copies = Vec::new();
    for _ in 0..20 {
        script.pass(50);
        for order in script.orders() {
            if let Instruction::Retract(_, parcel) = order {
                script.dispatch.returned(1, parcel, u32::MAX, &script.committed);
            }
        }
        copies.push(script.dispatch.copies());
    }
    assert_eq!(copies[..14], [0; 14], "twice as long as the others took");
    assert!(copies[19] > 0, "{copies:?}");
}
