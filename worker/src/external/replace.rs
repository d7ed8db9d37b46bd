//! A worker in Python in the place of this one.
//!
//! Owns the question whether an interpreter has the package that brings such a worker, and that
//! worker's command line. Refuses to say goodbye first, which is the role's (`core`), and to end
//! this program, which is `cli`'s: the new one has its process id, so whoever looks after this
//! worker goes on to do so.

use std::{
    env,
    ffi::OsString,
    process::{self, Command},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use proto::plan::{Function, Stage};

use super::halt::{Bounds, cannot_start};
use super::program::Program;
use super::{CommandLine, Script, Surroundings};
use crate::Failure;

/// What a worker in Python is imported from.
const PACKAGE: &str = "pipeline_zmq";
/// The same as `pip` calls it.
const DISTRIBUTION: &str = "pipeline-zmq";
/// The variable that tells a worker in Python that it stands where another one stood: the process
/// id of both. What it starts itself has another one.
pub const VARIABLE: &str = "PIPELINE_REPLACED";
/// How long an import may take; a folder over a network is slow at first.
const IMPORT_LIMIT: Duration = Duration::from_secs(60);
/// Nothing is expected of it.
const PRINTED_BYTES_MAX: usize = 1 << 20;

/// Where a worker leaves word of who takes its place.
pub type Succession = Arc<OnceLock<Successor>>;

/// A worker in Python that runs what a stage asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    interpreter: String,
    surroundings: Surroundings,
}

/// Why there is none.
#[derive(Debug)]
enum Missing {
    /// The interpreter itself cannot be started.
    Interpreter(Failure),
    /// The package is not there; in Python's words.
    Package(String),
    /// It is there and of no use.
    Broken(String),
}

impl Successor {
    /// Who runs the function of a stage, if it is in Python and the stage's interpreter has the
    /// package. Takes as long as that takes to be imported.
    ///
    /// # Errors
    /// When nobody else can run the function: what is missing, and what to do.
    pub fn of(stage: &Stage) -> Result<Option<Self>, Failure> {
        let is_call = matches!(stage.function, Function::Call(_));
        if is_successor() || Script::of(stage).is_none() {
            return Ok(None);
        }
        let interpreter = stage.interpreter().to_owned();
        let successor = Self { interpreter, surroundings: Surroundings::from(stage) };
        match successor.import() {
            Ok(()) => Ok(Some(successor)),
            Err(missing) if is_call => Err(successor.failure(missing)),
            Err(Missing::Broken(words)) => {
                let program = successor.interpreter;
                tracing::warn!(%program, "the package {PACKAGE} is there but cannot be imported, so the source is run without it: {words}");
                Ok(None)
            }
            // Without an interpreter the function itself says so.
            Err(Missing::Interpreter(_) | Missing::Package(_)) => Ok(None),
        }
    }

    /// The worker in Python, with these flags of `worker`.
    pub fn command(&self, flags: impl IntoIterator<Item = OsString>) -> Command {
        let Self { interpreter, surroundings } = self;
        let mut command = Command::new(interpreter);
        command.arg("-m").arg(format!("{PACKAGE}.worker")).args(flags);
        command
            .envs(&surroundings.env)
            .env("PIPELINE_STAGE", &surroundings.stage)
            .env(VARIABLE, process::id().to_string());
        if let Some(directory) = &surroundings.directory {
            command.current_dir(directory);
        }
        command
    }

    fn import(&self) -> Result<(), Missing> {
        let statement = format!("import {PACKAGE}");
        let line = CommandLine::new(&[&self.interpreter, "-c", &statement].map(String::from), &[])
            .map_err(|error| Missing::Interpreter(Failure::new(error.to_string())))?;
        let mut program =
            Program::start(&mut line.command(&self.surroundings)).map_err(|error| {
                Missing::Interpreter(cannot_start(&line, &self.surroundings, &error))
            })?;
        program.end_input();
        // That the package is missing is no news: the source is run without it.
        program.keeps_its_words();
        let deadline = Some(Instant::now() + IMPORT_LIMIT);
        match program.read_to_end(Bounds { deadline, bytes_max: PRINTED_BYTES_MAX }) {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(missing(&program.last_words(), &status.to_string())),
            Err(_) => Err(Missing::Broken(format!("no end in {} s", IMPORT_LIMIT.as_secs()))),
        }
    }

