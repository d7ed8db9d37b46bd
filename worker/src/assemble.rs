//! From a stage's plan to the function that its workers run.
//!
//! Owns the choice; refuses to start anything: what can only go wrong at a program's start is
//! [`Function::set_up`]'s to say.

use proto::limits::Limits;
use proto::plan::{self, Stage};

use crate::builtin::{self, BuiltinError};
use crate::external::{
    AnyOrder, CommandLine, EmptyCommand, Exec, Pipe, Python, PythonMany, Script, Surroundings,
};
use crate::function::Guarded;
use crate::{Function, OutputLimits};

/// Why a stage's plan gives no function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// The stage runs what its workers bring along, and this one brought nothing.
    #[error("the stage `{stage}` runs a worker program of its own, and this one has no function")]
    NoOwnFunction {
        /// The stage.
        stage: String,
    },
    /// The stage names a built-in that is not there, or gives it arguments that it refuses.
    #[error("the stage `{stage}` has no usable function")]
    Builtin {
        /// The stage.
        stage: String,
        /// What is wrong with it.
        source: BuiltinError,
    },
    /// The stage's command line is empty.
    #[error("the stage `{stage}` has no program to start")]
    Command {
        /// The stage.
        stage: String,
        /// What is wrong with it.
        source: EmptyCommand,
    },
}

/// Makes the function that `stage` asks for. `own` is what the worker program brought along: it
/// is used where the plan says so, and only there.
///
/// # Errors
/// [`AssembleError`] when the plan asks for what this worker does not have.
pub fn assemble(
    stage: &Stage,
    own: Option<Box<dyn Function>>,
    limits: &Limits,
) -> Result<Box<dyn Function>, AssembleError> {
    let no_program = |source| AssembleError::Command { stage: stage.name.clone(), source };
    let command = |parts: &[String]| CommandLine::new(parts, &stage.args).map_err(no_program);
    let surroundings = Surroundings::from(stage);
    let limits = OutputLimits::from(limits);
    // Several units at once are another kind of function, where there is one.
    let open = stage.concurrency.filter(|open| *open > 1);
    Ok(match &stage.function {
        plan::Function::Own => match own {
            Some(function) => Box::new(Guarded(function)),
            None => {
                return Err(AssembleError::NoOwnFunction { stage: stage.name.clone() });
            }
        },
        plan::Function::Run(name) => {
            let function = builtin::by_name(name, &stage.args)
                .map_err(|source| AssembleError::Builtin { stage: stage.name.clone(), source })?;
            open.and_then(|_| builtin::concurrent(name)).unwrap_or(function)
        }
        plan::Function::Exec(parts) => {
            let exec = Exec::new(command(parts)?, surroundings, limits);
            match open {
                Some(open) => Box::new(exec.at_once(open)),
                None => Box::new(exec),
            }
        }
        plan::Function::Pipe(parts) => Box::new(Pipe::new(command(parts)?, surroundings, limits)),
        plan::Function::PipeAnyOrder(parts) => {
            let open = stage.concurrency.unwrap_or(1);
            Box::new(AnyOrder::at_once(command(parts)?, surroundings, limits, open))
        }
        plan::Function::Python(_) | plan::Function::PythonFile { .. } | plan::Function::Call(_) => {
            python(stage, surroundings, limits, open).map_err(no_program)?
        }
    })
}

/// Python source, run in a program.
fn python(
    stage: &Stage,
    surroundings: Surroundings,
    limits: OutputLimits,
    open: Option<u32>,
) -> Result<Box<dyn Function>, EmptyCommand> {
    let script = Script::of(stage).unwrap_or_else(|| Script::new(""));
    let args = &stage.args;
    Ok(match open {
        Some(open) => Box::new(PythonMany::at_once(script, args, surroundings, limits, open)?),
        None => Box::new(Python::new(&script, args, surroundings, limits, stage.stream)?),
    })
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::testing::{call, lines};

    fn parts(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| String::from(*part)).collect()
    }

    fn assembled(
        function: plan::Function,
        args: &[&str],
    ) -> Result<Box<dyn Function>, AssembleError> {
        let mut stage = Stage::new("s", function);
        stage.args = parts(args);
        let own: Box<dyn Function> = Box::new(crate::map(|n: u64| n + 1));
        assemble(&stage, Some(own), &Limits::default())
    }

    #[test]
    fn each_kind_of_function_is_assembled_with_its_arguments() {
        let shell = parts(&["sh", "-c", "read v; echo [$v,$1]", "sh"]);
        let python = "import sys\ndef work(v): return [v, int(sys.argv[1])]".to_owned();
        let file = plan::Function::PythonFile { path: "/w/work.py".into(), source: python.clone() };
        for (function, args, output) in [
            (plan::Function::Own, vec![], "6"),
            (plan::Function::Run("square".into()), vec![], "25"),
            (plan::Function::Exec(shell.clone()), vec!["8"], "[5,8]"),
            (plan::Function::Pipe(shell), vec!["8"], "[5,8]"),
            (plan::Function::Python(python), vec!["8"], "[5,8]"),
            (file, vec!["8"], "[5,8]"),
            (plan::Function::Call("builtins:bin".into()), vec![], "\"0b101\""),
        ] {
            let mut function = assembled(function, &args).unwrap_or_else(|e| panic!("{e}"));
            function.set_up().unwrap();
            assert_eq!(call(&mut function, "5"), lines(output));
            function.tear_down();
        }
    }

    #[test]
    fn a_worker_without_a_function_of_its_own_is_told_so() {
        let stage = Stage::new("s", plan::Function::Own);
        let error = assemble(&stage, None, &Limits::default()).err();
        assert_eq!(error, Some(AssembleError::NoOwnFunction { stage: "s".into() }));
    }

    #[test]
    fn what_is_wrong_with_a_plan_is_the_source_of_the_error() {
        let source = |function, args: &[&str]| {
            let error = assembled(function, args).err().unwrap();
            error.source().unwrap().to_string()
        };
        assert_eq!(
            source(plan::Function::Run("sqare".into()), &[]),
            "there is no built-in function `sqare`"
        );
        assert!(source(plan::Function::Run("echo".into()), &["x"]).contains("no arguments"));
        assert!(source(plan::Function::Exec(vec![]), &[]).contains("empty"));
    }
}
