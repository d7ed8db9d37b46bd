//! The package `simulation`: runs of whole pipelines: the rules of all roles, joined over a network and a clock
//! that are a seed's.
//!
//! The roles are the real ones; frames are really encoded. Source, function and disk are models.
//! Everything that chance decides comes from the seed, so the same seed gives the same run: what
//! is lost, delayed, doubled, killed, stopped or cut off, and when. After a while nothing more
//! goes wrong; then the run must end, and every unit must have come out once, and right.
//!
//! A service is a run too: units come from simulated clients, which die and come back, and every ticket has
//! its one outcome.
//!
//! Owns the world and the judgement over it; refuses to know a promise that does not show at the
//! disk, in an exit code or in what a role keeps.
//!
//! ```
//! use simulation::{Faults, Scenario, Shape, run};
//!
//! let scenario = Scenario::new(&[(2, Shape::one_to_one())]).with_faults(Faults::all());
//! let outcome = run(7, &scenario);
//! assert!(outcome.is_clean(), "{outcome}");
//! assert_eq!(run(7, &scenario).digest, outcome.digest);
//! ```

#![forbid(unsafe_code)]

mod actor;
mod bounds;
mod check;
mod clock;
mod coverage;
mod deltas;
mod doom;
mod faults;
mod forger;
mod forgetful;
mod lane;
mod losses;
mod model;
mod mutation;
mod outcome;
mod places;
mod process;
mod scenario;
mod service;
mod shape;
mod trace;
mod world;

pub use self::{
    check::Broken,
    coverage::{Coverage, Seen},
    doom::{Extent, Job},
    faults::{FaultKind, Faults},
    mutation::Mutation,
    outcome::{Failure, SeedReport, run, trace},
    scenario::{Scenario, StageScenario},
    service::Service,
    shape::Shape,
};
