//! `pipeline logs`: what the processes of a run and their programs have written.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, SystemTime},
};

use clap::Args;
use proto::{
    lines::{by_hand, harmless},
    process::exit_code,
    streams,
};
use serde_json::json;

use super::{Format, complain, onlooker::Onlooker};
use crate::{
    aftermath::place,
    logs::{
        Entry,
        reader::{Filter, Logs},
    },
    runs::choice,
    up::{exit, run_dir},
};

/// How often it is looked for more.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Shows what the processes of a run and their programs have written.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// The run: its directory, its topology, or, as long as it goes on, its name or id [default: the only
    /// one in .pipeline here, or that goes on]
    #[arg(value_name = "RUN")]
    run: Option<PathBuf>,
    /// The same, as other commands take it
    #[arg(long, value_name = "DIR", conflicts_with = "run")]
    run_dir: Option<PathBuf>,
    /// Go on with what is written from now on, until the run ends
    #[arg(long, short)]
    follow: bool,
    /// Only workers of this stage
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Only this process, as fetch-1, sink, or up, which is the launcher
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// Only lines about this unit
    #[arg(long, value_name = "ID")]
    unit: Option<String>,
    /// Only lines that are no older, as 30s or 5m
    #[arg(long, value_name = "DURATION", value_parser = proto::cli::duration)]
    since: Option<Duration>,
    /// How lines are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl LogsArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(self.act().unwrap_or_else(|(code, problem)| {
            complain(&problem);
            code
        }))
    }

    fn act(&self) -> Result<i32, (i32, String)> {
        let named = self.run.as_deref().or(self.run_dir.as_deref());
        let found = place::find(named, Path::new("."));
        // A run that goes on has a name and an id, wherever it is kept.
        let run_dir = found.or_else(|error| {
            let run = choice::choose(named.and_then(Path::to_str)).ok();
            run.and_then(|run| run.run_dir).ok_or((exit::NO_INPUT, error.to_string()))
        })?;
        streams::has_output().map_err(|error| (exit::INPUT_OUTPUT, error.to_string()))?;
        match self.print(&run_dir) {
            Ok(()) => {}
            // A reader that has gone has what it wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                let problem = format!("cannot write to standard output: {error}");
                return Err((exit::INPUT_OUTPUT, problem));
            }
        }
        Ok(exit::COMPLETE)
    }

    fn filter(&self) -> Filter {
        Filter {
            stage: self.stage.clone(),
            worker: self.worker.clone(),
            unit: self.unit.clone(),
            since: self.since.and_then(|since| SystemTime::now().checked_sub(since)),
        }
    }

    fn print(&self, run_dir: &Path) -> io::Result<()> {
        let filter = self.filter();
        let run = if self.follow { choice::in_directory(run_dir) } else { None };
        let onlooker = run.as_ref().map(Onlooker::of);
        let mut logs = Logs::of(run_dir);
        let mut out = BufWriter::new(io::stdout().lock());
        let form = self.form();
        loop {
            // Before it is read: what is written until the end of the run is read then.
            let goes_on = self.follow && run_dir::is_in_use(run_dir);
            let mut written = Ok(());
            logs.read(&mut |entry| {
                if filter.admits(entry) {
                    written = writeln!(out, "{}", form(entry));
                }
                written.is_ok()
            });
            written.and_then(|()| out.flush())?;
            if !goes_on {
                break;
            }
            thread::sleep(LOOK_INTERVAL);
        }
        if !logs.processes().any(|process| filter.admits_process(process)) {
            complain(&unknown(&logs, run_dir));
        }
        if let Some(onlooker) = onlooker {
            let _ = writeln!(io::stderr(), "{}", onlooker.end());
        }
        Ok(())
    }

    fn form(&self) -> fn(&Entry) -> String {
        match self.output {
            Format::Json => as_json,
            Format::Text if io::stdout().is_terminal() => {
                |entry| as_text(entry, &harmless(&entry.text))
            }
            Format::Text => |entry| as_text(entry, &entry.text),
        }
    }
}

fn as_text(entry: &Entry, text: &str) -> String {
    let at = humantime::format_rfc3339_millis(entry.at);
    format!("{at} {}", by_hand(&entry.process, entry.unit.as_deref(), text))
}

fn as_json(entry: &Entry) -> String {
    json!({
        "time": humantime::format_rfc3339_micros(entry.at).to_string(),
        "worker": entry.process,
        "stage": entry.stage(),
        "unit": entry.unit,
        "stream": entry.stream.name(),
        "text": entry.text,
    })
    .to_string()
}

/// Nobody who is asked for has written anything.
fn unknown(logs: &Logs, run_dir: &Path) -> String {
    let known: Vec<&str> = logs.processes().collect();
    match known.as_slice() {
        [] => {
            format!("nothing is kept in {} of what its processes have written", run_dir.display())
        }
        known => format!("no such process has written anything; these have: {}", known.join(", ")),
    }
}
