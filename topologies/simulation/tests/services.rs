//! What only services promise, over a simulated network: whole runs, by seed.

mod scenes;

use proto::limits::Limits;
use simulation::{Coverage, Faults, Mutation, Scenario, Seen, Service, Shape, run};

/// Clients come and go for a day, under a clock a thousand times as fast as the other runs'.
fn all_day() -> Scenario {
    let scenario =
        Scenario::new(&[(3, Shape::one_to_one())]).with_service(Service::all_day(60, 12));
    let limits =
        Limits { heartbeat_interval_ms: 20_000, liveness_ms: 120_000, ..scenario.limits.clone() };
    Scenario { limits, ..scenario }.with_faults(Faults::all())
}

/// The first seed that finds a bug, and says this of it.
fn finds(scenario: &Scenario, seeds: u64, what: &str) {
    let found = (0..seeds).find_map(|seed| {
        let broken = run(seed, scenario).failure?.broken.to_string();
        broken.contains(what).then_some((seed, broken))
    });
    let mutation = scenario.mutation;
    let (seed, broken) = found.unwrap_or_else(|| panic!("{mutation:?} was not found"));
    println!("{mutation:?} was found by seed {seed}: {broken}");
}

#[test]
fn a_bug_of_a_service_that_is_put_in_on_purpose_is_found() {
    let scenarios: Vec<_> = scenes::services().into_iter().map(|(scenario, _)| scenario).collect();
    let (few, many) = (&scenarios[0], &scenarios[3]);
    for (mutation, scenario, what) in [
        (Mutation::TicketBeforeSync, few, "ticket"),
        (Mutation::NamesForgotten, few, "has the tickets"),
        (Mutation::NothingIsOver, many, "are left in"),
        (Mutation::OutcomeBeforeSync, few, "is not safe"),
        (Mutation::OutcomeLate, few, "does not end"),
        (Mutation::OutcomeOfAnother, few, "came out as"),
        (Mutation::FetchedTooMany, few, "nothing is told of unit"),
        // These are of any run.
        (Mutation::RangeOneTooShort, few, "recorded twice"),
        (Mutation::CommitBeforeSync, few, "does not end"),
    ] {
        finds(&scenario.clone().with_mutation(mutation), 300, what);
    }
}

/// Neither records of the queue, nor outcomes that are kept, nor numbers of clients.
#[test]
fn nothing_grows_in_a_service_that_runs_all_day() {
    let outcome = run(0, &all_day());
    assert!(outcome.is_clean(), "{outcome}");
    assert!(outcome.lasted.as_secs() > 80_000, "{:?}", outcome.lasted);
    for (mutation, what) in [
        (Mutation::KeptForEver, "is kept too long"),
        (Mutation::NumbersForEver, "clients are remembered"),
    ] {
        finds(&all_day().with_mutation(mutation), 3, what);
    }
}

#[test]
#[ignore = "takes a few minutes"]
fn fifty_days_come_through() {
    for seed in 0..50 {
        let outcome = run(seed, &all_day());
        assert!(outcome.is_clean(), "{outcome}");
    }
}

/// What a client wants cancelled is in the queue, in the ventilator's stocks, or with a worker that has not
/// begun it; or one has. Without faults nobody is told anything that does not come true.
#[test]
fn units_that_were_given_out_are_cancelled_if_nobody_has_begun_them() {
    let scenarios = || {
        let slow = |open| Scenario::new(&[(2, Shape::slow())]).with_concurrency(open);
        [slow(1), slow(7)].map(|scenario| scenario.with_service(Service::new(4, 60)))
    };
    for faults in [Faults::none(), Faults::all()] {
        let mut coverage = Coverage::default();
        for scenario in scenarios() {
            let scenario = scenario.with_faults(faults.clone());
            for seed in 0..40 {
                let outcome = run(seed, &scenario);
                assert!(outcome.is_clean(), "{:?}\n{outcome}", scenario.stages);
                coverage.add(&outcome.coverage);
            }
        }
        for seen in [Seen::Cancelled, Seen::CancelledOut, Seen::Recalled, Seen::Begun] {
            assert!(coverage.of(seen) > 20, "{}:\n{coverage}", seen.name());
        }
    }
}

/// All that workers keep may wait for outputs of units that no worker has room for. What gets on without
/// room was once the oldest that is not committed, which may be delayed, and in the queue.
#[test]
fn a_delayed_unit_does_not_stall_those_that_fill_the_buffers() {
    let stages = [(2, Shape::expand(3).failing()), (2, Shape::filter(30))];
    let scenario = Scenario::new(&stages).with_service(Service::new(3, 40));
    for seed in 0..100 {
        let outcome = run(seed, &scenario.clone().with_faults(Faults::all()));
        assert!(outcome.is_clean(), "{outcome}");
    }
}
