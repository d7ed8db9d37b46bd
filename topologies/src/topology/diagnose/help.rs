//! The way out of every kind of mistake.
//!
//! Owns the remedies and what stands beside the caret; refuses the messages, which are `fault`'s.

use sink::config::OutputSpec;

use super::{
    fault::{Expected, Fault, Unfit, Vocabulary},
    nearest,
};
use crate::topology::section::{FUNCTION_KEYS, Section};

impl Fault {
    /// What stands beside the caret, where the message alone does not say it.
    pub(super) fn label(&self) -> Option<String> {
        Some(match self {
            Self::WrongType { expected, .. } => format!("not {expected}"),
            Self::MissingKey { key, .. } => format!("`{key}` is missing here"),
            Self::NoFunction => "a function is missing here".into(),
            Self::TwoFunctions { .. } => "a second function".into(),
            Self::DuplicateStage { .. } => "the second one".into(),
            _ => return None,
        })
    }

    /// What to do about it, with the nearest name where there is one.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Unreadable { similar, .. } => did_you_mean(similar.as_deref()?),
            Self::NotText => "save the file as UTF-8".into(),
            Self::FolderNotText { .. } => {
                "give the folder another name, or a link to it, and name that".into()
            }
            Self::UnknownKey { key, section } => unknown_key(key, *section),
            Self::Misplaced { kind, allowed, .. } => misplaced(kind, allowed),
            Self::UnknownName { what, name, known } => unknown_name(*what, name, known),
            Self::WrongType { rewritten, expected, .. } => {
                wrong_type(rewritten.as_deref(), *expected)?
            }
            Self::MissingKey { example, .. } => format!("add {example}"),
            Self::MissingSection(section) => missing_section(*section),
            Self::StageTable => "write [[stage]], in double brackets, once for each stage".into(),
            Self::NoFunction => {
                format!("add one of {}; for example run = \"square\"", listed(FUNCTION_KEYS))
            }
            Self::TwoFunctions { .. } => {
                "keep one of them, or make two stages: a unit goes through them in order".into()
            }
            Self::NoArguments { .. } => "remove `args`".into(),
            Self::UnknownPlace { .. } => {
                "use `{}`, `{.}`, `{/}`, `{//}` or `{/.}` for the value, `{#}` for the unit's number, `{%}` for the place where it is worked on".into()
            }
            Self::DuplicateStage { .. } => "give one of them another name".into(),
            Self::BadName { .. } => {
                "use the letters a to z, digits, `-` and `_`; it becomes part of paths and flags"
                    .into()
            }
            Self::OutOfRange { key, value, .. } => out_of_range(key, *value)?,
            Self::ZeroStep => "leave `step` out for 1, or count down with step = -1".into(),
            Self::Empty { key } => empty(key),
            Self::BadQuantity { expected, .. } => example_of(*expected)?,
            Self::ListedTwice { .. } => "remove one of them".into(),
            Self::NotForService { remedy, .. } => (*remedy).into(),
            Self::Idle { key, remedy, .. } => format!("{remedy}, or remove `{key}`"),
            Self::NoWork { similar: Some(name), .. } => format!("call `{name}` `work`"),
            Self::NoWork { .. } => "begin it with: def work(value):".into(),
            Self::PythonFile { file } => format!("name it with: python_file = \"{file}\""),
            Self::PythonSyntax { interpreter, .. } => format!("`{interpreter}` reads it so; `interpreter` names another one"),
            Self::NoPythonFile { similar, .. } => did_you_mean(similar.as_deref()?),
            Self::NoInterpreter { path, similar } => no_interpreter(path, similar.as_deref()),
            Self::NoAnswer { .. } => "`interpreter` names what runs Python 3".into(),
            Self::NoPackage { interpreter } => {
                format!("install it: {interpreter} -m pip install pipeline-zmq")
            }
            Self::BadCall { text } => bad_call(text),
            Self::NoModule { interpreter, folder, similar, .. } => {
                no_module(interpreter, folder, similar.as_deref())
            }
            Self::NoCallee { similar: Some(name), .. } => did_you_mean(name),
            Self::NoCallee { function, file, .. } => {
                format!("define it in {}: def {function}(value):", file.as_deref()?)
            }
            Self::SameLimit { .. } => "keep one of them".into(),
            Self::NoHeartbeat { .. } => {
                "make `liveness` several times as long as `heartbeat`".into()
            }
            Self::BadPattern { .. } => {
                "`*` and `?` stand for characters of one name, `[ab]` for one of these, `**/` for any folders"
                    .into()
            }
            Self::NoInput { why, similar, .. } => no_input(*why, similar.as_deref()),
            Self::NoOutput { .. } => "name a file; it need not exist, its folder must".into(),
            Self::StandardInput { .. } => {
                "save it to a file first, or read it as lines: kind = \"stdin\"".into()
            }
            Self::BadDelimiter { .. } => {
                "write one ASCII character that is no letter, digit or quote, as in delimiter = \";\", or \"tab\"".into()
            }
            Self::NoProgram { path, why: Unfit::NotExecutable } => format!("chmod +x {path}"),
            Self::NoProgram { path, .. } => no_program(path),
            Self::NoKey { .. } => {
                "leave `key` out to use your own key, which is made at first use".into()
            }
            Self::BadBind { .. } => {
                "write it like \"tcp://*:5557\", or with an address of this machine instead of *"
                    .into()
            }
            Self::BadHalt { .. } => {
                "leave `halt` out to stop once the first 20 units of a stage have all failed".into()
            }
            Self::NoFolder { folder, .. } => format!("make it first: mkdir -p {folder}"),
            Self::UnknownEnding { .. } => unknown_ending(),
            Self::SameFile { .. } => "give it a file of its own".into(),
            Self::SameLetters { .. } => "name another file with `dead`".into(),
            Self::Matched { .. } => "write it to another folder, or narrow the pattern".into(),
            Self::SetForm => {
                "for example --set stage.NAME.workers=4 or --set source.to=1000".into()
            }
            Self::SetStage { name, known } => set_stage(name, known),
            Self::SetBelow { key, .. } => format!("set it as a whole: --set {key}=VALUE"),
            Self::Syntax { reason } => syntax(reason)?,
        })
    }
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// `a`, `b` and `c`, each in backquotes.
fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "none".into(),
    }
}

