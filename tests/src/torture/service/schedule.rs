//! Who of a service is killed, and when, from a seed.
//!
//! Owns the dealing of kills to roles and over the time; refuses processes and clocks.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// What keeps the queue.
    Ventilator,
    /// What keeps the outcomes.
    Sink,
    /// Any worker.
    Worker,
    /// `pipeline up` itself.
    Launcher,
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
    Victim::Ventilator,
    Victim::Worker,
    Victim::Sink,
    Victim::Client,
    Victim::Launcher,
    Victim::Client,
    Victim::Ventilator,
    Victim::Worker,
    Victim::Sink,
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
        f.write_str(match self {
            Self::Ventilator => "ventilator",
            Self::Sink => "sink",
            Self::Worker => "worker",
            Self::Launcher => "launcher",
            Self::Client => "client",
        })
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
        let counts = [Victim::Client, Victim::Ventilator, Victim::Worker, Victim::Launcher];
        assert_eq!(counts.map(count), [6, 4, 4, 2]);
    }
}
