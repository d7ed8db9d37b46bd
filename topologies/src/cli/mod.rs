//! The flags of `pipeline`, and what each of its subcommands does.
//!
//! Owns usage, and the way from results to text and exit codes; refuses to decide anything about
//! a run.

mod advice;
mod bare;
mod bench;
mod check;
mod completions;
mod dead;
mod detach;
mod doctor;
mod explain;
mod graph;
mod init;
mod key;
mod logs;
mod man;
mod map;
mod onlooker;
mod paper;
mod ps;
mod report;
mod schema;
mod service;
mod sim;
mod steer;
mod summary;
mod tap;
mod top;
mod up;
mod verify;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};
use proto::{
    cli::Program,
    process::{self, exit_code},
    streams,
    telling::{self, Level, Telling},
};
use sink::cli::SinkArgs;
use ventilator::cli::VentilatorArgs;
use worker::cli::WorkerArgs;

use crate::{
    topology::{Colour, Diagnostics, Topology},
    up::exit,
};

/// The program's name.
const PROGRAM: &str = "pipeline";

/// Works when it is pasted into a shell. Its lines are short: a terminal that breaks them would
/// break the commands.
const EXAMPLE: &str = "\
Example, in an empty folder:
  printf '%s\\n' > squares.toml \\
    'source = { kind = \"range\", from = 1, to = 1000 }' \\
    'stage = [{ name = \"square\", run = \"square\" }]' \\
    'sink = { output = \"squares.jsonl\" }'
  pipeline up squares.toml";

/// Reliable pipelines over ZeroMQ: a ventilator, stages of workers, a sink.
#[derive(Parser)]
#[command(name = PROGRAM, version, arg_required_else_help = true, after_help = EXAMPLE)]
#[command(subcommand_required = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    telling: Telling,
}

impl Program for Cli {
    fn telling(&self) -> Telling {
        self.telling
    }

    fn logged(&self) -> &'static str {
        match self.command {
            // It tells of each failure itself.
            Command::Map(_) => "error",
            _ => "warn",
        }
    }

    fn advise(error: clap::Error, words: &[OsString]) -> clap::Error {
        advice::advise(error, words)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Write a commented topology to start from
    Init(init::InitArgs),
    /// Start every process of a topology, watch over them, show progress
    Up(up::UpArgs),
    /// Run a command or a function for each line, or each argument behind `:::`
    Map(map::MapArgs),
    /// Show the runs that go on
    Ps(ps::PsArgs),
    /// Show how a run does, until it is over
    Top(top::TopArgs),
    /// Show some of the results of a run's stages as they pass
    Tap(tap::TapArgs),
    /// End a run that goes on, so that it can be resumed
    Down(steer::DownArgs),
    /// Wait until a run is over
    Wait(steer::WaitArgs),
    /// Have a run send no further units
    Pause(steer::PauseArgs),
    /// Have a paused run go on
    Resume(steer::ResumeArgs),
    /// Change how many workers a stage has
    Scale(steer::ScaleArgs),
    /// Start the workers of a stage anew, one after the other
    Restart(steer::RestartArgs),
    /// Find the mistakes in topologies
    Check(check::CheckArgs),
    /// Draw a topology
    Graph(graph::GraphArgs),
    /// Submit units to a service, and print what comes of them
    Call(service::CallArgs),
    /// Submit units to a service, and print their tickets
    Submit(service::SubmitArgs),
    /// Print what became of units that were submitted
    Result(service::ResultArgs),
    /// Show what waits in a service, and what it keeps
    Tickets(service::TicketsArgs),
    /// Compare the manifest of a finished run with its outputs
    Verify(verify::VerifyArgs),
    /// Show what a finished run gave, once more
    Summary(summary::SummaryArgs),
    /// Tell how a run went: over time, by worker, what failed, the slowest units
    Report(report::ReportArgs),
    /// Tell the life of one unit
    Explain(explain::ExplainArgs),
    /// Show what the processes of a run and their programs have written
    Logs(logs::LogsArgs),
    /// Look at the units that failed for good, try them again
    Dead(dead::DeadArgs),
    /// Measure this machine
    Bench(bench::BenchArgs),
    #[command(hide = true)]
    Bare(bare::BareArgs),
    /// Simulate faults on the shape of a topology, by seed
    Sim(sim::SimArgs),
    /// Make a key file
    Keygen(key::KeygenArgs),
    /// Show the key by which processes recognise each other
    Key(key::KeyArgs),
    /// Look for what would go wrong on this machine
    Doctor(doctor::DoctorArgs),
    /// Print the JSON Schema of topologies, for editors
    Schema(schema::SchemaArgs),
    /// Print a shell's completions of this command line
    Completions(completions::CompletionsArgs),
    /// Print a manual page, or write all of them
    Man(man::ManArgs),
    /// Read a source and push its units to workers
    #[command(after_help = BY_HAND)]
    #[command(
        override_usage = "pipeline ventilator [OPTIONS] --bind <ENDPOINT> --sink <ENDPOINT> --source <SPEC>"
    )]
    Ventilator(VentilatorArgs),
    /// Compute what a ventilator sends
    #[command(after_help = BY_HAND)]
    Worker(WorkerArgs),
    /// Collect, dedupe, commit and aggregate the results
    #[command(after_help = BY_HAND)]
    #[command(override_usage = "pipeline sink [OPTIONS] --bind <ENDPOINT>")]
    Sink(SinkArgs),
}

