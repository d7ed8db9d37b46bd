//! Services that are simulated.

use simulation::{Faults, Scenario, Service, Shape};

/// Those that meet every rule, and how many seeds of each.
pub fn services() -> Vec<(Scenario, u64)> {
    let one = Shape::one_to_one();
    let all = |stages: &[(u32, Shape)]| Scenario::new(stages).with_faults(Faults::all());
    vec![
        (all(&[(3, one)]).with_service(Service::new(4, 20)), 150),
        (
            all(&[(2, Shape::expand(3).failing()), (2, Shape::filter(30))])
                .with_service(Service::new(3, 40)),
            60,
        ),
        (all(&[(3, Shape::expand(3))]).with_service(Service::new(4, 25)), 60),
        (all(&[(3, one.failing())]).with_concurrency(7).with_service(Service::new(6, 30)), 60),
    ]
}
