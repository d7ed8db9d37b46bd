//! The rules of all roles over a simulated network: whole runs, by seed.

mod scenes;

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use proto::limits::Limits;
use simulation::{
    Broken, Coverage, FaultKind, Faults, Mutation, Scenario, Seen, Shape, run, trace,
};

/// Shapes that meet every rule, and how many seeds of each.
fn shapes() -> Vec<(Scenario, u64)> {
    let one = Shape::one_to_one();
    let several = [(2, Shape::expand(4)), (2, Shape::filter(30))];
    let three =
        [(2, Shape::expand(3).failing()), (2, Shape::expand(3)), (2, Shape::filter(30).failing())];
    let all = |stages: &[(u32, Shape)]| Scenario::new(stages).with_faults(Faults::all());
    let mut shapes = vec![
        (all(&[(3, one)]), 1_200),
        (all(&[(3, one.failing())]), 500),
        (all(&several), 400),
        (all(&three), 200),
        (all(&[(3, Shape::expand(3).fatal())]), 200),
        (wide(), 40),
        (all(&[(3, Shape::slow())]), 60),
        (all(&[(3, one.failing())]).with_concurrency(7), 400),
        (all(&[(2, one)]).with_concurrency(1_000), 200),
        (all(&several).with_concurrency(7), 200),
        (all(&three).with_concurrency(1_000), 100),
        (all(&[(3, Shape::expand(3).fatal())]).with_concurrency(7), 100),
        (wide().with_concurrency(1_000), 20),
    ];
    shapes.extend(scenes::services());
    shapes
}

/// Its window grows beyond the one that a sink starts with.
fn wide() -> Scenario {
    let scenario = Scenario::new(&[(3, Shape::one_to_one()), (2, Shape::expand(2))]);
    let limits = Limits {
        window_units_max: 1_024,
        window_bytes_max: 64 << 10,
        waiting_bytes_max: 64 << 10,
        ..scenario.limits.clone()
    };
    Scenario { limits, ..scenario }.with_faults(Faults::all()).with_units(500)
}

/// Somebody asks these to end, and takes them up again.
fn drained() -> Vec<Scenario> {
    let faults = [FaultKind::Drain, FaultKind::Delay, FaultKind::Duplicate];
    let shapes = shapes().into_iter();
    shapes.map(|(shape, _)| shape.with_faults(Faults::of(&faults))).collect()
}

/// Runs all these on all cores; what they saw together. Panics at the first that is not clean.
fn all_clean(runs: &[(&Scenario, u64)]) -> Coverage {
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(Coverage::default()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(|| {
                while let Some((scenario, seed)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run(*seed, scenario);
                    assert!(outcome.is_clean(), "{:?}\n{outcome}", scenario.stages);
                    seen.lock().expect("no thread panics with it").add(&outcome.coverage);
                }
            });
        }
    });
    seen.into_inner().expect("no thread panics with it")
}

#[test]
fn every_shape_comes_through_any_faults_and_every_one_of_them_happened() {
    let shapes = shapes();
    let drained = drained();
    let runs = shapes.iter().flat_map(|(shape, seeds)| (0..*seeds).map(move |s| (shape, s)));
    let runs: Vec<_> = runs.chain(drained.iter().map(|shape| (shape, 3))).collect();
    let coverage = all_clean(&runs);
    println!("{coverage}");
    assert_eq!(coverage.never(), [], "the simulation does not see these any more:\n{coverage}");
    assert_eq!(coverage.never_died_during(), [], "nobody dies there any more:\n{coverage}");
}

#[test]
fn runs_that_are_asked_to_end_do_and_give_the_same_when_they_are_taken_up_again() {
    let shapes = drained();
    let runs: Vec<_> =
        shapes.iter().flat_map(|shape| (0..60).map(move |seed| (shape, seed))).collect();
    let coverage = all_clean(&runs);
    assert!(coverage.of(Seen::Drained) > 100, "{coverage}");
}

#[test]
fn a_run_without_faults_is_clean() {
    for (shape, _) in shapes() {
        let calm = shape.with_faults(Faults::none());
        for seed in 0..5 {
            let outcome = run(seed, &calm);
            assert!(outcome.is_clean(), "{outcome}");
            assert_eq!(outcome.reminded, 0);
        }
    }
}

