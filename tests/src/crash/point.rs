//! One crash point, as a value and as a text that can be given to a command.
//!
//! Owns the words, which are those of the shim.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Whose operations are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The recorder of the outcomes.
    Sink,
    /// The reader of the source.
    Ventilator,
    /// `pipeline up` itself.
    Launcher,
    /// Any worker.
    Worker,
}

/// What happens at the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// The process is killed before it.
    KillBefore,
    /// The process is killed when half of it is done.
    KillHalf,
    /// The process is killed when it is done, and nobody knows.
    KillAfter,
    /// It fails: the disk is broken.
    Eio,
    /// It fails: the disk is full.
    Enospc,
    /// It is interrupted by a signal.
    Eintr,
    /// Only half of it is done, which the caller is told.
    Short,
}

/// What a kill takes along of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Nothing: only the process died.
    Nothing,
    /// Everything.
    All,
    /// The later half, and half of the write in the middle.
    Torn,
    /// Each write by chance.
    Some,
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// One process.
    Process,
    /// All of the run, as by a loss of power.
    Run,
}

/// One crash point.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Of which case.
    pub case: String,
    /// Whose.
    pub role: Role,
    /// Which operation of the first process, of the second one, …; from 1.
    pub at: Vec<u64>,
    /// What happens there.
    pub how: How,
    /// What is lost.
    pub loss: Loss,
    /// Who is killed.
    pub reach: Reach,
}

/// A text is no crash point.
#[derive(Debug, Error)]
#[error(
    "`{text}` is no crash point: CASE/ROLE/N[+N…]/HOW/LOSS/REACH, as in `lines/sink/12+3/kill-half/all/run`"
)]
pub struct NoPoint {
    /// The text.
    pub text: String,
}

pub(super) const ROLES: [(Role, &str); 4] = [
    (Role::Sink, "sink"),
    (Role::Ventilator, "ventilator"),
    (Role::Launcher, "up"),
    (Role::Worker, "worker"),
];
pub(super) const HOWS: [(How, &str); 7] = [
    (How::KillBefore, "kill-before"),
    (How::KillHalf, "kill-half"),
    (How::KillAfter, "kill-after"),
    (How::Eio, "eio"),
    (How::Enospc, "enospc"),
    (How::Eintr, "eintr"),
    (How::Short, "short"),
];
pub(super) const LOSSES: [(Loss, &str); 4] =
    [(Loss::Nothing, "none"), (Loss::All, "all"), (Loss::Torn, "torn"), (Loss::Some, "some")];
const REACHES: [(Reach, &str); 2] = [(Reach::Process, "process"), (Reach::Run, "run")];

pub(super) fn word<T: PartialEq>(table: &[(T, &'static str)], value: &T) -> &'static str {
    let entry = table.iter().find(|(known, _)| known == value);
    entry.expect("the table has every value").1
}

fn value<T: Copy>(table: &[(T, &str)], word: &str) -> Option<T> {
    table.iter().find(|(_, known)| *known == word).map(|(value, _)| *value)
}

impl How {
    /// Whether the process dies of it.
    pub fn kills(self) -> bool {
        matches!(self, How::KillBefore | How::KillHalf | How::KillAfter)
    }

    /// Whether a program has to get over it without a word.
    pub fn is_harmless(self) -> bool {
        matches!(self, How::Eintr | How::Short)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at: Vec<String> = self.at.iter().map(u64::to_string).collect();
        let (role, how) = (word(&ROLES, &self.role), word(&HOWS, &self.how));
        let (loss, reach) = (word(&LOSSES, &self.loss), word(&REACHES, &self.reach));
        write!(f, "{}/{role}/{}/{how}/{loss}/{reach}", self.case, at.join("+"))
    }
}

impl FromStr for Point {
    type Err = NoPoint;

    fn from_str(text: &str) -> Result<Self, NoPoint> {
        let point = || {
            let parts: Vec<&str> = text.split('/').collect();
            let [case, role, at, how, loss, reach] = parts[..] else { return None };
            let at = at.split('+').map(|n| n.parse().ok()).collect::<Option<Vec<u64>>>()?;
            let (role, how) = (value(&ROLES, role)?, value(&HOWS, how)?);
            let (loss, reach) = (value(&LOSSES, loss)?, value(&REACHES, reach)?);
            Some(Point { case: case.to_owned(), role, at, how, loss, reach })
        };
        point().ok_or_else(|| NoPoint { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_what_its_text_says() {
        for text in ["lines/sink/12+3/kill-half/all/run", "a-b/up/1/eio/none/process"] {
            let point: Point = text.parse().expect("it is a point");
            assert_eq!(point.to_string(), text);
        }
        assert!("lines/sink/x/kill-half/all/run".parse::<Point>().is_err());
        assert!("lines/sink/1".parse::<Point>().is_err());
    }
}
