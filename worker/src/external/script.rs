//! Python source with what runs it.
//!
//! Owns how an interpreter is started for it, and what its harness is told first; refuses to know what
//! is said from then on.

use proto::plan::{self, Function, Stage};
use serde_json::{Value, json};

use super::{CommandLine, EmptyCommand};

/// The forms of values, how source is run, what becomes of its words, and what both harnesses need.
const HARNESS: &str = concat!(
    include_str!("forms.py"),
    "\n",
    include_str!("source.py"),
    "\n",
    include_str!("words.py"),
    "\n",
    include_str!("harness.py")
);

/// Python source with what runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// A path, or a name on the PATH.
    pub interpreter: String,
    /// What defines `work(value)`.
    pub source: String,
    /// The file that it is from, which tracebacks name, and beside which it finds other modules.
    pub path: Option<String>,
}

impl Script {
    /// Source that stands in no file, for the interpreter that has no other name.
    pub fn new(source: impl Into<String>) -> Self {
        Self { interpreter: plan::INTERPRETER.into(), source: source.into(), path: None }
    }

    /// What a stage runs in Python, if it does.
    pub fn of(stage: &Stage) -> Option<Self> {
        let (path, source) = match &stage.function {
            Function::Python(source) => (None, source.clone()),
            Function::PythonFile { path, source } => (Some(path), source.clone()),
            Function::Call(name) => (None, calling(name)),
            _ => return None,
        };
        Some(Self { interpreter: stage.interpreter().to_owned(), source, path: path.cloned() })
    }

    /// Starts the interpreter with the harness, of which `tail` is the last part.
    pub(super) fn command(&self, tail: &str, args: &[String]) -> Result<CommandLine, EmptyCommand> {
        let harness = format!("{HARNESS}\n{tail}");
        CommandLine::new(&[&self.interpreter, "-u", "-c", &harness].map(String::from), args)
    }

    /// The first line for the harness.
    pub(super) fn opening(&self, outputs_max: u32, streams: bool) -> Value {
        let Self { source, path, .. } = self;
        json!({"source": source, "path": path, "outputs_max": outputs_max, "streams": streams})
    }
}

/// Source whose `work` is this function of a module.
fn calling(name: &str) -> String {
    let (module, function) = name.split_once(':').unwrap_or((name, "work"));
    // Text is written alike in both languages.
    let (module, function) = (Value::from(module), Value::from(function));
    format!("import importlib\nwork = getattr(importlib.import_module({module}), {function})\n")
}
