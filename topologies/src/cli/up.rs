//! `pipeline up`: a whole topology in the foreground.
//!
//! Owns its flags and the summary's file; the run is [`crate::up`]'s.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use proto::{
    causes::with_causes,
    net::{
        endpoint::Endpoint,
        key::{Key, KeyError, told_file},
        lock::{Lock, LockError, PREDECESSORS_END},
    },
    process::exit_code,
};
use sink::{config::OutputSpec, manifest, run_dir::RunDirError};

use super::{complain, load};
use crate::{
    aftermath::place,
    topology::{Topology, public_endpoint},
    up::{
        self, Options, Outcome,
        display::Voice,
        exit,
        record::{self, RecordError, Standing},
        run_dir::{self, ForgetError},
        workplace::Flags,
    },
};

const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Starts every process of a topology, watches over them, shows progress.
#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// The topology
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Change the topology first, as in --set stage.square.workers=4
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Write the summary as JSON
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Neither progress nor summary
    #[arg(long, short)]
    quiet: bool,
    /// What is kept of the run, so that it goes on after a crash [default: .pipeline/NAME beside
    /// the topology]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Begin anew: forget what the run directory holds
    #[arg(long)]
    fresh: bool,
    /// Keep nothing: the run ends with its sink or its ventilator
    #[arg(long, conflicts_with_all = ["run_dir", "fresh"])]
    ephemeral: bool,
    /// Let workers on other machines join: where the ventilator listens besides, as in
    /// tcp://*:5557; the sink takes the next port [default: the topology's]
    #[arg(long, value_name = "ENDPOINT", value_parser = public_endpoint)]
    bind: Option<Endpoint>,
    /// The key file [default: PIPELINE_KEY, the topology's, or the user's own]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// No encryption and no authentication over tcp
    #[arg(long)]
    insecure: bool,
}

impl UpArgs {
    pub(super) fn run(self) -> ExitCode {
        let topology = match load(&self.file, &self.sets) {
            Ok(topology) => self.without_own(topology),
            Err(code) => return code,
        };
        let paper = match self.summary.as_deref().map(Paper::lay_out).transpose() {
            Ok(paper) => paper,
            Err(problem) => {
                complain(&problem);
                return exit_code(exit::INPUT_OUTPUT);
            }
        };
        let options = self.options(&topology);
        if let Err(error) = check_key(&options.flags) {
            complain(&error);
            return exit_code(exit::TOPOLOGY);
        }
        // Until the end of the run.
        let mut claim = None;
        if let Some(path) = &options.flags.run_dir {
            match self.look_into(path, &topology, &mut claim) {
                Ok(None) => {}
                Ok(Some(code)) => return exit_code(code),
                Err((code, problem)) => {
                    complain(&problem);
                    return exit_code(code);
                }
            }
        }
        match up::run(&topology, &options) {
            Ok(outcome) => exit_code(file_summary(paper, &outcome)),
            Err(error) => {
                complain(&error);
                exit_code(exit::SYSTEM)
            }
        }
    }

    /// What the run writes is no input of it, though the pattern of a source may match it.
    fn without_own(&self, mut topology: Topology) -> Topology {
        let dead = topology.sink.dead_path();
        let output = topology.sink.output.as_ref().and_then(OutputSpec::path).map(PathBuf::from);
        let run_dir = self.run_dir(&topology);
        let own = [Some(dead), output, run_dir, self.summary.clone()];
        topology.source.leave_out(own.into_iter().flatten());
        topology
    }

    /// Where the run is kept. Lines on standard output cannot be taken back, so such a run is
    /// kept only if someone says where.
    fn run_dir(&self, topology: &Topology) -> Option<PathBuf> {
        let default = || place::run_dir(topology);
        let to_stdout = topology.sink.output == Some(OutputSpec::Stdout);
        match &self.run_dir {
            _ if self.ephemeral => None,
            Some(path) => Some(path.clone()),
            None => (!to_stdout).then(default),
        }
    }

    /// What the run directory holds decides whether there is anything to do; an exit code if
    /// there is not.
    fn look_into(
        &self,
        path: &Path,
        topology: &Topology,
        claim: &mut Option<Lock>,
    ) -> Result<Option<i32>, (i32, String)> {
        let claimed =
            || run_dir::claim(path).map_err(|error| (exit::INPUT_OUTPUT, in_use(path, &error)));
        // Nothing is written into a folder that --fresh will refuse.
        if !self.fresh || run_dir::is_run(path) {
            *claim = Some(claimed()?);
        }
        if self.fresh {
            self.say(run_dir::describe(path).map(|run| format!("discarding {run}")));
            let held = |error: &ForgetError| match error {
                ForgetError::InUse { source, .. } => ends_soon(source),
                _ => false,
            };
            once_free(|| run_dir::forget(path), held, || self.say_waiting(path))
                .map_err(|error| (exit::INPUT_OUTPUT, with_causes(&error)))?;
            // What was claimed is removed with the rest.
            drop(claim.take());
            *claim = Some(claimed()?);
        }
        if topology.sink.output == Some(OutputSpec::Stdout) {
            self.say(Some("lines on standard output cannot be taken back: if the sink dies, some may come twice".into()));
        }
        let held = |error: &RecordError| match error {
            RecordError::RunDir(RunDirError::Locked(error)) => ends_soon(error),
            _ => false,
        };
        let check_in = || record::check_in(path, topology);
        let standing =
            once_free(check_in, held, || self.say_waiting(path)).map_err(|error| match error {
                RecordError::Other { .. } => (exit::TOPOLOGY, error.to_string()),
                error => (exit::INPUT_OUTPUT, with_causes(&error)),
            })?;
        match standing {
            Standing::New => Ok(None),
            Standing::Unfinished => {
                self.say(run_dir::describe(path).map(|run| format!("resuming {run}")));
                Ok(None)
            }
            Standing::Finished => {
                let manifest = manifest::read(path)
                    .map_err(|error| (exit::INPUT_OUTPUT, with_causes(&error)))?;
                self.say(Some(format!(
                    "this run is finished: {} units in, {} results, {} filtered, {} dead; --fresh runs it again",
                    manifest.units_in, manifest.results, manifest.filtered, manifest.dead
                )));
                Ok(Some(if manifest.dead > 0 { exit::DEAD } else { exit::COMPLETE }))
            }
        }
    }

