//! The flags of a sink that is started by hand.

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use proto::{
    causes::with_causes,
    cli, footing,
    net::{
        endpoint::{Endpoint, listening},
        key::{Key, told_file},
        zeromq::SharedContext,
    },
    process,
    telling::{self, Level},
};

use crate::{
    config::{Aggregate, Field, GroupBy, Order, OutputSpec, SinkConfig},
    outcomes::Retention,
    output::claim::{Existing, Files, Spared},
    record::terms::Told,
    report::joblog::JobLogSpec,
    run::{self, Setup},
};

/// The example at the foot of the usage; it works when pasted, with the other two beside.
pub const EXAMPLE: &str = "Example, in three terminals:
  sink       --bind tcp://127.0.0.1:5558 --output squares.jsonl
  ventilator --bind tcp://127.0.0.1:5557 --sink tcp://127.0.0.1:5558 \\
             --source range:1..1000
  worker     --ventilator tcp://127.0.0.1:5557 --run square";

/// What has to be given: clap would leave out what the hidden `--setup` replaces.
const USAGE: &str = "sink [OPTIONS] --bind <ENDPOINT>";

/// Collects, dedupes, commits and aggregates the results.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, override_usage = USAGE, after_help = EXAMPLE)]
pub struct SinkArgs {
    /// Where workers and the ventilator reach this process; may be given more than once
    #[arg(long, value_name = "ENDPOINT", required_unless_present = "setup", value_parser = listening)]
    bind: Vec<Endpoint>,
    /// Where results go: .jsonl, .csv or .sqlite; - for stdout [default: aggregates only]
    #[arg(long, value_name = "FILE")]
    output: Option<OutputSpec>,
    /// input: by place in the source; completion: as they come
    #[arg(long, value_name = "ORDER", default_value = "input")]
    order: Order,
    /// What a line holds: id, input, value, stage, attempt, worker, ms [default: the value alone]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    fields: Vec<Field>,
    /// count, sum, mean, min, max, stddev, p50, p90, p99, p999, histogram, top
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    aggregate: Vec<Aggregate>,
    /// Aggregate by a field of the value, or by `value` itself
    #[arg(long, value_name = "KEY")]
    group_by: Option<GroupBy>,
    /// The field of the value that is aggregated [default: the value itself]
    #[arg(long, value_name = "FIELD")]
    on: Option<String>,
    /// How many `top` shows
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Groups, or values of `top`, that are told apart; the others are counted together, so that
    /// memory stays bounded [default: 1000000, which take about 270 MiB]
    #[arg(long, value_name = "N")]
    groups_max: Option<usize>,
    /// Where dead letters go [default: OUTPUT.dead.jsonl]
    #[arg(long, value_name = "FILE")]
    dead: Option<PathBuf>,
    /// Keep what is needed to go on after a crash or Ctrl-C; the same command again resumes
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Write the summary as JSON
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Append a line for each unit as it is recorded: GNU parallel's columns, then unit, attempt, stage
    #[arg(long, value_name = "FILE")]
    joblog: Option<PathBuf>,
    /// The sink of a service (a ventilator with --source service): keep outcomes for clients so long;
    /// needs --run-dir, and writes as they come
    #[arg(long, value_name = "DURATION", value_parser = cli::duration)]
    retain: Option<Duration>,
    /// Write over files, and tables of a database, that are there and that no run of this run
    /// directory has made
    #[arg(long)]
    overwrite: bool,
    /// The key file [env: PIPELINE_KEY] [default: the user's own, made at first use]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// No encryption and no authentication over tcp; needed on both sides
    #[arg(long)]
    insecure: bool,
    /// No summary on stderr
    #[arg(long, short)]
    quiet: bool,
    /// Everything above, as the launcher writes it
    #[arg(long, value_name = "FILE", hide = true)]
    setup: Option<PathBuf>,
}

