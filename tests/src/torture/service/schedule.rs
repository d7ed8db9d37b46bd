//! Who of a service is killed, and when, from a seed.
//!
//! Owns the dealing of kills to roles and over the time; refuses processes and clocks.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use crate::torture::schedule::Role;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// A process of the service.
    Process(Role),
    /// Any client.
    Client,
}

/// One kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// When it comes.
    pub at: Duration,
    /// Who is hit.
    pub victim: Victim,
    /// Which of several, and other choices.
    pub pick: usize,
}

/// How kills are dealt. Launchers are few, since everything dies with them.
const DEAL: [Victim; 10] = [
    Victim::Client,
    Victim::Process(Role::Ventilator),
    Victim::Process(Role::Worker),
    Victim::Process(Role::Sink),
    Victim::Client,
    Victim::Process(Role::Launcher),
    Victim::Client,
    Victim::Process(Role::Ventilator),
    Victim::Process(Role::Worker),
    Victim::Process(Role::Sink),
];

/// So many kills within so much time, in their order.
pub fn schedule(rng: &mut Rng, kills: usize, within: Duration) -> Vec<Kill> {
    let dealt = DEAL.iter().cycle().take(kills);
    let mut all: Vec<Kill> = dealt
        .map(|victim| Kill { at: within.mul_f64(rng.f64()), victim: *victim, pick: rng.usize(..) })
        .collect();
    all.sort_by_key(|kill| kill.at);
    all
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(role) => role.fmt(f),
            Self::Client => f.write_str("client"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_schedule_with_everybody_in_it() {
        let minute = Duration::from_secs(60);
        let one = schedule(&mut Rng::with_seed(7), 20, minute);
        assert_eq!(one, schedule(&mut Rng::with_seed(7), 20, minute));
        assert_ne!(one, schedule(&mut Rng::with_seed(8), 20, minute));
        assert!(one.is_sorted_by_key(|kill| kill.at) && one[19].at < minute);
        let count = |victim| one.iter().filter(|kill| kill.victim == victim).count();
        let counts = [
            Victim::Client,
            Victim::Process(Role::Ventilator),
            Victim::Process(Role::Worker),
            Victim::Process(Role::Launcher),
        ];
        assert_eq!(counts.map(count), [6, 4, 4, 2]);
    }
}
