//! The flags of a ventilator that is started by hand.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use proto::{
    causes::with_causes,
    cli, footing,
    limits::RETRIES,
    net::{
        endpoint::{Endpoint, elsewhere, listening, told},
        key::Key,
        zeromq::SharedContext,
    },
    plan::{Function, Stage},
    process, telling,
};

use crate::{
    run::{self, Setup},
    source::{SourceSpec, delimiter},
};

/// The example at the foot of the usage; it works when pasted, with a sink and a worker beside.
pub const EXAMPLE: &str = "Example, in three terminals:
  sink       --bind tcp://127.0.0.1:5558 --output squares.jsonl
  ventilator --bind tcp://127.0.0.1:5557 --sink tcp://127.0.0.1:5558 \\
             --source range:1..1000
  worker     --ventilator tcp://127.0.0.1:5557 --run square";

/// What has to be given: clap would leave out what the hidden `--setup` replaces.
const USAGE: &str = "ventilator [OPTIONS] --bind <ENDPOINT> --sink <ENDPOINT> --source <SPEC>";

/// Reads a source and pushes its units to workers.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, override_usage = USAGE, after_help = EXAMPLE)]
pub struct VentilatorArgs {
    /// Where workers and the sink reach this process; may be given more than once
    #[arg(long, value_name = "ENDPOINT", required_unless_present = "setup", value_parser = listening)]
    bind: Vec<Endpoint>,
    /// What peers are told instead of --bind, for addresses that are translated on the way
    #[arg(long, value_name = "ENDPOINT", value_parser = told)]
    advertise: Vec<Endpoint>,
    /// Where the sink listens
    #[arg(long, value_name = "ENDPOINT", required_unless_present = "setup", value_parser = elsewhere)]
    sink: Option<Endpoint>,
    /// range:A..B (inclusive), lines:FILE, jsonl:FILE, csv:FILE, files:GLOB or stdin
    #[arg(long, value_name = "SPEC", required_unless_present = "setup")]
    source: Option<SourceSpec>,
    /// What separates the cells of a csv source [default: a comma]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<char>,
    /// The stages that units pass through, in order; workers join one with --stage
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "work")]
    stages: Vec<String>,
    /// How often a unit that failed is tried again
    #[arg(long, value_name = "N", default_value_t = RETRIES)]
    retries: u32,
    /// After Ctrl-C or SIGTERM, wait no longer for what workers work on, as in 60s or 5m; it is
    /// left undone then [default: as long as it takes]
    #[arg(long, value_name = "DURATION", value_parser = cli::duration)]
    drain_limit: Option<Duration>,
    /// Keep what is needed to go on after a crash: a copy of standard input, and a diary
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// The key file [env: PIPELINE_KEY] [default: the user's own, made at first use]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// No encryption and no authentication over tcp; needed on both sides
    #[arg(long)]
    insecure: bool,
    /// Everything above, as the launcher writes it
    #[arg(long, value_name = "FILE", hide = true)]
    setup: Option<PathBuf>,
}

impl VentilatorArgs {
    /// Runs a ventilator as the flags say.
    pub fn run(self) -> ExitCode {
        process::end_with_parent();
        process::keep_memory();
        if let Err(error) = footing::find() {
            process::complain("ventilator", &error);
            return ExitCode::from(process::NO_ROOM);
        }
        let (key, insecure) = (self.key.clone(), self.insecure);
        let setup = match self.into_setup() {
            Ok(setup) => setup,
            Err((code, problem)) => {
                process::complain("ventilator", &problem);
                return ExitCode::from(code);
            }
        };
        let endpoints: Vec<Endpoint> =
            setup.bind.iter().cloned().chain([setup.sink.clone()]).collect();
        let key = match Key::for_process(key.as_deref(), insecure, &endpoints) {
            Ok(key) => key,
            Err(error) => {
                process::complain("ventilator", &error);
                return ExitCode::from(process::NO_KEY);
            }
        };
        let started = |handle| {
            if !process::has_launcher() {
                telling::announce("ventilator", &announcement(&setup));
            }
            cli::drain_on_signals(handle);
        };
        match run::run(&setup, &SharedContext::new(), key, started) {
            Ok(code) => process::exit_code(code),
            Err(error) => {
                process::complain("ventilator", &with_causes(&error));
                ExitCode::from(74)
            }
        }
    }

    /// What to be; else the exit code and what is told.
    fn into_setup(self) -> Result<Setup, (u8, String)> {
        match &self.setup {
            Some(path) => {
                process::read_setup(path).map_err(|error| (process::NO_SETUP, error.to_string()))
            }
            None => self.setup_by_hand().map_err(|problem| (64, problem)),
        }
    }

    fn setup_by_hand(self) -> Result<Setup, String> {
        let (Some(sink), Some(mut source)) = (self.sink, self.source) else {
            return Err("--sink and --source are needed".into());
        };
        if let Some(delimiter) = self.delimiter
            && !source.separate_by(delimiter)
        {
            return Err("--delimiter is for a csv source only".into());
        }
        for (index, name) in self.stages.iter().enumerate() {
            if name.is_empty() || self.stages[..index].contains(name) {
                return Err(format!(
                    "--stages: every stage needs a name of its own, `{name}` is not"
                ));
            }
        }
        let stage = |name| Stage { retries: self.retries, ..Stage::new(name, Function::Own) };
        Ok(Setup {
            name: process::default_name("ventilator"),
            bind: self.bind.clone(),
            advertise: self.advertise.iter().map(ToString::to_string).collect(),
            sink,
            sink_elsewhere: Vec::new(),
            source,
            own_files: Vec::new(),
            stages: self.stages.iter().map(stage).collect(),
            carries_input: false,
            run_dir: self.run_dir,
            join_at: self.advertise.first().or(self.bind.first()).cloned(),
            pass: None,
            drain_limit_ms: self.drain_limit.map(|limit| limit.as_millis() as u64),
            limits: Default::default(),
        })
    }
}

/// What whoever started it by hand is told. A port that was left open is told by whoever opens it.
fn announcement(setup: &Setup) -> String {
    let at: Vec<String> = setup.bind.iter().map(ToString::to_string).collect();
    let stages: Vec<&str> = setup.stages.iter().map(|stage| stage.name.as_str()).collect();
    let workers = match stages.as_slice() {
        [_] => "a worker".to_owned(),
        stages => format!("workers of {}", stages.join(", ")),
    };
    format!(
        "listening on {}, waiting for {workers} and for the sink at {}",
        at.join(", "),
        setup.sink
    )
}