fn unknown_key(key: &str, section: Section) -> String {
    let known = section.keys();
    // The key itself in another table is a surer guess than a similar key in this one.
    if let Some(other) = section.elsewhere(key).first() {
        return format!("`{key}` is a key of {other}");
    }
    match nearest(key, known.iter().map(String::as_str)) {
        Some(name) => did_you_mean(name),
        None => format!("the keys of {section} are {}", listed(&known)),
    }
}

fn misplaced(kind: &str, allowed: &[&str]) -> String {
    match allowed {
        [] => format!("`{kind}` has no keys but `kind`"),
        keys => format!("`{kind}` takes {}", listed(keys)),
    }
}

fn unknown_name(what: Vocabulary, name: &str, known: &[String]) -> String {
    let is_command = name.contains(['/', ' ', '.']);
    match nearest(name, known.iter().map(String::as_str)) {
        Some(name) => did_you_mean(name),
        None if what == Vocabulary::Builtin && is_command => {
            let words: Vec<_> = name.split_whitespace().map(|word| format!("{word:?}")).collect();
            format!(
                "`run` names a built-in; to start a program for each unit: exec = [{}, \"{{}}\"]",
                words.join(", ")
            )
        }
        None => format!("there are {}", listed(known)),
    }
}

fn wrong_type(rewritten: Option<&str>, expected: Expected) -> Option<String> {
    match rewritten {
        Some(text) => Some(format!("write {text}")),
        None => example_of(expected),
    }
}

fn example_of(expected: Expected) -> Option<String> {
    let example = match expected {
        Expected::Duration => "write a number and ms, s, m or h, as in \"250ms\" or \"1.5s\"",
        Expected::Bytes => "write a number and B, KiB, MiB, GiB, kB, MB or GB, as in \"64MiB\"",
        Expected::Command => "write the program and each argument apart, as in [\"wc\", \"-c\"]",
        Expected::Texts => "write it as in [\"one\", \"two\"]",
        _ => return None,
    };
    Some(example.into())
}

fn missing_section(section: Section) -> String {
    match section {
        Section::Source => "add where units come from, for example:\n[source]\nkind = \"range\"\nfrom = 1\nto = 1000",
        Section::Stage => "add what is done with each unit, for example:\n[[stage]]\nname = \"square\"\nrun = \"square\"",
        _ => "add it",
    }
    .into()
}

