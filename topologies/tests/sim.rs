//! The rules of all roles over a simulated network: whole runs, by seed.

use pipeline::sim::{Faults, Scenario, Shape, run};

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