    fn failure(&self, missing: Missing) -> Failure {
        let program = &self.interpreter;
        match missing {
            Missing::Interpreter(failure) => failure,
            Missing::Package(words) | Missing::Broken(words) => Failure::new(format!(
                "`{program}` can't import {PACKAGE}, which `call` needs ({words}); install it: {program} -m pip install {DISTRIBUTION}"
            )),
        }
    }
}

/// Whether this process itself took another worker's place.
pub(crate) fn is_successor() -> bool {
    env::var(VARIABLE).is_ok_and(|pid| pid == process::id().to_string())
}

/// What an import that has failed says.
fn missing(words: &str, status: &str) -> Missing {
    let last = words.lines().rfind(|line| !line.trim().is_empty());
    let last = last.map_or_else(|| status.to_owned(), |line| line.trim().to_owned());
    let absent = format!("No module named '{PACKAGE}'");
    if last.contains(&absent) { Missing::Package(last) } else { Missing::Broken(last) }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// A stage with a package of this content, or none, on its module path.
    fn stage(function: Function, folder: &Path, package: Option<&str>) -> Stage {
        if let Some(content) = package {
            fs::create_dir_all(folder.join(PACKAGE)).unwrap();
            fs::write(folder.join(PACKAGE).join("__init__.py"), content).unwrap();
        }
        let mut stage = Stage::new("s", function);
        stage.directory = Some(folder.display().to_string());
        stage.env.insert("PYTHONPATH".into(), folder.display().to_string());
        stage
    }

    fn call() -> Function {
        Function::Call("math:sqrt".into())
    }

    fn python() -> Function {
        Function::Python("def work(n): return n".into())
    }

    #[test]
    fn a_function_in_python_has_a_successor_where_the_package_is() {
        let folder = tempfile::tempdir().unwrap();
        for function in [call(), python()] {
            let stage = stage(function, folder.path(), Some(""));
            let successor = Successor::of(&stage).unwrap().expect("the package is there");
            let command = successor.command(["--stage".into(), "s".into()]);
            let args: Vec<_> = command.get_args().collect();
            assert_eq!(command.get_program(), "python3");
            assert_eq!(args, ["-m", "pipeline_zmq.worker", "--stage", "s"]);
            assert_eq!(command.get_current_dir(), Some(folder.path()));
            let pid = process::id().to_string();
            let marks = command.get_envs().find(|(name, _)| *name == VARIABLE);
            assert_eq!(marks.unwrap().1, Some(pid.as_ref()));
        }
        let other = stage(Function::Run("square".into()), folder.path(), Some(""));
        assert_eq!(Successor::of(&other).unwrap(), None);
    }

    #[test]
    fn without_the_package_source_is_run_here_and_a_call_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Successor::of(&stage(python(), folder.path(), None)).unwrap(), None);
        let text = Successor::of(&stage(call(), folder.path(), None)).unwrap_err().into_text();
        assert_eq!(
            text,
            "`python3` can't import pipeline_zmq, which `call` needs (ModuleNotFoundError: No module named 'pipeline_zmq'); install it: python3 -m pip install pipeline-zmq"
        );
    }

    #[test]
    fn a_package_that_is_broken_is_told_in_pythons_words() {
        let folder = tempfile::tempdir().unwrap();
        let broken = Some("raise ImportError('built for another Python')");
        assert_eq!(Successor::of(&stage(python(), folder.path(), broken)).unwrap(), None);
        let text = Successor::of(&stage(call(), folder.path(), broken)).unwrap_err().into_text();
        assert!(text.contains("(ImportError: built for another Python)"), "{text}");
    }

    #[test]
    fn an_interpreter_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut stage = stage(call(), folder.path(), None);
        stage.interpreter = Some("/nowhere/python".into());
        let text = Successor::of(&stage).unwrap_err().into_text();
        assert!(text.contains("/nowhere/python"), "{text}");
    }
}