    fn say_waiting(&self, path: &Path) {
        self.say(Some(format!(
            "processes of a launcher that was killed still use {}; waiting for their end",
            path.display()
        )));
    }

    fn say(&self, text: Option<String>) {
        if let (false, Some(text)) = (self.quiet, text) {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    fn options(&self, topology: &Topology) -> Options {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Options {
            voice: if self.quiet { Voice::Quiet } else { Voice::Normal },
            flags: Flags {
                key: told_file(self.key.as_deref())
                    .as_ref()
                    .map(absolute)
                    .or_else(|| topology.key.clone()),
                bind: self.bind.clone().or_else(|| topology.bind.clone()),
                insecure: self.insecure || topology.insecure,
                run_dir: self.run_dir(topology).as_ref().map(absolute),
            },
        }
    }
}

/// Who has a run directory, and what to do about it.
fn in_use(path: &Path, error: &LockError) -> String {
    match error {
        LockError::Held { holder, .. } => format!(
            "the run in {} goes on: {holder} holds it; wait for its end, stop it, or use another --run-dir",
            path.display()
        ),
        error => error.to_string(),
    }
}

/// Whether who holds a lock has lost its launcher: this process has what that one had.
fn ends_soon(error: &LockError) -> bool {
    matches!(error, LockError::Held { holder, .. } if holder.launched)
}

/// Whether the processes will find a key that is fit for use: better said once than by each.
fn check_key(flags: &Flags) -> Result<(), KeyError> {
    match &flags.key {
        _ if flags.insecure => Ok(()),
        Some(path) => Key::read(path).map(drop),
        None if flags.bind.is_some() => Key::find(None).map(drop),
        None => Ok(()),
    }
}

/// The processes of a launcher that was killed end with it, but not in the same instant: a run
/// directory that is `held` may be free a moment later.
fn once_free<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    held: impl Fn(&E) -> bool,
    waits: impl FnOnce(),
) -> Result<T, E> {
    let start = Instant::now();
    let mut waits = Some(waits);
    loop {
        match attempt() {
            Err(error) if held(&error) && start.elapsed() < PREDECESSORS_END => {
                if let Some(waits) = waits.take() {
                    waits();
                }
                thread::sleep(LOOK_INTERVAL);
            }
            result => return result,
        }
    }
}

/// What the summary is written on: tried before the run, so that an hour's work does not end
/// with a folder that was never there.
enum Paper {
    /// Becomes the file once it is written in full.
    New(PathBuf),
    /// A pipe or a device.
    Existing(fs::File, PathBuf),
}

impl Paper {
    fn lay_out(path: &Path) -> Result<Self, String> {
        let problem = |error: io::Error| cannot_write(path, &error);
        if fs::metadata(path).is_ok_and(|data| !data.is_file()) {
            let file = fs::File::options().write(true).open(path).map_err(problem)?;
            return Ok(Self::Existing(file, path.into()));
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::read_dir(folder).map_err(problem)?;
        // A file without a name: whoever kills this process finds nothing left of it.
        tempfile::tempfile_in(folder).map_err(|error| problem(error.kind().into()))?;
        Ok(Self::New(path.into()))
    }

    fn write(self, json: &[u8]) -> Result<(), String> {
        match self {
            Self::New(path) => {
                let draft = draft_of(&path);
                fs::write(&draft, json)
                    .and_then(|()| fs::rename(&draft, &path))
                    .map_err(|error| cannot_write(&path, &error))
            }
            Self::Existing(mut file, path) => {
                file.write_all(json).map_err(|error| cannot_write(&path, &error))
            }
        }
    }
}

/// Beside the file, and always the same: what a kill leaves there the next run writes over.
fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

fn file_summary(paper: Option<Paper>, outcome: &Outcome) -> i32 {
    let (Some(paper), Some(json)) = (paper, &outcome.summary) else { return outcome.code };
    match paper.write(json) {
        Ok(()) => outcome.code,
        Err(problem) => {
            complain(&problem);
            exit::INPUT_OUTPUT
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_summary_leaves_no_trace_before_it_is_written_and_none_but_itself_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        let paper = Paper::lay_out(&path).unwrap();
        // What a kill at this moment would leave behind.
        assert_eq!(names(folder.path()), [""; 0]);
        // And what one in the middle of writing did.
        fs::write(draft_of(&path), "half a summ").unwrap();
        paper.write(b"{}").unwrap();
        assert_eq!(names(folder.path()), ["summary.json"]);
        assert_eq!(fs::read(&path).unwrap(), b"{}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_found_out_before_the_run() {
        let problem = Paper::lay_out(Path::new("/no/such/folder/s.json")).err().unwrap();
        assert!(problem.starts_with("cannot write /no/such/folder/s.json: "), "{problem}");
    }
}
