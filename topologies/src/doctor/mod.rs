//! What would go wrong on this machine, looked for before it does.
//!
//! Owns the list of what is looked at and the form of a finding. Each look tries what a run would
//! do, with the code that would do it, or asks the system; refuses to change anything that stays,
//! and to make a key.

mod folders;
mod machine;
mod python;

use std::fmt;

use proto::net::key::{self, Key, KeyError};
use serde::Serialize;

/// How well it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Nothing to do.
    Ok,
    /// Some runs will miss it.
    Warn,
    /// Runs will fail.
    Fail,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, a stable word.
    pub subject: &'static str,
    /// How well it is.
    pub health: Health,
    /// What was found.
    pub text: String,
    /// What mends it, if that is not said in the text.
    pub mend: Option<String>,
}

impl Finding {
    fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, health: Health::Ok, text: text.into(), mend: None }
    }

    fn warn(subject: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { subject, health: Health::Warn, text: text.into(), mend: Some(mend.into()) }
    }

    fn fail(subject: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { health: Health::Fail, ..Self::warn(subject, text, mend) }
    }

    /// What an error says that has the way out in it.
    fn of(subject: &'static str, health: Health, error: impl fmt::Display) -> Self {
        Self { health, ..Self::ok(subject, error.to_string()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = match self.health {
            Health::Ok => "ok",
            Health::Warn => "warn",
            Health::Fail => "fail",
        };
        write!(f, "{health:<5} {:<12} {}", self.subject, self.text)?;
        self.mend.as_ref().map_or(Ok(()), |mend| write!(f, "; {mend}"))
    }
}

/// Looks at everything, in the order in which a run would need it.
pub fn look() -> Vec<Finding> {
    vec![
        look_at_key(),
        folders::sockets(),
        folders::runs(),
        folders::temporary(),
        folders::shared_memory(),
        machine::descriptors(),
        machine::threads(),
        machine::memory(),
        machine::loopback(),
        machine::clock(),
        python::interpreter(),
    ]
}

fn look_at_key() -> Finding {
    const SUBJECT: &str = "key";
    let told = key::told_file(None);
    let path = match told.clone().map_or_else(key::own_file, Ok) {
        Ok(path) => path,
        Err(error) => {
            return Finding::warn(SUBJECT, error.to_string(), "without tcp none is needed");
        }
    };
    let shown = path.display();
    match Key::read(&path) {
        Ok(key) => Finding::ok(SUBJECT, format!("{shown}, {}", key.fingerprint())),
        Err(KeyError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            match told {
                Some(_) => Finding::fail(
                    SUBJECT,
                    format!("{} names {shown}, which is not there", key::KEY_VARIABLE),
                    format!("run: pipeline keygen {shown}"),
                ),
                None => {
                    Finding::ok(SUBJECT, format!("none yet; the first use over tcp makes {shown}"))
                }
            }
        }
        // What these say has the way out in it.
        Err(error @ (KeyError::Exposed { .. } | KeyError::Foreign { .. })) => {
            Finding::of(SUBJECT, Health::Fail, error)
        }
        // What is no key may be anybody's, so nothing is advised that would touch it.
        Err(error) => Finding::fail(
            SUBJECT,
            error.to_string(),
            match told {
                Some(_) => format!(
                    "have {} name a key; `pipeline keygen FILE` makes one",
                    key::KEY_VARIABLE
                ),
                None => "move it away; the first use over tcp makes a new one".to_owned(),
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_with_what_mends_it() {
        let finding = Finding::fail("clock", "it is 1970", "run: date");
        assert_eq!(finding.to_string(), "fail  clock        it is 1970; run: date");
        assert_eq!(Finding::ok("key", "there").to_string(), "ok    key          there");
    }

    #[test]
    fn every_subject_is_looked_at_once_and_leaves_nothing() {
        let findings = look();
        let mut subjects: Vec<_> = findings.iter().map(|finding| finding.subject).collect();
        subjects.sort_unstable();
        let count = subjects.len();
        subjects.dedup();
        assert_eq!(subjects.len(), count);
        for finding in findings {
            let says_itself =
                ["key", "sockets", "descriptors", "threads"].contains(&finding.subject);
            let told = finding.mend.is_some() || says_itself;
            assert!(finding.health == Health::Ok || told, "{finding}");
        }
    }
}