fn out_of_range(key: &str, value: i128) -> Option<String> {
    let help = match (key, value) {
        ("workers", 0) => {
            "leave `workers` out to start one for each core; 0 is for a run with `bind`, whose workers come from elsewhere"
        }
        ("timeout", 0) => "leave `timeout` out for no limit",
        ("groups_max", 0) => "leave `groups_max` out for the default",
        ("top", 0) => "leave `top` out for the default",
        ("crash_limit", 0) => "1 gives a unit up at the first death of a worker that executes it",
        _ => return None,
    };
    Some(help.into())
}

fn empty(key: &str) -> String {
    match key {
        "exec" => "name a program; `{}` stands for the value: exec = [\"wc\", \"-c\", \"{}\"]".into(),
        "pipe" => {
            "name a program that reads a JSON line and writes one: pipe = [\"python3\", \"work.py\"]"
                .into()
        }
        "fields" => "leave `fields` out to write the value alone".into(),
        "output" => "leave `output` out for aggregates only, or write \"-\" for standard output".into(),
        key => format!("write something into `{key}`, or remove it"),
    }
}

fn no_input(why: Unfit, similar: Option<&str>) -> String {
    match (why, similar) {
        (Unfit::Folder, _) => {
            "to read the files of a folder: kind = \"files\" and glob = \"FOLDER/*\"".into()
        }
        (Unfit::Missing, Some(name)) => did_you_mean(name),
        (Unfit::DanglingLink, _) => "correct the link, or name the file itself".into(),
        (Unfit::Socket, _) => {
            "have a program read it, and pipe what it prints to kind = \"stdin\"".into()
        }
        _ => "a path in a topology is relative to the topology's folder, one in a flag to the current folder".into(),
    }
}

fn unknown_ending() -> String {
    let endings = OutputSpec::ENDINGS.map(|ending| format!(".{ending}"));
    format!("end it with one of {}, or with none for JSON lines", listed(&endings))
}

fn no_program(path: &str) -> String {
    // The convention of cargo's own folders says how such a program comes to be.
    match path.rsplit_once("release/examples/") {
        Some((_, name)) => format!("build it first: cargo build --release --example {name}"),
        None if path.contains('/') => "build it first, or correct the path".into(),
        None => format!("it is not on the PATH; for one in this folder write \"./{path}\""),
    }
}

fn no_interpreter(path: &str, similar: Option<&str>) -> String {
    match (similar, path.rsplit_once("/bin/")) {
        (Some(name), _) => did_you_mean(name),
        (None, Some((environment, _))) => {
            format!("make the environment first: python3 -m venv {environment}")
        }
        (None, None) if path.contains('/') => "correct the path".into(),
        _ => "install it, or name another one, as in interpreter = \".venv/bin/python\"".into(),
    }
}

/// The name of a module's function, guessed from what was written for it.
fn bad_call(text: &str) -> String {
    let plain = text.replace(".py", "").replace("::", ":").replace('/', ".");
    let plain = plain.trim_matches('.');
    let guess = match (plain.contains(':'), plain.rsplit_once('.')) {
        (false, Some((module, function))) => format!("{module}:{function}"),
        _ => plain.to_owned(),
    };
    let is_guess = guess != text
        && guess.split_once(':').is_some_and(|(module, function)| {
            let is_name = |text: &str| {
                !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
            };
            module.split('.').all(is_name) && is_name(function)
        });
    match is_guess {
        true => format!("did you mean \"{guess}\"?"),
        false => "write it like call = \"package.module:function\"".into(),
    }
}

fn no_module(interpreter: &str, folder: &str, similar: Option<&str>) -> String {
    match similar {
        Some(name) => did_you_mean(name),
        None => format!(
            "it is looked for in {folder}, the topology's folder, and where `{interpreter}` has its own modules"
        ),
    }
}

fn set_stage(name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(name) => did_you_mean(name),
        None => format!("the stages are {}", listed(known)),
    }
}

/// Remedies for the slips that people make, by what the parser says of them.
fn syntax(reason: &str) -> Option<String> {
    const REMEDIES: [(&str, &str); 4] = [
        ("must be quoted", "write strings in quotes, as in name = \"squares\""),
        ("duplicate key", "it stands further up already; keep one of the two"),
        ("unclosed array table", "close it with ]], as in [[stage]]"),
        (
            "invalid basic string",
            "close the string on its line; one of many lines stands in \"\"\"",
        ),
    ];
    let remedy = REMEDIES.iter().find(|(slip, _)| reason.contains(slip));
    remedy.map(|(_, remedy)| (*remedy).into())
}
