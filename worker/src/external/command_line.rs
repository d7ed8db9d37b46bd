//! How a program is started: its command line and its surroundings.
//!
//! Owns the environment; what stands for a value in an argument is `template`'s. Refuses to run
//! anything.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};
use std::time::Duration;

use proto::plan::Stage;

use super::template::{Reader, Template, Values};

/// What stands for the value in an argument.
const WHOLE: &str = "{}";

/// What surrounds the programs of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// The stage's name, told to the program as `PIPELINE_STAGE`.
    pub stage: String,
    /// Environment variables on top of the worker's own.
    pub env: BTreeMap<String, String>,
    /// The working directory; the worker's own when absent.
    pub directory: Option<String>,
    /// How long one unit may take; unlimited when absent.
    pub timeout: Option<Duration>,
}

impl From<&Stage> for Surroundings {
    fn from(stage: &Stage) -> Self {
        Self {
            stage: stage.name.clone(),
            env: stage.env.clone(),
            directory: stage.directory.clone(),
            timeout: stage.timeout_ms.map(Duration::from_millis),
        }
    }
}

/// A command line without a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command line is empty: its first part has to be a program")]
pub struct EmptyCommand;

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    program: String,
    arguments: Vec<String>,
    // The same, with the places found in them.
    templates: Vec<Template>,
}

impl CommandLine {
    /// The program is the first of `parts`; `args` are appended.
    ///
    /// # Errors
    /// [`EmptyCommand`] when `parts` is, or its first is the empty string.
    pub fn new(parts: &[String], args: &[String]) -> Result<Self, EmptyCommand> {
        let (program, arguments) = parts.split_first().ok_or(EmptyCommand)?;
        if program.is_empty() {
            return Err(EmptyCommand);
        }
        let arguments = [arguments, args].concat();
        let template = |argument: &String| Template::new(argument.as_ref(), WHOLE.as_ref());
        let templates = arguments.iter().map(template).collect();
        Ok(Self { program: program.clone(), arguments, templates })
    }

    /// The program, as it was named.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Whether the value is put into an argument. The program's own place is never a
    /// placeholder: a value must not choose which program runs.
    pub(super) fn has_placeholder(&self) -> bool {
        self.templates.iter().any(Template::has_value)
    }

    /// A command with the arguments as they are, with all three standard streams piped.
    pub(super) fn command(&self, surroundings: &Surroundings) -> Command {
        self.prepare(self.arguments.iter().map(OsStr::new), surroundings)
    }

    /// The same with what is a unit's in its places.
    pub(super) fn command_with(&self, values: Values<'_>, surroundings: &Surroundings) -> Command {
        let filled: Vec<OsString> =
            self.templates.iter().map(|template| template.fill(values, Reader::Program)).collect();
        self.prepare(filled.iter().map(OsString::as_os_str), surroundings)
    }

    fn prepare<'a>(
        &self,
        arguments: impl Iterator<Item = &'a OsStr>,
        surroundings: &Surroundings,
    ) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .envs(&surroundings.env)
            .env("PIPELINE_STAGE", &surroundings.stage)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(directory) = &surroundings.directory {
            command.current_dir(directory);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(parts: &[&str]) -> Result<CommandLine, EmptyCommand> {
        let parts: Vec<String> = parts.iter().map(|part| String::from(*part)).collect();
        CommandLine::new(&parts, &["last".into()])
    }

    #[test]
    fn the_value_takes_every_placeholder_but_never_the_programs_place() {
        let command = line(&["{}", "-o{}.png", "{} {}"]).unwrap();
        let values = [OsString::from("a b")];
        let values = Values { values: &values, number: 1, slot: 1 };
        let command = command.command_with(values, &Surroundings::default());
        assert_eq!(command.get_program(), "{}");
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["-oa b.png", "a b a b", "last"]);
        assert!(!line(&["{}"]).unwrap().has_placeholder());
    }

    #[test]
    fn a_command_line_without_a_program_is_refused() {
        assert_eq!(line(&[]), Err(EmptyCommand));
        assert_eq!(line(&["", "x"]), Err(EmptyCommand));
    }
}
