//! `pipeline down`, `wait`, `pause`, `resume`, `scale`, `restart`: a run that goes on is told what to do.
//!
//! Owns their flags, and what their exit codes say; what becomes of a wish its launcher decides.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use proto::process::exit_code;
use sink::run_dir::RunDir;

use super::{complain, onlooker};
use crate::{
    aftermath::place,
    runs::{
        call::{self, CallError, PATIENCE},
        choice,
        entry::Entry,
        wire::{Ask, Reply},
    },
    up::exit,
};

/// Which run.
#[derive(Debug, Args)]
struct RunArg {
    /// The run: its name, its directory, its topology or its id [default: the only one]
    #[arg(value_name = "RUN")]
    run: Option<String>,
}

/// Ends a run: what is being worked on is finished and recorded, and `pipeline up` goes on with it
/// later. Returns when it is over.
#[derive(Debug, Args)]
pub(super) struct DownArgs {
    #[command(flatten)]
    run: RunArg,
    /// End it at once, with nothing finished
    #[arg(long)]
    now: bool,
}

/// Waits until a run is over, and leaves with its exit code.
#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    #[command(flatten)]
    run: RunArg,
}

/// Has a run send no further units; what workers have they finish.
#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    #[command(flatten)]
    run: RunArg,
}

/// Has a paused run go on.
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    run: RunArg,
}

/// Changes how many workers a stage has, until the run ends: more are started now, of fewer the
/// youngest finish what they work on and leave.
#[derive(Debug, Args)]
#[command(override_usage = "pipeline scale [RUN] <STAGE=N>...")]
pub(super) struct ScaleArgs {
    /// The run, if there are several, then each stage with its number of workers, as in square=4
    #[arg(value_name = "STAGE=N", required = true)]
    words: Vec<String>,
}

/// Starts the workers of a stage anew, one after the other, each when the one before is at work.
#[derive(Debug, Args)]
pub(super) struct RestartArgs {
    #[command(flatten)]
    run: RunArg,
    /// The stage
    #[arg(long, value_name = "STAGE")]
    stage: String,
}

impl DownArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(with_run(&self.run, |run| {
            if !self.now {
                say(&format!("{} ends: what is being worked on is finished", run.name));
            }
            let code = match over(run, Ask::Down { now: self.now }) {
                Ok(code) => code,
                Err(code) => return code,
            };
            say(&onlooker::ended(run, code));
            match code {
                // As it was wanted.
                exit::DRAINED | exit::INTERRUPTED => exit::COMPLETE,
                code => code,
            }
        }))
    }
}

impl WaitArgs {
    pub(super) fn run(self) -> ExitCode {
        let named = self.run.run.as_deref();
        // It may have been over before anyone could wait.
        if choice::choose(named).is_err()
            && let Some(code) = named.and_then(finished)
        {
            return exit_code(code);
        }
        exit_code(with_run(&self.run, awaited))
    }
}

/// The code of a run, once it is over.
fn awaited(run: &Entry) -> i32 {
    match call::call(run, Ask::Wait, None) {
        Ok(Reply::Over(code)) => code,
        // It has ended in the moment in which it was asked.
        Err(CallError::Gone { .. }) => kept(run).unwrap_or_else(|| lost(run)),
        _ => lost(run),
    }
}

/// Asks once more, and tells what is wrong.
fn lost(run: &Entry) -> i32 {
    over(run, Ask::Wait).unwrap_or_else(|code| code)
}

/// The code of a run that is finished, by what is kept of it.
fn kept(run: &Entry) -> Option<i32> {
    finished(run.run_dir.as_ref()?.to_str()?)
}

/// The code of a run that is finished, by where it is kept.
fn finished(named: &str) -> Option<i32> {
    let path = place::find(Some(Path::new(named)), Path::new(".")).ok()?;
    let summary = RunDir::open(&path).ok()?.summary().ok()??;
    Some(if summary.dead > 0 { exit::DEAD } else { exit::COMPLETE })
}