impl SinkArgs {
    /// Runs a sink as the flags say.
    pub fn run(self) -> ExitCode {
        process::end_with_parent();
        process::keep_memory();
        if let Err(error) = footing::find() {
            process::complain("sink", &error);
            return ExitCode::from(process::NO_ROOM);
        }
        let (key, insecure, quiet) = (self.key.clone(), self.insecure, self.quiet);
        let told = tell(self.quiet);
        let setup = match self.into_setup() {
            Ok(setup) => setup,
            Err((code, problem)) => {
                process::complain("sink", &problem);
                return ExitCode::from(code);
            }
        };
        let key = match Key::for_process(key.as_deref(), insecure, &setup.bind) {
            Ok(key) => key,
            Err(error) => {
                process::complain("sink", &error);
                return ExitCode::from(process::NO_KEY);
            }
        };
        let started = |handle| {
            if !quiet && !process::has_launcher() {
                let at: Vec<String> = setup.bind.iter().map(ToString::to_string).collect();
                let text = format!("listening on {}, waiting for a ventilator", at.join(", "));
                telling::announce("sink", &text);
            }
            cli::drain_on_signals(handle);
        };
        match run::run(&setup, &SharedContext::new(), key, told, started) {
            Ok(code) => process::exit_code(code),
            Err(error) => {
                process::complain("sink", &with_causes(&error));
                ExitCode::from(74)
            }
        }
    }

    /// What to be; else the exit code and what is told.
    fn into_setup(self) -> Result<Setup, (u8, String)> {
        match &self.setup {
            Some(path) => {
                let setup: Setup = process::read_setup(path)
                    .map_err(|error| (process::NO_SETUP, error.to_string()))?;
                Ok(Setup { summary: self.summary, ..setup })
            }
            None => self.setup_by_hand().map_err(|problem| (64, problem)),
        }
    }

    fn setup_by_hand(self) -> Result<Setup, String> {
        if self.fields.contains(&Field::Input) {
            return Err("--fields input: only a topology's sink can have it, since the ventilator has to send it along".into());
        }
        if self.retain.is_some() && self.run_dir.is_none() {
            return Err(
                "--retain: outcomes are kept in a run directory; give one with --run-dir".into()
            );
        }
        let retention = self.retain.map(|retain| Retention {
            ms: u64::try_from(retain.as_millis()).unwrap_or(u64::MAX),
            ..Retention::default()
        });
        let config = SinkConfig {
            output: self.output,
            // Clients' units come in no order that anything could wait for.
            order: if retention.is_some() { Order::Completion } else { self.order },
            fields: self.fields,
            aggregate: self.aggregate,
            group_by: self.group_by,
            on: self.on,
            top: self.top,
            groups_max: self.groups_max,
            dead: self.dead,
            overwrite: if self.overwrite { Existing::Overwrite } else { Existing::Keep },
        };
        let mut files = Files::default();
        files.written("--output", config.output.as_ref().and_then(OutputSpec::path));
        let letters = if config.dead.is_some() { "--dead" } else { "the file of dead letters" };
        files.written(letters, Some(&config.dead_path()));
        files.written("--summary", self.summary.as_deref());
        files.written("--joblog", self.joblog.as_deref());
        let key = told_file(self.key.as_deref());
        files.read("the key file", key.as_deref());
        if let Some(clash) = files.clash(self.run_dir.as_deref()) {
            return Err(clash);
        }
        let spared = key.map(|path| Spared { what: "the key file".into(), path });
        Ok(Setup {
            name: process::default_name("sink"),
            bind: self.bind,
            config,
            carries_input: false,
            run_dir: self.run_dir,
            summary: self.summary,
            joblog: self.joblog.map(|path| JobLogSpec { path, commands: Vec::new() }),
            retention,
            spared: spared.into_iter().collect(),
            limits: Default::default(),
        })
    }
}

/// Shows the summary to whoever started the sink.
fn tell(quiet: bool) -> Told {
    Box::new(move |summary, drained| {
        if !quiet {
            let note = if drained { "stopped before the end of the source\n" } else { "" };
            if telling::is_json() {
                let facts = serde_json::to_value(summary).unwrap_or_default();
                let facts = [("summary".to_owned(), facts)].into_iter().collect();
                let text = if drained { note.trim() } else { "complete" };
                let _ = writeln!(
                    std::io::stderr(),
                    "{}",
                    telling::object(Level::Info, "sink", text, facts)
                );
                return Ok(());
            }
            // Nobody may be left to read it; that is no reason to fail.
            let _ = write!(std::io::stderr(), "{note}{summary}");
        }
        Ok(())
    })
}
