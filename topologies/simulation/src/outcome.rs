//! Running one seed, and what is to be said of it.
//!
//! Owns the report of a failure: the promise, the seed, and the last things that happened. Those
//! are had by running the seed once more, so that runs that go well keep no text.

use std::{fmt, time::Duration};

use super::{
    check::Broken, coverage::Coverage, faults::Faults, scenario::Scenario, trace::Detail,
    world::World,
};

/// Lines of a failure's trace that are kept.
const LINES: usize = 40;

/// How a run went.
#[derive(Debug, Clone)]
pub struct SeedReport {
    /// The seed that it came from.
    pub seed: u64,
    /// The faults that could happen.
    pub faults: Faults,
    /// A number that two equal runs have in common.
    pub digest: u64,
    /// How many things happened.
    pub events: u64,
    /// How long it took, in simulated time.
    pub lasted: Duration,
    /// Workers that had to be told to leave, because the others were gone when they could hear
    /// again.
    pub reminded: u32,
    /// What happened in it.
    pub coverage: Coverage,
    /// The promise that it broke.
    pub failure: Option<Failure>,
}

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which one.
    pub broken: Broken,
    /// The last things that happened.
    pub trace: Vec<String>,
}

impl SeedReport {
    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.failure.is_none()
    }
}

/// The seed, what went wrong, and what happened before.
impl fmt::Display for SeedReport {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(failure) = &self.failure else {
            return write!(to, "seed {}: clean", self.seed);
        };
        for line in &failure.trace {
            writeln!(to, "{line}")?;
        }
        let Self { seed, faults, .. } = self;
        writeln!(to, "seed {seed}: {}", failure.broken)?;
        write!(to, "once more: --first-seed {seed} --seeds 1 --faults {faults}")
    }
}

/// Everything that happens in a run, line by line.
pub fn trace(seed: u64, scenario: &Scenario) -> Vec<String> {
    World::new(seed, scenario, Detail::Text(usize::MAX)).run().lines
}

/// Runs a scenario with everything that chance decides drawn from `seed`.
pub fn run(seed: u64, scenario: &Scenario) -> SeedReport {
    let course = World::new(seed, scenario, Detail::Digest).run();
    let failure = course.broken.map(|broken| Failure {
        broken,
        trace: World::new(seed, scenario, Detail::Text(LINES)).run().lines,
    });
    SeedReport {
        seed,
        faults: scenario.faults.clone(),
        digest: course.digest,
        events: course.events,
        lasted: Duration::from_nanos(course.ended_at.0),
        reminded: course.reminded,
        coverage: course.coverage,
        failure,
    }
}
