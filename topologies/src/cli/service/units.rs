//! Which units `pipeline call` and `submit` are given: their flags, and the way from JSON to values.
//!
//! Owns what is wrong with a value, and where it stands; refuses to submit one.

use std::{
    io::{self, BufRead},
    time::Duration,
};

use clap::{Args, builder::NonEmptyStringValueParser};
use client::{Terms, Wait};
use proto::{cli::duration, value::from_json};

use super::{reach::ServiceArgs, refusal::Refusal};
use crate::up::exit;

/// How units are treated.
#[derive(Debug, Args)]
pub(super) struct TermsArgs {
    /// Units of a higher priority are sent first: 0 to 9
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: u8,
    /// Not before so much time has passed, as in 10m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    delay: Option<Duration>,
    /// Dead if it was not sent to a worker within this time
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    ttl: Option<Duration>,
    /// As long as a unit with this key is not done, this is the same unit
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
    unique: Option<String>,
    /// A unit that was submitted with this key is the same unit, also when it is done, as long as the
    /// service keeps outcomes
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
    once: Option<String>,
    /// Submit also when there is no worker
    #[arg(long)]
    wait_for_workers: bool,
    /// Leave instead of waiting for room when the queue is full
    #[arg(long)]
    no_wait: bool,
    /// By what these units are known if the same command is run again: the same values, in the same
    /// order, are the same units then, so nothing is done twice; outcomes that were fetched before are
    /// not there again
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) client: Option<String>,
}

/// Where values come from.
#[derive(Debug, Clone, Args)]
pub(super) struct ValuesArgs {
    /// The value, as JSON; several are several units
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    values: Vec<String>,
    /// A unit for each line of standard input, the line as a string
    #[arg(long, conflicts_with_all = ["values", "jsonl"])]
    lines: bool,
    /// A unit for each line of standard input, which is JSON
    #[arg(long, conflicts_with = "values")]
    jsonl: bool,
}

/// Units for a service.
#[derive(Debug, Args)]
pub(super) struct UnitsArgs {
    /// Its name, or the endpoint of its ventilator
    #[arg(value_name = "SERVICE")]
    pub(super) name: String,
    #[command(flatten)]
    pub(super) values: ValuesArgs,
    #[command(flatten)]
    pub(super) terms: TermsArgs,
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

impl TermsArgs {
    pub(super) fn terms(&self) -> Terms {
        Terms {
            priority: self.priority,
            delay: self.delay.unwrap_or_default(),
            ttl: self.ttl,
            unique: self.unique.clone(),
            once: self.once.clone(),
        }
    }

    pub(super) fn wait(&self) -> Wait {
        match (self.wait_for_workers, self.no_wait) {
            (false, false) => Wait::ForRoom,
            (true, false) => Wait::ForWorkers,
            (false, true) => Wait::Never,
            (true, true) => Wait::ForWorkersOnly,
        }
    }
}

impl UnitsArgs {
    /// How the values are read, if there may be so many under these terms.
    pub(super) fn read(&self) -> Result<Read, Refusal> {
        let TermsArgs { once, unique, .. } = &self.terms;
        let keys = [("--once", once), ("--unique", unique)];
        let key = keys.iter().find(|(_, key)| key.is_some());
        match key {
            Some((flag, _)) if self.values.are_several() => {
                let problem = format!(
                    "{flag} is the key of one unit, and would make one of all; give one value, or use --client"
                );
                Err((exit::USAGE, problem))
            }
            _ => self.values.read(),
        }
    }
}

/// Values as MessagePack, one after the other, as far as each can be had.
pub(super) type Values = Box<dyn Iterator<Item = Result<Vec<u8>, Refusal>>>;
/// Reads them, on the thread that calls it: that may take as long as somebody types.
pub(super) type Read = Box<dyn FnOnce() -> Values + Send>;

impl ValuesArgs {
    /// Of lines nobody knows how many there will be.
    fn are_several(&self) -> bool {
        self.lines || self.jsonl || self.values.len() > 1
    }

    /// How the values are read. Those of the command line are, so that none of them is submitted if one is wrong.
    fn read(&self) -> Result<Read, Refusal> {
        if self.lines {
            return Ok(Box::new(|| of_lines(|line, _| Ok(of_text(line)))));
        }
        if self.jsonl {
            let value = |line: &str, number| of_json(line, &format!("line {number}"));
            return Ok(Box::new(move || of_lines(value)));
        }
        if self.values.is_empty() {
            let problem = "a value is needed, as in '{\"n\": 7}', or --lines or --jsonl";
            return Err((exit::USAGE, problem.into()));
        }
        let values = self.values.iter().map(|text| of_json(text, &format!("`{text}`")));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        Ok(Box::new(|| Box::new(values.into_iter().map(Ok))))
    }
}

/// A value a line of standard input; what is wrong with one is told with its number, from 1.
fn of_lines(value: impl Fn(&str, usize) -> Result<Vec<u8>, Refusal> + 'static) -> Values {
    let lines = (1..).zip(io::stdin().lock().lines());
    Box::new(lines.map(move |(number, line)| {
        let line = line.map_err(|error| {
            (exit::INPUT_OUTPUT, format!("line {number} of standard input: {error}"))
        })?;
        value(&line, number)
    }))
}

fn of_text(text: &str) -> Vec<u8> {
    let mut value = Vec::new();
    proto::value::push_str(&mut value, text);
    value
}

fn of_json(text: &str, what: &str) -> Result<Vec<u8>, Refusal> {
    let mut value = Vec::new();
    from_json(text.as_bytes(), &mut value).map(|()| value).map_err(|error| {
        let hint = if is_word(text) { "; a string needs quotes, as in '\"word\"'" } else { "" };
        (exit::USAGE, format!("{what} is not JSON: {error}{hint}"))
    })
}

/// Whether quotes would make JSON of it: it does not begin like any other JSON.
fn is_word(text: &str) -> bool {
    let first = text.trim_start().chars().next();
    first.is_some_and(|first| !first.is_ascii_digit() && !"{[\"-".contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_spoken_of_only_where_they_would_help() {
        for (text, helps) in [
            ("word", true),
            ("/etc/hosts", true),
            ("{bad", false),
            ("[1", false),
            ("", false),
            ("1x", false),
        ] {
            let (_, told) = of_json(text, "it").unwrap_err();
            assert_eq!(told.contains("needs quotes"), helps, "{told}");
        }
    }
}
