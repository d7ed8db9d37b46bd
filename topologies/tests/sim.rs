//! The rules of all roles over a simulated network: whole runs, by seed.

use pipeline::sim::{FaultKind, Faults, Mutation, Scenario, Shape, run};

/// Everything that a network and a machine can do to a run.
fn weather() -> Faults {
    Faults::of(&[
        FaultKind::Loss,
        FaultKind::Delay,
        FaultKind::Duplicate,
        FaultKind::Kill,
        FaultKind::Stop,
        FaultKind::Partition,
    ])
}

#[test]
fn a_run_without_faults_is_clean() {
    for seed in 0..50 {
        let outcome = run(seed, &Scenario::new(&[(3, Shape::one_to_one())]));
        assert!(outcome.is_clean(), "{outcome}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let scenario = Scenario::new(&[(3, Shape::one_to_one())]).with_faults(Faults::all());
    for seed in 0..20 {
        assert_eq!(run(seed, &scenario).digest, run(seed, &scenario).digest);
    }
}

#[test]
fn one_stage_comes_through_any_weather() {
    let scenario =
        Scenario::new(&[(3, Shape::one_to_one())]).with_faults(weather()).with_units(120);
    for seed in 0..150 {
        let outcome = run(seed, &scenario);
        assert!(outcome.is_clean(), "{outcome}");
    }
}

#[test]
fn two_stages_that_expand_and_filter_come_through_any_weather() {
    let stages = [(2, Shape::expand(4)), (2, Shape::filter(30))];
    let scenario = Scenario::new(&stages).with_faults(weather()).with_units(120);
    for seed in 0..60 {
        let outcome = run(seed, &scenario);
        assert!(outcome.is_clean(), "{outcome}");
    }
}

#[test]
fn a_bug_that_is_put_in_on_purpose_is_found() {
    for mutation in Mutation::ALL {
        let scenario = Scenario::new(&[(3, Shape::one_to_one())])
            .with_faults(weather())
            .with_units(120)
            .with_mutation(mutation);
        let found = (0..1_000).find(|seed| !run(*seed, &scenario).is_clean());
        let seed = found.unwrap_or_else(|| panic!("{mutation:?} was not found"));
        println!("{mutation:?} was found by seed {seed}");
    }
}
