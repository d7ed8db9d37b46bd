//! `pipeline up`: a whole topology in the foreground.
//!
//! Owns its flags and the summary's file; the run is [`crate::up`]'s.

use std::{
    env, fs,
    net::SocketAddr,
    path::{self, Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use proto::{
    causes::with_causes,
    files::raise_limit_for,
    footing::check_threads,
    net::{
        endpoint::Endpoint,
        host::settle,
        key::{Key, KeyError, told_file},
        lock::{Lock, LockError, PREDECESSORS_END},
    },
    process::exit_code,
    streams::{self, StreamsError},
};
use sink::{
    Existing, Spared, Summary,
    claim::Files,
    config::OutputSpec,
    figures::counted,
    run_dir::{RunDir, RunDirError},
};
use ventilator::source::{SourceSpec, is_own_stdin};

use super::{
    Format, complain, detach, load,
    paper::{Paper, file_summary},
    print,
};
use crate::{
    aftermath::place,
    halt::Hopeless,
    runs,
    topology::{STANDARD_INPUT, Topology, public_endpoint},
    up::{
        self, End, Options, RunEnd,
        display::{Voice, notice},
        exit,
        http::Bound,
        presence::Presence,
        record::{self, Changed, RecordError, RunState},
        run_dir::{self, ForgetError},
        workplace::Flags,
    },
};

/// Why there was no run: the code to leave with, and what is told.
pub(super) type Refusal = (i32, String);

const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// The same where someone else's run has to end first.
const TURN_INTERVAL: Duration = Duration::from_millis(50);

/// Starts every process of a topology, watches over them, shows progress.
#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// The topology; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Change the topology first, as in --set stage.square.workers=4
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Write the summary as JSON
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Append a line for each unit as it is recorded: GNU parallel's columns, then unit, attempt, stage
    #[arg(long, value_name = "FILE")]
    joblog: Option<PathBuf>,
    /// How the summary is told at the end: text, on stderr; json, on stdout, where no results may go
    /// then
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
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
    /// Go on with a run whose stages, settings or source have changed: results that are there stay,
    /// what is left or has failed is done with what is new
    #[arg(long, conflicts_with_all = ["fresh", "ephemeral"])]
    accept_change: bool,
    /// Go on with a run whose source has only grown, also a finished one: do what is new
    #[arg(long = "continue", conflicts_with_all = ["fresh", "ephemeral", "accept_change"])]
    goes_on: bool,
    /// Write over files that are there and that no run of this run directory has made
    #[arg(long)]
    overwrite: bool,
    /// Keep nothing: the run ends with its sink or its ventilator
    #[arg(long, conflicts_with_all = ["run_dir", "fresh"])]
    ephemeral: bool,
    /// After Ctrl-C or SIGTERM, wait no longer for what workers work on, as in 60s or 5m; it is
    /// left undone then, and the run can be resumed [default: as long as it takes]
    #[arg(long, value_name = "DURATION", value_parser = proto::cli::duration)]
    drain_limit: Option<Duration>,
    /// Let workers on other machines join: where the ventilator listens besides, as in
    /// tcp://*:5557; the sink takes the next port [default: the topology's]
    #[arg(long, value_name = "ENDPOINT", value_parser = public_endpoint)]
    bind: Option<Endpoint>,
    /// The key file [env: PIPELINE_KEY] [default: the topology's, or the user's own]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// No encryption and no authentication over tcp
    #[arg(long)]
    insecure: bool,
    /// When to stop as hopeless: never, or once the first units of a stage have all failed, as in
    /// hopeless=20 or now,hopeless=5 [default: the topology's, hopeless=20]
    #[arg(long, value_name = "RULE")]
    halt: Option<Hopeless>,
    /// Go on in the background: return once the run has begun, or has failed
    #[arg(long, short)]
    detach: bool,
    /// Serve a page that shows the run, its numbers for Prometheus and as JSON: at a port, or an
    /// address with one, as in 127.0.0.1:0, where 0 is any that is free. Other machines need the token
    /// in the address that is printed
    #[arg(long, value_name = "ADDRESS", env = up::http::VARIABLE, hide_env_values = true)]
    #[arg(value_parser = up::http::address::address)]
    http: Option<SocketAddr>,
    /// If this run goes on already, wait for its end first
    #[arg(long)]
    wait: bool,
    /// This is the process in the background
    #[arg(long = detach::FLAG, hide = true)]
    detached: bool,
}

impl UpArgs {
    pub(super) fn run(self) -> ExitCode {
        if let Err((code, problem)) = self.find_folder() {
            complain(&problem);
            return exit_code(code);
        }
        // What a topology may say depends on it.
        let bind = self.bind.as_ref().map(|bind| format!("bind=\"{bind}\""));
        let halt = self.halt.as_ref().map(|rule| format!("halt=\"{rule}\""));
        let sets: Vec<String> = self.sets.iter().cloned().chain(bind).chain(halt).collect();
        let mut topology = match load(&self.file, &sets) {
            Ok(topology) => self.without_own(self.with_letters(topology)),
            Err(code) => return code,
        };
        if let Some(problem) = self.standard_input_twice(&topology) {
            complain(&problem);
            return exit_code(exit::USAGE);
        }
        if self.overwrite {
            topology.sink.overwrite = Existing::Overwrite;
        }
        let gone = match self.detach && !self.detached {
            true => self.start_detached(&topology).map(|code| (code, Presence::default())),
            false => self.go(&topology),
        };
        exit_code(match gone {
            Ok((code, presence)) => {
                // Nothing of the run is held any more: who hears of its end may begin it again.
                presence.over(code);
                code
            }
            Err((code, problem)) => {
                complain(&problem);
                code
            }
        })
    }

    /// A topology that is read from standard input has used that up.
    fn standard_input_twice(&self, topology: &Topology) -> Option<&'static str> {
        match self.file.as_path() == Path::new(STANDARD_INPUT) {
            true if topology.source == SourceSpec::Stdin => {
                Some("standard input is the topology, so the source can't be that too")
            }
            true if self.detach => Some("a run in the background needs its topology in a file"),
            _ => None,
        }
    }

    fn start_detached(&self, topology: &Topology) -> Result<i32, Refusal> {
        let run_dir = self.run_dir(topology);
        if let Some(path) = run_dir.as_deref().filter(|path| path.is_dir() && !self.wait) {
            // Told here, and not in the log of the one that goes on.
            drop(self.claim(path)?);
        }
        detach::start(&detach::Order {
            topology,
            run_dir: run_dir.as_deref(),
            is_fresh: self.fresh,
            is_quiet: self.quiet,
        })
    }

    fn go(&self, topology: &Topology) -> Result<(i32, Presence), Refusal> {
        let to_stdout = topology.sink.output == Some(OutputSpec::Stdout);
        if self.output == Format::Json && to_stdout {
            let problem = "--output json: the results go to standard output already; take `--summary FILE`, or another output: `--set sink.output=FILE`";
            return Err((exit::USAGE, problem.into()));
        }
        if topology.retention.is_some() && self.run_dir(topology).is_none() {
            let problem =
                "--ephemeral: a service keeps what it has accepted, so it needs a run directory";
            return Err((exit::USAGE, problem.into()));
        }
        if let Some(problem) = topology.missing_programs().next() {
            return Err((exit::UNFIT, problem));
        }
        let mut options = self.options(topology);
        options.page = self.bind_page()?.map(Arc::new);
        self.refuse_same_files(topology, &options.flags)?;
        let paper = Paper::lay_out(self.summary.as_deref(), topology, &options.flags);
        let paper = paper.map_err(|problem| (exit::INPUT_OUTPUT, problem))?;
        check_key(&options.flags).map_err(|error| (exit::TOPOLOGY, error.to_string()))?;
        check_streams(topology).map_err(|error| (exit::INPUT_OUTPUT, error.to_string()))?;
        settle_bind(&mut options.flags)?;
        // Every process of the run gets what this one has, and some talk to all workers.
        let workers = topology.stages.iter().map(|stage| stage.workers as usize).sum();
        raise_limit_for(workers).map_err(|error| (exit::SYSTEM, error.to_string()))?;
        check_threads().map_err(|error| (exit::SYSTEM, error.to_string()))?;
        // Until the end of the run.
        let mut claim = None;
        if let Some(path) = &options.flags.run_dir
            && let Some(outcome) = self.look_into(path, topology, &mut claim)?
        {
            return Ok((self.hand_over(paper, &outcome), outcome.presence));
        }
        let outcome = up::run(topology, &options);
        let outcome = outcome.map_err(|error| (exit::SYSTEM, error.to_string()))?;
        Ok((self.hand_over(paper, &outcome), outcome.presence))
    }

    /// A port that somebody else has is told of before anything starts.
    fn bind_page(&self) -> Result<Option<Bound>, Refusal> {
        let bind = |address| {
            Bound::at(address).map_err(|error| {
                let problem = format!("--http {address}: {error}; port 0 takes any that is free");
                (exit::SYSTEM, problem)
            })
        };
        self.http.map(bind).transpose()
    }

    /// Hands the summary to whoever has asked for it; the code to leave with.
    fn hand_over(&self, paper: Paper, outcome: &RunEnd) -> i32 {
        let code = file_summary(paper, outcome);
        match &outcome.summary {
            Some(json) if self.output == Format::Json => {
                match print(&format!("{}\n", String::from_utf8_lossy(json).trim_end())) {
                    exit::COMPLETE => code,
                    failed => failed,
                }
            }
            _ => code,
        }
    }

    /// What is given is found from the current folder, unless it says where it is in full.
    fn find_folder(&self) -> Result<(), Refusal> {
        let given = [&self.run_dir, &self.summary, &self.joblog, &self.key].into_iter().flatten();
        let relative = given.chain([&self.file]).any(|path| path.is_relative());
        match env::current_dir() {
            Err(error) if relative => Err((
                exit::SYSTEM,
                format!(
                    "the current folder can't be found: {error}; change to another one (`cd`), or give paths in full"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// What is given with flags may lead to the same files as what is in the topology, which was
    /// checked for itself.
    fn refuse_same_files(&self, topology: &Topology, flags: &Flags) -> Result<(), Refusal> {
        let mut files = Files::default();
        files.written("the output", topology.sink.output.as_ref().and_then(OutputSpec::path));
        files.written("the file of dead letters", Some(&topology.sink.dead_path()));
        files.written("--summary", self.summary.as_deref());
        files.written("--joblog", self.joblog.as_deref());
        for Spared { what, path } in &flags.spared {
            files.read(what, Some(path));
        }
        match files.clash(flags.run_dir.as_deref()) {
            Some(clash) => Err((exit::USAGE, clash)),
            None => Ok(()),
        }
    }

    /// From here on it is known where the run is.
    fn with_letters(&self, mut topology: Topology) -> Topology {
        if topology.retention.is_some()
            && let Some(run_dir) = self.run_dir(&topology)
        {
            topology.sink.dead = Some(place::letters(&topology, &run_dir));
        }
        topology
    }

    /// What the run writes is no input of it, though the pattern of a source may match it.
    fn without_own(&self, mut topology: Topology) -> Topology {
        let dead = topology.sink.dead_path();
        let output = topology.sink.output.as_ref().and_then(OutputSpec::path).map(PathBuf::from);
        let run_dir = self.run_dir(&topology);
        let own = [Some(dead), output, run_dir, self.summary.clone(), self.joblog.clone()];
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

    /// What the run directory holds decides whether there is anything to do; how it ended if
    /// there is not.
    fn look_into(
        &self,
        path: &Path,
        topology: &Topology,
        claim: &mut Option<Lock>,
    ) -> Result<Option<RunEnd>, Refusal> {
        // Nothing is written into a folder that --fresh will refuse.
        if !self.fresh || run_dir::is_run(path) {
            *claim = Some(self.claim(path)?);
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
            *claim = Some(self.claim(path)?);
        }
        if topology.sink.output == Some(OutputSpec::Stdout) {
            self.say(Some("lines on standard output cannot be taken back: if the sink dies, some may come twice".into()));
        }
        let held = |error: &RecordError| match error {
            RecordError::RunDir(RunDirError::Locked(error)) => ends_soon(error),
            _ => false,
        };
        let changed = match (self.accept_change, self.goes_on) {
            (true, _) => Changed::Accepted,
            (_, true) => Changed::Grown,
            _ => Changed::Refused,
        };
        let check_in = || record::check_in(path, topology, changed);
        let standing =
            once_free(check_in, held, || self.say_waiting(path)).map_err(|error| match error {
                RecordError::Other { .. } | RecordError::Never { .. } => {
                    (exit::TOPOLOGY, error.to_string())
                }
                error => (exit::INPUT_OUTPUT, with_causes(&error)),
            })?;
        match standing {
            RunState::New => Ok(None),
            RunState::Unfinished => {
                self.say(run_dir::describe(path).map(|run| format!("resuming {run}")));
                Ok(None)
            }
            RunState::Finished => self.tell_finished(path).map(Some),
        }
    }

    /// Claims a run directory; where another launcher has it, its end is waited for if that is wanted.
    fn claim(&self, path: &Path) -> Result<Lock, Refusal> {
        let mut is_told = false;
        loop {
            let error = match run_dir::claim(path) {
                Ok(lock) => return Ok(lock),
                Err(error @ LockError::Held { .. }) => error,
                Err(error) => return Err((exit::INPUT_OUTPUT, error.to_string())),
            };
            if !self.wait {
                let problem = format!("{}; --wait waits for its end", going_on(path, &error));
                return Err((exit::DRAINED, problem));
            }
            if !is_told {
                self.say(Some(format!("{}; waiting for its end", going_on(path, &error))));
                is_told = true;
            }
            thread::sleep(TURN_INTERVAL);
        }
    }

    /// What a finished run has given is had again, in full: whoever was to be told it may have been
    /// killed.
    fn tell_finished(&self, path: &Path) -> Result<RunEnd, Refusal> {
        let failed = |problem| (exit::INPUT_OUTPUT, problem);
        let run_dir = RunDir::open(path).map_err(|error| failed(with_causes(&error)))?;
        let summary = run_dir.summary().map_err(|error| failed(with_causes(&error)))?;
        let summary = summary.ok_or_else(|| {
            failed(format!("{} says that its run is finished, but not how", path.display()))
        })?;
        if let Some(gone) = gone(&summary) {
            return Err(failed(format!(
                "this run is finished, and {} is gone: put it back, or --fresh runs everything again",
                gone.display()
            )));
        }
        let facts = match self.output {
            Format::Text => format!("\n\n{}", summary.to_string().trim_end()),
            Format::Json => String::new(),
        };
        self.say(Some(format!(
            "this run is finished: {}, {}, {} filtered, {} dead; --fresh runs it again{facts}",
            counted(summary.units_in, ["unit in", "units in"]),
            counted(summary.results, ["result", "results"]),
            summary.filtered,
            summary.dead,
        )));
        Ok(RunEnd {
            code: if summary.dead > 0 { exit::DEAD } else { exit::COMPLETE },
            summary: serde_json::to_vec_pretty(&summary).ok(),
            presence: Presence::default(),
        })
    }

    fn say_waiting(&self, path: &Path) {
        self.say(Some(format!(
            "processes of a launcher that was killed still use {}; waiting for their end",
            path.display()
        )));
    }

    fn say(&self, text: Option<String>) {
        if let (false, Some(text)) = (self.quiet, text) {
            notice(&text);
        }
    }

    fn options(&self, topology: &Topology) -> Options {
        let absolute = |path: &PathBuf| path::absolute(path).unwrap_or_else(|_| path.clone());
        Options {
            voice: if self.quiet { Voice::Quiet } else { Voice::Normal },
            end: match self.output {
                Format::Text => End::Told,
                Format::Json => End::Handed,
            },
            file: self.file.clone(),
            page: None,
            flags: Flags {
                key: told_file(self.key.as_deref())
                    .as_ref()
                    .map(absolute)
                    .or_else(|| topology.key.clone()),
                bind: self.bind.clone().or_else(|| topology.bind.clone()),
                insecure: self.insecure || topology.insecure,
                run_dir: self.run_dir(topology).as_ref().map(absolute),
                drain_limit: self.drain_limit,
                log: self.quiet.then_some("error"),
                joblog: self.joblog.as_ref().map(absolute),
                spared: self.spared(topology),
            },
        }
    }

    /// The files that the run reads.
    fn spared(&self, topology: &Topology) -> Vec<Spared> {
        let absolute = |path: PathBuf| path::absolute(&path).unwrap_or(path);
        let spared = |what: &str, path| Spared { what: what.into(), path: absolute(path) };
        let stdin = || fs::read_link("/proc/self/fd/0").ok().filter(|path| path.is_file());
        let source = match &topology.source {
            SourceSpec::Stdin => stdin(),
            source => source.path().map(Path::to_path_buf),
        };
        let key = told_file(self.key.as_deref()).or_else(|| topology.key.clone());
        let files = [("the source", source), ("the key file", key)];
        let files = files.into_iter().filter_map(|(what, path)| Some(spared(what, path?)));
        files.chain([spared("the topology", self.file.clone())]).collect()
    }
}

/// The output or the dead letters of a finished run, if somebody has taken them away.
fn gone(summary: &Summary) -> Option<&Path> {
    let output = summary.output.as_ref().map(|output| output.path.as_path());
    let letters = summary.dead_letters.as_deref().filter(|_| summary.dead > 0);
    let is_gone = |path: &&Path| fs::symlink_metadata(path).is_err();
    output.into_iter().chain(letters).find(is_gone)
}

/// Who has a run directory, as far as that is known: `already running: pid 123 since 09:02, 41 %`.
fn going_on(path: &Path, error: &LockError) -> String {
    let Some(run) = runs::choice::in_directory(path) else {
        return format!("the run in {} goes on: {error}", path.display());
    };
    let reached = runs::call::status(&run).map(|status| format!(", {}", status.reached()));
    let since = runs::when::told(run.since);
    format!("already running: pid {} since {since}{}", run.pid, reached.unwrap_or_default())
}

/// Whether who holds a lock has ended, or lost its launcher: this process has what that one had.
fn ends_soon(error: &LockError) -> bool {
    matches!(error, LockError::Held { holder, .. } if holder.ends_soon())
}

/// Whether a run reads what this process would read.
pub(super) fn reads_own_input(topology: &Topology) -> bool {
    match &topology.source {
        SourceSpec::Stdin => true,
        source => source.path().is_some_and(is_own_stdin),
    }
}

/// Whether the standard streams that the run needs were given to this process.
fn check_streams(topology: &Topology) -> Result<(), StreamsError> {
    if reads_own_input(topology) {
        streams::has_input()?;
    }
    match topology.sink.output {
        Some(OutputSpec::Stdout) => streams::has_output(),
        _ => Ok(()),
    }
}

/// Workers elsewhere are told where the sink is, and a name may mean something else to them.
fn settle_bind(flags: &mut Flags) -> Result<(), Refusal> {
    if let Some(bind) = &mut flags.bind {
        *bind = settle(bind).map_err(|error| (exit::SYSTEM, error.to_string()))?;
    }
    Ok(())
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
