//! Every kind of mistake in a topology: its data and its message.
//!
//! Owns the wording of what is wrong; refuses remedies, which are `help`'s, and layout.

use std::{fmt, io};

use thiserror::Error;

use crate::topology::section::Section;

/// What is wrong in one place. `Display` is the message; [`Fault::help`] the way out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the fields are what the messages name them")]
pub enum Fault {
    /// The file cannot be opened.
    #[error("the topology {reason}")]
    Unreadable { reason: Unread, similar: Option<String> },
    /// The file holds bytes that are no UTF-8.
    #[error("the topology is not UTF-8 text")]
    NotText,
    /// A folder whose name can't be told to the other processes.
    #[error("the topology lies in `{folder}`, a name that is not UTF-8")]
    FolderNotText { folder: String },
    /// No TOML.
    #[error("the TOML cannot be parsed: {reason}")]
    Syntax { reason: String },
    /// A key that the table does not know.
    #[error("unknown key `{key}` {}", within(*.section))]
    UnknownKey { key: String, section: Section },
    /// A key of another kind of source.
    #[error("`{key}` does not belong to a source of kind `{kind}`")]
    Misplaced { key: String, kind: &'static str, allowed: &'static [&'static str] },
    /// A word that should be one of a few.
    #[error("unknown {what} `{}`", .name.escape_debug())]
    UnknownName { what: Vocabulary, name: String, known: Vec<String> },
    /// A value of another type.
    #[error("`{key}` is {found}, but {expected} is needed")]
    WrongType { key: String, found: &'static str, expected: Expected, rewritten: Option<String> },
    /// A required key is missing.
    #[error("{section} has no `{key}`")]
    MissingKey { section: Section, key: &'static str, example: &'static str },
    /// A required table is missing.
    #[error("the topology has no {0}")]
    MissingSection(Section),
    /// `[stage]`, which is one table, where a list is needed.
    #[error("`stage` is one table, but a list of stages is needed")]
    StageTable,
    /// No function in a stage.
    #[error("the stage has no function")]
    NoFunction,
    /// Two functions in a stage.
    #[error("the stage has both `{first}` and `{second}`")]
    TwoFunctions { first: String, second: String },
    /// Arguments for a built-in that takes none.
    #[error("the built-in `{name}` takes no arguments")]
    NoArguments { name: String },
    /// What looks like a place for the value in an argument, and is none.
    #[error("`{place}` stands for nothing in an argument")]
    UnknownPlace { place: String },
    /// The name of a stage is taken.
    #[error("there are two stages called `{name}`")]
    DuplicateStage { name: String },
    /// A name that cannot be used in paths and flags.
    #[error("`{}` cannot be a name", .name.escape_debug())]
    BadName { name: String },
    /// A number beyond what the key takes.
    #[error("`{key}` is {value}, but must be {}", bound(*.value, *.min, *.max))]
    OutOfRange { key: String, value: i128, min: i128, max: i128 },
    /// `step = 0`.
    #[error("a range with a step of 0 never ends")]
    ZeroStep,
    /// A text in which something should stand.
    #[error("`{key}` is empty")]
    Empty { key: String },
    /// A text that is no duration or size.
    #[error("`{text}` is not {expected}")]
    BadQuantity { text: String, expected: Expected },
    /// The same word twice in a list.
    #[error("`{name}` is listed twice in `{key}`")]
    ListedTwice { key: &'static str, name: String },
    /// A key that does nothing without another one.
    #[error("`{key}` has no effect without {without}")]
    Idle { key: &'static str, without: &'static str, remedy: &'static str },
    /// A key, or a value of it, that a service can't have.
    #[error("{what} is not for a service, {why}")]
    NotForService { what: &'static str, why: &'static str, remedy: &'static str },
    /// Python source without the function.
    #[error("{what} does not define `work`")]
    NoWork { what: String, similar: Option<String> },
    /// Python source that is none.
    #[error("the Python source cannot be compiled: {reason}")]
    PythonSyntax { reason: String, interpreter: String },
    /// A file of Python source that can't be had.
    #[error("the file `{path}` of `python_file` {reason}")]
    NoPythonFile { path: String, reason: Unread, similar: Option<String> },
    /// What runs Python is not there.
    #[error("the interpreter `{path}` does not exist")]
    NoInterpreter { path: String, similar: Option<String> },
    /// It is there, and does not answer.
    #[error("`{interpreter}` does not tell about the module: {reason}")]
    NoAnswer { interpreter: String, reason: String },
    /// The package of workers in Python is not there.
    #[error("`{interpreter}` has no package pipeline_zmq, which `call` needs")]
    NoPackage { interpreter: String },
    /// What is no function of a module.
    #[error("`{}` does not name a function of a module", .text.escape_debug())]
    BadCall { text: String },
    /// A module that is not there.
    #[error("there is no Python module `{module}`")]
    NoModule { module: String, interpreter: String, folder: String, similar: Option<String> },
    /// A module without the function.
    #[error("the module `{module}` does not define `{function}`")]
    NoCallee { module: String, function: String, similar: Option<String>, file: Option<String> },
    /// The name of a Python file where its content belongs.
    #[error("`python` holds the source itself, not the name of a file")]
    PythonFile { file: String },
    /// Two names of one limit.
    #[error("`{first}` and `{second}` set the same limit")]
    SameLimit { first: String, second: String },
    /// A liveness in which no heartbeat fits.
    #[error("a liveness of {liveness} ms leaves no time for a heartbeat every {heartbeat} ms")]
    NoHeartbeat { liveness: u64, heartbeat: u64 },
    /// What is no pattern of files.
    #[error("`{}` is not a pattern of files: {problem}", .pattern.escape_debug())]
    BadPattern { pattern: String, problem: String },
    /// A source that is not there.
    #[error("the input `{path}` {why}")]
    NoInput { path: String, why: Unfit, similar: Option<String> },
    /// What can't be written.
    #[error("the file `{path}` of `{key}` {why}")]
    NoOutput { key: &'static str, path: String, why: Unfit },
    /// Another name of standard input.
    #[error("`{path}` is standard input, which is read as lines, by `kind = \"stdin\"`")]
    StandardInput { path: String },
    /// What can't stand between cells.
    #[error("`{}` cannot separate cells", .text.escape_debug())]
    BadDelimiter { text: String },
    /// A worker program that can't be started.
    #[error("the worker program `{path}` {why}")]
    NoProgram { path: String, why: Unfit },
    /// A key file that is not there.
    #[error("the key file `{path}` does not exist")]
    NoKey { path: String },
    /// An endpoint that is of no use to other machines.
    #[error("{problem}")]
    BadBind { problem: String },
    /// No rule for when a run is hopeless.
    #[error("{problem}")]
    BadHalt { problem: String },
    /// A folder that is not there.
    #[error("the folder `{folder}` of `{key}` does not exist")]
    NoFolder { key: &'static str, folder: String },
    /// An output whose ending names no form.
    #[error("an output cannot end with `.{}`", .ending.escape_debug())]
    UnknownEnding { ending: String },
    /// A file that would be read and written, or written twice.
    #[error("`{key}` is the same file as {other}")]
    SameFile { key: &'static str, other: &'static str },
    /// Letters that nobody named a file for, and that would go to one that is read.
    #[error("dead letters go to `{path}` beside the output, which is the same file as {other}")]
    SameLetters { path: String, other: String },
    /// A file that would be read by the next run, or by this one.
    #[error("`{key}` is one of the files that the source's `{glob}` matches")]
    Matched { key: &'static str, glob: String },
    /// A `--set` that is no key and value.
    #[error("`--set` takes a key and a value")]
    SetForm,
    /// A `--set` for a stage that is not there.
    #[error("no stage is called `{name}`")]
    SetStage { name: String, known: Vec<String> },
    /// A `--set` for a key below something that is no table.
    #[error("`{key}` is {found}, so it has no keys below it")]
    SetBelow { key: String, found: &'static str },
}

/// Why a path can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "their words say it")]
pub enum Unfit {
    Missing,
    Folder,
    Socket,
    DanglingLink,
    LongName,
    OutOfReach,
    NoFolder,
    NotExecutable,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "does not exist",
            Self::Folder => "is a folder",
            Self::Socket => "is a socket, which is no file",
            Self::DanglingLink => "is a link that leads nowhere",
            Self::LongName => "has a longer name than the system allows",
            Self::OutOfReach => "is in a folder that you may not look into",
            Self::NoFolder => "goes on behind a file as if that were a folder",
            Self::NotExecutable => "is a file that may not be executed",
        })
    }
}

/// Which list of words a name is looked up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Vocabulary {
    Kind,
    Builtin,
    Aggregate,
    Field,
    Order,
    Answers,
    Accept,
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Expected {
    Text,
    Integer,
    Boolean,
    Texts,
    Command,
    Duration,
    Bytes,
    Table,
}

impl fmt::Display for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "kind of source",
            Self::Builtin => "built-in function",
            Self::Aggregate => "aggregate",
            Self::Field => "field",
            Self::Order => "order",
            Self::Answers => "order of answers",
            Self::Accept => "way to accept units",
        })
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a string",
            Self::Integer => "an integer",
            Self::Boolean => "true or false",
            Self::Texts | Self::Command => "an array of strings",
            Self::Duration => "a duration",
            Self::Bytes => "a size in bytes",
            Self::Table => "a table",
        })
    }
}

impl Fault {
    /// The kind of mistake as a stable word, for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::NotText => "not-text",
            Self::FolderNotText { .. } => "folder-not-text",
            Self::Syntax { .. } => "syntax",
            Self::UnknownKey { .. } => "unknown-key",
            Self::Misplaced { .. } => "misplaced-key",
            Self::UnknownName { .. } => "unknown-name",
            Self::WrongType { .. } => "wrong-type",
            Self::MissingKey { .. } => "missing-key",
            Self::MissingSection(_) => "missing-table",
            Self::StageTable => "stage-table",
            Self::NoFunction => "no-function",
            Self::TwoFunctions { .. } => "two-functions",
            Self::NoArguments { .. } => "no-arguments",
            Self::UnknownPlace { .. } => "unknown-place",
            Self::DuplicateStage { .. } => "duplicate-stage",
            Self::BadName { .. } => "bad-name",
            Self::OutOfRange { .. } => "out-of-range",
            Self::ZeroStep => "zero-step",
            Self::Empty { .. } => "empty",
            Self::BadQuantity { .. } => "bad-quantity",
            Self::ListedTwice { .. } => "listed-twice",
            Self::Idle { .. } => "no-effect",
            Self::NotForService { .. } => "not-for-service",
            Self::NoWork { .. } => "no-work",
            Self::PythonSyntax { .. } => "python-syntax",
            Self::NoPythonFile { .. } => "no-python-file",
            Self::NoInterpreter { .. } => "no-interpreter",
            Self::NoAnswer { .. } => "no-answer",
            Self::NoPackage { .. } => "no-package",
            Self::BadCall { .. } => "bad-call",
            Self::NoModule { .. } => "no-module",
            Self::NoCallee { .. } => "no-callee",
            Self::PythonFile { .. } => "python-file",
            Self::SameLimit { .. } => "same-limit",
            Self::NoHeartbeat { .. } => "no-heartbeat",
            Self::BadPattern { .. } => "bad-pattern",
            Self::NoInput { .. } => "no-input",
            Self::NoOutput { .. } => "no-output",
            Self::StandardInput { .. } => "standard-input",
            Self::BadDelimiter { .. } => "bad-delimiter",
            Self::NoProgram { .. } => "no-program",
            Self::NoKey { .. } => "no-key",
            Self::BadBind { .. } => "bad-bind",
            Self::BadHalt { .. } => "bad-halt",
            Self::NoFolder { .. } => "no-folder",
            Self::UnknownEnding { .. } => "unknown-ending",
            Self::SameFile { .. } => "same-file",
            Self::SameLetters { .. } => "same-letters",
            Self::Matched { .. } => "matched",
            Self::SetForm => "set-form",
            Self::SetStage { .. } => "set-stage",
            Self::SetBelow { .. } => "set-below",
        }
    }
}

/// Why a file is not read. `Display` goes on after what the file is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unread {
    /// There is none.
    #[error("does not exist")]
    Missing,
    /// It is a folder.
    #[error("is a folder")]
    Folder,
    /// In the system's words.
    #[error("cannot be read: {0}")]
    Other(String),
}

impl From<&io::Error> for Unread {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::IsADirectory => Self::Folder,
            _ => Self::Other(error.to_string()),
        }
    }
}

fn within(section: Section) -> String {
    match section {
        Section::Top => "at the top level".into(),
        other => format!("in {other}"),
    }
}

/// The end of a range that a value is beyond; the other end is no news.
fn bound(value: i128, min: i128, max: i128) -> String {
    if value < min { format!("at least {min}") } else { format!("at most {max}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_in_the_systems_words() {
        for (code, words) in [
            (5, "cannot be read: Input/output error (os error 5)"),
            (13, "cannot be read: Permission denied (os error 13)"),
            (40, "cannot be read: Too many levels of symbolic links (os error 40)"),
            (2, "does not exist"),
            (21, "is a folder"),
        ] {
            assert_eq!(Unread::from(&io::Error::from_raw_os_error(code)).to_string(), words);
        }
    }
}
