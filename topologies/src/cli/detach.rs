//! `pipeline up --detach`: the same run in the background.
//!
//! Owns the way there: a session of its own, a log, and that the caller learns whether the run has
//! begun. Refuses to know anything of the run that the list of runs does not tell.

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use proto::{kin, this_program};
use sink::config::OutputSpec;

use super::up::{Refusal, reads_own_input};
use crate::{
    logs,
    runs::{self, call, entry::Entry, folder, wire::State},
    topology::Topology,
    up::{exit, run_dir},
};

/// The flag by which the process in the background knows what it is.
pub(super) const FLAG: &str = "detached";

/// What a launcher in the background says; the logs of the run are beside it.
const LOG: &str = "detached.log";
/// What is shown of the log where the run has failed.
const TAIL_BYTES_MAX: u64 = 16 << 10;
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// A start that takes longer is told of.
const SOON: Duration = Duration::from_secs(5);

/// What is to be started.
pub(super) struct Order<'a> {
    pub topology: &'a Topology,
    pub run_dir: Option<&'a Path>,
    pub is_fresh: bool,
    pub is_quiet: bool,
}

/// Starts this command line once more, in the background; the code to leave with.
///
/// # Errors
/// [`Refusal`] when it could not be started.
pub(super) fn start(order: &Order<'_>) -> Result<i32, Refusal> {
    let system = |error: io::Error| (exit::SYSTEM, format!("cannot go to the background: {error}"));
    check(order)?;
    let path = log_path(order)?;
    let (mut log, before) = logs::launcher::open(&path).map_err(|error| {
        (exit::INPUT_OUTPUT, format!("cannot write {}: {error}", path.display()))
    })?;
    let mut child = command(order, &log).and_then(|mut command| command.spawn()).map_err(system)?;
    let begun = await_beginning(&mut child, order.is_quiet, &path).map_err(system)?;
    match begun {
        Beginning::Run(run) => {
            if !order.is_quiet {
                say(&told(&run, &path));
            }
            Ok(exit::COMPLETE)
        }
        Beginning::End(status) => {
            say(tail(&mut log, before).trim_end());
            Ok(status.code().unwrap_or(exit::LOST))
        }
    }
}

/// What can't be done in the background is told in the foreground.
fn check(order: &Order<'_>) -> Result<(), Refusal> {
    if order.topology.sink.output == Some(OutputSpec::Stdout) {
        let problem = "a run in the background has no standard output; give the sink a file, as in --set 'sink.output=\"results.jsonl\"'";
        return Err((exit::USAGE, problem.into()));
    }
    if reads_own_input(order.topology) && io::stdin().is_terminal() {
        let problem =
            "a run in the background can't read from the terminal; give it a file or a pipe";
        return Err((exit::USAGE, problem.into()));
    }
    match folder::make() {
        Some(_) => Ok(()),
        None => Err((exit::SYSTEM, runs::entry::EntryError::NoFolder.to_string())),
    }
}

/// In the run directory; of a run without one, or where `--fresh` will refuse somebody's folder, in
/// the user's own.
fn log_path(order: &Order<'_>) -> Result<PathBuf, Refusal> {
    let is_refused = |path: &&Path| {
        order.is_fresh && !run_dir::is_run(path) && !run_dir::is_empty(path).unwrap_or(false)
    };
    match order.run_dir.filter(|path| !is_refused(path)) {
        Some(path) => Ok(path.join(run_dir::LOGS).join(LOG)),
        None => {
            let state = folder::state().or_else(folder::make);
            let state = state.ok_or((exit::SYSTEM, "there is no place for the log".to_owned()))?;
            Ok(state.join(run_dir::LOGS).join(format!("{}.log", order.topology.name)))
        }
    }
}

fn command(order: &Order<'_>, log: &File) -> io::Result<Command> {
    let mut command = this_program::command()?;
    let mut arguments = this_program::arguments();
    let behind = arguments.iter().position(|argument| argument == "up").map_or(0, |at| at + 1);
    arguments.insert(behind, format!("--{FLAG}").into());
    command.args(arguments).stdout(log.try_clone()?).stderr(log.try_clone()?);
    if !reads_own_input(order.topology) {
        command.stdin(Stdio::null());
    }
    kin::set_free(&mut command)?;
    Ok(command)
}

enum Beginning {
    Run(Box<Entry>),
    End(ExitStatus),
}

/// Waits until ventilator and sink have met, or the launcher has ended.
fn await_beginning(child: &mut Child, is_quiet: bool, log: &Path) -> io::Result<Beginning> {
    let (start, mut is_told) = (Instant::now(), is_quiet);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Beginning::End(status));
        }
        let run = runs::entry::all().into_iter().find(|run| run.pid == child.id());
        if let Some(run) = run
            && call::status(&run).is_some_and(|status| is_under_way(status.state))
        {
            return Ok(Beginning::Run(Box::new(run)));
        }
        if !is_told && start.elapsed() >= SOON {
            is_told = true;
            say(&format!("still starting; what it says is in {}", log.display()));
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// One that ends before anyone saw it run has its end told.
fn is_under_way(state: State) -> bool {
    match state {
        State::Running | State::Paused | State::Draining => true,
        State::Starting | State::Ending => false,
    }
}

fn told(run: &Entry, log: &Path) -> String {
    let (name, pid, id, log) = (&run.name, run.pid, &run.id, log.display());
    let page = run.page.as_ref().map_or(String::new(), |page| format!("\n  page    {page}"));
    format!(
        "{name} runs in the background: pid {pid}, id {id}{page}\n  log     {log}\n  follow  pipeline ps; tail -f '{log}'\n  end     pipeline wait {id}; pipeline down {id}"
    )
}

/// What the log has got since it was so long.
fn tail(log: &mut File, before: u64) -> String {
    let length = log.metadata().map_or(before, |data| data.len());
    let from = before.max(length.saturating_sub(TAIL_BYTES_MAX));
    let mut text = Vec::new();
    let read = log.seek(SeekFrom::Start(from)).and_then(|_| log.read_to_end(&mut text));
    // A log that can't be read has nothing to tell; the code tells that it failed.
    let _ = read;
    String::from_utf8_lossy(&text).into_owned()
}

/// Nobody may be left to read it; that is no reason to fail.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
