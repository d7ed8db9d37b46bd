//! What is asked in the query and the headers of a request.
//!
//! Owns which path takes what, and the words for what is wrong; refuses to do anything with it.

use std::time::Duration;

use axum::{
    extract::{Query, rejection::QueryRejection},
    http::HeaderMap,
};
use client::{Terms, Wait};
use proto::{cli, service::UNIQUE_BYTES_MAX};

use super::answers::Answer;

/// How long an outcome is waited for, at most; whoever waits longer asks again.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// Characters of a key by which a unit is joined, at most.
const UNIQUE_CHARS_MAX: usize = 200;
/// The header by which a unit that is submitted again is the same unit.
const ONCE: &str = "idempotency-key";

/// A query as it is given.
pub(super) type Given = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// What `/submit` takes.
pub(super) const OF_SUBMIT: &[&str] = &["priority", "delay", "ttl", "unique", "wait_for_workers"];
/// What `/call` takes.
pub(super) const OF_CALL: &[&str] =
    &["priority", "delay", "ttl", "unique", "wait_for_workers", "wait"];
/// What `GET /result` takes.
pub(super) const OF_RESULT: &[&str] = &["wait"];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Asked {
    given: Vec<(String, String)>,
}

impl Asked {
    /// A query of a path that takes these.
    ///
    /// # Errors
    /// The answer to one with another name in it, or with one of them twice.
    pub fn of(given: Given, names: &[&str]) -> Result<Self, Answer> {
        let given = given.map_err(|error| Answer::wrong(&error.body_text()))?.0;
        for (index, (name, _)) in given.iter().enumerate() {
            if !names.contains(&name.as_str()) {
                let names = if names.is_empty() { "nothing".into() } else { names.join(", ") };
                let words = format!("unknown `{name}` in the query; this path takes {names}");
                return Err(Answer::wrong(&words));
            }
            if given.iter().skip(index + 1).any(|(other, _)| other == name) {
                return Err(Answer::wrong(&format!("`{name}` is in the query twice")));
            }
        }
        Ok(Self { given })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// Zero needs no unit.
    fn time(&self, name: &str) -> Result<Option<Duration>, Answer> {
        let time = |text: &str| if text == "0" { Ok(Duration::ZERO) } else { cli::duration(text) };
        let time = self.get(name).map(time).transpose();
        time.map_err(|error| Answer::wrong(&format!("`{name}`: {error}")))
    }

    /// How the unit is treated.
    pub fn terms(&self, headers: &HeaderMap) -> Result<Terms, Answer> {
        let unique = self.get("unique");
        let is_wrong = |key: &str| key.is_empty() || key.chars().count() > UNIQUE_CHARS_MAX;
        if unique.is_some_and(is_wrong) {
            return Err(Answer::wrong("`unique` is 1 to 200 characters"));
        }
        let priority = self.get("priority").map_or(Ok(0), str::parse);
        Ok(Terms {
            priority: priority.map_err(|_| Answer::wrong("a priority is 0 to 9"))?,
            delay: self.time("delay")?.unwrap_or_default(),
            ttl: self.time("ttl")?,
            unique: unique.map(str::to_owned),
            once: once(headers)?,
        })
    }

    /// Nobody waits for room in a request.
    pub fn patience(&self) -> Result<Wait, Answer> {
        match self.get("wait_for_workers") {
            Some("true") => Ok(Wait::ForWorkersOnly),
            None | Some("false") => Ok(Wait::Never),
            Some(_) => Err(Answer::wrong("`wait_for_workers` is true or false")),
        }
    }

    /// How long an outcome is waited for.
    pub fn wait(&self, default: Duration) -> Result<Duration, Answer> {
        match self.time("wait")? {
            Some(wait) if wait > WAIT_MAX => {
                Err(Answer::wrong("`wait` is at most 5m; ask again to wait longer"))
            }
            wait => Ok(wait.unwrap_or(default)),
        }
    }
}

/// The key by which a unit that is submitted again is the same unit.
fn once(headers: &HeaderMap) -> Result<Option<String>, Answer> {
    let mut keys = headers.get_all(ONCE).iter();
    match (keys.next().map(|key| key.to_str()), keys.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Answer::wrong("there are several Idempotency-Keys; send one")),
        (Some(Ok(key)), None) if is_key(key) => Ok(Some(key.to_owned())),
        (Some(_), None) => {
            Err(Answer::wrong("an Idempotency-Key is 1 to 1024 visible ASCII characters"))
        }
    }
}

fn is_key(text: &str) -> bool {
    (1..=UNIQUE_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
