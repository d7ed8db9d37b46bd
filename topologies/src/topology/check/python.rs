//! What is Python in a stage: source, a file of it, a function of a module, and what runs them.
//!
//! Owns what can be told of them without Python; leaves the rest as questions
//! ([`Inquiry`](crate::topology::inquiry::Inquiry)). Refuses to ask them.

use std::{fs, io, path::Path};

use proto::plan::{Function, INTERPRETER};

use super::{
    files::{Files, is_program, similar},
    reader::Reader,
};
use crate::topology::{
    diagnose::{Fault, Unread},
    inquiry::Subject,
    location::Located,
};

/// The keys of functions in Python.
pub(super) const KEYS: [&str; 3] = ["python", "python_file", "call"];

/// A function in Python, and what an interpreter is to be asked about it.
pub(super) type Found = (Function, Subject);

/// Source in the topology itself.
pub(super) fn source(reader: &mut Reader<'_>) -> Option<Found> {
    let source = reader.text("python")?;
    if !source.value.contains('\n') && source.value.ends_with(".py") {
        reader.refuse(&source.place, Fault::PythonFile { file: source.value });
        return None;
    }
    // Whether it really defines a function is Python's to say; without the word it cannot.
    if !source.value.contains("work") {
        let what = "`python`".to_owned();
        reader.refuse(&source.place, Fault::NoWork { what, similar: None });
        return None;
    }
    Some((Function::Python(source.value.clone()), Subject::Source(source)))
}

/// Source in a file, which is read here and now: it is a part of the plan.
pub(super) fn file(reader: &mut Reader<'_>, files: &Files) -> Option<Found> {
    let named = reader.text("python_file")?;
    let (path, shown) = (files.resolve(&named), files.shown(&named));
    let text = match read(&path) {
        Ok(text) => text,
        Err(reason) => {
            let similar = match reason {
                Unread::Missing => files.similar(&named),
                _ => None,
            };
            reader.refuse(&named.place, Fault::NoPythonFile { path: shown, reason, similar });
            return None;
        }
    };
    let path = path.to_string_lossy().into_owned();
    let function = Function::PythonFile { path, source: text.clone() };
    Some((function, Subject::File { named, shown, text }))
}

fn read(path: &Path) -> Result<String, Unread> {
    let unread = |error: io::Error| Unread::from(&error);
    // What is no file may never end, or be another process's.
    let metadata = fs::metadata(path).map_err(unread)?;
    if !metadata.is_file() {
        let other = Unread::Other("it is no file".into());
        return Err(if metadata.is_dir() { Unread::Folder } else { other });
    }
    let bytes = fs::read(path).map_err(unread)?;
    let text = String::from_utf8(bytes).map_err(|_| Unread::Other("it is not UTF-8".into()))?;
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
}

/// A function of a module.
pub(super) fn call(reader: &mut Reader<'_>) -> Option<Found> {
    let call = reader.text("call")?;
    let is_right = call
        .value
        .split_once(':')
        .is_some_and(|(module, function)| module.split('.').all(is_name) && is_name(function));
    if !is_right {
        reader.refuse(&call.place, Fault::BadCall { text: call.value });
        return None;
    }
    Some((Function::Call(call.value.clone()), Subject::Call(call)))
}

/// Whether Python could take it for a name.
fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && characters.all(|character| character.is_alphanumeric() || character == '_')
}

/// What runs Python in a stage.
#[derive(Debug, Default)]
pub(super) struct Interpreter {
    /// As workers are told; none unless the stage names one.
    pub named: Option<String>,
    /// It is on this machine, and can be asked.
    pub is_here: bool,
}

/// What a stage says of its interpreter. Where all its workers come from `elsewhere` it need not be
/// on this machine.
pub(super) fn interpreter(
    reader: &mut Reader<'_>,
    files: &Files,
    elsewhere: Elsewhere,
) -> Interpreter {
    if !KEYS.iter().any(|key| reader.entry(key).is_some()) {
        reader.idle("interpreter", "Python", "use `python`, `python_file` or `call`");
        return Interpreter::default();
    }
    let Some(written) = reader.text("interpreter") else {
        let is_here = is_program(Path::new(INTERPRETER));
        let entry = reader.entry("call").filter(|_| !is_here && elsewhere == Elsewhere::No);
        if let Some(entry) = entry {
            let fault = Fault::NoInterpreter { path: INTERPRETER.into(), similar: None };
            reader.refuse(&entry.item.place, fault);
        }
        return Interpreter { named: None, is_here };
    };
    let path = files.program(&written);
    let is_here = is_program(&path);
    if !is_here && elsewhere == Elsewhere::No {
        reader.refuse(&written.place, missing(&written, files));
    }
    Interpreter { named: Some(path.to_string_lossy().into_owned()), is_here }
}

fn missing(written: &Located<String>, files: &Files) -> Fault {
    let is_path = written.value.contains('/');
    let path = if is_path { files.shown(written) } else { written.value.clone() };
    Fault::NoInterpreter { path, similar: files.similar(written).filter(|_| is_path) }
}

/// Whether all workers of a stage come from other machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elsewhere {
    Yes,
    No,
}

/// The module in this folder whose name is nearest to one that is not there.
pub(in crate::topology) fn beside(folder: &Path, module: &str) -> Option<String> {
    let path = module.replace('.', "/");
    let missing = folder.join(path);
    let file = similar(&missing.with_extension("py")).filter(|name| name.ends_with(".py"));
    let name = file.or_else(|| similar(&missing))?;
    let name = name.strip_suffix(".py").unwrap_or(&name);
    let found = match module.rsplit_once('.') {
        Some((package, _)) => format!("{package}.{name}"),
        None => name.to_owned(),
    };
    (found.split('.').all(is_name) && found != module).then_some(found)
}
