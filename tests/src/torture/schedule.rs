//! What is done to a run, when and to whom, from a seed.
//!
//! Owns the dealing of faults to roles and over the run; refuses processes and clocks. The same
//! seed gives the same schedule. The run under it is not the same twice: real processes never are.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use super::network::Cut;

/// Who is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The reader of the source.
    Ventilator,
    /// The recorder of the outcomes.
    Sink,
    /// Any worker of any stage.
    Worker,
    /// `pipeline up` itself.
    Launcher,
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL.
    Kill,
    /// SIGSTOP for longer than the liveness limit, then SIGCONT.
    Stop,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// It comes when this share of the output is there.
    pub share: f64,
    /// It comes so much later.
    pub delay: Duration,
    /// Who is hit.
    pub role: Role,
    /// How.
    pub kind: Kind,
    /// Which of several, and other choices.
    pub pick: usize,
}

/// How many faults of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// SIGKILL.
    pub kills: usize,
    /// SIGSTOP and SIGCONT.
    pub stops: usize,
}

/// How the faults of a kind are dealt. Launchers are few, since everything dies with them.
const DEAL: [Role; 12] = [
    Role::Worker,
    Role::Sink,
    Role::Ventilator,
    Role::Worker,
    Role::Launcher,
    Role::Worker,
    Role::Sink,
    Role::Ventilator,
    Role::Worker,
    Role::Sink,
    Role::Ventilator,
    Role::Worker,
];
/// The last fault comes here; a run that is over cannot be hit.
const SHARE_MAX: f64 = 0.97;
const DELAY_MS_MAX: u64 = 60;

/// The faults of one run, in their order.
pub fn schedule(rng: &mut Rng, faults: Faults) -> Vec<Fault> {
    let dealt = |kind, count| (0..count).map(move |index| (kind, DEAL[index % DEAL.len()]));
    let kinds = dealt(Kind::Kill, faults.kills).chain(dealt(Kind::Stop, faults.stops));
    let mut all: Vec<Fault> = kinds
        .map(|(kind, role)| Fault {
            share: rng.f64() * SHARE_MAX,
            delay: Duration::from_millis(rng.u64(0..DELAY_MS_MAX)),
            role,
            kind,
            pick: rng.usize(..),
        })
        .collect();
    all.sort_by(|one, other| one.share.total_cmp(&other.share));
    all
}

/// How many faults came about, by role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    counts: BTreeMap<(Kind, Role), usize>,
    cuts: BTreeMap<(Cut, Role), usize>,
    changes: usize,
}

impl Tally {
    /// Counts one.
    pub fn note(&mut self, kind: Kind, role: Role) {
        *self.counts.entry((kind, role)).or_default() += 1;
    }

    /// Counts the cutting off of a site.
    pub fn note_cut(&mut self, cut: Cut, role: Role) {
        *self.cuts.entry((cut, role)).or_default() += 1;
    }

    /// Counts a change of the topology that was accepted.
    pub fn note_change(&mut self) {
        self.changes += 1;
    }

    /// Changes of the topology that were accepted.
    pub fn changes(&self) -> usize {
        self.changes
    }

    /// Counts those of another, too.
    pub fn add(&mut self, other: &Self) {
        self.changes += other.changes;
        for (key, count) in &other.counts {
            *self.counts.entry(*key).or_default() += count;
        }
        for (key, count) in &other.cuts {
            *self.cuts.entry(*key).or_default() += count;
        }
    }

    /// All of a kind.
    pub fn total(&self, kind: Kind) -> usize {
        self.counts.iter().filter(|((of, _), _)| *of == kind).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, word) in [(Kind::Kill, "kills"), (Kind::Stop, "; stops")] {
            write!(f, "{word} {}", self.total(kind))?;
            let mut before = " (";
            for ((of, role), count) in &self.counts {
                if *of == kind {
                    write!(f, "{before}{role} {count}")?;
                    before = ", ";
                }
            }
            if before == ", " {
                f.write_str(")")?;
            }
        }
        let mut before = format!("; cuts {} (", self.cuts.values().sum::<usize>());
        for ((cut, role), count) in &self.cuts {
            write!(f, "{before}{cut} {role} {count}")?;
            before = ", ".into();
        }
        f.write_str(if self.cuts.is_empty() { "" } else { ")" })?;
        match self.changes {
            0 => Ok(()),
            changes => write!(f, "; changes accepted {changes}"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ventilator => "ventilator",
            Self::Sink => "sink",
            Self::Worker => "worker",
            Self::Launcher => "launcher",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_schedule_with_every_role_in_it() {
        let faults = Faults { kills: 24, stops: 12 };
        let one = schedule(&mut Rng::with_seed(7), faults);
        assert_eq!(one, schedule(&mut Rng::with_seed(7), faults));
        assert_ne!(one, schedule(&mut Rng::with_seed(8), faults));
        let mut tally = Tally::default();
        one.iter().for_each(|fault| tally.note(fault.kind, fault.role));
        let expected = "kills 24 (ventilator 6, sink 6, worker 10, launcher 2); \
                        stops 12 (ventilator 3, sink 3, worker 5, launcher 1)";
        assert_eq!(tally.to_string(), expected);
        tally.note_change();
        assert_eq!(tally.to_string(), format!("{expected}; changes accepted 1"));
    }
}
