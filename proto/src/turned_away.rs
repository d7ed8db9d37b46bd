//! What a process has turned away, by reason.
//!
//! Owns the counts and their words; refuses to judge. Most of them are no sign of malice: a worker
//! that was given up for dead goes on sending for a while.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use serde::{Deserialize, Serialize};

/// Why something was not listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwanted {
    /// A connection with an unknown key, without one, or with another mechanism.
    Connection,
    /// A message that is no frame, holds too much, or is of another version.
    Malformed,
    /// A message of several parts.
    SeveralParts,
    /// A frame of another run.
    OtherRun,
    /// A frame of a session that is over or never was.
    Stray,
    /// A frame that came before.
    Repeated,
    /// A Hello in the name of another peer that is there.
    Impostor,
    /// A Hello too many: of all peers together, or in a short time.
    Hello,
    /// Work or results beyond what was granted.
    OverCredit,
}

/// How often, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TurnedAway {
    /// [`Unwanted::Connection`].
    pub connections: u64,
    /// [`Unwanted::Malformed`].
    pub malformed: u64,
    /// [`Unwanted::SeveralParts`].
    pub several_parts: u64,
    /// [`Unwanted::OtherRun`].
    pub other_runs: u64,
    /// [`Unwanted::Stray`].
    pub strays: u64,
    /// [`Unwanted::Repeated`].
    pub repeated: u64,
    /// [`Unwanted::Impostor`].
    pub impostors: u64,
    /// [`Unwanted::Hello`].
    pub hellos: u64,
    /// [`Unwanted::OverCredit`].
    pub over_credit: u64,
}

impl TurnedAway {
    /// Counts so many of one kind.
    pub fn count(&mut self, what: Unwanted, times: u64) {
        let counted = match what {
            Unwanted::Connection => &mut self.connections,
            Unwanted::Malformed => &mut self.malformed,
            Unwanted::SeveralParts => &mut self.several_parts,
            Unwanted::OtherRun => &mut self.other_runs,
            Unwanted::Stray => &mut self.strays,
            Unwanted::Repeated => &mut self.repeated,
            Unwanted::Impostor => &mut self.impostors,
            Unwanted::Hello => &mut self.hellos,
            Unwanted::OverCredit => &mut self.over_credit,
        };
        *counted = counted.saturating_add(times);
    }

    /// Adds what another process has counted.
    pub fn add(&mut self, other: &Self) {
        let whats = [
            (Unwanted::Connection, other.connections),
            (Unwanted::Malformed, other.malformed),
            (Unwanted::SeveralParts, other.several_parts),
            (Unwanted::OtherRun, other.other_runs),
            (Unwanted::Stray, other.strays),
            (Unwanted::Repeated, other.repeated),
            (Unwanted::Impostor, other.impostors),
            (Unwanted::Hello, other.hellos),
            (Unwanted::OverCredit, other.over_credit),
        ];
        whats.into_iter().for_each(|(what, times)| self.count(what, times));
    }

    /// The counts that somebody should look at and that are not 0, each with its name for people.
    ///
    /// What a healthy run brings about is left out: frames that were under way when their session
    /// or their run ended, and those that came twice, say nothing but that something was restarted.
    pub fn told(&self) -> Vec<(u64, &'static str)> {
        let all = [
            (self.connections, ["connection without the key", "connections without the key"]),
            (self.malformed, ["malformed frame", "malformed frames"]),
            (self.several_parts, ["message of several parts", "messages of several parts"]),
            (self.impostors, ["Hello in another's name", "Hellos in another's name"]),
            (self.hellos, ["Hello too many", "Hellos too many"]),
            (self.over_credit, ["frame beyond its credit", "frames beyond their credit"]),
        ];
        let told = |(count, [one, many]): (u64, [&'static str; 2])| {
            (count, if count == 1 { one } else { many })
        };
        all.into_iter().map(told).filter(|(count, _)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_count_and_sums_do_not_overflow() {
        let mut one = TurnedAway::default();
        assert!(one.told().is_empty());
        one.count(Unwanted::Stray, 2);
        one.count(Unwanted::Hello, u64::MAX);
        let mut all = one;
        all.add(&one);
        assert_eq!(all, TurnedAway { strays: 4, hellos: u64::MAX, ..TurnedAway::default() });
        assert_eq!(all.told(), [(u64::MAX, "Hellos too many")]);
    }

    #[test]
    fn what_a_healthy_run_brings_about_is_counted_and_not_told() {
        let mut all = TurnedAway::default();
        for what in [Unwanted::OtherRun, Unwanted::Stray, Unwanted::Repeated] {
            all.count(what, 1_084);
        }
        assert!(all.told().is_empty());
        all.count(Unwanted::Malformed, 1);
        assert_eq!(all.told(), [(1, "malformed frame")]);
    }
}
