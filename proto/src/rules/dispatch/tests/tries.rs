//! Scripts: which try of a unit a worker is told that it makes.

use super::*;

/// What is sent now, all of it to this worker: units, and which try it is told.
fn told(script: &mut Script, link: LinkId) -> Vec<(Vec<u64>, u32)> {
    let works = script.works().into_iter();
    let told = works.map(|(to, work)| {
        assert_eq!(to, link);
        (ids(&work), work.attempt)
    });
    told.collect()
}

/// A worker that was sent so many units, each in a parcel of its own: these.
fn sent(units: u32) -> (Script, Vec<Work>) {
    let mut script = Script::new();
    script.join(1);
    script.add(0, units);
    let works = script.works().into_iter().map(|(_, work)| work).collect();
    (script, works)
}

#[test]
fn a_unit_whose_worker_died_is_tried_once_more_and_is_dead_after_so_many_tries() {
    let mut script = Script::new();
    script.add(0, 1);
    let mut tries = Vec::new();
    let mut dead = Vec::new();
    for link in 1.. {
        script.join(link);
        tries.extend(told(&mut script, link).into_iter().map(|(_, attempt)| attempt));
        dead.extend(script.lost(link, Loss::Disconnected));
        if !dead.is_empty() || link > 9 {
            break;
        }
        script.pass(500);
    }
    assert_eq!(tries, (1..=tries.len() as u32).collect::<Vec<_>>());
    let [Instruction::Dead(dead)] = &dead[..] else { panic!("{dead:?}") };
    // The first death may have been chance; those that it is charged with are told.
    assert_eq!(dead.attempts as usize, tries.len() - 1);
}

#[test]
fn what_a_lost_worker_had_not_begun_is_not_tried_anew() {
    for loss in [Loss::Disconnected, Loss::Silent] {
        let mut script = Script::new();
        script.join(1);
        script.add(0, 2);
        assert_eq!(told(&mut script, 1), [(vec![0], 1), (vec![1], 1)]);
        script.lost(1, loss);
        script.join(2);
        let mut again = Vec::new();
        for _ in 0..3 {
            for (link, work) in script.works() {
                again.push((ids(&work), work.attempt));
                script.done(link, work.parcel, 10, vec![]);
            }
        }
        again.sort();
        assert_eq!(again, [(vec![0], 2), (vec![1], 1)], "{loss:?}");
    }
}

#[test]
fn what_was_executed_and_lost_with_its_worker_is_tried_anew() {
    let (mut script, works) = sent(1);
    script.done(1, works[0].parcel, 10, vec![]);
    script.lost(1, Loss::Disconnected);
    script.join(2);
    assert_eq!(told(&mut script, 2), [(vec![0], 2)]);
}

#[test]
fn what_is_given_back_is_not_tried_anew() {
    let (mut script, works) = sent(2);
    script.dispatch.returned(1, works[1].parcel, 0, &script.committed);
    script.join(2);
    assert_eq!(told(&mut script, 2), [(vec![1], 1)]);
}

#[test]
fn a_copy_is_the_second_try_and_what_follows_it_the_third() {
    let (mut script, works) = sent(1);
    let first = works[0].parcel;
    script.dispatch.ending();
    script.join(2);
    script.pass(1_000);
    assert_eq!(told(&mut script, 2), [(vec![0], 2)]);
    script.lost(2, Loss::Silent);
    script.done(1, first, 10, vec![failure(0)]);
    script.join(2);
    script.dispatch.leaving(1);
    script.pass(50);
    assert_eq!(told(&mut script, 2), [(vec![0], 3)]);
}

#[test]
fn what_a_quiet_worker_has_is_tried_anew_by_others_and_not_by_itself() {
    for is_back in [false, true] {
        let (mut script, works) = sent(1);
        let parcel = works[0].parcel;
        script.quiet(1);
        if is_back {
            assert_eq!(script.back(1), []);
            script.done(1, parcel, 10, vec![failure(0)]);
            script.pass(50);
            assert_eq!(told(&mut script, 1), [(vec![0], 2)]);
        } else {
            script.join(2);
            assert_eq!(told(&mut script, 2), [(vec![0], 2)]);
        }
    }
}

/// A try that ended with the loss of its worker is no failure: `retries` counts only those, and a dead
/// letter tells only them, so that it is the same whatever was lost on the way.
#[test]
fn a_death_takes_no_retry_and_makes_no_pause_longer() {
    let (mut script, _) = sent(1);
    script.lost(1, Loss::Silent);
    script.join(2);
    let parcel = script.works()[0].1.parcel;
    assert_eq!(script.done(2, parcel, 10, vec![failure(0)]), []);
    script.pass(50);
    let (_, work) = script.works().remove(0);
    assert_eq!(work.attempt, 3);
    let dead = script.done(2, work.parcel, 10, vec![failure(0)]);
    assert!(matches!(&dead[..], [Instruction::Dead(dead)] if dead.attempts == 2), "{dead:?}");
}
