//! What is meant by a flag that no command has, but a key of a topology: the `--set` that does it.
//!
//! Owns the guess; the keys are [`crate::topology`]'s. Refuses to obey such a flag: a key belongs to
//! one of several stages.

use std::{ffi::OsString, fs, path::Path};

use clap::{
    Error,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::topology::{Form, Section, Topology};

/// The commands that have `--set`.
const COMMANDS: [&str; 4] = ["up", "check", "graph", "sim"];

/// Adds the `--set` line to an error that needs one.
pub(super) fn advise(mut error: Error, words: &[OsString]) -> Error {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    if !matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidValue)
        || !words.iter().any(|word| COMMANDS.contains(word))
    {
        return error;
    }
    // Of a flag that takes something else than was given it is `--output <FORMAT>`.
    let flag = wrong.split([' ', '=']).next().unwrap_or_default().to_owned();
    if let Some(advice) = advice(&flag, &words) {
        let tip = StyledStr::from(format!("did you mean {advice}"));
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

fn advice(flag: &str, words: &[&str]) -> Option<String> {
    let name = match flag {
        // What many programs call it.
        "-j" | "--jobs" => "workers".to_owned(),
        flag => flag.strip_prefix("--")?.replace('-', "_"),
    };
    let (section, form) = find(&name)?;
    let value = value(flag, words).map_or("VALUE".into(), |value| written(&value, &form));
    let set = |key: String| format!("`--set {}`", quoted(&format!("{key}={value}")));
    let table = match section {
        Section::Top => return Some(format!("{}?", set(name))),
        Section::Stage => match stages(words).as_slice() {
            [only] => format!("stage.{only}"),
            [] => {
                return Some(format!(
                    "{}, with the name of a stage?",
                    set(format!("stage.NAME.{name}"))
                ));
            }
            several => {
                let names = several.join(", ");
                return Some(format!(
                    "{}, with NAME one of {names}?",
                    set(format!("stage.NAME.{name}"))
                ));
            }
        },
        Section::Source => "source".into(),
        Section::Sink => "sink".into(),
        Section::Limits => "limits".into(),
    };
    Some(format!("{}?", set(format!("{table}.{name}"))))
}

/// The table that is most likely meant. Of what has a name the run comes first.
fn find(name: &str) -> Option<(Section, Form)> {
    [Section::Top, Section::Stage, Section::Source, Section::Sink, Section::Limits]
        .into_iter()
        .find_map(|section| Some((section, section.key(name)?.form)))
        .filter(|(_, form)| !matches!(form, Form::Table(_) | Form::Tables(_)))
}

/// What was given to the flag, if anything.
fn value(flag: &str, words: &[&str]) -> Option<String> {
    let at = words.iter().position(|word| {
        *word == flag || word.strip_prefix(flag).is_some_and(|rest| rest.starts_with('='))
    })?;
    match words.get(at)?.split_once('=') {
        Some((_, value)) => Some(value.to_owned()),
        None => {
            words.get(at + 1).filter(|next| !next.starts_with('-')).map(|next| (*next).to_owned())
        }
    }
}

/// As `--set` takes it.
fn written(value: &str, form: &Form) -> String {
    match form {
        Form::Some(_) => format!("{:?}", value.split(',').collect::<Vec<_>>()),
        Form::Texts | Form::Command => format!("[{value:?}]"),
        _ => value.to_owned(),
    }
}

/// As it can be pasted into a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,%@".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The names of the stages of the topology that was given, if it can be read.
fn stages(words: &[&str]) -> Vec<String> {
    let read = |word: &&str| {
        let path = Path::new(word);
        let text = fs::read_to_string(path).ok().filter(|_| path.is_file())?;
        Topology::from_text(&text, path, &[]).ok()
    };
    let topology = words.iter().skip(1).find_map(read);
    topology.map_or(Vec::new(), |topology| {
        topology.stages.iter().map(|spec| spec.stage.name.clone()).collect()
    })
}
