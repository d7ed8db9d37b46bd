//! What is done to a run, when and to whom, from a seed.
//!
//! Owns the dealing; refuses processes and clocks. The same seed gives the same plan; the run under
//! it is not the same twice.

use std::time::Duration;

use fastrand::Rng;

use crate::torture::{Kind, Role};

/// When a blow falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So long after the blow before.
    Later,
    /// Somebody of the role is killed, and so long after the start of the next one, that one too.
    Start,
    /// When the last unit is recorded, and so long after that.
    End,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blow {
    /// Since when `delay` counts.
    pub moment: Moment,
    /// How long it is waited for.
    pub delay: Duration,
    /// Who is hit.
    pub role: Role,
    /// How.
    pub kind: Kind,
    /// How long a stop lasts.
    pub lasts: Duration,
    /// Which of several, and other choices.
    pub pick: usize,
}

/// Starts and ends are hit within this time of them.
pub const EDGE: Duration = Duration::from_millis(50);
/// Who is hit, in turn.
const DEAL: [Role; 10] = [
    Role::Sink,
    Role::Worker,
    Role::Ventilator,
    Role::Launcher,
    Role::Worker,
    Role::Sink,
    Role::Ventilator,
    Role::Worker,
    Role::Sink,
    Role::Launcher,
];
const MOMENTS: [Moment; 5] =
    [Moment::Later, Moment::Start, Moment::Later, Moment::Start, Moment::Later];
/// The end of a run can be hit this often, at most.
const ENDS_MAX: usize = 6;
/// One blow in so many is a stop.
const STOPS: usize = 8;
/// One stop in so many outlasts the liveness limit, which is a second.
const LONG_STOPS: usize = 4;

/// At least `count` faults, of which each start has two, and then those of the end; between two of them is up to `pause`.
pub fn plan(rng: &mut Rng, count: usize, pause: Duration) -> Vec<Blow> {
    let mut blows = Vec::new();
    let mut faults = 0;
    let (role_shift, moment_shift) = (rng.usize(..DEAL.len()), rng.usize(..MOMENTS.len()));
    while faults < count {
        let index = blows.len();
        let role = DEAL[(index + role_shift) % DEAL.len()];
        let moment = MOMENTS[(index / 2 + moment_shift) % MOMENTS.len()];
        faults += if moment == Moment::Start { 2 } else { 1 };
        blows.push(blow(rng, moment, role, if moment == Moment::Start { EDGE } else { pause }));
    }
    for _ in 0..rng.usize(1..=ENDS_MAX) {
        let role = DEAL[rng.usize(..DEAL.len())];
        blows.push(blow(rng, Moment::End, role, EDGE));
    }
    blows
}

fn blow(rng: &mut Rng, moment: Moment, role: Role, within: Duration) -> Blow {
    let stops = moment != Moment::Start && rng.usize(..STOPS) == 0;
    let long = rng.usize(..LONG_STOPS) == 0;
    // What happens at an end is soon over.
    let share = if moment == Moment::End { rng.f64().powi(3) } else { rng.f64() };
    Blow {
        moment,
        delay: within.mul_f64(share),
        role,
        kind: if stops { Kind::Stop } else { Kind::Kill },
        lasts: Duration::from_millis(if long { rng.u64(1_100..2_000) } else { rng.u64(5..300) }),
        pick: rng.usize(..),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_plan_with_every_role_and_moment_in_it() {
        let plan = |seed| plan(&mut Rng::with_seed(seed), 40, EDGE);
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
        for role in [Role::Ventilator, Role::Sink, Role::Worker, Role::Launcher] {
            assert!(plan(7).iter().any(|blow| blow.role == role), "{role}");
        }
        for moment in [Moment::Later, Moment::Start, Moment::End] {
            assert!(plan(7).iter().any(|blow| blow.moment == moment), "{moment:?}");
        }
        let faults = plan(7).iter().filter(|blow| blow.moment != Moment::End).count()
            + plan(7).iter().filter(|blow| blow.moment == Moment::Start).count();
        assert!(faults >= 40, "{faults}");
    }
}