impl PauseArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(with_run(&self.run, |run| ask(run, Ask::Pause)))
    }
}

impl ResumeArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(with_run(&self.run, |run| ask(run, Ask::Resume)))
    }
}

impl ScaleArgs {
    pub(super) fn run(self) -> ExitCode {
        let (run, sizes) = match sizes(&self.words) {
            Ok(found) => found,
            Err(problem) => {
                complain(&problem);
                return exit_code(exit::USAGE);
            }
        };
        exit_code(with_run(&RunArg { run }, |run| {
            for (stage, workers) in &sizes {
                let code = ask(run, Ask::Scale { stage: stage.clone(), workers: *workers });
                if code != exit::COMPLETE {
                    return code;
                }
            }
            exit::COMPLETE
        }))
    }
}

/// A stage and its number of workers.
type Size = (String, u32);

/// The run, if the first word names one, and the stages with their numbers.
fn sizes(words: &[String]) -> Result<(Option<String>, Vec<Size>), String> {
    let size = |word: &String| {
        let (stage, workers) = word.rsplit_once('=')?;
        Some((stage.to_owned(), workers.parse().ok()?))
    };
    let wrong = |word: &String| {
        format!("`{word}` is no stage with its number of workers; write it like square=4")
    };
    let (run, rest) = match words {
        [first, rest @ ..] if size(first).is_none() && !rest.is_empty() => (Some(first), rest),
        words => (None, words),
    };
    let sizes = rest.iter().map(|word| size(word).ok_or_else(|| wrong(word)));
    Ok((run.cloned(), sizes.collect::<Result<_, _>>()?))
}

impl RestartArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(with_run(&self.run, |run| ask(run, Ask::Restart { stage: self.stage.clone() })))
    }
}

fn with_run(named: &RunArg, act: impl FnOnce(&Entry) -> i32) -> i32 {
    match choice::choose(named.run.as_deref()) {
        Ok(run) => act(&run),
        Err(error) => {
            complain(&error);
            exit::NO_INPUT
        }
    }
}

/// Asks for something that is answered at once; the code to leave with.
fn ask(run: &Entry, ask: Ask) -> i32 {
    match reply(run, ask, Some(PATIENCE)) {
        Ok(Reply::Done(told)) => {
            say(&format!("{}: {told}", run.name));
            exit::COMPLETE
        }
        Ok(_) => exit::LOST,
        Err(code) => code,
    }
}

/// Waits until the run is over: its exit code, or the one to leave with.
fn over(run: &Entry, ask: Ask) -> Result<i32, i32> {
    match reply(run, ask, None)? {
        Reply::Over(code) => Ok(code),
        _ => Err(exit::LOST),
    }
}

fn reply(run: &Entry, ask: Ask, limit: Option<Duration>) -> Result<Reply, i32> {
    match call::call(run, ask, limit) {
        Ok(Reply::Refused { code, problem }) => {
            complain(&format_args!("{}: {problem}", run.name));
            Err(code)
        }
        Ok(reply) => Ok(reply),
        Err(error) => {
            complain(&error);
            Err(exit::LOST)
        }
    }
}

/// Nobody may be left to read it; that is no reason to fail.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_may_stand_before_the_stages() {
        let sizes = |words: &[&str]| {
            sizes(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        };
        let two = || vec![("a".to_owned(), 2)];
        assert_eq!(sizes(&["a=2"]), Ok((None, two())));
        assert_eq!(sizes(&["runs/t", "a=2"]), Ok((Some("runs/t".into()), two())));
        assert_eq!(sizes(&["a=2", "b=0"]).unwrap().1.len(), 2);
        for wrong in [&["a"][..], &["a=many"], &["run", "a"], &["a=2", "b"], &["a=-1"]] {
            assert!(sizes(wrong).unwrap_err().contains("is no stage with"), "{wrong:?}");
        }
    }
}