/// The roles by hand, with nothing but this one program.
const BY_HAND: &str = "\
Example, in three terminals:
  pipeline sink --bind tcp://127.0.0.1:5558 --output squares.jsonl
  pipeline ventilator --bind tcp://127.0.0.1:5557 \\
    --sink tcp://127.0.0.1:5558 --source range:1..1000
  pipeline worker --ventilator tcp://127.0.0.1:5557 --run square";

/// Does what the command line says.
pub fn main() -> ExitCode {
    proto::cli::main(Cli::run)
}

impl Cli {
    /// Does what the flags say.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Init(args) => args.run(),
            Command::Up(args) => args.run(),
            Command::Map(args) => args.run(),
            Command::Ps(args) => args.run(),
            Command::Top(args) => args.run(),
            Command::Tap(args) => args.run(),
            Command::Down(args) => args.run(),
            Command::Wait(args) => args.run(),
            Command::Call(args) => args.run(),
            Command::Submit(args) => args.run(),
            Command::Result(args) => args.run(),
            Command::Tickets(args) => args.run(),
            Command::Pause(args) => args.run(),
            Command::Resume(args) => args.run(),
            Command::Scale(args) => args.run(),
            Command::Restart(args) => args.run(),
            Command::Check(args) => args.run(),
            Command::Graph(args) => args.run(),
            Command::Verify(args) => args.run(),
            Command::Summary(args) => args.run(),
            Command::Report(args) => args.run(),
            Command::Explain(args) => args.run(),
            Command::Logs(args) => args.run(),
            Command::Dead(args) => args.run(),
            Command::Bench(args) => args.run(),
            Command::Bare(args) => args.run(),
            Command::Sim(args) => args.run(),
            Command::Keygen(args) => args.run(),
            Command::Key(args) => args.run(),
            Command::Doctor(args) => args.run(),
            Command::Schema(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
            Command::Ventilator(args) => args.run(),
            Command::Worker(args) => args.run(),
            Command::Sink(args) => args.run(),
        }
    }
}

/// How facts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

/// The topology of a command that can do nothing without it: its mistakes are shown, and the code
/// is what to leave with.
fn load(file: &Path, sets: &[String]) -> Result<Topology, ExitCode> {
    Topology::load(file, sets).map_err(|diagnostics| {
        explain(&diagnostics);
        exit_code(exit::TOPOLOGY)
    })
}

/// Shows all mistakes of a topology, in colour where people read them.
fn explain(diagnostics: &Diagnostics) {
    if telling::is_json() {
        for finding in diagnostics.findings() {
            let message = finding.message.clone();
            let facts = serde_json::to_value(finding).unwrap_or_default();
            let facts = [("finding".to_owned(), facts)].into_iter().collect();
            let line = telling::object(Level::Error, PROGRAM, &message, facts);
            let _ = writeln!(io::stderr(), "{line}");
        }
        return;
    }
    let colour = if telling::is_coloured() { Colour::Ansi } else { Colour::Plain };
    let _ = write!(io::stderr(), "{}", diagnostics.render(colour));
}

/// Says why this program could not do what it was asked for.
fn complain(problem: &dyn std::fmt::Display) {
    process::complain(PROGRAM, problem);
}

/// Writes facts; a reader that has gone has what it wanted.
fn print(text: &str) -> i32 {
    if let Err(error) = streams::has_output() {
        complain(&error);
        return exit::INPUT_OUTPUT;
    }
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Ok(()) => exit::COMPLETE,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::COMPLETE,
        Err(error) => {
            complain(&format_args!("cannot write to standard output: {error}"));
            exit::INPUT_OUTPUT
        }
    }
}