/// As long as nothing is lost nobody has to notice it: with a limit for liveness of an hour a run
/// takes no longer.
#[test]
fn a_run_in_which_nothing_is_lost_does_not_wait_for_the_liveness_limit() {
    let patient = |(shape, _): (Scenario, u64)| {
        let limits = Limits { liveness_ms: 3_600_000, ..shape.limits.clone() };
        let faults = Faults::of(&[FaultKind::Delay, FaultKind::Duplicate]);
        Scenario { limits, ..shape }.with_faults(faults)
    };
    let fatal = |shape: &Scenario| shape.stages.iter().any(|stage| stage.shape.fatal > 0);
    let shapes = shapes().into_iter().map(patient).filter(|shape| !fatal(shape));
    let shapes: Vec<_> = shapes.collect();
    let runs: Vec<_> =
        shapes.iter().flat_map(|shape| (0..100).map(move |seed| (shape, seed))).collect();
    all_clean(&runs);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for (shape, _) in shapes() {
        for seed in 0..3 {
            assert_eq!(run(seed, &shape).digest, run(seed, &shape).digest);
        }
        assert_eq!(trace(3, &shape), trace(3, &shape));
        assert_ne!(run(3, &shape).digest, run(4, &shape).digest);
    }
}

/// A durable sink killed while it records the first ventilator's Hello, which was answered before
/// that, and which counts results as taken that it drops: what they were of is waited for, for good.
#[test]
fn an_answer_that_leaves_before_it_is_recorded_is_found_to_stall_the_run() {
    let scenario = Scenario::new(&[(3, Shape::one_to_one())])
        .with_faults(Faults::of(&[FaultKind::Crash]))
        .with_mutation(Mutation::DroppedAsTaken);
    let failures = (0..200).filter_map(|seed| run(seed, &scenario).failure);
    let stalled = failures.filter(|failure| matches!(failure.broken, Broken::Endless { .. }));
    assert!(stalled.count() > 0);
}

#[test]
fn a_bug_that_is_put_in_on_purpose_is_found() {
    for mutation in Mutation::ALL {
        let stages = match mutation {
            Mutation::DeltaLost => vec![(3, Shape::slow())],
            Mutation::ForgetOnCredit => vec![(2, Shape::expand(4)), (2, Shape::filter(30))],
            _ => vec![(3, Shape::one_to_one())],
        };
        let open = match mutation {
            Mutation::DoneTooSoon | Mutation::KeepsTooFew => 7,
            _ => 1,
        };
        let scenario = Scenario::new(&stages)
            .with_concurrency(open)
            .with_faults(Faults::all())
            .with_mutation(mutation);
        let found = (0..1_000).find_map(|seed| Some((seed, run(seed, &scenario).failure?)));
        let (seed, failure) = found.unwrap_or_else(|| panic!("{mutation:?} was not found"));
        println!("{mutation:?} was found by seed {seed}: {}", failure.broken);
    }
}

/// The long search: so many seeds as `SIM_SEEDS` says, from `SIM_FIRST_SEED` on, in a release:
/// `cargo test --release -p simulation -- --ignored`.
#[test]
#[ignore = "takes half an hour"]
fn ten_thousand_seeds_of_every_shape_come_through() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("SIM_FIRST_SEED").unwrap_or(10_000);
    let shapes = shapes();
    let seeds = first..first.saturating_add(number("SIM_SEEDS").unwrap_or(10_000));
    let runs: Vec<_> =
        seeds.flat_map(|seed| shapes.iter().map(move |(shape, _)| (shape, seed))).collect();
    println!("{}", all_clean(&runs));
}

/// Every lane of a ventilator broke twice, within 3 ms each time, and a unit was charged with both of the
/// workers that it was given meanwhile.
#[test]
fn a_cut_that_breaks_all_lanes_is_no_death_of_several_workers() {
    let fatal = Scenario::new(&[(3, Shape::expand(3).fatal())]);
    let outcome = run(13_257, &fatal.with_faults(Faults::all()).with_concurrency(7));
    assert!(outcome.is_clean(), "{outcome}");
}
